"""What clients on boto3 may add for a genai-vectors that runs on AWS Lambda. One file, which may also be copied.

    s3vectors = boto3.client("s3vectors", endpoint_url=...)
    split_large_requests(s3vectors)     # where requests or answers may be larger than the 6 MB that Lambda takes
    sign_as_execute_api(s3vectors)      # where the deployment has AuthMode=iam

Both change the client they are given, and return it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from botocore.client import BaseClient

__all__ = ["MAX_EVENT_BYTES", "event_bytes", "sign_as_execute_api", "split_large_requests"]

# What Lambda takes: the event as JSON, in which the body is one string.
MAX_EVENT_BYTES = 6 * 1024 * 1024
# What an event has beside the body: the request's headers (credentials of a role have long ones) and API Gateway's own.
FRAME_BYTES = 16 * 1024
# The service refuses more, however small they are.
MAX_VECTORS = 500
# JSON between two vectors of a body, as botocore writes it.
SEPARATOR = ", "
_CALLED_WITH = "genai_vectors_called_with"
# GetVectors says how many of the keys it found would fit into an answer.
_TOO_MANY_KEYS = re.compile(r"ask for at most ([1-9]\d*) keys at a time")


def event_bytes(body: bytes) -> int:
    """Bytes of a request's JSON body inside an event, where quotes and backslashes are escaped."""
    return len(body) + body.count(b'"') + body.count(b"\\")


def split_large_requests(client: BaseClient, max_event_bytes: int = MAX_EVENT_BYTES) -> BaseClient:
    """Sends a PutVectors that Lambda would not take as several, and a GetVectors whose answer it would not give.

    A PutVectors that fits is not touched. Else its vectors are sent in their order, each request as large as may be,
    one after the other: of duplicate keys the last one wins, as in one request. Each request is atomic, all of them
    together are not: when one fails (a vector that is not valid, a time-out), its error is raised, those before it are
    stored and those behind it are not. Putting the whole batch again is harmless.

    GetVectors is asked again with as many keys at a time as it says would fit; a write in between may be seen by some.
    """
    limit = max_event_bytes - FRAME_BYTES

    def remember(params: dict[str, Any], context: dict[str, Any], **_: Any) -> None:
        context[_CALLED_WITH] = params

    def split_put(params: dict[str, Any], context: dict[str, Any], **_: Any) -> None:
        if event_bytes(params["body"]) <= limit:
            return
        body, called_with = json.loads(params["body"]), context[_CALLED_WITH]
        if len(body["vectors"]) > MAX_VECTORS:
            return
        *earlier, last = _batches(body, limit)
        for batch in earlier:
            client.put_vectors(**called_with | {"vectors": called_with["vectors"][batch]})
        params["body"] = _encoded(body | {"vectors": body["vectors"][last]})

    def split_get(http_response: Any, parsed: dict[str, Any], context: dict[str, Any], **_: Any) -> None:
        error = parsed.get("Error", {})
        refused = _TOO_MANY_KEYS.search(error.get("Message", ""))
        if error.get("Code") != "ValidationException" or not refused:
            return
        called_with, count = context[_CALLED_WITH], int(refused[1])
        keys = list(dict.fromkeys(called_with["keys"]))
        # What fits is said of the first keys, and of those only that exist: others may fit worse, and are asked again.
        count = min(count, len(keys) - 1)
        parts = [keys[start : start + count] for start in range(0, len(keys), count)]
        answers = [client.get_vectors(**called_with | {"keys": part}) for part in parts]
        parsed.clear()
        parsed.update(answers[-1] | {"vectors": [vector for answer in answers for vector in answer["vectors"]]})
        # botocore raises what it has parsed when this says so.
        http_response.status_code = 200

    events = client.meta.events
    for operation in ("PutVectors", "GetVectors"):
        events.register(f"before-parameter-build.s3vectors.{operation}", remember)
    events.register("before-call.s3vectors.PutVectors", split_put)
    events.register("after-call.s3vectors.GetVectors", split_get)
    return client


def _encoded(body: dict[str, Any]) -> bytes:
    return json.dumps(body).encode()


def _batches(body: dict[str, Any], limit: int) -> Iterator[slice]:
    """Consecutive vectors whose body fits; one that does not fit by itself is left to the service to refuse."""
    room = limit - event_bytes(_encoded(body | {"vectors": []}))
    start, used = 0, 0
    for position, vector in enumerate(body["vectors"]):
        size = event_bytes(_encoded(vector)) + len(SEPARATOR)
        if used + size > room and position > start:
            yield slice(start, position)
            start, used = position, 0
        used += size
    yield slice(start, len(body["vectors"]))


def sign_as_execute_api(client: BaseClient) -> BaseClient:
    """Signs requests for API Gateway, whose IAM authorizer takes no signature for `s3vectors`."""

    def before_sign(request: Any, **_: Any) -> None:
        request.context["signing"] = request.context.get("signing", {}) | {"signing_name": "execute-api"}

    client.meta.events.register("before-sign.s3vectors", before_sign)
    return client
