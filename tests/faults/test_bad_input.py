"""Hostile and broken input: no 5xx but the documented 503, no hang, no dead worker, memory within its budget."""

import gzip
import http.client
import json
import random
import socket
import struct
import threading
import time

import pytest
from caller import Caller
from expect import ok
from fuzz import GOOD, mutated
from places import Bucket, vector
from server import ANY_KEY, OWNER_KEY, Server, write_keys_file
from signing import Signer
from wire import RawClient

JSON = {"Content-Type": "application/json"}
MIB = 1024 * 1024
# Above its size at rest: request budget, inflated bodies, parsed rows and what the allocator keeps of them.
MEMORY_ALLOWANCE = 700 * MIB
FUZZED = 10_000


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with Server(tmp_path_factory.mktemp("bad-input") / "data", "--auth", "none", "--log-level", "error") as running:
        yield running


@pytest.fixture(autouse=True)
def survives(server):
    """Every case ends with a living server that still answers, quickly, and has no panic in its log."""
    yield
    began = time.monotonic()
    assert server.alive()
    assert RawClient(server.endpoint, timeout=10).send("GET", "/health").status == 200
    ok(RawClient(server.endpoint, timeout=10).call("ListVectorBuckets", maxResults=1))
    assert time.monotonic() - began < 5
    assert "panicked" not in server.output()


@pytest.fixture
def index(server):
    bucket = Bucket(Caller(server.endpoint, ANY_KEY))
    yield bucket.index()
    bucket.remove()


def tolerable(answer):
    """Any 4xx or a success; of the 5xx only the documented 503."""
    assert answer.status < 500 or (answer.status, answer.error) == (503, "ServiceUnavailableException"), answer.text[
        :500
    ]
    assert answer.headers.get("x-amzn-requestid") or answer.status in (400, 408, 411, 413, 414, 431), answer.headers
    return answer


def connect(server):
    host, port = server.endpoint.removeprefix("http://").split(":")
    connection = socket.create_connection((host, int(port)), 20)
    connection.settimeout(20)
    return connection


def answer_line(connection):
    try:
        return connection.recv(4096)[:12]
    except ConnectionResetError:
        return b""


BROKEN_HTTP = {
    "nothing": b"",
    "garbage": b"\x00\x01\x02\xff\r\n\r\n",
    "tls hello": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"a" * 100,
    "http/2 preface": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "no host": b"POST /ListVectorBuckets HTTP/1.1\r\nContent-Length: 2\r\n\r\n{}",
    "two hosts": b"POST /ListVectorBuckets HTTP/1.1\r\nHost: a\r\nHost: b\r\nContent-Length: 2\r\n\r\n{}",
    "negative length": b"POST /ListVectorBuckets HTTP/1.1\r\nHost: HOST\r\nContent-Length: -1\r\n\r\n",
    "huge length": b"POST /ListVectorBuckets HTTP/1.1\r\nHost: HOST\r\nContent-Length: 99999999999999999999\r\n\r\n",
    "two lengths": b"POST /X HTTP/1.1\r\nHost: HOST\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{}",
    "length and chunked": b"POST /ListVectorBuckets HTTP/1.1\r\nHost: HOST\r\nContent-Length: 3\r\n"
    b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
    "bad chunk": b"POST /ListVectorBuckets HTTP/1.1\r\nHost: HOST\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n{}\r\n",
    "long path": b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\nHost: HOST\r\n\r\n",
    "long header": b"GET /health HTTP/1.1\r\nHost: HOST\r\nX-Long: " + b"a" * 1_000_000 + b"\r\n\r\n",
    "many headers": b"GET /health HTTP/1.1\r\nHost: HOST\r\n" + b"X-H: 1\r\n" * 5000 + b"\r\n",
    "bad method": b"B@D / HTTP/1.1\r\nHost: HOST\r\n\r\n",
    "absolute path": b"GET http://HOST/health HTTP/1.1\r\nHost: HOST\r\n\r\n",
    "header without colon": b"GET /health HTTP/1.1\r\nHost: HOST\r\nNonsense\r\n\r\n",
}


