"""What this server offers beyond AWS: filters and key prefixes on lists, delete by filter, data in hits, counts."""

import re

import pytest
from expect import invalid, ok
from filter_cases import REFUSED
from places import vector


@pytest.fixture
def library(bucket):
    index = bucket.index(metadataConfiguration={"nonFilterableMetadataKeys": ["text"]})
    index.put(*(vector(f"k{n:03}", [n, 0], {"n": n, "odd": n % 2 == 1}) for n in range(60)))
    index.put(*(vector(f"doc/{n}", [n, 1], {"n": n, "kind": "doc", "text": "t"}) for n in range(10)))
    return index


@pytest.mark.parametrize("size", [1, 7, 1000])
def test_list_with_a_filter(library, size):
    rows = library.list(filter={"n": {"$lt": 5}}, maxResults=size, returnMetadata=True)
    assert [row["key"] for row in rows] == [f"doc/{n}" for n in range(5)] + [f"k{n:03}" for n in range(5)]
    assert all(row["metadata"]["n"] < 5 for row in rows)


@pytest.mark.parametrize("size", [1, 4, 1000])
@pytest.mark.parametrize(("prefix", "count"), [("doc/", 10), ("k00", 10), ("k059", 1), ("z", 0), ("k", 60)])
def test_list_with_a_key_prefix(library, prefix, count, size):
    keys = [row["key"] for row in library.list(keyPrefix=prefix, maxResults=size)]
    assert len(keys) == count and all(key.startswith(prefix) for key in keys)


def test_list_with_prefix_filter_and_segments(library):
    found = [
        row["key"]
        for number in range(3)
        for row in library.list(keyPrefix="k", filter={"odd": True}, segmentCount=3, segmentIndex=number)
    ]
    assert sorted(found) == [f"k{n:03}" for n in range(1, 60, 2)]


def test_delete_by_filter(library):
    condition = {"$and": [{"odd": True}, {"n": {"$lt": 10}}]}
    assert ok(library.call("DeleteVectors", filter=condition, dryRun=True)).body == {"deletedCount": 5}
    assert len(library.list()) == 70
    assert ok(library.call("DeleteVectors", filter=condition, dryRun=False)).body == {"deletedCount": 5}
    assert len(library.list()) == 65
    assert library.matching(condition) == []
    assert ok(library.call("DeleteVectors", filter=condition)).body == {"deletedCount": 0}


def test_delete_by_filter_beyond_one_batch(bucket):
    index = bucket.index()
    index.put(*(vector(f"k{n}", [n, 0], {"keep": n % 10 == 0}) for n in range(1500)))
    assert ok(index.call("DeleteVectors", filter={"keep": False}))["deletedCount"] == 1350
    assert len(index.list()) == 150


def test_delete_takes_keys_or_filter(library):
    invalid(library.call("DeleteVectors", keys=["k000"], filter={"n": 1}))
    invalid(library.call("DeleteVectors"), re.compile("keys"))
    assert len(library.list()) == 70


def test_dry_run_never_deletes(library):
    library.call("DeleteVectors", keys=["k000"], dryRun=True)
    assert len(library.list()) == 70


@pytest.mark.parametrize("case", ["empty object", "unknown operator", "null value", "$in empty", "bad part inside $or"])
@pytest.mark.parametrize("operation", ["ListVectors", "DeleteVectors"])
def test_bad_filters_touch_nothing(library, operation, case):
    invalid(library.call(operation, filter=REFUSED[case]), re.compile("^Invalid filter"))
    assert len(library.list()) == 70


@pytest.mark.parametrize("operation", ["ListVectors", "DeleteVectors"])
def test_non_filterable_key_touches_nothing(library, operation):
    invalid(library.call(operation, filter={"text": "t"}), re.compile("Invalid use of non-filterable metadata"))
    assert len(library.list()) == 70


def test_lenient_message_names_operator_and_path(library):
    answer = library.call(
        "QueryVectors", queryVector={"float32": [0, 0]}, topK=1, filter={"$and": [{"a": 1}, {"b": {"$regex": "x"}}]}
    )
    invalid(answer, re.compile(r"^Invalid filter: .*\$regex"))


def test_data_in_hits(library):
    hits = library.query([3, 0], 2, returnData=True, returnMetadata=True)
    assert {hit["key"]: hit["data"]["float32"] for hit in hits} == {"k003": [3, 0], "doc/3": [3, 1]}
    assert all("data" not in hit for hit in library.query([3, 0], 2, returnData=False))


def test_counts_follow_writes(bucket):
    index = bucket.index()

    def counted():
        found = ok(index.call("GetIndex"))["index"]
        assert all(isinstance(found[name], int) for name in ("vectorCount", "unindexedCount", "sizeBytes"))
        return found["vectorCount"] + found["unindexedCount"]

    assert counted() == 0
    index.put(*(vector(f"k{n}", [n, 0]) for n in range(30)))
    assert counted() == 30
    index.put(vector("k0", [9, 9]))
    assert counted() in (30, 31), "an overwrite in the tail is one row more until it is folded"


@pytest.mark.parametrize(
    ("operation", "params"),
    [
        ("ListVectors", {"filter": "x"}),
        ("ListVectors", {"keyPrefix": 5}),
        ("ListVectors", {"keyPrefix": "k" * 1025}),
        ("DeleteVectors", {"filter": {"n": 1}, "dryRun": "yes"}),
        ("QueryVectors", {"queryVector": {"float32": [0, 0]}, "topK": 1, "returnData": "yes"}),
    ],
    ids=str,
)
def test_wrong_types_of_extension_members(library, operation, params):
    answer = library.call(operation, **params)
    assert answer.status == 400 and answer.error in ("ValidationException", "SerializationException")
    assert len(library.list()) == 70


def test_token_of_another_filter_is_refused(library):
    token = ok(library.call("ListVectors", maxResults=5, keyPrefix="k"))["nextToken"]
    invalid(library.call("ListVectors", maxResults=5, keyPrefix="doc", nextToken=token))
