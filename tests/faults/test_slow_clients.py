"""Clients that send or read slowly hold neither memory nor anybody else up for long."""

import contextlib
import json
import socket
import time

import pytest
from expect import ok
from places import Bucket, vector
from server import OWNER_KEY, Server, write_keys_file
from signing import Signer
from wire import RawClient

MIB = 1024 * 1024
# The first two are all of 64 MiB for a server that sets twice the announced length aside, and 64 KiB.
ANNOUNCED = [20 * MIB, (64 * 1024 - 41_024 - 64) // 2 * 1024] + [20 * MIB] * 12
PATIENCE = 5  # seconds; a request waits two for memory


def connect(server, receive_buffer=None):
    host, port = server.endpoint.removeprefix("http://").split(":")
    connection = socket.socket()
    if receive_buffer:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    connection.settimeout(20)
    connection.connect((host, int(port)))
    return connection


def request(operation, length):
    head = f"POST /{operation} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
    return f"{head}Content-Length: {length}\r\n\r\n".encode()


def drip(connections):
    for connection in connections:
        with contextlib.suppress(OSError):  # the server has given it up
            connection.send(b" ")


@pytest.mark.parametrize("sent", [1, 200_000, 5 * MIB])
def test_slow_bodies_lock_nobody_out(tmp_path, sent):
    """Connections without a signature announce all that is allowed, send a part of it and then a byte now and then."""
    keys = write_keys_file(tmp_path / "keys.json")
    flags = ("--auth", "keys", "--keys-file", str(keys), "--request-memory-mib", "64", "--status-endpoints")
    with Server(tmp_path / "data", *flags) as server:
        client = RawClient(server.endpoint, Signer(*OWNER_KEY), timeout=30)
        ok(client.call("CreateVectorBucket", vectorBucketName="slow"))
        ids = {"vectorBucketName": "slow", "indexName": "index"}
        ok(client.call("CreateIndex", ids, dataType="float32", dimension=1000, distanceMetric="cosine"))
        slow = [connect(server) for _ in ANNOUNCED]
        for connection, length in zip(slow, ANNOUNCED, strict=True):
            connection.settimeout(0.2)
            with contextlib.suppress(OSError):  # there is no room for it
                connection.sendall(request("PutVectors", length) + b"{" + b" " * sent)
        rows = [vector(f"k{n}", [float(n + 1)] * 1000) for n in range(150)]
        assert len(json.dumps(rows)) > 500_000
        for _ in range(4):
            drip(slow)
            began = time.monotonic()
            ok(client.call("ListVectorBuckets"))
            ok(client.call("QueryVectors", ids, topK=1, queryVector={"float32": [1.0] * 1000}))
            assert time.monotonic() - began < PATIENCE
            ok(client.call("PutVectors", ids, vectors=rows))
            assert time.monotonic() - began < 2 * PATIENCE
            time.sleep(1)
        for connection in slow:
            connection.close()


def test_slow_readers_hold_little_and_not_for_long(start, caller):
    """Sixty connections ask for four megabytes each and read nothing."""
    server = start("--request-memory-mib", "64")
    index = Bucket(caller(server)).index(dimension=1024)
    index.put(*(vector(f"k{n:03}", [n + 0.123] * 1024) for n in range(400)))
    wanted = {**index.by_name, "topK": 400, "queryVector": {"float32": [0.5] * 1024}, "returnData": True}
    body = json.dumps(wanted).encode()
    client = RawClient(server.endpoint, timeout=30)
    assert len(ok(client.call("QueryVectors", wanted)).text) > 3 * MIB
    before = server.resident_bytes()
    slow = [connect(server, receive_buffer=4096) for _ in range(60)]
    for connection in slow:
        connection.sendall(request("QueryVectors", len(body)) + body)

    def held_mib():
        return ok(client.send("GET", "/stats"))["process"]["requestMemoryKiB"] / 1024

    deadline = time.monotonic() + 15
    while held_mib() < 8 and time.monotonic() < deadline:
        time.sleep(0.1)
    time.sleep(2)
    assert 8 < held_mib() < 64
    assert server.resident_bytes() - before < 150 * MIB
    assert len(ok(client.call("QueryVectors", wanted | {"topK": 1})).text) < 20_000, "small answers go on"
    deadline = time.monotonic() + 40
    while held_mib() > 1 and time.monotonic() < deadline:
        time.sleep(0.5)
    assert held_mib() <= 1, "answers that nobody takes are given up"
    assert len(ok(client.call("QueryVectors", wanted))["vectors"]) == 400
    for connection in slow:
        connection.close()
