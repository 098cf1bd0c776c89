"""Put, get, list and delete: what is stored comes back, replaced wholly, visible at once, gone when deleted."""

import re

import pytest
from expect import invalid, ok
from places import vector


def test_put_answers_an_empty_object(index):
    assert ok(index.call("PutVectors", vectors=[vector("a", [1, 2])])).body == {}


@pytest.mark.parametrize(
    ("flags", "members"),
    [
        ({}, {"key"}),
        ({"returnData": False, "returnMetadata": False}, {"key"}),
        ({"returnData": True}, {"key", "data"}),
        ({"returnMetadata": True}, {"key", "metadata"}),
        ({"returnData": True, "returnMetadata": True}, {"key", "data", "metadata"}),
    ],
)
@pytest.mark.parametrize("operation", ["GetVectors", "ListVectors"])
def test_return_flags(index, operation, flags, members):
    index.put(vector("a", [1, 2], {"m": 1}), vector("b", [3, 4]))
    more = {"keys": ["a", "b"]} if operation == "GetVectors" else {}
    records = ok(index.call(operation, **more, **flags))["vectors"]
    assert [set(record) for record in records] == [members, members]


def test_metadata_of_a_vector_without_any_is_an_empty_object(index):
    index.put(vector("absent", [1, 2]), vector("empty", [1, 2], {}))
    assert [record["metadata"] for record in index.get("absent", "empty").values()] == [{}, {}]


def test_null_metadata_is_absent(index):
    ok(index.call("PutVectors", vectors=[vector("a", [1, 2]) | {"metadata": None}]))
    assert index.get("a")["a"]["metadata"] == {}


def test_get_omits_missing_keys(index):
    index.put(vector("a", [1, 2]))
    assert list(index.get("nope", "a", "neither")) == ["a"]
    assert ok(index.call("GetVectors", keys=["nope"]))["vectors"] == []


def test_get_keeps_request_order_and_answers_a_repeated_key_once(index):
    index.put(*(vector(key, [1, 2]) for key in "abcde"))
    answer = ok(index.call("GetVectors", keys=["d", "a", "e", "a", "b"]))
    assert [record["key"] for record in answer["vectors"]] == ["d", "a", "e", "b"]


def test_put_replaces_data_and_metadata(index):
    index.put(vector("a", [1, 2], {"old": 1, "both": 1}))
    index.put(vector("a", [3, 4], {"both": 2}))
    assert index.get("a")["a"] == {"key": "a", "data": {"float32": [3, 4]}, "metadata": {"both": 2}}
    index.put(vector("a", [5, 6]))
    assert index.get("a")["a"]["metadata"] == {}
    assert len(index.list()) == 1


def test_overwritten_vector_has_one_place_in_queries(index):
    index.put(vector("a", [0, 0], {"v": 1}), vector("b", [5, 0]))
    index.put(vector("a", [10, 0], {"v": 2}))
    hits = index.query([0, 0], returnMetadata=True)
    assert [(hit["key"], hit["distance"]) for hit in hits] == [("b", 25), ("a", 100)]
    assert hits[1]["metadata"] == {"v": 2}
    assert index.matching({"v": 1}) == []


def test_duplicate_keys_in_one_put_last_wins(index):
    ok(
        index.call(
            "PutVectors", vectors=[vector("a", [1, 1], {"n": 1}), vector("b", [2, 2]), vector("a", [3, 3], {"n": 2})]
        )
    )
    assert index.get("a")["a"] == {"key": "a", "data": {"float32": [3, 3]}, "metadata": {"n": 2}}
    assert len(index.list()) == 2
    assert [hit["key"] for hit in index.query([3, 3])] == ["a", "b"]


def test_keys_are_case_sensitive(index):
    index.put(vector("key", [1, 2]), vector("KEY", [3, 4]), vector("Key", [5, 6]))
    index.delete("KEY")
    assert sorted(row["key"] for row in index.list()) == ["Key", "key"]


def test_delete(index):
    index.put(*(vector(key, [1, 2]) for key in "abc"))
    assert ok(index.call("DeleteVectors", keys=["a", "c"])).body == {}
    assert [row["key"] for row in index.list()] == ["b"]
    assert list(index.get("a", "b", "c")) == ["b"]
    assert [hit["key"] for hit in index.query([1, 2])] == ["b"]


def test_delete_of_absent_keys_succeeds_and_repeats(index):
    index.delete("never")
    index.put(vector("a", [1, 2]))
    index.delete("a", "never", "a")
    index.delete("a")
    assert index.list() == []


def test_put_after_delete_brings_only_the_new_version(index):
    index.put(vector("a", [1, 2], {"v": 1}))
    index.delete("a")
    index.put(vector("a", [7, 8]))
    assert index.get("a")["a"] == {"key": "a", "data": {"float32": [7, 8]}, "metadata": {}}
    assert index.matching({"v": 1}) == []


