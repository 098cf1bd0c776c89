#!/usr/bin/env python3
"""`cargo lambda watch` with what it needs: starts the emulated AWS (S3, DynamoDB, SQS), makes table, bucket and queues
in it, builds the functions, serves every route on one port, and hands the queues' messages to the indexer's functions.

watch.py [--port N]     stays up until it is interrupted, then stops all that it started

Anybody on this machine may call (GENAI_VECTORS_AUTH=none); a changed source is built again with its next request.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request

from aws_local import tool
from emulator import ACCOUNT, ROOT, Emulator

TABLE, BUCKET, QUEUES = "genai-vectors", "genai-vectors", ("fold", "compact")
PACKAGES = ("genai-vectors-api", "genai-vectors-query", "genai-vectors-indexer")
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
    port = parser.parse_args().port
    for name in (signal.SIGINT, signal.SIGTERM):
        signal.signal(name, lambda *_: sys.exit(0))
    with Emulator() as emulator:
        stores = make_stores(emulator)
        # A function is built with its first request, while the client waits: so all of them before.
        for package in PACKAGES:
            subprocess.run(["cargo", "build", "--release", "-p", package], check=True, cwd=ROOT, stdout=sys.stderr)
        command = [tool("cargo-lambda"), "lambda", "watch", "-A", "127.0.0.1", "-P", str(port), "--release"]
        environment = emulator.environment(PATH=os.environ["PATH"], **stores)
        watch = subprocess.Popen([*command, "--concurrency", CONCURRENCY], cwd=ROOT, env=environment)
        try:
            for queue in QUEUES:
                Feeder(emulator, queue, stores[f"GENAI_VECTORS_{queue.upper()}_QUEUE_URL"], port).start()
            print(f"endpoint: http://127.0.0.1:{port}\naws: {emulator.endpoint}", flush=True)
            while emulator.alive() and watch.poll() is None:
                time.sleep(1)
        finally:
            watch.terminate()
            watch.wait()
    sys.exit("watch.py: what it started has stopped")


if __name__ == "__main__":
    main()
