"""Each limit of the model and of the service at its minimum, its maximum and one beyond."""

import re

import pytest
from expect import constraint, invalid, length_rule, missing, ok, range_rule
from places import bucket_arn, unique_name, vector

CREATE = {"dataType": "float32", "dimension": 2, "distanceMetric": "euclidean"}
ABSENT = {"vectorBucketName": "absent-bucket", "indexName": "absent-index"}


@pytest.mark.parametrize("length", [1, 2, 64, 200])
def test_bucket_name_length(api, length):
    answer = api.call("CreateVectorBucket", vectorBucketName="a" * length)
    invalid(answer, constraint("/vectorBucketName", length_rule(3, 63), length), "/vectorBucketName")


@pytest.mark.parametrize("length", [1, 2, 64])
def test_index_name_length(api, shared_bucket, length):
    answer = api.call("CreateIndex", shared_bucket.by_name, indexName="a" * length, **CREATE)
    invalid(answer, constraint("/indexName", length_rule(3, 63), length), "/indexName")


@pytest.mark.parametrize("dimension", [1, 2, 4096])
def test_legal_dimension(shared_bucket, dimension):
    index = shared_bucket.index(dimension=dimension)
    index.put(vector("a", [0.5] * dimension))
    assert index.get("a")["a"]["data"]["float32"] == [0.5] * dimension
    assert index.query([0.5] * dimension)[0]["distance"] == 0


@pytest.mark.parametrize("dimension", [0, -1, 4097, 2**31 - 1])
def test_illegal_dimension(api, shared_bucket, dimension):
    answer = api.call("CreateIndex", shared_bucket.by_name, indexName="abc", **(CREATE | {"dimension": dimension}))
    invalid(answer, constraint("/dimension", range_rule(1, 4096)), "/dimension")


@pytest.mark.parametrize(
    ("member", "value", "allowed"),
    [("dataType", "float64", "float32"), ("distanceMetric", "dotproduct", "euclidean, cosine")],
)
def test_enum(api, shared_bucket, member, value, allowed):
    answer = api.call("CreateIndex", shared_bucket.by_name, indexName="abc", **(CREATE | {member: value}))
    invalid(answer, constraint(f"/{member}", f"Member must satisfy enum value set: [{allowed}]"), f"/{member}")


@pytest.mark.parametrize("member", ["indexName", "dimension", "distanceMetric"])
def test_required_member_of_create_index(api, shared_bucket, member):
    params = {"indexName": "abc"} | CREATE
    del params[member]
    invalid(api.call("CreateIndex", shared_bucket.by_name, **params), re.compile(member))


@pytest.mark.parametrize(
    ("operation", "params", "member"),
    [
        ("CreateVectorBucket", {}, "vectorBucketName"),
        ("PutVectors", ABSENT, "vectors"),
        ("GetVectors", ABSENT, "keys"),
        ("DeleteVectors", ABSENT, "keys"),
        ("QueryVectors", ABSENT | {"queryVector": {"float32": [1.0]}}, "topK"),
        ("PutVectorBucketPolicy", {"vectorBucketName": "abc"}, "policy"),
        ("PutVectors", ABSENT | {"vectors": [{"key": "a"}]}, "data"),
        ("PutVectors", ABSENT | {"vectors": [{"data": {"float32": [1.0]}}]}, "key"),
        ("UpdateIndexMode", ABSENT, "indexMode"),
        ("PutVectorBucketDefaultIndexMode", {"vectorBucketName": "abc"}, "defaultIndexMode"),
    ],
)
def test_required_member(api, operation, params, member):
    invalid(api.call(operation, params), re.compile(member))


@pytest.mark.parametrize("count", [1, 499, 500])
def test_put_batch_accepted(shared_bucket, count):
    index = shared_bucket.index()
    ok(index.call("PutVectors", vectors=[vector(f"k{n}", [n, 1]) for n in range(count)]))
    assert len(index.list()) == count


@pytest.mark.parametrize("count", [0, 501])
def test_put_batch_refused(api, count):
    answer = api.call("PutVectors", ABSENT, vectors=[vector(f"k{n}", [n, 1]) for n in range(count)])
    invalid(answer, constraint("/vectors", length_rule(1, 500), count), "/vectors")


