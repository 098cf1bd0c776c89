"""What every answer must be, success or refusal: status, headers and body agree, and a request id is always there."""

from __future__ import annotations

import re

from wire import Answer

STATUS = {
    "ValidationException": 400,
    "SerializationException": 400,
    "AccessDeniedException": 403,
    "NotFoundException": 404,
    "ConflictException": 409,
    "InternalServerException": 500,
    "ServiceUnavailableException": 503,
}
NO_BUCKET = "The specified vector bucket could not be found"
NO_INDEX = "The specified index could not be found"
BUCKET_IDS = "Must specify either vectorBucketName or vectorBucketArn but not both"
INDEX_IDS = "Must specify either indexArn or both vectorBucketName and indexName"


def constraint(path: str, rule: str, length: int | None = None) -> str:
    """The message of one violated model constraint."""
    what = f"Value with length {length}" if length is not None else "Value"
    return f"1 validation error detected. {what} at '{path}' failed to satisfy constraint: {rule}"


def length_rule(low: int, high: int) -> str:
    return f"Member must have length between {low} and {high}, inclusive"


def range_rule(low: int, high: int) -> str:
    return f"Member must be between {low} and {high}, inclusive"


def ok(answer: Answer) -> Answer:
    """A success: 200, JSON, a request id and no error header."""
    assert answer.status == 200, f"{answer.status} {answer.error}: {answer.field_list} {answer.text[:300]!r}"
    assert answer.headers.get("x-amzn-requestid"), answer.headers
    assert "x-amzn-errortype" not in answer.headers
    assert answer.body is not None, f"not JSON: {answer.text[:200]!r}"
    if answer.text:
        assert answer.headers["content-type"].split(";")[0] == "application/json"
    return answer


def refused(answer: Answer, error: str, message: str | re.Pattern | None = None, path: str | None = None) -> Answer:
    """A refusal of this class. A `str` message is compared whole, a pattern is searched for."""
    assert answer.status != 200, f"accepted: {answer.text[:300]!r}"
    assert (answer.error, answer.status) == (error, STATUS[error]), f"{answer.status} {answer.error}: {answer.message}"
    assert answer.headers.get("x-amzn-requestid"), answer.headers
    assert answer.headers["content-type"].split(";")[0] == "application/json"
    assert answer.body["__type"].split("#")[-1] == error
    assert isinstance(answer.message, str) and answer.message
    for entry in answer.field_list:
        assert set(entry) == {"path", "message"} and all(isinstance(text, str) for text in entry.values())
    if isinstance(message, str):
        assert answer.message == message
    elif message is not None:
        assert message.search(answer.message), f"{message.pattern!r} not in {answer.message!r}"
    if path is not None:
        assert path in [entry["path"] for entry in answer.field_list], f"{path} not in {answer.field_list}"
    return answer


def invalid(answer: Answer, message: str | re.Pattern | None = None, path: str | None = None) -> Answer:
    return refused(answer, "ValidationException", message, path)


def missing(answer: Answer, message: str) -> Answer:
    return refused(answer, "NotFoundException", message)
