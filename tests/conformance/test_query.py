"""QueryVectors: exact order and distances, what is returned when, paging up to 10,000 hits."""

import math
import random
import struct

import pytest
from expect import invalid, ok
from places import vector

BAD_QUERY = "Query vector contains invalid values or is invalid for this index"
DEEP = 10500


def rounded(values):
    """The float32 values that the server keeps."""
    return list(struct.unpack(f"<{len(values)}f", struct.pack(f"<{len(values)}f", *values)))


def squared_l2(left, right):
    return sum((a - b) ** 2 for a, b in zip(left, right, strict=True))


def cosine(left, right):
    dot = sum(a * b for a, b in zip(left, right, strict=True))
    return 1 - dot / (math.hypot(*left) * math.hypot(*right))


@pytest.mark.parametrize(("metric", "measure"), [("euclidean", squared_l2), ("cosine", cosine)])
@pytest.mark.parametrize("dimension", [1, 3, 17, 64])
def test_order_and_distances_are_exact(shared_bucket, metric, measure, dimension):
    chance = random.Random(f"{metric} {dimension}")
    rows = {f"k{n}": rounded([chance.gauss(0, 1) or 1.0 for _ in range(dimension)]) for n in range(300)}
    index = shared_bucket.index(dimension=dimension, metric=metric)
    index.put(*(vector(key, values) for key, values in rows.items()))
    asked = rounded([chance.gauss(0, 1) for _ in range(dimension)])
    truth = {key: measure(values, asked) for key, values in rows.items()}
    hits = index.query(asked, 50)
    assert len(hits) == 50
    for hit in hits:
        assert hit["distance"] == pytest.approx(truth[hit["key"]], rel=1e-5, abs=2e-6)
    answered = [hit["distance"] for hit in hits]
    assert answered == sorted(answered) and answered[0] >= 0
    worst = max(truth[hit["key"]] for hit in hits)
    nearer = [key for key, distance in truth.items() if distance < worst - 1e-5 and key not in {h["key"] for h in hits}]
    assert nearer == []


@pytest.mark.parametrize(
    ("flags", "members"),
    [
        ({}, {"key"}),
        ({"returnDistance": True}, {"key", "distance"}),
        ({"returnMetadata": True}, {"key", "metadata"}),
        ({"returnDistance": True, "returnMetadata": True}, {"key", "distance", "metadata"}),
        ({"returnDistance": False, "returnMetadata": False}, {"key"}),
    ],
)
def test_return_flags(index, flags, members):
    index.put(vector("a", [1, 2], {"m": 1}), vector("b", [3, 4]))
    hits = ok(index.call("QueryVectors", queryVector={"float32": [0, 0]}, topK=2, **flags))["vectors"]
    assert [set(hit) for hit in hits] == [members, members]
    if "metadata" in members:
        assert [hit["metadata"] for hit in hits] == [{"m": 1}, {}]


@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
def test_empty_index_answers_the_metric(shared_bucket, metric):
    index = shared_bucket.index(metric=metric)
    answer = ok(index.call("QueryVectors", queryVector={"float32": [1, 2]}, topK=5))
    assert answer.body == {"vectors": [], "distanceMetric": metric}


def test_ties_are_broken_by_key(index):
    index.put(*(vector(key, [1, 1]) for key in ("b", "a", "ä", "B", "aa", "0")))
    assert [hit["key"] for hit in index.query([0, 0])] == sorted(("b", "a", "ä", "B", "aa", "0"), key=str.encode)


QUERY_VECTORS_REFUSED = {
    "short": [1.0],
    "long": [1.0, 2.0, 3.0],
    "empty": [],
    "zero": [0.0, 0.0],
    "underflows to zero": [1e-46, 0.0],
    "nan": [float("nan"), 1.0],
    "infinity": [float("inf"), 1.0],
    "overflow": [1e39, 1.0],
}


@pytest.mark.parametrize("case", QUERY_VECTORS_REFUSED)
def test_bad_query_vector(shared_bucket, case):
    index = shared_bucket.index(metric="cosine")
    answer = index.call("QueryVectors", queryVector={"float32": QUERY_VECTORS_REFUSED[case]}, topK=1)
    invalid(answer, BAD_QUERY, "vector")
    if case == "zero":
        detail = "Invalid input: cosine distance does not support vectors with zero norm"
        assert {"path": "vector", "message": detail} in answer.field_list


def test_query_vector_is_required(index):
    invalid(index.call("QueryVectors", topK=1))


@pytest.mark.parametrize("top_k", [1, 30, 99, 100])
def test_a_hundred_hits_come_in_one_page(shared_bucket, top_k):
    """Clients older than paging follow no token."""
    index = shared_bucket.index()
    index.put(*(vector(f"k{n:03}", [n, 0], {"n": n}) for n in range(150)))
    pages = list(index.query_pages([0, 0], top_k, returnMetadata=True))
    assert len(pages) == 1
    assert [hit["key"] for hit in pages[0]["vectors"]] == [f"k{n:03}" for n in range(top_k)]


@pytest.fixture(scope="module")
def deep_index(shared_bucket):
    index = shared_bucket.index()
    index.put(*(vector(f"k{n:05}", [n, 0], {"even": n % 2 == 0}) for n in range(DEEP)))
    return index


