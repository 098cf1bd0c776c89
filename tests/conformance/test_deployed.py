"""What only the deployed functions have: a queue that feeds the indexer, schedules, roles, the platform's limits."""

import gzip
import json
import os
import time

import pytest
from expect import invalid, ok
from places import unique_name, vector
from server import OTHER_KEY, OWNER_KEY

pytestmark = pytest.mark.deployed
JSON = {"Content-Type": "application/json"}
# Of what Lambda takes, the whole event counts: the body as a string in JSON, and what is around it.
EVENT_LIMIT = 6 * 1024 * 1024
FRAME = 8 * 1024


def wait_for(condition, timeout=60.0):
    deadline = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < deadline, "not within a minute"
        time.sleep(0.2)


def invoke(server, function, event):
    """The answer of a function that is called without the API."""
    answer = server.aws("lambda").invoke(FunctionName=f"genai-vectors-prod-{function}", Payload=json.dumps(event))
    payload = json.loads(answer["Payload"].read())
    assert "FunctionError" not in answer, payload
    return payload


def folded(index):
    return ok(index.call("GetIndex"))["index"]["vectorCount"]


def test_writes_are_folded_by_the_queue(index):
    index.put(*(vector(f"k{n}", [n, 0], {"n": n}) for n in range(300)))
    index.delete("k7")
    wait_for(lambda: folded(index) == 299)
    hits = index.query([7, 0], 3, filter={"n": {"$lt": 100}})
    assert [hit["key"] for hit in hits] == ["k6", "k8", "k5"]
    index.put(vector("k7", [7, 0], {"n": 7}))
    assert index.query([7, 0], 1)[0]["key"] == "k7", "the tail over a shard"


def test_what_runs_on_a_schedule_runs(server, index):
    def dirty_after_a_write():
        """0 when the queue was faster than the sweep."""
        index.put(vector("a", [1, 2]))
        return invoke(server, "sweep", {})["dirty"]

    wait_for(dirty_after_a_write)
    assert invoke(server, "collect", {}) == {"complete": True}


def padded(index, size):
    """A legal PutVectors body of this many bytes as a string in JSON, where each of its quotes is two."""
    body = json.dumps({**index.by_name, "vectors": [vector("padded", [1, 2])]})
    return (body[:-1] + " " * (size - len(body) - body.count('"')) + "}").encode()


def test_the_events_limit(raw, index):
    ok(raw.send("POST", "/PutVectors", padded(index, EVENT_LIMIT - FRAME), JSON))
    assert list(index.get("padded")) == ["padded"]
    index.delete("padded")
    answer = raw.send("POST", "/PutVectors", padded(index, EVENT_LIMIT + 1), JSON)
    invalid(answer)
    assert answer.message.startswith("Request body exceeds max allowed size"), answer.message
    assert index.list() == []


@pytest.mark.parametrize("content_type", [None, "application/octet-stream"], ids=str)
def test_gzip_as_bytes(raw, index, content_type):
    """What API Gateway does not take for text arrives as base64: also bodies that inflate beyond an event."""
    body = json.dumps({**index.by_name, "vectors": [vector("packed", [1, 2])]}).encode()
    packed = gzip.compress(body[:-1] + b" " * (10 * 1024 * 1024) + b"}")
    headers = {"Content-Encoding": "gzip"} | ({"Content-Type": content_type} if content_type else {})
    ok(raw.send("POST", "/PutVectors", packed, headers))
    assert list(index.get("packed")) == ["packed"]


def test_answers_end_before_lambdas_limit(bucket):
    """Pages are cut by bytes, and nothing is left out."""
    index = bucket.index(dimension=1024)
    records = [vector(f"k{n:04}", [n + k / 7 for k in range(1024)]) for n in range(600)]
    for start in range(0, len(records), 100):
        ok(index.call("PutVectors", vectors=records[start : start + 100]))
    pages = list(index.list_pages(returnData=True, maxResults=1000))
    assert len(pages) > 1
    assert [row["key"] for page in pages for row in page] == [record["key"] for record in records]


def test_what_no_route_takes(raw):
    answer = raw.send("POST", "/NoSuchOperation", b"{}", JSON)
    # Where the emulator enforces policies, it asks who may before it looks for a route.
    if os.environ.get("GENAI_VECTORS_ENFORCE_IAM"):
        assert answer.status == 403
    else:
        assert (answer.status, answer.body) == (404, {"message": "Not Found"}), "API Gateway's own"


def test_each_request_is_one_log_event_and_one_of_metrics(server, api):
    answer = ok(api.call("ListVectorBuckets", prefix=unique_name("none")))
    request_id = answer.headers["x-amzn-requestid"]
    events = [json.loads(line) for line in server.output().splitlines() if line.startswith("{")]
    mine = [event for event in events if event.get("request_id") == request_id]
    assert [event["message"] for event in mine] == ["S3 Vectors API request"]
    assert (mine[0]["operation"], mine[0]["status"]) == ("ListVectorBuckets", 200)
    metrics = [event for event in events if "_aws" in event and event["Operation"] == "ListVectorBuckets"]
    assert metrics and all(event["Requests"] == 1 and event["Environment"] == "prod" for event in metrics)


def test_no_secret_is_logged_and_no_function_failed(server):
    written = server.output()
    assert OWNER_KEY[1] not in written and OTHER_KEY[1] not in written
    assert "panicked" not in written and "does not start" not in written


