"""A plain HTTP/1.1 client for the API: keep-alive, signed or not, nothing checked and nothing retried on the way.

It is the yardstick beside boto3: it sends what boto3 refuses to send, and shows the answer as it was on the wire.
"""

from __future__ import annotations

import http.client
import json
import math
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

from signing import Signer

JSON_TYPE = "application/json"
TAG_OPERATIONS = {"TagResource": "POST", "UntagResource": "DELETE", "ListTagsForResource": "GET"}


@dataclass
class Answer:
    """One HTTP answer, as it was on the wire, and, when boto3 asked, what boto3 made of it."""

    status: int
    headers: dict[str, str]
    text: bytes
    parsed: dict[str, Any] | None = None
    body: Any = field(init=False)

    def __post_init__(self) -> None:
        try:
            self.body = json.loads(self.text) if self.text else {}
        except ValueError:
            self.body = None

    @property
    def error(self) -> str | None:
        """The exception's name; None for a success."""
        if self.status < 300:
            return None
        return self.headers.get("x-amzn-errortype", "").split(":")[0]

    @property
    def message(self) -> str:
        return self.body.get("message", "") if isinstance(self.body, dict) else ""

    @property
    def field_list(self) -> list[dict[str, str]]:
        return (self.body.get("fieldList") or []) if isinstance(self.body, dict) else []

    def __getitem__(self, member: str) -> Any:
        return self.body[member]


def to_json(value: Any) -> bytes:
    """JSON as SDKs write it: non-finite numbers become strings (JSON has none), lone surrogates stay escapes."""
    return json.dumps(_finite(value), separators=(",", ":")).encode()


def _finite(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return {math.inf: "Infinity", -math.inf: "-Infinity"}.get(value, "NaN")
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return value


def request_of(operation: str, params: dict[str, Any]) -> tuple[str, str, bytes]:
    """Method, target and body for an operation, tag operations included."""
    method = TAG_OPERATIONS.get(operation)
    if method is None:
        return "POST", f"/{operation}", to_json(params)
    target = "/tags/" + quote(params["resourceArn"], safe="-_.~")
    if operation == "UntagResource":
        keys = params["tagKeys"]
        target += "?" + urlencode([("tagKeys", key) for key in keys], quote_via=quote, safe="-_.~") if keys else ""
    body = to_json({k: v for k, v in params.items() if k != "resourceArn"}) if method == "POST" else b""
    return method, target, body


class RawClient:
    """Keep-alive HTTP to one endpoint. Not for use by two threads at once."""

    def __init__(self, endpoint: str, signer: Signer | None = None, prefix: str = "", timeout: float = 60.0):
        parts = urlsplit(endpoint)
        self.host = parts.netloc
        self.prefix = parts.path.rstrip("/") + prefix
        self.signer = signer
        self.connection = http.client.HTTPConnection(parts.hostname, parts.port or 80, timeout=timeout)

    def call(self, operation: str, params: dict[str, Any] | None = None, **more: Any) -> Answer:
        method, target, body = request_of(operation, {**(params or {}), **more})
        headers = {"Content-Type": JSON_TYPE} if method == "POST" else {}
        return self.send(method, target, body, headers)

    def send(self, method: str, target: str, body: bytes = b"", headers: dict[str, str] | None = None) -> Answer:
        target = self.prefix + target
        headers = dict(headers or {})
        if self.signer:
            headers = self.signer.sign(method, target, headers | {"host": self.host}, body)
        return self.exchange(method, target, body, headers)

    def exchange(self, method: str, target: str, body: bytes, headers: dict[str, str]) -> Answer:
        """Sends exactly this; one new connection when the server has closed an idle one."""
        fresh = self.connection.sock is None
        try:
            return self._exchange_once(method, target, body, headers)
        except (http.client.RemoteDisconnected, BrokenPipeError, ConnectionResetError):
            self.connection.close()
            if fresh:
                raise
            return self._exchange_once(method, target, body, headers)
        except Exception:
            self.connection.close()
            raise

    def _exchange_once(self, method: str, target: str, body: bytes, headers: dict[str, str]) -> Answer:
        self.connection.request(method, target, body=body, headers=headers)
        reply = self.connection.getresponse()
        text = reply.read()
        return Answer(reply.status, {k.lower(): v for k, v in reply.getheaders()}, text)

    def close(self) -> None:
        self.connection.close()