@pytest.mark.parametrize(("operation", "most"), [("GetVectors", 100), ("DeleteVectors", 500)])
def test_keys_per_call(api, shared_bucket, operation, most):
    index = shared_bucket.index()
    for count in (1, most):
        ok(index.call(operation, keys=[f"k{n}" for n in range(count)]))
    for count in (0, most + 1):
        answer = api.call(operation, ABSENT, keys=[f"k{n}" for n in range(count)])
        invalid(answer, constraint("/keys", length_rule(1, most), count), "/keys")


@pytest.mark.parametrize("key", ["k", "k" * 1024, "ü" * 512, "\U0001f600" * 256, "中" * 341 + "x"])
def test_key_at_its_longest(shared_bucket, key):
    index = shared_bucket.index()
    index.put(vector(key, [1, 2]))
    assert list(index.get(key)) == [key]
    assert [row["key"] for row in index.list()] == [key]
    assert [hit["key"] for hit in index.query([1, 2])] == [key]
    index.delete(key)
    assert index.list() == []


@pytest.mark.parametrize("length", [0, 1025])
@pytest.mark.parametrize(
    ("operation", "path"), [("PutVectors", "/vectors/0/key"), ("GetVectors", "/keys/0"), ("DeleteVectors", "/keys/0")]
)
def test_key_length_in_characters(api, operation, path, length):
    key = "k" * length
    params = {"vectors": [vector(key, [1, 2])]} if operation == "PutVectors" else {"keys": [key]}
    answer = api.call(operation, ABSENT, **params)
    invalid(answer, constraint(path, length_rule(1, 1024), length), path)


@pytest.mark.parametrize("key", ["ü" * 513, "中" * 342, "\U0001f600" * 257, "ü" * 1024], ids=["2", "3", "4", "2x1024"])
@pytest.mark.parametrize("operation", ["PutVectors", "GetVectors", "DeleteVectors"])
def test_key_length_in_bytes(shared_bucket, operation, key):
    index = shared_bucket.index()
    params = {"vectors": [vector(key, [1, 2])]} if operation == "PutVectors" else {"keys": [key]}
    invalid(index.call(operation, **params), re.compile("Record key length exceeds the maximum allowed"))


@pytest.mark.parametrize("top_k", [1, 100, 101, 9999, 10000])
def test_legal_top_k(shared_bucket, top_k):
    index = shared_bucket.index()
    index.put(vector("a", [1, 2]), vector("b", [3, 4]))
    assert len(index.query([1, 2], top_k)) == min(top_k, 2)


@pytest.mark.parametrize("top_k", [0, -1, 10001, 2**31 - 1])
def test_illegal_top_k(shared_bucket, top_k):
    index = shared_bucket.index()
    answer = index.call("QueryVectors", queryVector={"float32": [1, 2]}, topK=top_k)
    invalid(answer, re.compile("topK"))


LISTS = [("ListVectorBuckets", {}, 500, 63), ("ListIndexes", {"vectorBucketName": "absent-bucket"}, 500, 63)]


@pytest.mark.parametrize(("operation", "ids", "most"), [row[:3] for row in LISTS] + [("ListVectors", ABSENT, 1000)])
@pytest.mark.parametrize("beyond", ["zero", "negative", "one more"])
def test_illegal_max_results(api, operation, ids, most, beyond):
    value = {"zero": 0, "negative": -5, "one more": most + 1}[beyond]
    invalid(api.call(operation, ids, maxResults=value), constraint("/maxResults", range_rule(1, most)), "/maxResults")


@pytest.mark.parametrize(
    ("operation", "most"), [("ListVectorBuckets", 500), ("ListIndexes", 500), ("ListVectors", 1000)]
)
def test_legal_max_results(api, shared_bucket, operation, most):
    index = shared_bucket.index()
    ids = {"ListVectorBuckets": {}, "ListIndexes": shared_bucket.by_name, "ListVectors": index.by_name}[operation]
    for value in (1, most):
        ok(api.call(operation, ids, maxResults=value))