@pytest.mark.parametrize("case", BROKEN_HTTP)
def test_broken_http(server, case):
    with connect(server) as connection:
        host = server.endpoint.removeprefix("http://").encode()
        try:
            connection.sendall(BROKEN_HTTP[case].replace(b"HOST", host))
            connection.shutdown(socket.SHUT_WR)
        except OSError:
            return
        line = answer_line(connection)
        assert not line.startswith(b"HTTP/1.1 5"), line


@pytest.mark.parametrize("part", [0.0, 0.1, 0.5, 0.999])
def test_body_cut_by_a_closed_connection(server, index, part):
    body = json.dumps({**index.by_name, "vectors": [vector("cut", [1, 2])]}).encode()
    with connect(server) as connection:
        head = f"POST /PutVectors HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: {len(body)}\r\n\r\n".encode()
        connection.sendall(head + body[: int(len(body) * part)])
    time.sleep(0.1)
    assert index.list() == []


def test_client_that_never_reads_its_answers(server, index):
    """Five hundred pipelined requests on a connection whose owner reads nothing, then leaves."""
    index.put(*(vector(f"k{n}", [n, 0], {"t": "x" * 1000}) for n in range(500)))
    body = json.dumps({**index.by_name, "returnMetadata": True}).encode()
    request = b"POST /ListVectors HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: %d\r\n\r\n" % len(body) + body
    connection = connect(server)
    connection.settimeout(1)
    with connection:
        try:
            for _ in range(500):
                connection.sendall(request)
        except TimeoutError:
            pass
        assert server.resident_bytes() < MEMORY_ALLOWANCE


def test_unread_answers_stay_within_the_budget(server, index):
    """Four hundred clients ask for almost five megabytes each and read nothing: refused, or held within the budget."""
    index.put(*(vector(f"k{n}", [n, 0], {"t": "x" * 1900}) for n in range(2500)))
    wanted = {"queryVector": {"float32": [0, 0]}, "topK": 10_000, "returnMetadata": True}
    body = json.dumps(index.by_name | wanted).encode()
    request = b"POST /QueryVectors HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: %d\r\n\r\n" % len(body) + body
    before, peak = server.resident_bytes(), 0
    clients = [connect(server) for _ in range(400)]
    try:
        for client in clients:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            client.sendall(request)
        deadline = time.monotonic() + 6
        while time.monotonic() < deadline:
            peak = max(peak, server.resident_bytes())
            time.sleep(0.02)
        held = request_memory(server)
        assert 0 < held <= 512 * MIB
        assert peak - before < MEMORY_ALLOWANCE, f"{(peak - before) // MIB} MiB for four hundred answers"
    finally:
        for client in clients:
            client.close()
    wait_until(lambda: request_memory(server) < MIB)


def request_memory(server):
    """Bytes that requests in flight hold."""
    return RawClient(server.endpoint).send("GET", "/stats").body["process"]["requestMemoryKiB"] * 1024


def test_an_answer_that_nobody_reads_is_given_up(server, index):
    """Whoever takes no byte for twenty seconds holds neither a connection nor memory any longer."""
    index.put(*(vector(f"k{n}", [n, 0], {"t": "x" * 1900}) for n in range(2500)))
    body = json.dumps({**index.by_name, "returnMetadata": True, "returnData": True}).encode()
    request = b"POST /ListVectors HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: %d\r\n\r\n" % len(body) + body
    with connect(server) as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.sendall(request * 20)
        wait_until(lambda: request_memory(server) > 0)
        wait_until(lambda: request_memory(server) == 0, seconds=40)


def wait_until(is_so, seconds=20):
    deadline = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < deadline, f"not within {seconds} s"
        time.sleep(0.05)


def test_slow_clients_do_not_hold_up_others(server):
    """Two hundred connections drip a header or a body; ordinary calls stay fast."""
    slow = [connect(server) for _ in range(200)]
    try:
        for number, connection in enumerate(slow):
            start = b"POST /ListVectorBuckets HTTP/1.1\r\nHost: 127.0.0.1\r\n"
            connection.sendall(start if number % 2 else start + b"Content-Length: 1000\r\n\r\n{")
        for _ in range(5):
            for connection in slow:
                connection.send(b"X")
            began = time.monotonic()
            ok(RawClient(server.endpoint, timeout=5).call("ListVectorBuckets", maxResults=1))
            assert time.monotonic() - began < 2
            time.sleep(0.1)
    finally:
        for connection in slow:
            connection.close()