def test_every_write_is_visible_to_every_read_at_once(index):
    """Read-your-writes, step by step, through get, list, query and filter."""
    live: dict[str, int] = {}
    for step in range(40):
        key = f"k{step % 7}"
        if step % 5 == 4:
            index.delete(key)
            live.pop(key, None)
        else:
            index.put(vector(key, [step, 0], {"step": step}))
            live[key] = step
        assert {k: r["metadata"]["step"] for k, r in index.get(*(f"k{n}" for n in range(7))).items()} == live
        assert sorted(row["key"] for row in index.list()) == sorted(live)
        nearest = sorted((abs(value - step) ** 2, k) for k, value in live.items())
        assert [(hit["distance"], hit["key"]) for hit in index.query([step, 0])] == nearest
        assert index.matching({"step": step}) == ([key] if live.get(key) == step else [])


BAD_RECORDS = {
    "dimension": (vector("bad", [1.0]), "Invalid record for key 'bad': vector must have length 2, but has length 1"),
    "empty vector": (vector("bad", []), "Invalid record for key 'bad': vector must have length 2, but has length 0"),
    "nan": (vector("bad", [float("nan"), 1]), "Invalid record for key 'bad': vector contains NaNs or Infs"),
    "infinity": (vector("bad", [1, float("-inf")]), "Invalid record for key 'bad': vector contains NaNs or Infs"),
    "metadata": (
        vector("bad", [1, 2], {"m": None}),
        "Invalid record for key 'bad': Metadata values must be strings, numbers, booleans, or arrays",
    ),
}


@pytest.mark.parametrize("position", [0, 1, 2])
@pytest.mark.parametrize("case", BAD_RECORDS)
def test_one_bad_record_refuses_the_whole_put(index, case, position):
    record, message = BAD_RECORDS[case]
    records = [vector("good-1", [1, 2]), vector("good-2", [1, 2])]
    records.insert(position, record)
    path = f"vectors[{position}].metadata" if case == "metadata" else None
    answer = invalid(index.call("PutVectors", vectors=records), message, path)
    assert any(entry["path"].startswith(f"vectors[{position}]") for entry in answer.field_list)
    assert index.list() == []


def test_refused_put_leaves_the_earlier_version(index):
    index.put(vector("a", [1, 2], {"v": 1}))
    invalid(index.call("PutVectors", vectors=[vector("a", [9, 9], {"v": 2}), vector("b", [1])]))
    assert index.get("a")["a"] == {"key": "a", "data": {"float32": [1, 2]}, "metadata": {"v": 1}}


@pytest.mark.parametrize(
    "data",
    [
        {},
        {"float64": [1.0, 2.0]},
        {"float32": None},
        {"float32": "x"},
        {"float32": [1, "x"]},
        {"float32": [1, None]},
        [1, 2],
        "x",
    ],
    ids=str,
)
def test_malformed_data(index, data):
    answer = index.call("PutVectors", vectors=[{"key": "a", "data": data}])
    assert answer.status == 400 and answer.error in ("ValidationException", "SerializationException"), answer.text
    assert index.list() == []


@pytest.mark.parametrize("values", [[0, 0], [0.0, -0.0], [1e-46, -1e-46]], ids=str)
def test_cosine_refuses_a_zero_vector(shared_bucket, values):
    index = shared_bucket.index(metric="cosine")
    message = "Invalid record for key 'z': cosine distance does not support vectors with zero norm"
    invalid(index.call("PutVectors", vectors=[vector("z", values)]), message, "vectors[0]")


def test_euclidean_stores_and_finds_the_origin(index):
    index.put(vector("origin", [0, 0]), vector("far", [3, 4]))
    assert [(hit["key"], hit["distance"]) for hit in index.query([0, 0])] == [("origin", 0), ("far", 25)]


def test_unknown_members_are_ignored(index):
    ok(index.call("PutVectors", vectors=[vector("a", [1, 2]) | {"surprise": 1}], nextToken="from a paginator"))
    ok(index.call("GetVectors", keys=["a"], somethingNew={"x": 1}))


@pytest.mark.parametrize(
    ("operation", "params"),
    [
        ("GetVectors", {"keys": ["a"], "returnData": None, "returnMetadata": None}),
        ("ListVectors", {"nextToken": None, "maxResults": None, "segmentCount": None, "segmentIndex": None}),
        ("QueryVectors", {"queryVector": {"float32": [1, 2]}, "topK": 1, "filter": None, "nextToken": None}),
    ],
)
def test_null_members_are_absent(index, operation, params):
    index.put(vector("a", [1, 2]))
    assert [record["key"] for record in ok(index.call(operation, indexArn=None, **params))["vectors"]] == ["a"]


def test_large_batch_round_trip(shared_bucket):
    """Five hundred 768-d vectors with metadata in one call: what benchmark tools send."""
    index = shared_bucket.index(dimension=768)
    records = [vector(f"k{n:03}", [(n + d) / 8 for d in range(768)], {"n": n}) for n in range(500)]
    ok(index.call("PutVectors", vectors=records))
    found = index.get(*(f"k{n:03}" for n in range(0, 500, 5)))
    assert len(found) == 100
    assert found["k495"]["data"]["float32"] == records[495]["data"]["float32"]


def test_message_names_the_key_as_sent(index):
    answer = index.call("PutVectors", vectors=[vector("it's «odd»", [1.0])])
    invalid(answer, re.compile(re.escape("Invalid record for key 'it's «odd»': vector must have length 2")))