@pytest.mark.parametrize(("operation", "ids"), [row[:2] for row in LISTS])
@pytest.mark.parametrize("length", [0, 64])
def test_illegal_prefix(api, operation, ids, length):
    invalid(api.call(operation, ids, prefix="p" * length), constraint("/prefix", length_rule(1, 63), length), "/prefix")


@pytest.mark.parametrize("operation", ["ListVectorBuckets", "ListIndexes"])
def test_longest_prefix(api, shared_bucket, operation):
    ids = {} if operation == "ListVectorBuckets" else shared_bucket.by_name
    answer = ok(api.call(operation, ids, prefix="p" * 63))
    assert answer["vectorBuckets" if operation == "ListVectorBuckets" else "indexes"] == []


TOKENS = [("ListVectorBuckets", 512), ("ListIndexes", 512), ("ListVectors", 2048), ("QueryVectors", 4096)]


@pytest.mark.parametrize(("operation", "most"), TOKENS)
@pytest.mark.parametrize("token", ["empty", "garbage", "not base64", "longest", "too long"])
def test_bad_token(api, shared_bucket, operation, most, token):
    index = shared_bucket.index()
    index.put(vector("a", [1, 2]))
    ids = {"ListVectorBuckets": {}, "ListIndexes": shared_bucket.by_name}.get(operation, index.by_name)
    more = {"queryVector": {"float32": [1, 2]}, "topK": 5} if operation == "QueryVectors" else {}
    text = {
        "empty": "",
        "garbage": "Z2FyYmFnZQ==",
        "not base64": "%%% \n ✗",
        "longest": "A" * most,
        "too long": "A" * (most + 1),
    }[token]
    answer = invalid(api.call(operation, ids, nextToken=text, **more), re.compile("nextToken|token"))
    if token in ("empty", "too long"):
        assert answer.message == constraint("/nextToken", length_rule(1, most), len(text))


SEGMENTS_REFUSED = {
    "count 0": {"segmentCount": 0, "segmentIndex": 0},
    "count 17": {"segmentCount": 17, "segmentIndex": 0},
    "index -1": {"segmentCount": 4, "segmentIndex": -1},
    "index 16": {"segmentCount": 16, "segmentIndex": 16},
    "index = count": {"segmentCount": 4, "segmentIndex": 4},
    "count alone": {"segmentCount": 4},
    "index alone": {"segmentIndex": 0},
}


@pytest.mark.parametrize("case", SEGMENTS_REFUSED)
def test_illegal_segments(shared_bucket, case):
    invalid(shared_bucket.index().call("ListVectors", **SEGMENTS_REFUSED[case]), re.compile("segment"))


@pytest.mark.parametrize(("count", "accepted"), [(0, True), (10, True), (11, False)])
def test_non_filterable_key_count(api, shared_bucket, count, accepted):
    keys = {"nonFilterableMetadataKeys": [f"k{n}" for n in range(count)]}
    answer = api.call(
        "CreateIndex", shared_bucket.by_name, indexName=unique_name("i"), metadataConfiguration=keys, **CREATE
    )
    path = "/metadataConfiguration/nonFilterableMetadataKeys"
    if accepted:
        ok(answer)
    else:
        invalid(answer, constraint(path, length_rule(0, 10), count), path)


@pytest.mark.parametrize(("length", "accepted"), [(0, False), (1, True), (63, True), (64, False)])
def test_non_filterable_key_length(api, shared_bucket, length, accepted):
    keys = {"nonFilterableMetadataKeys": ["k" * length]}
    answer = api.call(
        "CreateIndex", shared_bucket.by_name, indexName=unique_name("i"), metadataConfiguration=keys, **CREATE
    )
    path = "/metadataConfiguration/nonFilterableMetadataKeys/0"
    if accepted:
        ok(answer)
    else:
        invalid(answer, constraint(path, length_rule(1, 63), length), path)


def test_resource_arn_length(api):
    invalid(api.call("ListTagsForResource", resourceArn=bucket_arn("a" * 1000)), re.compile("resourceArn"))


def test_unknown_but_well_formed_place_is_not_found(api):
    missing(api.call("GetVectors", ABSENT, keys=["k"]), "The specified index could not be found")
