"""HTTP itself: paths, methods, content types, compression, sizes, and how errors look when nothing was understood."""

import gzip
import http.client
import json
import re
import socket
import time
from urllib.parse import urlsplit

import pytest
from caller import Caller
from expect import invalid, ok, refused
from places import Bucket, vector
from server import ANY_KEY, Server
from wire import Answer, RawClient

JSON = {"Content-Type": "application/json"}
LIMIT = 20 * 1024 * 1024
TOO_LARGE = "Request body exceeds max allowed size"


def test_request_ids_are_all_different(raw):
    answers = [raw.call("ListVectorBuckets", prefix="zzz") for _ in range(20)]
    answers += [raw.call("GetVectorBucket", vectorBucketName="absent-bucket") for _ in range(20)]
    assert len({answer.headers["x-amzn-requestid"] for answer in answers}) == 40


@pytest.mark.parametrize("prefix", ["", "/s3-vectors", "/prod", "/a/b/c", "/s3-vectors/prod", "/st%20age"])
def test_paths(raw, prefix):
    ok(raw.send("POST", f"{prefix}/ListVectorBuckets", b"{}", JSON))


@pytest.mark.parametrize(
    "path", ["/", "/NoSuchOperation", "/listvectorbuckets", "/ListVectorBuckets/x", "/tags", "/tags/"]
)
def test_unknown_paths(raw, path):
    answer = raw.send("POST", path, b"{}", JSON)
    assert 400 <= answer.status < 500 and answer.error
    assert answer.headers.get("x-amzn-requestid") and answer.message


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "PATCH", "OPTIONS"])
def test_other_methods(raw, method):
    answer = raw.send(method, "/ListVectorBuckets", b"", {})
    assert 400 <= answer.status < 500 and answer.headers.get("x-amzn-requestid")


@pytest.mark.parametrize(
    "content_type",
    ["application/json", "application/json; charset=utf-8", "Application/JSON", "application/x-amz-json-1.1", None],
)
def test_content_types(raw, content_type):
    ok(raw.send("POST", "/ListVectorBuckets", b"{}", {"Content-Type": content_type} if content_type else {}))


MALFORMED = {
    "open brace": b"{",
    "trailing comma": b'{"a":1,}',
    "two documents": b"{}{}",
    "trailing text": b"{} x",
    "single quotes": b"{'a':1}",
    "comment": b"{/*x*/}",
    "unquoted": b"{a:1}",
    "cut string": b'{"vectorBucketName":"ab',
    "bad escape": b'{"vectorBucketName":"\\q"}',
    "control character": b'{"vectorBucketName":"a\nb"}',
    "form": b"vectorBucketName=abc",
    "xml": b"<a/>",
    "nul": b"\x00",
    "deep arrays": b'{"a":' + b"[" * 100_000,
    "deep objects": b'{"a":' * 100_000,
    "deep and closed": b'{"a":' + b"[" * 50_000 + b"]" * 50_000 + b"}",
}


@pytest.mark.parametrize("case", MALFORMED)
def test_malformed_json(raw, case):
    answer = raw.send("POST", "/GetVectorBucket", MALFORMED[case], JSON)
    if case == "deep and closed":
        assert answer.status == 400
    else:
        refused(answer, "SerializationException")


@pytest.mark.parametrize("body", [b"[]", b'"x"', b"5", b"true", b"null", b""])
def test_bodies_that_are_no_object(raw, body):
    answer = raw.send("POST", "/GetVectorBucket", body, JSON)
    assert answer.status == 400 and answer.error in ("SerializationException", "ValidationException")