OPERATIONS = {
    *("CreateIndex", "CreateVectorBucket", "DeleteIndex", "DeleteVectorBucket", "DeleteVectorBucketPolicy"),
    *("DeleteVectors", "GetIndex", "GetVectorBucket", "GetVectorBucketPolicy", "GetVectors", "ListIndexes"),
    *("ListTagsForResource", "ListVectorBuckets", "ListVectors", "PutVectorBucketDefaultIndexMode"),
    *("PutVectorBucketPolicy", "PutVectors", "QueryVectors", "TagResource", "UntagResource", "UpdateIndexMode"),
    "UpdateMetadataConfiguration",
}
BACKGROUND = {"Fold", "Compact", "Sweep", "Collect"}
EVERYBODY = OPERATIONS | BACKGROUND
WRITERS = {"PutVectors", "DeleteVectors"}
INDEXERS = {"Fold", "Compact"}
ATTACHERS = {"TagResource", "UntagResource", "PutVectorBucketPolicy", "DeleteVectorBucketPolicy"}
CREATORS = {"CreateIndex", "CreateVectorBucket"}
REMOVERS = {"DeleteIndex", "DeleteVectorBucket"}
READERS = WRITERS | INDEXERS | {"GetIndex", "GetVectors", "ListVectors", "QueryVectors", "Collect"}
# Action -> on what -> whose roles permit it; nobody else's do.
PERMITTED = {
    "dynamodb:GetItem": {"table": EVERYBODY - {"ListVectorBuckets", "Sweep"}, "other table": set()},
    "dynamodb:Query": {"table": {"ListIndexes", "ListVectorBuckets", "Collect"}, "other table": set()},
    "dynamodb:Scan": {"table": set(), "dirty": {"Sweep"}},
    "dynamodb:PutItem": {"table": CREATORS | REMOVERS | {"Collect"}},
    "dynamodb:UpdateItem": {
        "table": WRITERS | INDEXERS | ATTACHERS | CREATORS | {"DeleteIndex", "Collect"},
        "other table": set(),
    },
    "dynamodb:ConditionCheckItem": {"table": CREATORS},
    "dynamodb:DeleteItem": {"table": REMOVERS, "other table": set()},
    "dynamodb:DeleteTable": {"table": set()},
    "s3:GetObject": {"object": READERS, "other object": set()},
    "s3:ListBucket": {"bucket": READERS, "other bucket": set()},
    "s3:PutObject": {"object": WRITERS | INDEXERS | {"Collect"}, "other object": set()},
    "s3:DeleteObject": {"object": {"Collect"}, "other object": set()},
    "s3:DeleteObjectVersion": {"object": set()},
    "s3:DeleteBucket": {"bucket": set()},
    "s3:PutBucketVersioning": {"bucket": set()},
    "sqs:SendMessage": {"fold": WRITERS | {"Sweep"}, "compact": {"Fold", "Sweep"}, "dead letters": set()},
    "sqs:ReceiveMessage": {"fold": {"Fold"}, "compact": {"Compact"}, "dead letters": set()},
    "sqs:DeleteMessage": {"fold": {"Fold"}, "compact": {"Compact"}, "dead letters": set()},
    "sqs:PurgeQueue": {"fold": set()},
    "secretsmanager:GetSecretValue": {"secret": OPERATIONS, "other secret": set()},
    "secretsmanager:PutSecretValue": {"secret": set()},
    "lambda:InvokeFunction": {"function": set()},
    "iam:PassRole": {"role": set()},
    "sts:AssumeRole": {"role": set()},
}


@pytest.fixture(scope="module")
def resources(server):
    """The ARNs that PERMITTED names; `other ...` are no part of the stack."""
    pages = server.aws("cloudformation").get_paginator("list_stack_resources").paginate(StackName="genai-vectors")
    rows = [row for page in pages for row in page["StackResourceSummaries"]]
    made = {row["LogicalResourceId"]: row["PhysicalResourceId"] for row in rows}
    name, account = "arn:aws:{}:us-east-1:123456789012:{}".format, "123456789012"
    queue = {row: made[row].rpartition("/")[2] for row in ("FoldQueue", "CompactQueue", "DeadLetters")}
    return {
        "table": name("dynamodb", f"table/{made['Table']}"),
        "dirty": name("dynamodb", f"table/{made['Table']}/index/dirty"),
        "other table": name("dynamodb", "table/other"),
        "bucket": f"arn:aws:s3:::{made['Bucket']}",
        "object": f"arn:aws:s3:::{made['Bucket']}/v1/x",
        "other bucket": "arn:aws:s3:::other",
        "other object": "arn:aws:s3:::other/v1/x",
        "fold": name("sqs", queue["FoldQueue"]),
        "compact": name("sqs", queue["CompactQueue"]),
        "dead letters": name("sqs", queue["DeadLetters"]),
        "secret": server.aws("secretsmanager").describe_secret(SecretId=made["AccessKeysSecret"])["ARN"],
        "other secret": name("secretsmanager", "secret:other-abcdef"),
        "function": name("lambda", "function:genai-vectors-prod-get-index"),
        "role": f"arn:aws:iam::{account}:role/{made['GetIndexRole']}",
        "roles": {name: made[f"{name}Role"] for name in EVERYBODY},
    }


@pytest.mark.parametrize("action", PERMITTED)
def test_each_role_permits_what_its_function_needs_and_nothing_else(server, resources, action):
    iam = server.aws("iam")
    for place, holders in PERMITTED[action].items():
        permitted = set()
        for function, role in resources["roles"].items():
            asked = iam.simulate_principal_policy(
                PolicySourceArn=f"arn:aws:iam::123456789012:role/{role}",
                ActionNames=[action],
                ResourceArns=[resources[place]],
            )
            if asked["EvaluationResults"][0]["EvalDecision"] == "allowed":
                permitted.add(function)
        assert permitted == holders, place
