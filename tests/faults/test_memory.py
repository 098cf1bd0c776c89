"""Memory of requests: within the budget whatever a body holds, and given back to the system afterwards."""

import json
import threading
import time

import pytest
from places import Bucket
from wire import RawClient

JSON = {"Content-Type": "application/json"}
MIB = 1024 * 1024
BUDGET = 256 * MIB
# Code, caches and what the allocator keeps for a second: 122 MiB after twelve bodies of 20 MiB, sampled as they go.
SLACK = 160 * MIB
CLIENTS = 12
LARGEST = 20 * MIB


def body(index, records):
    ids = json.dumps({**index.by_name})[:-1]
    return f'{ids},"vectors":[{",".join(records)}]}}'.encode()


def record(number, values="1", metadata="{}"):
    return f'{{"key":"k{number}","data":{{"float32":[{values}]}},"metadata":{metadata}}}'


def ones(count):
    return ",".join(["1"] * count)


KEYS = "{" + ",".join(f'"{n}":1' for n in range(4300)) + "}"
HOSTILE = {
    "thousands of metadata keys": lambda n: record(n, metadata=KEYS),
    "long arrays of metadata": lambda n: record(n, metadata=f'{{"a":[{ones(19_000)}]}}'),
    "vectors that are too long": lambda n: record(n, ones(20_000)),
    "one endless vector": None,
    "empty records": lambda n: "{}",
}


@pytest.fixture
def server(start):
    return start("--request-memory-mib", str(BUDGET // MIB), "--log-level", "error")


def send_at_once(server, content, rounds=2):
    """The statuses, and the peak of resident memory above the state before."""
    before, statuses = server.resident_bytes(), []

    def send():
        for _ in range(rounds):
            client = RawClient(server.endpoint, timeout=120)
            try:
                statuses.append(client.send("POST", "/PutVectors", content, JSON).status)
            except OSError:
                statuses.append("cut off")  # refused while it was still sending
            client.close()

    threads = [threading.Thread(target=send) for _ in range(CLIENTS)]
    for thread in threads:
        thread.start()
    peak = before
    while any(thread.is_alive() for thread in threads):
        peak = max(peak, server.resident_bytes())
        time.sleep(0.005)
    return statuses, peak - before


def returns(server, before, within=20):
    """Whether memory comes back without any further request."""
    deadline = time.monotonic() + within
    while time.monotonic() < deadline:
        if server.resident_bytes() < before + 50 * MIB:
            return True
        time.sleep(0.2)
    return False


@pytest.mark.parametrize("case", HOSTILE)
def test_hostile_bodies(server, caller, case):
    index = Bucket(caller(server)).index()
    make = HOSTILE[case]
    if make is None:
        records = [record(0, ones((LARGEST - 1000) // 2))]
    elif case == "empty records":
        records = ["{}"] * 6_000_000
    else:
        one = len(make(499)) + 1
        records = [make(n) for n in range(min(500, (LARGEST - 1000) // one))]
    content = body(index, records)
    assert 5 * MIB < len(content) <= LARGEST
    before = server.resident_bytes()
    statuses, growth = send_at_once(server, content)
    assert set(statuses) <= {400, 503, "cut off"} and 400 in statuses, statuses
    assert growth < BUDGET + SLACK, f"{growth // MIB} MiB"
    assert returns(server, before), f"{(server.resident_bytes() - before) // MIB} MiB are kept"


@pytest.mark.parametrize("values", ["1", "0.12345678"])
def test_large_honest_bodies(server, caller, values):
    """Five hundred vectors of the largest dimension or of the largest body: stored, within the budget."""
    dimension = min(4096, (LARGEST - 40_000) // 500 // (len(values) + 1))
    index = Bucket(caller(server)).index(dimension=dimension)
    content = body(index, [record(n, ",".join([values] * dimension)) for n in range(500)])
    before = server.resident_bytes()
    statuses, growth = send_at_once(server, content, rounds=1)
    assert set(statuses) <= {200, 429, 503, "cut off"} and 200 in statuses, statuses
    # The tail itself is a cache of its own; what is folded from it is memory of the indexer.
    assert growth < BUDGET + SLACK + 2 * len(statuses) * 500 * dimension * 4, f"{growth // MIB} MiB"
    assert before < 200 * MIB
