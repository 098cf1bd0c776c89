"""Metadata: which values are allowed, how big they may be by the size model, and that they come back unchanged."""

import json
import re

import pytest
from expect import invalid, ok
from metadata_size import FILTERABLE_LIMIT, TOTAL_LIMIT, padded, size_of
from places import vector

TOO_BIG_FILTERABLE = "Invalid record for key 'a': Filterable metadata must have at most 2048 bytes"
TOO_BIG = "Invalid record for key 'a': Metadata object must have at most 40960 bytes"
TOO_MANY = "Invalid record for key 'a': Metadata object must have at most 50 keys"
BAD_VALUE = "Invalid record for key 'a': Metadata values must be strings, numbers, booleans, or arrays"
BAD_ELEMENT = "Invalid record for key 'a': Metadata array values must be strings or numbers"
EMPTY_ARRAY = "Invalid record for key 'a': Empty arrays are not allowed in metadata"


@pytest.fixture(scope="module")
def index(shared_bucket):
    return shared_bucket.index(metadataConfiguration={"nonFilterableMetadataKeys": ["text", "big"]})


def put(index, metadata):
    return index.call("PutVectors", vectors=[vector("a", [1, 2], metadata)])


def round_trip(index, metadata):
    ok(put(index, metadata))
    stored = index.get("a")["a"]["metadata"]
    assert stored == metadata
    assert json.dumps(stored, sort_keys=True) == json.dumps(metadata, sort_keys=True), "a number changed its kind"


ACCEPTED = {
    "string": {"s": "text"},
    "empty string": {"s": ""},
    "integer": {"n": 42},
    "zero": {"n": 0},
    "negative": {"n": -17},
    "float": {"n": 1.5},
    "float that is whole": {"n": 2.0},
    "big integer": {"n": 9007199254740993},
    "huge integer": {"n": 123456789012345678901234567890},
    "small float": {"n": 1e-300},
    "big float": {"n": 1.7976931348623157e308},
    "true": {"b": True},
    "false": {"b": False},
    "strings": {"a": ["x", "y", "x", ""]},
    "numbers": {"a": [1, 2.5, -3]},
    "one element": {"a": [7]},
    "empty object": {},
    "empty key": {"": "v"},
    "dollar key": {"$eq": "v", "$and": 1},
    "dotted keys": {"a.b": 1, "a": "x", "a.b.c": True},
    "key of 1024": {"k" * 1024: 1},
    "unicode": {"ключ": "значение", "絵": "🦀", 'quote"\\\n': "tab\there\u0000"},
    "many": {f"k{n}": n for n in range(50)},
    "non-filterable list": {"text": ["a"] * 100},
    "looks like a document": {"title": "T", "page": 3, "tags": ["a", "b"], "score": 0.25, "public": True},
}


@pytest.mark.parametrize("case", ACCEPTED)
def test_accepted_and_returned_unchanged(index, case):
    round_trip(index, ACCEPTED[case])


