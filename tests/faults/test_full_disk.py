"""A full disk: writers get 503, readers go on, nothing acknowledged is lost or torn, and space brings writes back."""

import contextlib
import json
import os
import subprocess
import time
from pathlib import Path

import pytest
from expect import ok, refused
from places import Bucket, vector
from wire import RawClient

SIZE_MIB = 24


@pytest.fixture
def small_disk(tmp_path):
    """A tmpfs of 24 MiB."""
    mount_point = tmp_path / "small"
    mount_point.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={SIZE_MIB}m", "none", str(mount_point)], check=True)
    yield mount_point
    subprocess.run(["umount", "-l", str(mount_point)], check=True)


def fill(folder: Path, leave: int = 0) -> Path:
    """Takes all free space but `leave` bytes."""
    ballast = folder / "ballast"
    with contextlib.suppress(OSError), ballast.open("wb") as out:
        while True:
            out.write(b"x" * 65536)
            out.flush()
    if leave:
        os.truncate(ballast, max(0, ballast.stat().st_size - leave))
    return ballast


def batch(number, rows=20):
    return [
        vector(f"b{number}-{row}", [number, row] + [0.5] * 62, {"batch": number, "row": row}) for row in range(rows)
    ]


def put(client, ids, number):
    return client.call("PutVectors", ids, vectors=batch(number))


def wanted(numbers):
    return {row["key"]: row for number in numbers for row in batch(number)}


def stored(index):
    rows = index.list(returnData=True, returnMetadata=True)
    assert len({row["key"] for row in rows}) == len(rows)
    return {row["key"]: row for row in rows}


def check_contents(index, acknowledged, doubtful=()):
    """Exactly the acknowledged batches; those answered by 503 either wholly or not at all."""
    found = stored(index)
    for number in doubtful:
        part = {key for key in found if key.startswith(f"b{number}-")}
        assert len(part) in (0, 20), f"batch {number} is half there: {len(part)} rows"
    expected = wanted([*acknowledged, *(n for n in doubtful if f"b{n}-0" in found)])
    assert found == expected


@pytest.mark.parametrize("indexer", ["on", "paused"])
def test_full_disk(start, caller, small_disk, indexer):
    server = start("--indexer", indexer, storage=small_disk / "data")
    index = Bucket(caller(server)).index(dimension=64)
    client = RawClient(server.endpoint)
    acknowledged, doubtful = [], []
    for number in range(10):
        ok(put(client, index.by_name, number))
        acknowledged.append(number)
    ballast = fill(small_disk, leave=200_000)
    for number in range(10, 90):
        answer = put(client, index.by_name, number)
        if answer.status == 200:
            acknowledged.append(number)
        else:
            refused(answer, "ServiceUnavailableException")
            doubtful.append(number)
    assert doubtful, "the disk never filled up"
    check_contents(index, acknowledged, doubtful)
    assert index.query([0, 0] + [0.5] * 62, 1)[0]["key"] == "b0-0"
    assert server.alive()
    ballast.unlink()
    recover(client, index, acknowledged)
    check_contents(index, acknowledged, doubtful)
    server.kill()
    server.start()
    index.bucket.api = caller(server)
    check_contents(index, acknowledged, doubtful)


def recover(client, index, acknowledged):
    """Writing works again soon after space has returned, without a restart."""
    deadline = time.monotonic() + 15
    number = 1000
    while time.monotonic() < deadline:
        answer = put(client, index.by_name, number)
        if answer.status == 200:
            acknowledged.append(number)
            return
        refused(answer, "ServiceUnavailableException")
        number += 1
        time.sleep(0.5)
        if any(key.startswith(f"b{number - 1}-") for key in stored(index)):
            acknowledged.append(number - 1)
    raise AssertionError("still 503 fifteen seconds after space was freed")


@pytest.mark.parametrize(
    ("operation", "params"),
    [
        ("CreateVectorBucket", {"vectorBucketName": "full-bucket"}),
        ("CreateIndex", {"indexName": "full", "dataType": "float32", "dimension": 2, "distanceMetric": "cosine"}),
        ("DeleteVectors", {"keys": ["b0-0"]}),
    ],
)
def test_other_writes_on_a_full_disk(start, caller, small_disk, operation, params):
    """503 or a true success, never another 5xx, and afterwards the state is one or the other."""
    server = start("--indexer", "paused", storage=small_disk / "data")
    bucket = Bucket(caller(server))
    index = bucket.index(dimension=64)
    client = RawClient(server.endpoint)
    ok(put(client, index.by_name, 0))
    ballast = fill(small_disk)
    ids = {"CreateVectorBucket": {}, "CreateIndex": bucket.by_name}.get(operation, index.by_name)
    answer = client.call(operation, ids, **params)
    if answer.status != 200:
        refused(answer, "ServiceUnavailableException")
        assert json.loads(answer.text)["message"]
    assert len(stored(index)) in (20, 19)
    ballast.unlink()
    time.sleep(0.5)
    retried = client.call(operation, ids, **params)
    assert retried.status in (200, 409), retried.text
    server.kill()
    server.start()
    index.bucket.api = caller(server)
    assert len(stored(index)) == (19 if operation == "DeleteVectors" else 20)


@pytest.mark.parametrize("indexer", ["on", "paused"])
def test_start_on_a_full_disk(start, caller, small_disk, indexer):
    """A server that starts on a full disk reads, says what is wrong, and writes again once there is space."""
    server = start("--indexer", indexer, storage=small_disk / "data")
    index = Bucket(caller(server)).index(dimension=64)
    ok(put(RawClient(server.endpoint), index.by_name, 0))
    server.kill()
    ballast = fill(small_disk)
    server.start(timeout=15)
    index.bucket.api = caller(server)
    check_contents(index, [0])
    assert "full" in server.output()
    client = RawClient(server.endpoint)
    refused(put(client, index.by_name, 1), "ServiceUnavailableException")
    ballast.unlink()
    acknowledged = [0]
    recover(client, index, acknowledged)
    server.restart()
    index.bucket.api = caller(server)
    assert set(wanted(acknowledged)) <= set(stored(index))


def test_deletions_on_a_full_disk(start, caller, small_disk):
    """Space can be made over the API: deletions have a little space of their own, and a deleted index frees its."""
    server = start(storage=small_disk / "data")
    bucket = Bucket(caller(server))
    index, other = bucket.index(dimension=64), bucket.index(dimension=64)
    client = RawClient(server.endpoint)
    for number in range(40):
        ok(put(client, other.by_name, number))
    ok(put(client, index.by_name, 0))
    fill(small_disk)
    while put(client, index.by_name, 1).status == 200:
        pass
    for step in range(5):
        ok(client.call("DeleteVectors", index.by_name, keys=[f"b0-{step}"]))
    assert not {f"b0-{step}" for step in range(5)} & set(stored(index))
    ok(client.call("DeleteIndex", other.by_name))
    recover(client, index, [])
    server.restart()
    index.bucket.api = caller(server)
    assert not {f"b0-{step}" for step in range(5)} & set(stored(index))