WRONG_TYPES = [
    ("CreateVectorBucket", {"vectorBucketName": 5}),
    ("CreateVectorBucket", {"vectorBucketName": ["abc"]}),
    ("CreateVectorBucket", {"vectorBucketName": {"a": 1}}),
    ("CreateVectorBucket", {"vectorBucketName": True}),
    ("CreateVectorBucket", {"vectorBucketName": "abc", "tags": "x"}),
    ("CreateVectorBucket", {"vectorBucketName": "abc", "encryptionConfiguration": []}),
    ("CreateIndex", {"vectorBucketName": "abc", "indexName": "abc", "dimension": "5", "distanceMetric": "cosine"}),
    ("CreateIndex", {"vectorBucketName": "abc", "indexName": "abc", "dimension": 5.5, "distanceMetric": "cosine"}),
    ("CreateIndex", {"vectorBucketName": "abc", "indexName": "abc", "dimension": 5, "distanceMetric": 1}),
    ("ListVectorBuckets", {"maxResults": "5"}),
    ("ListVectorBuckets", {"maxResults": 1.5}),
    ("ListVectorBuckets", {"maxResults": 10**30}),
    ("ListVectorBuckets", {"prefix": 5}),
    ("ListVectorBuckets", {"nextToken": []}),
    ("ListVectors", {"vectorBucketName": "abc", "indexName": "abc", "returnData": "true"}),
    ("ListVectors", {"vectorBucketName": "abc", "indexName": "abc", "segmentCount": "2", "segmentIndex": 0}),
    ("PutVectors", {"vectorBucketName": "abc", "indexName": "abc", "vectors": {"key": "a"}}),
    ("PutVectors", {"vectorBucketName": "abc", "indexName": "abc", "vectors": ["a"]}),
    ("PutVectors", {"vectorBucketName": "abc", "indexName": "abc", "vectors": [{"key": 5, "data": {"float32": [1]}}]}),
    ("GetVectors", {"vectorBucketName": "abc", "indexName": "abc", "keys": "a"}),
    ("GetVectors", {"vectorBucketName": "abc", "indexName": "abc", "keys": [1]}),
    ("GetVectors", {"vectorBucketName": "abc", "indexName": "abc", "keys": [None]}),
    ("QueryVectors", {"vectorBucketName": "abc", "indexName": "abc", "topK": True, "queryVector": {"float32": [1]}}),
    ("QueryVectors", {"vectorBucketName": "abc", "indexName": "abc", "topK": 1, "queryVector": [1]}),
    ("QueryVectors", {"vectorBucketName": "abc", "indexName": "abc", "topK": 1, "queryVector": {"float32": ["1"]}}),
    ("PutVectorBucketPolicy", {"vectorBucketName": "abc", "policy": {"Version": "2012-10-17"}}),
]


@pytest.mark.parametrize(("operation", "params"), WRONG_TYPES, ids=str)
def test_wrong_types(raw, operation, params):
    answer = raw.call(operation, params)
    assert answer.status == 400 and answer.error in ("ValidationException", "SerializationException"), answer.text


def body_of_size(index, size):
    """A legal PutVectors body, padded with spaces to exactly this many bytes."""
    body = json.dumps({**index.by_name, "vectors": [vector("padded", [1, 2])]}).encode()
    return body[:-1] + b" " * (size - len(body)) + b"}"


@pytest.mark.parametrize("size", [LIMIT - 1, LIMIT])
def test_body_of_twenty_mebibytes(raw, index, size):
    ok(raw.send("POST", "/PutVectors", body_of_size(index, size), JSON))
    assert list(index.get("padded")) == ["padded"]


def test_one_byte_more(raw, index):
    answer = raw.send("POST", "/PutVectors", body_of_size(index, LIMIT + 1), JSON)
    invalid(answer, TOO_LARGE)
    assert index.list() == []


@pytest.mark.parametrize("size", [1000, 1_000_000, LIMIT])
def test_gzip(raw, index, size):
    packed = gzip.compress(body_of_size(index, size), 1)
    ok(raw.send("POST", "/PutVectors", packed, JSON | {"Content-Encoding": "gzip"}))
    assert list(index.get("padded")) == ["padded"]


def test_gzip_that_inflates_beyond_the_limit(raw, index):
    packed = gzip.compress(body_of_size(index, LIMIT + 1), 1)
    invalid(raw.send("POST", "/PutVectors", packed, JSON | {"Content-Encoding": "gzip"}), TOO_LARGE)


BAD_GZIP = {
    "not gzip": b'{"maxResults":5}',
    "cut": gzip.compress(b'{"maxResults":5}')[:-9],
    "bad checksum": gzip.compress(b'{"maxResults":5}')[:-8] + b"\x00" * 8,
    "header only": gzip.compress(b"")[:10],
    "empty": b"",
}


@pytest.mark.parametrize("case", BAD_GZIP)
def test_bad_gzip(raw, case):
    answer = raw.send("POST", "/ListVectorBuckets", BAD_GZIP[case], JSON | {"Content-Encoding": "gzip"})
    assert answer.status in ((400,) if case != "empty" else (200, 400))


@pytest.mark.parametrize("encoding", ["br", "deflate", "zstd", "gzip, gzip", "nonsense"])
def test_other_encodings_are_refused(raw, encoding):
    answer = raw.send("POST", "/ListVectorBuckets", b'{"maxResults":5}', JSON | {"Content-Encoding": encoding})
    assert answer.status in (400, 415)


def raw_socket(endpoint, request):
    """Sends these bytes and reads one whole answer, whatever they are."""
    parts = urlsplit(endpoint)
    with socket.create_connection((parts.hostname, parts.port), 10) as connection:
        connection.sendall(request.replace(b"HOST", parts.netloc.encode()))
        reply = http.client.HTTPResponse(connection)
        reply.begin()
        return Answer(reply.status, {k.lower(): v for k, v in reply.getheaders()}, reply.read())


def test_chunked_body(endpoint):
    request = (
        b"POST /ListVectorBuckets HTTP/1.1\r\nHost: HOST\r\nContent-Type: application/json\r\n"
        b'Transfer-Encoding: chunked\r\n\r\n2\r\n{"\r\n10\r\nmaxResults": 5  \r\n1\r\n}\r\n0\r\n\r\n'
    )
    ok(raw_socket(endpoint, request))


