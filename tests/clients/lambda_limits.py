"""A reverse proxy that takes what API Gateway and Lambda take: a larger event is refused as they refuse it."""

from __future__ import annotations

import http.client
import json
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

EVENT_BYTES = 6 * 1024 * 1024


@dataclass(frozen=True)
class Seen:
    """A request that came, and what was answered."""

    path: str
    headers: dict[str, str]
    body: bytes
    event_bytes: int
    status: int


@dataclass
class LambdaLimits:
    """In front of `target`, an endpoint URL; without one it answers `{}`. Request `fail_at` (from 0) fails."""

    target: str = ""
    fail_at: int | None = None
    seen: list[Seen] = field(default_factory=list)

    def __enter__(self) -> LambdaLimits:
        proxy = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                body = self.rfile.read(int(self.headers["content-length"]))
                status, headers, answer = proxy.answer(self.path, dict(self.headers), body)
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("content-length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.endpoint = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.server.shutdown()
        self.server.server_close()

    def answer(self, path: str, headers: dict[str, str], body: bytes) -> tuple[int, dict[str, str], bytes]:
        size = len(json.dumps(event(path, headers, body), ensure_ascii=False).encode())
        if self.fail_at == len(self.seen):
            result = 400, {"x-amzn-errortype": "ValidationException"}, b'{"message": "asked to fail"}'
        elif size > EVENT_BYTES:
            # As API Gateway passes Lambda's refusal on: no error type.
            result = 413, {"content-type": "application/json"}, b'{"message":"Request Too Long"}'
        else:
            result = self.forward(path, headers, body) if self.target else (200, {}, b"{}")
        self.seen.append(Seen(path, headers, body, size, result[0]))
        return result

    def forward(self, path: str, headers: dict[str, str], body: bytes) -> tuple[int, dict[str, str], bytes]:
        """With all its headers: what the client has signed."""
        connection = http.client.HTTPConnection(urlsplit(self.target).netloc, timeout=60)
        connection.request("POST", path, body=body, headers=headers)
        response = connection.getresponse()
        content = response.read()
        connection.close()
        kept = {name: value for name, value in response.getheaders() if name.lower().startswith("x-amzn-")}
        return response.status, kept, content


def event(path: str, headers: dict[str, str], body: bytes) -> dict:
    """HTTP API, payload version 2.0."""
    http_context = {"method": "POST", "path": path, "protocol": "HTTP/1.1", "sourceIp": "127.0.0.1", "userAgent": ""}
    context = {
        "accountId": "1" * 12,
        "apiId": "a" * 10,
        "domainName": f"{'a' * 10}.execute-api.us-east-1.amazonaws.com",
        "domainPrefix": "a" * 10,
        "http": http_context,
        "requestId": "r" * 16,
        "routeKey": f"POST {path}",
        "stage": "$default",
        "time": "26/Nov/2026:05:00:00 +0000",
        "timeEpoch": 1_795_000_000_000,
    }
    return {
        "version": "2.0",
        "routeKey": f"POST {path}",
        "rawPath": path,
        "rawQueryString": "",
        "headers": headers,
        "requestContext": context,
        "body": body.decode(),
        "isBase64Encoded": False,
    }
