"""`make watch`: every function behind one local port, with boto3 and with `cargo lambda invoke`; those of
`sam build`, since what `cargo lambda watch` builds for itself takes minutes.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import boto3
import pytest
from botocore.config import Config

REPOSITORY = Path(__file__).resolve().parents[2]
EVENTS = REPOSITORY / "events"
LAMBDA = REPOSITORY / ".venvs" / "deploy" / "bin" / "cargo-lambda"
# The samples in an order in which each finds what the ones before it made.
ORDER = (
    *("create-vector-bucket", "create-index", "get-vector-bucket", "get-index", "list-vector-buckets", "list-indexes"),
    *("put-vectors", "get-vectors", "list-vectors", "query-vectors", "tag-resource", "list-tags-for-resource"),
    *("untag-resource", "put-vector-bucket-policy", "get-vector-bucket-policy", "delete-vector-bucket-policy"),
    *("put-vector-bucket-default-index-mode", "update-index-mode", "update-metadata-configuration"),
    *("fold", "compact", "sweep", "collect", "delete-vectors", "delete-index", "delete-vector-bucket"),
)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture(scope="module")
def port():
    """Of a running watch."""
    chosen = free_port()
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "GENAI_VECTORS_"))}
    if "GENAI_VECTORS_SERVERS" in os.environ:
        kept["GENAI_VECTORS_SERVERS"] = os.environ["GENAI_VECTORS_SERVERS"]
    command = [sys.executable, REPOSITORY / "infra" / "watch.py", "--no-build", "--port", str(chosen)]
    watch = subprocess.Popen(command, cwd=REPOSITORY, env=kept, stdout=subprocess.PIPE, text=True)
    try:
        assert any(line.startswith("aws: ") for line in watch.stdout), "infra/watch.py has ended"
        yield chosen
    finally:
        watch.terminate()
        watch.wait(30)


@pytest.fixture(scope="module")
def endpoint(port):
    return f"http://127.0.0.1:{port}"


def test_every_operation_of_boto3(endpoint):
    """The newest boto3's operations, each routed to its function."""
    keys = {"AWS_ACCESS_KEY_ID": "any", "AWS_SECRET_ACCESS_KEY": "any", "PATH": os.environ["PATH"]}
    script = [sys.executable, REPOSITORY / "tests" / "s3_compatibility.py", "--endpoint-url", endpoint]
    ran = subprocess.run(script, capture_output=True, text=True, timeout=300, env=keys)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "22/22 commands passed" in ran.stdout


def folded(endpoint: str, index: dict[str, str]) -> int:
    """The vectors in shards, which only we report: boto3 does not show what its model lacks."""
    body = json.dumps(index).encode()
    request = urllib.request.Request(f"{endpoint}/GetIndex", body, {"content-type": "application/json"})
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.load(answer)["index"]["vectorCount"]


def test_the_queue_feeds_the_indexer(endpoint):
    client = boto3.client(
        "s3vectors",
        endpoint_url=endpoint,
        region_name="us-east-1",
        aws_access_key_id="any",
        aws_secret_access_key="any",
        config=Config(retries={"total_max_attempts": 1}),
    )
    ids = {"vectorBucketName": "watched", "indexName": "all"}
    client.create_vector_bucket(vectorBucketName="watched")
    client.create_index(**ids, dataType="float32", dimension=2, distanceMetric="euclidean")
    client.put_vectors(**ids, vectors=[{"key": f"k{n}", "data": {"float32": [n, 0]}} for n in range(100)])
    deadline = time.monotonic() + 60
    while folded(endpoint, ids) != 100:
        assert time.monotonic() < deadline, "the tail was not folded"
        time.sleep(0.5)
    hits = client.query_vectors(**ids, queryVector={"float32": [42, 0]}, topK=1)["vectors"]
    assert [hit["key"] for hit in hits] == ["k42"]


def invoke(port: int, function: str) -> dict:
    command = [LAMBDA, "lambda", "invoke", function, "-A", "127.0.0.1", "-P", str(port)]
    ran = subprocess.run(
        [*command, "--data-file", EVENTS / f"{function}.json"], capture_output=True, text=True, timeout=120
    )
    assert ran.returncode == 0, f"{function}: {ran.stdout}{ran.stderr}"
    return json.loads(ran.stdout)


def test_each_sample_event(port):
    assert sorted(ORDER) == sorted(event.stem for event in EVENTS.glob("*.json"))
    answers = {function: invoke(port, function) for function in ORDER}
    refused = {function for function, answer in answers.items() if answer.get("statusCode", 200) != 200}
    assert refused == {"update-metadata-configuration"}, answers
    for function in ("fold", "compact"):
        failures = [failure["itemIdentifier"] for failure in answers[function]["batchItemFailures"]]
        assert [failure[-1] for failure in failures] == ["3"], "only what is not a ring comes back"
