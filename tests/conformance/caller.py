"""Calls the API through boto3, or through the raw client where the installed boto3 cannot express the call.

Either way the result is an `Answer`, so one table of cases serves every botocore version. Client-side validation is
off: the tests are about what the *server* says. What boto3 makes of every answer is checked on the way.
"""

from __future__ import annotations

import threading
from typing import Any

import boto3
import installed_model
from botocore.config import Config
from botocore.exceptions import ClientError
from server import REGION
from signing import Signer
from wire import Answer, RawClient

_DELIVERED = threading.local()


def boto3_client(endpoint: str, key: tuple[str, str], **config: Any) -> Any:
    """A stock client: only the endpoint, the key and the retry count are set."""
    settings = {"retries": {"total_max_attempts": 1}, "read_timeout": 60} | config
    return boto3.client(
        "s3vectors",
        endpoint_url=endpoint,
        region_name=REGION,
        aws_access_key_id=key[0],
        aws_secret_access_key=key[1],
        config=Config(**settings),
    )


def _keep_wire_form(response_dict: dict[str, Any], **_: Any) -> None:
    headers = {name.lower(): value for name, value in response_dict["headers"].items()}
    _DELIVERED.answer = Answer(response_dict["status_code"], headers, response_dict["body"])


class Caller:
    """`call("PutVectors", vectorBucketName=..., ...)`, safe for use by several threads."""

    def __init__(self, endpoint: str, key: tuple[str, str]):
        self.endpoint = endpoint
        self.client = boto3_client(endpoint, key, parameter_validation=False, max_pool_connections=20)
        self.client.meta.events.register("before-parse.s3vectors", _keep_wire_form)
        self._signer = Signer(*key)
        self._raw = threading.local()

    @property
    def raw(self) -> RawClient:
        """The signed raw client of this thread."""
        if not hasattr(self._raw, "client"):
            self._raw.client = RawClient(self.endpoint, self._signer)
        return self._raw.client

    def call(self, operation: str, params: dict[str, Any] | None = None, **more: Any) -> Answer:
        params = {**(params or {}), **more}
        if not installed_model.can_send(operation, params):
            return self.raw.call(operation, params)
        method = getattr(self.client, _snake(operation))
        try:
            parsed = method(**params)
        except ClientError as error:
            return self._failure(error)
        answer = _DELIVERED.answer
        answer.parsed = {name: value for name, value in parsed.items() if name != "ResponseMetadata"}
        shape = installed_model.operation_model(operation).output_shape
        assert (
            shape is None
            or not isinstance(answer.body, dict)
            or (installed_model.disagreement(shape, answer.body, answer.parsed)) is None
        )
        return answer

    def _failure(self, error: ClientError) -> Answer:
        """boto3 must show the same class, status, message and fields as the wire does."""
        answer = _DELIVERED.answer
        said = error.response
        assert said["Error"]["Code"] == answer.error
        assert said["Error"]["Message"] == answer.message
        assert said["ResponseMetadata"]["HTTPStatusCode"] == answer.status
        assert said.get("fieldList", []) == answer.field_list
        modelled = getattr(self.client.exceptions, answer.error, None) if answer.error in _MODELLED else ClientError
        if modelled is not None:
            assert isinstance(error, modelled), f"boto3 raised {type(error)} for {answer.error}"
        return answer


# Only what the oldest model has: later classes may be missing in an old SDK, which then raises the bare ClientError.
_MODELLED = {
    "ValidationException",
    "NotFoundException",
    "ConflictException",
    "AccessDeniedException",
    "ServiceUnavailableException",
    "TooManyRequestsException",
    "InternalServerException",
}


def _snake(operation: str) -> str:
    return "".join(f"_{c.lower()}" if c.isupper() else c for c in operation).lstrip("_")