def test_expect_continue(endpoint):
    """curl waits for it before sending a large body."""
    parts = urlsplit(endpoint)
    with socket.create_connection((parts.hostname, parts.port), 10) as connection:
        connection.sendall(
            f"POST /ListVectorBuckets HTTP/1.1\r\nHost: {parts.netloc}\r\nContent-Type: application/json\r\n"
            "Content-Length: 2\r\nExpect: 100-continue\r\n\r\n".encode()
        )
        assert connection.recv(1024).startswith(b"HTTP/1.1 100")
        connection.sendall(b"{}")
        assert connection.recv(1024).startswith(b"HTTP/1.1 200")


def test_http_1_0(endpoint):
    head = b"POST /ListVectorBuckets HTTP/1.0\r\nHost: HOST\r\nContent-Type: application/json\r\n"
    request = head + b"Content-Length: 2\r\n\r\n{}"
    ok(raw_socket(endpoint, request))


def test_keep_alive(raw):
    for _ in range(100):
        ok(raw.call("ListVectorBuckets", maxResults=1, prefix="zzz"))


@pytest.mark.own_server
def test_health_metrics_stats(raw, server, index):
    index.put(vector("a", [1, 2]))
    raw.call("GetVectorBucket", vectorBucketName="absent-bucket")
    assert raw.send("GET", "/health").status == 200
    metrics = raw.send("GET", "/metrics")
    assert metrics.status == 200
    assert metrics.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    text = metrics.text.decode()
    assert re.search(r"^[a-z_]*requests[a-z_]*\{[^}]*PutVectors[^}]*\} \d", text, re.MULTILINE), text[:2000]
    for word in ("error", "second", "tail", "fold", "compact", "cache", "memory", "cpu"):
        assert re.search(rf"^[a-z_]*{word}", text, re.MULTILINE | re.IGNORECASE), f"no metric family about {word}"
    stats = raw.send("GET", "/stats")
    assert stats.status == 200 and index.name in stats.text.decode() and isinstance(stats.body, dict)


def cache_bytes(server):
    """What `/stats` says of the caches; `/metrics` says the same."""
    raw = RawClient(server.endpoint)
    held = raw.send("GET", "/stats").body["caches"]["bytes"]
    text = raw.send("GET", "/metrics").text.decode()
    found = re.findall(r'^genai_vectors_cache_bytes\{cache="(\w+)"\} (\d+)$', text, re.MULTILINE)
    assert {cache: int(value) for cache, value in found} == held
    return held


@pytest.mark.own_server
def test_cache_bytes(tmp_path):
    flags = ["--auth", "none", "--status-endpoints", "--fold-entries", "2"]
    with Server(tmp_path / "data", *flags, "--indexer", "paused") as running:
        assert cache_bytes(running) == {"wal": 0, "manifest": 0, "shard": 0}
        index = Bucket(Caller(running.endpoint, ANY_KEY)).index(dimension=1000)
        index.put(*(vector(f"k{n}", [n] * 1000) for n in range(100)))
        index.put(vector("last", [0] * 1000))
        index.list()
        held = cache_bytes(running)
        assert held["wal"] > 101 * 4000 and (held["manifest"], held["shard"]) == (0, 0)
    with Server(tmp_path / "data", *flags) as running:
        index.bucket.api = Caller(running.endpoint, ANY_KEY)
        deadline = time.monotonic() + 20
        while ok(index.call("GetIndex"))["index"]["vectorCount"] < 101:
            assert time.monotonic() < deadline, "the tail was not folded"
            time.sleep(0.05)
        index.list()
        held = cache_bytes(running)
        assert held["shard"] > 101 * 4000 and held["manifest"] > 0


@pytest.mark.own_server
def test_each_request_is_one_log_event(raw, server):
    before = server.output().count("S3 Vectors API")
    for _ in range(5):
        ok(raw.call("ListVectorBuckets", prefix="zzz"))
    assert server.output().count("S3 Vectors API") - before == 5


@pytest.mark.own_server
@pytest.mark.parametrize(
    "header", [{"Origin": "http://evil.example"}, {"Origin": "null"}, {"Host": "evil.example"}], ids=str
)
def test_a_web_page_cannot_reach_an_open_database(raw, header):
    """Without keys, a request from a browser page (or through DNS rebinding) is refused."""
    answer = raw.send("POST", "/ListVectorBuckets", b"{}", JSON | header)
    assert answer.status == 403


@pytest.mark.own_server
@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "[::1]"])
def test_loopback_hosts_are_welcome(raw, host):
    ok(raw.send("POST", "/ListVectorBuckets", b"{}", JSON | {"Host": f"{host}:8080"}))


@pytest.mark.own_server
def test_status_endpoints_can_be_switched(tmp_path):
    with Server(tmp_path / "data", "--auth", "none", "--status-endpoints") as running:
        assert RawClient(running.endpoint).send("GET", "/metrics").status == 200
