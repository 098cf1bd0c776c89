"""Starts one function under a Lambda runtime API of our own, and measures it: what Lambda does for a cold start, with
services (Secrets Manager, DynamoDB, S3, SQS) in the same process that answer at once, with nothing in them."""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
import threading
import time
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from servers import ROOT

NEXT = "/2018-06-01/runtime/invocation/next"
HOST = "a1b2c3d4e5.execute-api.us-east-1.amazonaws.com"
REGION, ACCOUNT = "us-east-1", "123456789012"
KEY = ("OWNER", "cold-start")
PATIENCE_S = 30
SECRET = {
    "accessKeyId": KEY[0],
    "secretAccessKey": KEY[1],
    "principal": f"arn:aws:iam::{ACCOUNT}:user/owner",
    "owner": True,
}


@dataclass(frozen=True)
class Start:
    """Milliseconds from the process's start to its first request for work, those on a CPU, and to its first answer."""

    init_ms: float
    init_cpu_ms: float
    answer_ms: float


@dataclass
class Invocation:
    """The one event, and what became of it."""

    event: dict
    pid: int = 0
    init_at: float = 0.0
    init_cpu_ms: float = 0.0
    answer: dict = field(default_factory=dict)
    answered_at: float = 0.0
    failed: bytes = b""
    done: threading.Event = field(default_factory=threading.Event)


def signed(event: dict) -> dict:
    """The sample event as if somebody had just sent it, with the key that the secret holds."""
    from botocore.auth import SigV4Auth
    from botocore.awsrequest import AWSRequest
    from botocore.credentials import Credentials

    method, path = event["requestContext"]["http"]["method"], event["rawPath"]
    if path.startswith("/tags/"):
        path = "/tags/" + path.removeprefix("/tags/").replace(":", "%3A").replace("/", "%2F")
    query = event.get("rawQueryString", "")
    request = AWSRequest(method, f"https://{HOST}{path}{'?' if query else ''}{query}", data=event.get("body", ""))
    request.headers["host"] = HOST
    SigV4Auth(Credentials(*KEY), "s3vectors", REGION).add_auth(request)
    context = event["requestContext"] | {"timeEpoch": int(time.time() * 1000)}
    headers = {name.lower(): value for name, value in request.headers.items()}
    return event | {"headers": headers, "requestContext": context}


def cpu_ms(pid: int) -> float:
    """What all threads of the process have had of the CPUs."""
    threads = Path(f"/proc/{pid}/task").glob("*/schedstat")
    return sum(int(thread.read_text().split()[0]) for thread in threads) / 1e6


class Services(ThreadingHTTPServer):
    """The runtime API and the AWS services, on one port."""

    daemon_threads = True

    def __init__(self, invocation: Invocation):
        super().__init__(("127.0.0.1", 0), Handler)
        self.invocation = invocation

    def handle_error(self, *_):
        """A process that is killed leaves its connections."""


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    # Headers and body in one packet: the other side would hold its acknowledgement of the first for 40 ms.
    wbufsize = -1
    disable_nagle_algorithm = True
    server: Services

    def do_GET(self):
        if self.path != NEXT:
            return self.reply(404, b"")  # S3: no such object
        invocation = self.server.invocation
        if invocation.init_at:
            invocation.done.wait()  # no second event
            return self.reply(500, b"")
        invocation.init_at, invocation.init_cpu_ms = time.perf_counter(), cpu_ms(invocation.pid)
        deadline = str(int(time.time() * 1000) + PATIENCE_S * 1000)
        arn = f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:cold-start"
        headers = {
            "lambda-runtime-aws-request-id": "8476a536-e9f4-11e8-9739-2dfe598c3fcd",
            "lambda-runtime-deadline-ms": deadline,
            "lambda-runtime-invoked-function-arn": arn,
        }
        return self.reply(200, json.dumps(invocation.event).encode(), **headers)

    def do_PUT(self):
        self.rfile.read(int(self.headers.get("content-length", 0)))
        self.reply(200, b"", etag='"1"')  # S3: written

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        invocation = self.server.invocation
        if self.path.startswith("/2018-06-01/runtime/"):
            if self.path.endswith("/response"):
                invocation.answered_at, invocation.answer = time.perf_counter(), json.loads(body)
            else:
                invocation.failed = body
            self.reply(202, b"")
            invocation.done.set()
            return
        target = self.headers.get("x-amz-target", "")
        answers = {
            "secretsmanager.GetSecretValue": {"ARN": "keys", "Name": "keys", "SecretString": json.dumps(SECRET)},
            "DynamoDB_20120810.Scan": {"Items": [], "Count": 0, "ScannedCount": 0},
            "DynamoDB_20120810.Query": {"Items": [], "Count": 0, "ScannedCount": 0},
        }
        self.reply(200, json.dumps(answers.get(target, {})).encode())

    def reply(self, status: int, body: bytes, **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
        self.wfile.flush()

    def log_message(self, *_):
        pass


def environment(address: str, memory_mib: int, cache: str) -> dict[str, str]:
    """As the template and Lambda set it, with every service led to ours, and an empty folder for what is kept."""
    endpoint = f"http://{address}"
    return {
        "AWS_LAMBDA_RUNTIME_API": address,
        "AWS_LAMBDA_FUNCTION_NAME": "cold-start",
        "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(memory_mib),
        "AWS_LAMBDA_LOG_GROUP_NAME": "/aws/lambda/cold-start",
        "AWS_LAMBDA_LOG_STREAM_NAME": "cold-start",
        "AWS_REGION": REGION,
        "AWS_ACCESS_KEY_ID": "function",
        "AWS_SECRET_ACCESS_KEY": "role",
        "AWS_ENDPOINT_URL": endpoint,
        "GENAI_VECTORS_ACCOUNT": ACCOUNT,
        "GENAI_VECTORS_CACHE_DIR": cache,
        "GENAI_VECTORS_TABLE": "table",
        "GENAI_VECTORS_STORAGE": "s3://bucket",
        "GENAI_VECTORS_FOLD_QUEUE_URL": f"{endpoint}/{ACCOUNT}/fold",
        "GENAI_VECTORS_COMPACT_QUEUE_URL": f"{endpoint}/{ACCOUNT}/compact",
        "GENAI_VECTORS_KEYS_SECRET": "keys",
        "PATH": os.environ["PATH"],
    }


def start(binary: Path, row: dict) -> Start:
    """One cold start with the function's sample event; whatever fails in it is an error."""
    event = json.loads((ROOT / "events" / f"{row['binary']}.json").read_text())
    invocation = Invocation(signed(event) if row["routes"] else event)
    services = Services(invocation)
    threading.Thread(target=services.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    cache = tempfile.TemporaryDirectory()
    settings = environment(f"127.0.0.1:{services.server_port}", row["memory"], cache.name)
    began = time.perf_counter()
    process = subprocess.Popen([binary], env=settings, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    invocation.pid = process.pid
    try:
        came = invocation.done.wait(PATIENCE_S)
    finally:
        process.kill()
        output = process.communicate()[0].decode(errors="replace")
        invocation.done.set()
        services.shutdown()
        services.server_close()
        cache.cleanup()
    status = invocation.answer.get("statusCode", 200) if isinstance(invocation.answer, dict) else 200
    if not came or invocation.failed or status in (401, 403) or status >= 500:
        raise RuntimeError(f"{row['name']}: {invocation.failed or invocation.answer}\n{output}")
    milliseconds = (1000 * (moment - began) for moment in (invocation.init_at, invocation.answered_at))
    init_ms, answer_ms = milliseconds
    return Start(init_ms, invocation.init_cpu_ms, answer_ms)
