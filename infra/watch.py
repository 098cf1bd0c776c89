#!/usr/bin/env python3
"""`cargo lambda watch` with what it needs: starts the emulated AWS (S3, DynamoDB, SQS), makes table, bucket and queues
in it, builds the functions, serves every route on one port, and hands the queues' messages to the indexer's functions.

watch.py [--port N] [--no-build]     stays up until it is interrupted, then stops all that it started

--no-build: the functions that were built last (`make functions`) run behind the same routes; nothing is watched.

Anybody on this machine may call (GENAI_VECTORS_AUTH=none); a changed source is built again with its next request.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from pathlib import Path

from aws_local import tool
from emulator import ACCOUNT, ROOT, Emulator

TABLE, BUCKET, QUEUES = "genai-vectors", "genai-vectors", ("fold", "compact")
# Requests that a function works on at a time.
CONCURRENCY = "8"


def make_stores(emulator: Emulator) -> dict[str, str]:
    """What the template makes, as far as the functions call it; the environment that leads to it."""
    emulator.client("s3").create_bucket(Bucket=BUCKET)
    attribute = lambda name, kind: {"AttributeName": name, "AttributeType": kind}  # noqa: E731
    key = lambda first, second: [  # noqa: E731
        {"AttributeName": first, "KeyType": "HASH"},
        {"AttributeName": second, "KeyType": "RANGE"},
    ]
    dirty = {
        "IndexName": "dirty",
        "KeySchema": key("uuid", "dirty_since"),
        "Projection": {"ProjectionType": "INCLUDE", "NonKeyAttributes": ["retry_at"]},
    }
    emulator.client("dynamodb").create_table(
        TableName=TABLE,
        BillingMode="PAY_PER_REQUEST",
        AttributeDefinitions=[
            attribute("pk", "S"),
            attribute("sk", "S"),
            attribute("uuid", "S"),
            attribute("dirty_since", "N"),
        ],
        KeySchema=key("pk", "sk"),
        GlobalSecondaryIndexes=[dirty],
    )
    sqs = emulator.client("sqs")
    urls = {name: sqs.create_queue(QueueName=f"genai-vectors-{name}")["QueueUrl"] for name in QUEUES}
    return {
        "GENAI_VECTORS_ACCOUNT": ACCOUNT,
        "GENAI_VECTORS_TABLE": TABLE,
        "GENAI_VECTORS_STORAGE": f"s3://{BUCKET}",
        "GENAI_VECTORS_FOLD_QUEUE_URL": urls["fold"],
        "GENAI_VECTORS_COMPACT_QUEUE_URL": urls["compact"],
        "GENAI_VECTORS_AUTH": "none",
    }


def wait_for_port(port: int) -> None:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    sys.exit("watch.py: cargo lambda watch did not start")


def functions() -> dict[str, Path]:
    """Where `sam build` leaves each function, by its binary's name."""
    rows = json.loads((ROOT / "infra" / "cdk" / "functions.json").read_text())
    return {row["binary"]: ROOT / ".aws-sam" / "build" / f"{row['name']}Function" / "bootstrap" for row in rows}


def start(watch: list[str], environment: dict[str, str]) -> list[subprocess.Popen]:
    """The watch. A function is built with its first request, while the client waits: so all of them before."""
    # What cargo-lambda runs is `cargo run --bin` in the workspace: the same features as this.
    command = ["cargo", "build", "--release", "--workspace", "--bins"]
    subprocess.run(command, check=True, cwd=ROOT, stdout=sys.stderr)
    options = ["--release", "--concurrency", CONCURRENCY]
    return [subprocess.Popen([*watch, *options], cwd=ROOT, env=environment)]


def start_built(watch: list[str], environment: dict[str, str], port: int) -> list[subprocess.Popen]:
    """The watch's routes, and behind them one process of each built function."""
    processes = [subprocess.Popen([*watch, "--only-lambda-apis"], cwd=ROOT, env=environment)]
    wait_for_port(port)
    for function, binary in functions().items():
        lambda_side = {
            "AWS_LAMBDA_RUNTIME_API": f"http://127.0.0.1:{port}/.rt/{function}",
            "AWS_LAMBDA_FUNCTION_NAME": function,
            "AWS_LAMBDA_FUNCTION_VERSION": "1",
            "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "3008",
        }
        processes.append(subprocess.Popen([binary], env=environment | lambda_side, stdout=sys.stderr))
    return processes


class Feeder(threading.Thread):
    """What an event source mapping does: a queue's messages become events of a function."""

    def __init__(self, emulator: Emulator, queue: str, url: str, port: int):
        super().__init__(daemon=True)
        self.sqs = emulator.client("sqs")
        self.url = url
        self.function = f"http://127.0.0.1:{port}/2015-03-31/functions/{queue}/invocations"

    def run(self) -> None:
        while True:
            try:
                self.feed()
            except Exception as error:  # the emulator or the watch is going down, or is not up yet
                print(f"watch.py: {error}", file=sys.stderr)
                time.sleep(2)

    def feed(self) -> None:
        asked = self.sqs.receive_message(QueueUrl=self.url, MaxNumberOfMessages=10, WaitTimeSeconds=5)
        messages = asked.get("Messages", [])
        if not messages:
            return
        records = [{"messageId": message["MessageId"], "body": message["Body"]} for message in messages]
        body = json.dumps({"Records": records}).encode()
        request = urllib.request.Request(self.function, body, {"content-type": "application/json"})
        with urllib.request.urlopen(request, timeout=300) as answer:
            failed = {item["itemIdentifier"] for item in json.load(answer)["batchItemFailures"]}
        for message in messages:
            if message["MessageId"] not in failed:
                self.sqs.delete_message(QueueUrl=self.url, ReceiptHandle=message["ReceiptHandle"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--port", type=int, default=9000)
    parser.add_argument("--no-build", action="store_true", help="run what `make functions` has built")
    arguments = parser.parse_args()
    port = arguments.port
    for name in (signal.SIGINT, signal.SIGTERM):
        signal.signal(name, lambda *_: sys.exit(0))
    with Emulator() as emulator:
        stores = make_stores(emulator)
        environment = emulator.environment(PATH=os.environ["PATH"], **stores)
        watch = [tool("cargo-lambda"), "lambda", "watch", "-A", "127.0.0.1", "-P", str(port)]
        processes = start_built(watch, environment, port) if arguments.no_build else start(watch, environment)
        try:
            wait_for_port(port)
            for queue in QUEUES:
                Feeder(emulator, queue, stores[f"GENAI_VECTORS_{queue.upper()}_QUEUE_URL"], port).start()
            print(f"endpoint: http://127.0.0.1:{port}\naws: {emulator.endpoint}", flush=True)
            while emulator.alive() and all(process.poll() is None for process in processes):
                time.sleep(1)
        finally:
            for process in processes:
                process.terminate()
            for process in processes:
                process.wait()
    sys.exit("watch.py: what it started has stopped")


if __name__ == "__main__":
    main()
