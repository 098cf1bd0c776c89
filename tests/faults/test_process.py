"""The process: start, stop, one server per directory, refusal of unsafe settings, a paused indexer, restarts."""

import json
import os
import random
import resource
import signal
import socket
import subprocess
import threading
import time
from pathlib import Path

import pytest
from expect import ok
from places import Bucket, vector
from server import Server, ServerDidNotStart, binary, clean_environment
from signing import Signer
from wire import RawClient


def test_port_zero_is_printed_and_answers_at_once(start):
    server = start()
    assert server.endpoint.startswith("http://127.0.0.1:") and not server.endpoint.endswith(":0")
    assert RawClient(server.endpoint).send("GET", "/health").status == 200


@pytest.mark.parametrize("stop_signal", [signal.SIGTERM, signal.SIGINT])
def test_signal_ends_the_process_quickly(start, stop_signal):
    server = start()
    idle = socket.create_connection(server.endpoint.removeprefix("http://").split(":"))
    began = time.monotonic()
    server.process.send_signal(stop_signal)
    server.wait(10)
    assert server.process.returncode in (0, -stop_signal) and time.monotonic() - began < 10
    idle.close()


def test_sigterm_finishes_requests_in_flight(start, caller):
    """A request whose body is still arriving when the signal comes is answered, and its write is kept."""
    server = start()
    index = Bucket(caller(server)).index()
    client = RawClient(server.endpoint)
    body = b'{"vectorBucketName":"%s","indexName":"%s",' % (index.bucket.name.encode(), index.name.encode())
    body += b'"vectors":[{"key":"last","data":{"float32":[1,2]}}]}'
    client.connection.putrequest("POST", "/PutVectors")
    client.connection.putheader("Content-Type", "application/json")
    client.connection.putheader("Content-Length", str(len(body)))
    client.connection.endheaders(body[:20])
    time.sleep(0.3)
    began = time.monotonic()
    server.process.send_signal(signal.SIGTERM)
    time.sleep(0.5)
    client.connection.send(body[20:])
    assert client.connection.getresponse().status == 200
    server.wait(10)
    assert time.monotonic() - began < 10
    server.start()
    index.bucket.api = caller(server)
    assert list(index.get("last")) == ["last"]