def test_reset_connections(server):
    """Connections that end with a reset in the middle of a request."""
    for _ in range(100):
        connection = connect(server)
        connection.sendall(b"POST /ListVectorBuckets HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 50\r\n\r\n{")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        connection.close()


def filter_of_depth(depth):
    condition = '{"a":1}'
    return '{"$and":[' * depth + condition + "]}" * depth


HOSTILE_FILTERS = {
    "deep 100": filter_of_depth(100),
    "deep 10,000": filter_of_depth(10_000),
    "deep 500,000": filter_of_depth(500_000),
    "wide $or": json.dumps({"$or": [{"a": n} for n in range(200_000)]}),
    "wide $in": json.dumps({"a": {"$in": list(range(500_000))}}),
    "long string": json.dumps({"a": "x" * 5_000_000}),
    "long field": json.dumps({"x" * 5_000_000: 1}),
    "many operators": json.dumps({"a": {f"$op{n}": 1 for n in range(100_000)}}),
    "long number": '{"a":' + "9" * 1_000_000 + "}",
    "nested $or of $and": json.dumps({"$or": [{"$and": [{"a": n}, {"b": n}]} for n in range(50_000)]}),
}


@pytest.mark.parametrize("case", HOSTILE_FILTERS)
def test_hostile_filters(server, index, case):
    index.put(*(vector(f"k{n}", [n, 0], {"a": n}) for n in range(100)))
    ids = f'"vectorBucketName":"{index.bucket.name}","indexName":"{index.name}"'
    body = f'{{{ids},"topK":10,"queryVector":{{"float32":[1,2]}},"filter":{HOSTILE_FILTERS[case]}}}'
    began = time.monotonic()
    tolerable(RawClient(server.endpoint, timeout=30).send("POST", "/QueryVectors", body.encode(), JSON))
    assert time.monotonic() - began < 20


HOSTILE_RECORDS = {
    "metadata of 5 MB": {"key": "a", "data": {"float32": [1, 2]}, "metadata": {"t": "x" * 5_000_000}},
    "100,000 metadata keys": {
        "key": "a",
        "data": {"float32": [1, 2]},
        "metadata": {f"k{n}": n for n in range(100_000)},
    },
    "key of 5 MB": {"key": "k" * 5_000_000, "data": {"float32": [1, 2]}},
    "a million floats": {"key": "a", "data": {"float32": [1.5] * 1_000_000}},
    "array of 100,000": {"key": "a", "data": {"float32": [1, 2]}, "metadata": {"m": ["x"] * 100_000}},
}


@pytest.mark.parametrize("case", HOSTILE_RECORDS)
def test_hostile_records(server, index, case):
    answer = tolerable(RawClient(server.endpoint).call("PutVectors", index.by_name, vectors=[HOSTILE_RECORDS[case]]))
    assert answer.status == 400
    assert len(answer.text) < 100_000, "an error message repeats the input"
    assert index.list() == []


def gzip_bomb(inflated):
    return gzip.compress(b'{"maxResults":' + b" " * inflated + b"5}", 9)


@pytest.mark.parametrize("mebibytes", [50, 300])
def test_gzip_bombs(server, mebibytes):
    bomb = gzip_bomb(mebibytes * MIB)
    before = server.resident_bytes()
    headers = JSON | {"Content-Encoding": "gzip"}
    statuses = set()

    def send():
        statuses.add(RawClient(server.endpoint).send("POST", "/ListVectorBuckets", bomb, headers).status)

    threads = [threading.Thread(target=send) for _ in range(16)]
    for thread in threads:
        thread.start()
    peak = before
    while any(thread.is_alive() for thread in threads):
        peak = max(peak, server.resident_bytes())
        time.sleep(0.01)
    assert statuses <= {400, 503}
    assert peak - before < MEMORY_ALLOWANCE, f"{(peak - before) // MIB} MiB for sixteen bombs"