REFUSED = {
    "null": ({"m": None}, BAD_VALUE),
    "object": ({"m": {"x": 1}}, BAD_VALUE),
    "empty object as value": ({"m": {}}, BAD_VALUE),
    "null, non-filterable": ({"text": None}, BAD_VALUE),
    "object, non-filterable": ({"text": {"x": 1}}, BAD_VALUE),
    "boolean element": ({"m": [True]}, BAD_ELEMENT),
    "null element": ({"m": [None]}, BAD_ELEMENT),
    "object element": ({"m": [{}]}, BAD_ELEMENT),
    "nested array": ({"m": [["x"]]}, BAD_ELEMENT),
    "mixed elements": ({"m": ["x", 1]}, BAD_ELEMENT),
    "mixed elements, number first": ({"m": [1, "x"]}, BAD_ELEMENT),
    "empty array": ({"m": []}, EMPTY_ARRAY),
    "empty array, non-filterable": ({"text": []}, EMPTY_ARRAY),
    "51 keys": ({f"k{n}": n for n in range(51)}, TOO_MANY),
    "51 keys, some non-filterable": ({f"k{n}": n for n in range(49)} | {"text": "t", "big": "b"}, TOO_MANY),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused(index, case):
    metadata, message = REFUSED[case]
    invalid(put(index, metadata), message, "vectors[0].metadata")


@pytest.mark.parametrize("metadata", ["text", 5, True, [], [{"a": 1}]], ids=str)
def test_metadata_that_is_no_object(index, raw, metadata):
    answer = raw.call("PutVectors", index.by_name, vectors=[vector("a", [1, 2], metadata)])
    assert answer.status == 400 and answer.error in ("ValidationException", "SerializationException")


SHAPES = {
    "one string": {},
    "short keys": {f"k{n}": "v" for n in range(20)},
    "numbers": {"n": 1, "m": 2.5, "big": 12345678901234567890},
    "long number text": {"n": 1.2345678901234567e-200},
    "booleans": {"t": True, "f": False},
    "string array": {"a": ["", "x", "yy", "zzz"]},
    "number array": {"a": [1, 2, 3, 4, 5]},
    "empty strings": {"a": "", "b": ""},
    "two-byte text": {"ü": "üüü"},
    "three-byte text": {"中": "中文"},
    "emoji": {"🦀": "🦀🦀"},
    "escapes count as characters": {"q": '"\\\n\t\u0001' * 20},
    "49 keys": {f"k{n}": True for n in range(49)},
    "long key": {"k" * 500: 1},
    "empty key": {"": 1},
    "array of 200": {"a": list(range(200))},
}


@pytest.mark.parametrize("beyond", [0, 1], ids=["at the limit", "one beyond"])
@pytest.mark.parametrize("shape", SHAPES)
def test_filterable_size(shared_bucket, index, shape, beyond):
    """Every shape is padded to exactly 2,048 and 2,049 bytes of the size model. `big` and `text` are not used here."""
    metadata = {k: v for k, v in SHAPES[shape].items() if k != "big"}
    metadata = padded(metadata, FILTERABLE_LIMIT + beyond)
    if beyond:
        invalid(put(index, metadata), TOO_BIG_FILTERABLE, "vectors[0].metadata")
    else:
        round_trip(index, metadata)


@pytest.mark.parametrize("beyond", [0, 1], ids=["at the limit", "one beyond"])
@pytest.mark.parametrize("shape", ["one string", "numbers", "string array", "emoji", "booleans"])
def test_total_size(index, shape, beyond):
    metadata = padded({k: v for k, v in SHAPES[shape].items() if k != "big"}, TOTAL_LIMIT + beyond, key="text")
    if beyond:
        invalid(put(index, metadata), TOO_BIG, "vectors[0].metadata")
    else:
        round_trip(index, metadata)


def test_non_filterable_text_does_not_count_as_filterable(index):
    filterable = padded({}, FILTERABLE_LIMIT)
    round_trip(index, filterable | {"text": "t" * 10000, "big": ["x" * 100] * 50})


def test_many_short_keys_cost_more_than_their_json(index):
    metadata = {f"{n:02}" + "k" * 30: "v" for n in range(50)}
    assert size_of(metadata) > FILTERABLE_LIMIT > len(json.dumps(metadata)) - 200
    invalid(put(index, metadata), TOO_BIG_FILTERABLE)


def test_fifty_keys_with_non_filterable_ones(index):
    round_trip(index, {f"k{n}": n for n in range(48)} | {"text": "t", "big": "b"})


@pytest.mark.parametrize("case", ["second", "last"])
def test_path_names_the_position(index, case):
    records = [vector(f"k{n}", [1, 2], {"m": 1}) for n in range(4)]
    position = {"second": 1, "last": 3}[case]
    records[position]["metadata"] = {"m": None}
    answer = index.call("PutVectors", vectors=records)
    invalid(answer, re.compile(f"for key 'k{position}'"), f"vectors[{position}].metadata")


@pytest.mark.parametrize(
    "number", ["1", "1.0", "1.50", "1e2", "-0", "0.1e-5", "12345678901234567890123", "3.141592653589793238"]
)
def test_the_text_of_a_number_is_kept(index, raw, number):
    """Up to 64 bytes a number comes back as it was written."""
    body = (
        f'{{"vectorBucketName":"{index.bucket.name}","indexName":"{index.name}",'
        f'"vectors":[{{"key":"a","data":{{"float32":[1,2]}},"metadata":{{"n":{number},"l":[{number}]}}}}]}}'
    )
    ok(raw.send("POST", "/PutVectors", body.encode(), {"Content-Type": "application/json"}))
    answer = ok(raw.call("GetVectors", index.by_name, keys=["a"], returnMetadata=True))
    texts = re.findall(rb'"[nl]"\s*:\s*\[?\s*([^,}\]\s]+)', answer.text)
    assert texts == [number.encode()] * 2


def test_a_very_long_number_becomes_its_shortest_form(index, raw):
    body = (
        f'{{"vectorBucketName":"{index.bucket.name}","indexName":"{index.name}",'
        f'"vectors":[{{"key":"a","data":{{"float32":[1,2]}},"metadata":{{"n":0.{"3" * 80}}}}}]}}'
    )
    ok(raw.send("POST", "/PutVectors", body.encode(), {"Content-Type": "application/json"}))
    assert index.get("a")["a"]["metadata"] == {"n": 1 / 3}


def test_metadata_in_every_answer_that_returns_it(index):
    metadata = ACCEPTED["looks like a document"] | {"text": "long " * 500}
    ok(put(index, metadata))
    listed = {row["key"]: row["metadata"] for row in index.list(returnMetadata=True)}
    queried = {hit["key"]: hit["metadata"] for hit in index.query([1, 2], returnMetadata=True)}
    assert listed["a"] == queried["a"] == index.get("a")["a"]["metadata"] == metadata