def test_sigterm_is_seen_while_every_connection_is_taken(start):
    """More idle connections than the server takes at a time."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(most, 20_000), most))
    server = start()
    address = server.endpoint.removeprefix("http://").split(":")
    idle = []
    for _ in range(4200):
        try:
            idle.append(socket.create_connection(address, timeout=2))
        except TimeoutError:
            break  # the kernel's queue is full as well
    assert len(idle) > 4096
    time.sleep(1)
    began = time.monotonic()
    assert server.terminate(10) in (0, -signal.SIGTERM)
    assert time.monotonic() - began < 10
    for connection in idle:
        connection.close()


def test_sigterm_under_load_loses_nothing_acknowledged(start, caller):
    server = start()
    index = Bucket(caller(server)).index()
    acknowledged = [[] for _ in range(4)]

    def write(number):
        client = RawClient(server.endpoint)
        try:
            for step in range(100_000):
                key = f"k{number}-{step}"
                if client.call("PutVectors", index.by_name, vectors=[vector(key, [number, step])]).status == 200:
                    acknowledged[number].append(key)
        except Exception:
            return

    threads = [threading.Thread(target=write, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    time.sleep(1)
    assert server.terminate(10) in (0, -signal.SIGTERM)
    for thread in threads:
        thread.join(20)
    server.start()
    index.bucket.api = caller(server)
    kept = {row["key"] for row in index.list()}
    assert sum(map(len, acknowledged)) > 0
    assert {key for keys in acknowledged for key in keys} <= kept


def test_second_server_on_the_same_directory_is_refused(start, tmp_path):
    first = start()
    second = Server(tmp_path / "data", "--auth", "none")
    second.log_path = tmp_path / "second.log"
    with pytest.raises(ServerDidNotStart) as refused:
        second.start(timeout=20)
    said = str(refused.value)
    assert "exit status" in said and "panicked" not in said
    assert str(tmp_path / "data") in said and any(word in said.lower() for word in ("lock", "another", "in use"))
    assert first.alive() and RawClient(first.endpoint).send("GET", "/health").status == 200


def test_open_to_the_network_without_keys_is_refused(tmp_path):
    """Neither by default nor silently: every interface without keys is refused, with the reason."""
    server = Server(tmp_path / "data", host="0.0.0.0")
    with pytest.raises(ServerDidNotStart) as refused:
        server.start(timeout=20)
    said = str(refused.value)
    assert "exit status" in said and "--auth keys (the default on 0.0.0.0, which other machines may reach)" in said
    assert "--keys-file" in said and "--auth none" in said


@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0"])
def test_keys_that_are_asked_for_and_missing(tmp_path, host):
    """What was asked for is no default, and no reason to let anybody in."""
    with pytest.raises(ServerDidNotStart) as refused:
        Server(tmp_path / "data", "--auth", "keys", host=host).start(timeout=20)
    said = str(refused.value)
    assert "--auth keys needs keys: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or give --keys-file FILE" in said
    assert "default" not in said and "other machines" not in said and "none" not in said


def launch(tmp_path, *flags, **environment):
    """A server with settings from the environment: the process, and what it has written by the time it listens."""
    log_path = tmp_path / "log"
    command = [binary(), "api", "--port", "0", "--storage", str(tmp_path / "data"), *flags]
    with log_path.open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, env=clean_environment(**environment))
    deadline = time.monotonic() + 20
    while "endpoint:" not in log_path.read_text() and time.monotonic() < deadline:
        assert process.poll() is None, log_path.read_text()
        time.sleep(0.02)
    return process, log_path.read_text()


def test_keys_of_the_environment(tmp_path):
    """Elsewhere than on loopback, the usual AWS variables are the one key; unsigned calls get 403."""
    key = {"AWS_ACCESS_KEY_ID": "AKIDENV", "AWS_SECRET_ACCESS_KEY": "secret"}
    process, text = launch(tmp_path, "--host", "0.0.0.0", **key)
    try:
        port = text.split("endpoint:")[1].split()[0].rstrip("/").rpartition(":")[2]
        endpoint = f"http://127.0.0.1:{port}"
        assert RawClient(endpoint).call("ListVectorBuckets").status == 403
        ok(RawClient(endpoint, Signer("AKIDENV", "secret")).call("ListVectorBuckets"))
    finally:
        process.kill()
        process.wait()


@pytest.mark.parametrize(
    "flags",
    [
        ["--no-such-flag"],
        ["--indexer", "sometimes"],
        ["--auth", "perhaps"],
        ["--port", "70000"],
        ["--account", "12"],
        ["--collect-interval-s", "0"],
        ["--collect-interval-s", "99999999999"],
        ["--collect-floor-age-s", "99999999999"],
        ["--collect-list-age-s=-1"],
        ["--fold-age-ms", "0"],
        ["--region", "us east"],
        ["--region", ""],
        ["--log-level", "inof"],
        ["--log-level", ""],
        ["--log-level", "inof,hyper=warn"],
        ["--log-level", "genai_vectors=inof"],
        ["--target-recall", "0"],
        ["--nprobe", "0"],
        ["--threads", "0"],
        ["--threads", "1025"],
        ["--threads", "100000"],
        ["--request-memory-mib", "63"],
        ["--request-memory-mib", "4294967295"],
        ["--cache-mib", "99999999999"],
        ["--cache-mib", "18446744073709551615"],
        ["--object-delay-ms", "60001"],
        ["--fold-kib", "0"],
        ["--fold-kib", "131073"],
        ["--fold-entries", "0"],
        ["--fold-entries", "513"],
        ["--flat-threshold", "0"],
        ["--flat-threshold", "18446744073709551615"],
        ["--nlist", "16385"],
        ["--nprobe", "16385"],
        ["--m", "4097"],
        ["--batch-size", "4294967295"],
        ["--index-memory-mib", "15"],
        ["--index-memory-mib", "18446744073709551615"],
        ["--settle-ms", "18446744073709551615"],
        ["--rerank-depth", "10001"],
        ["--recall-sample", "1.5"],
    ],
    ids=" ".join,
)
def test_wrong_flags_are_refused(tmp_path, flags):
    command = [binary(), "api", "--storage", str(tmp_path / "data"), "--port", "0", *flags]
    result = subprocess.run(command, capture_output=True, text=True, timeout=20, env=clean_environment(), check=False)
    assert result.returncode not in (0, 101) and flags[0].partition("=")[0] in result.stderr


def test_the_largest_numbers_are_served(start, caller):
    """What the flags admit, the server bears."""
    server = start(
        *("--threads", "1024", "--request-memory-mib", str(1 << 20), "--fold-kib", "131072", "--fold-entries", "512"),
        *("--flat-threshold", "1000000000000", "--nprobe", "16384", "--rerank-depth", "10000"),
        *("--batch-size", str(1 << 20), "--index-memory-mib", str(1 << 24), "--settle-ms", str(24 * 3600 * 1000)),
    )
    index = Bucket(caller(server)).index()
    index.put(vector("a", [1, 2]))
    assert [hit["key"] for hit in index.query([1, 2])] == ["a"]


@pytest.mark.parametrize("content", ["", "{", "[]", '{"keys": []}', '{"keys": [{"accessKeyId": "a"}]}'], ids=str)
def test_wrong_keys_file_is_refused(tmp_path, content):
    keys = tmp_path / "keys.json"
    keys.write_text(content)
    with pytest.raises(ServerDidNotStart) as refused:
        Server(tmp_path / "data", "--auth", "keys", "--keys-file", str(keys)).start(timeout=20)
    assert "exit status" in str(refused.value) and "panicked" not in str(refused.value)


def test_storage_that_is_a_file_is_refused(tmp_path):
    (tmp_path / "data").write_text("not a directory")
    with pytest.raises(ServerDidNotStart) as refused:
        Server(tmp_path / "data", "--auth", "none").start(timeout=20)
    assert "exit status" in str(refused.value) and "panicked" not in str(refused.value)


def random_history(index, live, steps, seed):
    """Puts, overwrites and deletes; `live` is kept equal to what the index must hold."""
    chance = random.Random(seed)
    for step in range(steps):
        keys = [f"k{chance.randrange(300)}" for _ in range(chance.randint(1, 20))]
        if chance.random() < 0.25:
            index.delete(*keys)
            for key in keys:
                live.pop(key, None)
        else:
            rows = {key: ([float(step), chance.random() // 0.001], {"seed": seed, "step": step}) for key in keys}
            index.put(*(vector(key, *row) for key, row in rows.items()))
            live |= rows


def compare(index, live):
    rows = index.list(returnData=True, returnMetadata=True)
    assert {row["key"]: (row["data"]["float32"], row["metadata"]) for row in rows} == live
    nearest = sorted((sum((v - 7.0) ** 2 for v in values), key) for key, (values, _) in live.items())
    assert [hit["key"] for hit in index.query([7.0, 7.0], 50)] == [key for _, key in nearest[:50]]


@pytest.mark.parametrize("indexer", ["on", "paused"])
def test_restarts_keep_everything(start, caller, indexer):
    server = start("--indexer", indexer)
    index = Bucket(caller(server)).index(metadataConfiguration={"nonFilterableMetadataKeys": ["text"]}, tags={"a": "1"})
    live = {}
    for generation in range(4):
        random_history(index, live, 40, generation)
        compare(index, live)
        server.terminate() if generation % 2 else server.kill()
        server.start()
        index.bucket.api = caller(server)
        compare(index, live)
    found = ok(index.call("GetIndex"))["index"]
    assert found["metadataConfiguration"]["nonFilterableMetadataKeys"] == ["text"]
    assert ok(index.bucket.api.call("ListTagsForResource", resourceArn=index.arn))["tags"] == {"a": "1"}


def test_paused_indexer_leaves_the_tail_and_a_running_one_folds_it(start, caller):
    server = start("--indexer", "paused")
    index = Bucket(caller(server)).index()
    live = {}
    random_history(index, live, 60, 1)
    time.sleep(1)
    assert ok(index.call("GetIndex"))["index"]["vectorCount"] == 0
    compare(index, live)
    server.terminate()
    server.flags = ("--auth", "none", "--indexer", "on")
    server.start()
    index.bucket.api = caller(server)
    random_history(index, live, 200, 2)
    deadline = time.monotonic() + 60
    while ok(index.call("GetIndex"))["index"]["vectorCount"] == 0 and time.monotonic() < deadline:
        compare(index, live)
        time.sleep(0.2)
    compare(index, live)
    assert ok(index.call("GetIndex"))["index"]["vectorCount"] > 0, "the tail was not folded within a minute"


def test_a_deleted_index_gives_back_its_disk_and_its_maps(start, caller):
    """Soon, not only at the next collection, and though its shards were in the caches."""
    server = start("--fold-age-ms", "200")
    index = Bucket(caller(server)).index(dimension=256)
    index.put(*(vector(f"k{n}", [float(n)] * 256) for n in range(2000)))
    deadline = time.monotonic() + 30
    while ok(index.call("GetIndex"))["index"]["unindexedCount"] and time.monotonic() < deadline:
        time.sleep(0.1)
    assert len(index.query([1.0] * 256, 10)) == 10

    def mapped():
        maps = Path(f"/proc/{server.pid}/maps").read_text().splitlines()
        return [line for line in maps if str(server.storage) in line]

    def stored():
        folders = [folder for folder in (server.storage / "v1").iterdir() if folder.name != "catalog"]
        return sum(path.stat().st_size for folder in folders for path in folder.rglob("*") if path.is_file())

    assert mapped() and stored() > 2_000_000
    ok(index.call("DeleteIndex"))
    deadline = time.monotonic() + 15
    while (mapped() or stored()) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert (mapped(), stored()) == ([], 0)


def test_a_damaged_manifest_leaves_the_status_of_other_indexes(start, caller):
    server = start("--indexer", "on")
    bucket = Bucket(caller(server))
    damaged, whole = bucket.index(), bucket.index()
    for index in (damaged, whole):
        random_history(index, {}, 20, 1)
        deadline = time.monotonic() + 60
        while ok(index.call("GetIndex"))["index"]["vectorCount"] == 0 and time.monotonic() < deadline:
            time.sleep(0.2)
    server.kill()
    uuid = subprocess.run(
        [binary(), "inspect", bucket.name, damaged.name, "--storage", str(server.storage), "--json"],
        capture_output=True,
        text=True,
        check=True,
    )
    folder = server.storage / "v1" / json.loads(uuid.stdout)["uuid"] / "manifest"
    for manifest in folder.iterdir():
        manifest.write_bytes(manifest.read_bytes()[:-5])
    server.start()
    stats = RawClient(server.endpoint).send("GET", "/stats")
    assert stats.status == 200
    assert [index["indexName"] for index in stats.body["indexes"]] == [whole.name]


def test_an_unwritable_directory_is_refused(tmp_path):
    if os.geteuid() == 0:
        target = "/proc/genai-vectors-cannot-be-made-here"
    else:
        target = str(tmp_path / "sealed" / "data")
        (tmp_path / "sealed").mkdir(mode=0o500)
    command = [binary(), "api", "--storage", target, "--port", "0", "--auth", "none"]
    result = subprocess.run(command, capture_output=True, text=True, timeout=20, env=clean_environment(), check=False)
    assert result.returncode not in (0, 101) and result.stderr + result.stdout