@pytest.mark.parametrize("top_k", [101, 1000, 10000])
def test_pages_concatenate_to_the_top_k(deep_index, top_k):
    tokens, hits = [], []
    for page in deep_index.query_pages([0, 0], top_k):
        tokens.append(page.body.get("nextToken"))
        hits += page["vectors"]
        assert page["distanceMetric"] == "euclidean"
        assert tokens[-1] is None or 1 <= len(tokens[-1]) <= 4096
    assert [hit["key"] for hit in hits] == [f"k{n:05}" for n in range(top_k)]
    # The server prints the shortest digits of a float32, so both sides are compared as float32.
    assert rounded([hit["distance"] for hit in hits]) == rounded([float(n * n) for n in range(top_k)])
    assert tokens[-1] is None and len(set(tokens)) == len(tokens)


def test_pages_with_a_filter(deep_index):
    hits = deep_index.query([0, 0], 3000, filter={"even": True})
    assert [hit["key"] for hit in hits] == [f"k{n:05}" for n in range(0, 6000, 2)]


def test_more_asked_than_there_is(deep_index):
    assert len(deep_index.query([0, 0], 10000, filter={"even": False})) == DEEP // 2


def test_big_answers_end_the_page(shared_bucket):
    """Results with 40 KB of metadata each do not fit one answer; the pages together do."""
    index = shared_bucket.index(metadataConfiguration={"nonFilterableMetadataKeys": ["text"]})
    text = "t" * 40000
    for start in range(0, 240, 40):
        index.put(*(vector(f"k{n:03}", [n, 0], {"text": text}) for n in range(start, start + 40)))
    pages = list(index.query_pages([0, 0], 240, returnMetadata=True))
    assert len(pages) > 1
    assert all(len(page.text) < 6 * 1024 * 1024 for page in pages)
    assert [hit["key"] for page in pages for hit in page["vectors"]] == [f"k{n:03}" for n in range(240)]


@pytest.fixture(scope="module")
def paged_index(shared_bucket):
    """Pages that end by size, so that a token is certain whatever the server's page length."""
    index = shared_bucket.index(metadataConfiguration={"nonFilterableMetadataKeys": ["text"]})
    for start in range(0, 200, 40):
        index.put(*(vector(f"k{n:03}", [n, 0], {"text": "t" * 40000}) for n in range(start, start + 40)))
    return index


PAGED = {"queryVector": {"float32": [0, 0]}, "topK": 200, "returnMetadata": True}


def first_token(index):
    return ok(index.call("QueryVectors", **PAGED))["nextToken"]


@pytest.mark.parametrize(
    "changed",
    [{"queryVector": {"float32": [1, 0]}}, {"topK": 150}, {"filter": {"x": 1}}],
    ids=["vector", "topK", "filter"],
)
def test_a_token_belongs_to_its_query(paged_index, changed):
    invalid(paged_index.call("QueryVectors", **(PAGED | changed), nextToken=first_token(paged_index)))


def test_a_token_belongs_to_its_index(paged_index, shared_bucket):
    other = shared_bucket.index()
    invalid(other.call("QueryVectors", **PAGED, nextToken=first_token(paged_index)))


def test_writes_between_pages_neither_repeat_nor_lose(shared_bucket):
    """Whatever was there all along appears exactly once, however the page borders move."""
    index = shared_bucket.index(metadataConfiguration={"nonFilterableMetadataKeys": ["text"]})
    for start in range(0, 300, 40):
        index.put(*(vector(f"k{n:03}", [n, 0], {"text": "t" * 40000}) for n in range(start, min(300, start + 40))))
    seen, step = [], 0
    for page in index.query_pages([0, 0], 300, returnMetadata=True):
        seen += [hit["key"] for hit in page["vectors"]]
        index.put(*(vector(f"new-{step}-{n}", [-0.5, 0]) for n in range(20)))
        index.delete(f"k{step:03}", f"k{299 - step:03}")
        step += 1
    assert step > 1
    assert len(set(seen)) == len(seen)
    untouched = [f"k{n:03}" for n in range(step, 300 - step)]
    assert [key for key in seen if key in set(untouched)] == untouched


@pytest.mark.sdk("QueryVectors*")
def test_stock_paginator(stock_boto3, paged_index):
    pages = stock_boto3.get_paginator("query_vectors").paginate(**paged_index.by_name, **PAGED)
    assert [hit["key"] for page in pages for hit in page["vectors"]] == [f"k{n:03}" for n in range(200)]


@pytest.mark.parametrize("mode", ["ENHANCED"])
def test_query_mode_enhanced(index, mode):
    index.put(vector("a", [1, 2]))
    assert [hit["key"] for hit in index.query([1, 2], queryMode=mode)] == ["a"]


def test_query_mode_classic_is_refused(index):
    answer = index.call("QueryVectors", queryVector={"float32": [1, 2]}, topK=1, queryMode="CLASSIC")
    invalid(answer, "queryMode cannot be CLASSIC when indexMode is ENHANCED")


@pytest.mark.parametrize(("member", "value"), [("queryMode", "FAST"), ("queryMode", ""), ("topK", "5"), ("topK", 1.5)])
def test_wrong_values(index, member, value):
    params = {"queryVector": {"float32": [1, 2]}, "topK": 1} | {member: value}
    answer = index.call("QueryVectors", **params)
    assert answer.status == 400 and answer.error in ("ValidationException", "SerializationException")