def test_many_large_bodies_stay_within_the_budget(server, index):
    """Forty clients send 19 MiB each at once: accepted, or told to come back, never more memory than allowed."""
    body = json.dumps({**index.by_name, "vectors": [vector("big", [1, 2])]}).encode()
    body = body[:-1] + b" " * (19 * MIB) + b"}"
    before = server.resident_bytes()
    answers = []

    def send():
        client = RawClient(server.endpoint, timeout=60)
        try:
            answers.append(client.send("POST", "/PutVectors", body, JSON))
        except (OSError, http.client.HTTPException) as error:
            answers.append(error)

    threads = [threading.Thread(target=send) for _ in range(40)]
    for thread in threads:
        thread.start()
    peak = before
    while any(thread.is_alive() for thread in threads):
        peak = max(peak, server.resident_bytes())
        time.sleep(0.01)
    refused = [answer for answer in answers if getattr(answer, "status", 0) == 503]
    assert all(answer.headers.get("retry-after") for answer in refused)
    for answer in answers:
        # A server that refuses before reading the body may cut the connection while the client still writes.
        assert isinstance(answer, OSError | http.client.HTTPException) or tolerable(answer).status in (200, 503)
    assert any(getattr(answer, "status", 0) == 200 for answer in answers)
    assert peak - before < MEMORY_ALLOWANCE, f"{(peak - before) // MIB} MiB for forty bodies"


@pytest.mark.parametrize("declared", [20 * MIB + 1, 10**9, 10**15])
def test_oversized_declaration_is_refused_without_waiting_for_it(server, declared):
    with connect(server) as connection:
        connection.sendall(
            f"POST /PutVectors HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: {declared}\r\n\r\n{{".encode()
        )
        reply = http.client.HTTPResponse(connection)
        reply.begin()
        assert reply.status == 400 and reply.getheader("x-amzn-errortype").split(":")[0] == "ValidationException"


def test_endless_chunks_are_cut_off(server):
    with connect(server) as connection:
        connection.sendall(b"POST /PutVectors HTTP/1.1\r\nHost: 127.0.0.1\r\nTransfer-Encoding: chunked\r\n\r\n")
        chunk = b"100000\r\n" + b" " * MIB + b"\r\n"
        try:
            for _ in range(60):
                connection.sendall(chunk)
        except OSError:
            return  # cut off while sending: right
        line = answer_line(connection)
        assert line.startswith(b"HTTP/1.1 4") or line == b"", line


def test_fuzzed_requests(server):
    """Ten thousand strange requests over four kept connections."""
    setup = RawClient(server.endpoint)
    setup.call("CreateVectorBucket", GOOD[0][1])
    setup.call("CreateIndex", GOOD[3][1])
    counts: dict[int, int] = {}
    failures = []

    def work(seed):
        client, chance = RawClient(server.endpoint, timeout=20), random.Random(f"fuzz {seed}")
        for _ in range(FUZZED // 4):
            method, target, body = mutated(chance)
            try:
                answer = tolerable(client.send(method, target, body, JSON))
                counts[answer.status] = counts.get(answer.status, 0) + 1
            except BaseException as error:
                failures.append((method, target, body[:300], repr(error)[:500]))
                return

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
        assert not thread.is_alive(), "a request hangs"
    assert not failures, failures[0]
    assert sum(counts.values()) > FUZZED * 0.99 and counts.get(200, 0) > 100 and counts.get(400, 0) > 1000, counts
    assert server.resident_bytes() < MEMORY_ALLOWANCE


def test_ten_thousand_bad_signatures(tmp_path):
    """Unknown keys and wrong signatures cost little, leave no memory behind, and lock nobody out."""
    keys = write_keys_file(tmp_path / "keys.json")
    flags = ("--auth", "keys", "--keys-file", str(keys), "--log-level", "error")
    with Server(tmp_path / "data", *flags) as guarded:
        client = RawClient(guarded.endpoint)
        before = guarded.resident_bytes()
        for number in range(10_000):
            client.signer = Signer(f"AKID{number}" if number % 2 else OWNER_KEY[0], "wrong")
            assert client.call("ListVectorBuckets").status == 403
        assert guarded.resident_bytes() - before < 50 * MIB
        client.signer = Signer(*OWNER_KEY)
        ok(client.call("ListVectorBuckets"))


def test_memory_returns(server):
    """After everything above, the server is not bigger than its allowance."""
    assert server.resident_bytes() < MEMORY_ALLOWANCE
