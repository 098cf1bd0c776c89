"""`kill -9` under eight writing clients, twenty times: nothing acknowledged is lost, nothing is half there."""

import threading
import time

from expect import ok
from places import Bucket
from server import Server
from wire import RawClient
from write_ledger import GONE, Ledger, content

CLIENTS = 8
ROUNDS = 20
WRITING_SECONDS = 1.0
TOTAL_SECONDS = 90


def write_until_it_dies(endpoint, ids, ledger, stop):
    """Sends batches until the server is killed. Only an answered request counts as acknowledged."""
    client = RawClient(endpoint, timeout=15)
    while not stop.is_set():
        batch = ledger.next_batch()
        ledger.begin(batch)
        try:
            answer = send(client, ids, batch)
        except OSError:
            return
        except Exception as error:
            if "HTTP" in type(error).__module__ or "http" in type(error).__module__:
                return  # cut in the middle of an answer
            raise
        if answer.status == 200:
            ledger.acknowledge()
        elif answer.status in (429, 503):
            ledger.doubtful = {}
        else:
            raise AssertionError(f"{answer.status} {answer.text[:300]!r}")


def send(client, ids, batch):
    """One attempt on a fresh or kept connection, never repeated: a repeat would blur what was acknowledged."""
    version = next(iter(batch.values()))
    if version is GONE:
        operation, body = "DeleteVectors", {"keys": list(batch)}
    else:
        operation, body = "PutVectors", {"vectors": [{"key": key, **content(key, version)} for key in batch]}
    if client.connection.sock is None:
        client.connection.connect()
    return client.call(operation, ids | body)


def read_everything(endpoint, ids):
    """key -> record by ListVectors, and a check that queries see exactly the same keys and metadata."""
    client = RawClient(endpoint)
    found, token = {}, {}
    while token is not None:
        page = ok(client.call("ListVectors", ids, returnData=True, returnMetadata=True, maxResults=1000, **token))
        assert not {row["key"] for row in page["vectors"]} & set(found), "a key was listed twice"
        found |= {row["key"]: row for row in page["vectors"]}
        token = {"nextToken": page["nextToken"]} if page.body.get("nextToken") else None
    query = {"queryVector": {"float32": [0.5] * 8}, "topK": 10000, "returnMetadata": True}
    hits = ok(client.call("QueryVectors", ids, **query)).body
    queried = {hit["key"]: hit["metadata"] for hit in hits["vectors"]}
    assert len(queried) == len(hits["vectors"]), "a key was found twice"
    assert queried == {key: row["metadata"] for key, row in found.items()}
    client.close()
    return found


def one_round(server, ids, ledgers, seconds):
    stop = threading.Event()
    failures = []

    def work(ledger):
        try:
            write_until_it_dies(server.endpoint, ids, ledger, stop)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(ledger,)) for ledger in ledgers]
    for thread in threads:
        thread.start()
    time.sleep(seconds)
    server.kill()
    stop.set()
    for thread in threads:
        thread.join(30)
        assert not thread.is_alive(), "a client hangs"
    assert not failures, failures[0]


def test_kill_nine(tmp_path, caller):
    began = time.monotonic()
    server = Server(tmp_path / "data", "--auth", "none").start()
    cache = ("--cache-dir", str(tmp_path / "cache"), "--cache-mib", "2")
    try:
        ids = Bucket(caller(server)).index("ledger", dimension=8).by_name
        ledgers = [Ledger(number) for number in range(CLIENTS)]
        for number in range(ROUNDS):
            one_round(server, ids, ledgers, WRITING_SECONDS * (0.3 + (number % 8) / 8))
            # Every other life reads through a disk cache that the one before it may have died writing.
            server.flags = ("--auth", "none", *(cache if number % 2 else ()))
            server.start()
            found = read_everything(server.endpoint, ids)
            complaints = [
                complaint
                for ledger in ledgers
                for complaint in ledger.settle({k: r for k, r in found.items() if k.startswith(f"c{ledger.client}-")})
            ]
            assert not complaints, f"round {number}: {complaints[:10]}"
        batches = sum(ledger.versions for ledger in ledgers)
        assert batches > ROUNDS * CLIENTS * 2, "the clients hardly wrote anything"
    finally:
        server.kill()
    print(f"{ROUNDS} kills, {batches} batches, {len(found)} vectors, {time.monotonic() - began:.0f} s")
    assert time.monotonic() - began < TOTAL_SECONDS


def test_kill_nine_right_after_the_answer(start, caller):
    """One put, acknowledged, killed at once: the shortest form of the promise, also for buckets, tags and policies."""
    server = start()
    for number in range(5):
        api = caller(server)
        bucket = Bucket(api, tags={"round": str(number)})
        index = bucket.index(dimension=8)
        ok(index.call("PutVectors", vectors=[{"key": "a", **content("a", number)}]))
        server.kill()
        server.start()
        api = caller(server)
        index.bucket.api = api
        assert index.get("a")["a"] == {"key": "a", **content("a", number)}
        assert ok(api.call("ListTagsForResource", resourceArn=bucket.arn))["tags"] == {"round": str(number)}
        index.delete("a")
        server.kill()
        server.start()
        index.bucket.api = caller(server)
        assert index.list() == []
        ok(index.call("DeleteIndex"))
        server.kill()
        server.start()
        assert caller(server).call("GetIndex", index.by_name).status == 404
