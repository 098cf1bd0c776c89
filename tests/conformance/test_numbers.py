"""Numbers are rounded to float32 first and judged afterwards; what is stored comes back in its shortest form."""

import math
import random
import struct

import pytest
from expect import invalid, ok
from places import vector

FLT_MAX = 3.4028234663852886e38
SMALLEST = 1.401298464324817e-45


def as_float32(value: float) -> float:
    return struct.unpack("<f", struct.pack("<f", value))[0]


KEPT = {
    "one third": 1 / 3,
    "a tenth": 0.1,
    "float max": FLT_MAX,
    "rounds down to float max": 3.40282350e38,
    "minus float max": -FLT_MAX,
    "smallest normal": 1.1754943508222875e-38,
    "smallest subnormal": SMALLEST,
    "rounds to the smallest": 1.5e-45,
    "half of the smallest": 7.006492321624085e-46,
    "just above half of the smallest": 7.1e-46,
    "underflows to zero": 1e-46,
    "minus zero": -0.0,
    "2**24 + 1": 16777217.0,
    "many digits": 0.123456789012345678901234567890,
    "integer": 7,
    "big integer": 123456789012345678901234567890,
    "exponent": 1e10,
}


@pytest.mark.parametrize("name", KEPT)
def test_stored_as_the_nearest_float32(index, name):
    value = KEPT[name]
    index.put(vector("a", [value, 1]))
    stored = index.get("a")["a"]["data"]["float32"][0]
    assert as_float32(stored) == as_float32(value)
    assert math.copysign(1, stored) == math.copysign(1, value) or stored == 0


OVERFLOWS = [1e39, -1e39, 3.40282357e38, 3.4028236e38, 1e308, 10**400]


@pytest.mark.parametrize("value", OVERFLOWS, ids=lambda v: f"{v:.3e}" if isinstance(v, float) else "10**400")
def test_overflow_is_refused(index, value):
    answer = index.call("PutVectors", vectors=[vector("a", [value, 1])])
    invalid(answer, "Invalid record for key 'a': vector contains NaNs or Infs")
    answer = index.call("QueryVectors", queryVector={"float32": [value, 1]}, topK=1)
    invalid(answer, "Query vector contains invalid values or is invalid for this index", "vector")


@pytest.mark.parametrize("word", ["NaN", "Infinity", "-Infinity"])
def test_words_for_non_finite_numbers(index, raw, word):
    """botocore and the JavaScript SDK send these as strings: understood, then refused as values."""
    answer = raw.call("PutVectors", index.by_name, vectors=[vector("a", [word, 1])])
    invalid(answer, "Invalid record for key 'a': vector contains NaNs or Infs")
    answer = raw.call("QueryVectors", index.by_name, queryVector={"float32": [word, 1]}, topK=1)
    invalid(answer, "Query vector contains invalid values or is invalid for this index", "vector")


@pytest.mark.parametrize("literal", ["NaN", "Infinity", "-Infinity", "01", "1.", ".5", "+1", "0x10", "1e", "--1"])
def test_what_is_not_json_is_refused(index, raw, literal):
    body = (
        f'{{"vectorBucketName":"{index.bucket.name}","indexName":"{index.name}",'
        f'"vectors":[{{"key":"a","data":{{"float32":[{literal},1]}}}}]}}'
    )
    answer = raw.send("POST", "/PutVectors", body.encode(), {"Content-Type": "application/json"})
    assert (answer.status, answer.error) == (400, "SerializationException")
    assert index.list() == []


@pytest.mark.parametrize("literal", ["1E2", "1e+2", "100", "100.000", "0.1e3", "10000e-2", "1000000e-4"])
def test_spellings_of_a_hundred(index, raw, literal):
    body = (
        f'{{"vectorBucketName":"{index.bucket.name}","indexName":"{index.name}",'
        f'"vectors":[{{"key":"a","data":{{"float32":[ {literal} , -0.5]}}}}]}}'
    )
    ok(raw.send("POST", "/PutVectors", body.encode(), {"Content-Type": "application/json"}))
    assert index.get("a")["a"]["data"]["float32"] == [100, -0.5]


def test_random_floats_round_trip_bit_for_bit(shared_bucket):
    """Any float32 comes back as a number that rounds to the same bits, and prints in at most 15 characters or so."""
    chance = random.Random(20261123)
    patterns = [p for p in (chance.getrandbits(32) for _ in range(4200)) if (p >> 23) & 0xFF != 0xFF][:4096]
    values = [struct.unpack("<f", struct.pack("<I", p))[0] for p in patterns]
    index = shared_bucket.index(dimension=len(values))
    index.put(vector("a", values))
    answer = ok(index.call("GetVectors", keys=["a"], returnData=True))
    back = [struct.pack("<f", number) for number in answer["vectors"][0]["data"]["float32"]]
    assert back == [struct.pack("<f", value) for value in values]
    assert len(answer.text) < 17 * len(values), "floats are not printed in their shortest form"


@pytest.mark.parametrize(
    ("stored", "asked", "distance"),
    [
        ([1, 0], [1, 0], 0),
        ([1, 0], [5, 0], 0),
        ([1, 0], [0, 2], 1),
        ([1, 0], [-3, 0], 2),
        ([1, 1], [1, 0], 1 - math.sqrt(0.5)),
    ],
    ids=str,
)
def test_cosine_distance(shared_bucket, stored, asked, distance):
    index = shared_bucket.index(metric="cosine")
    index.put(vector("a", stored))
    answered = index.query(asked)[0]["distance"]
    assert answered == pytest.approx(distance, abs=1e-6) and answered >= 0


@pytest.mark.parametrize(
    ("stored", "asked", "distance"),
    [
        ([1, 2], [1, 2], 0),
        ([0, 0], [3, 4], 25),
        ([-1, -1], [1, 1], 8),
        ([0.5, 0], [0, 0], 0.25),
        ([1e15, 0], [0, 0], 1e30),
    ],
    ids=str,
)
def test_euclidean_distance_is_squared(index, stored, asked, distance):
    index.put(vector("a", stored))
    assert index.query(asked)[0]["distance"] == pytest.approx(distance, rel=1e-6)


def test_distance_beyond_float32_is_its_maximum(index):
    index.put(vector("far", [FLT_MAX, 0]), vector("near", [1, 0]))
    hits = index.query([-FLT_MAX, 0])
    assert [hit["key"] for hit in hits] == ["far", "near"] or [hit["key"] for hit in hits] == ["near", "far"]
    assert all(hit["distance"] == pytest.approx(FLT_MAX, rel=1e-6) for hit in hits)


@pytest.mark.parametrize("scale", [1e-40, 1e-30, 1e-20, 1e20, 1e30, 3e38], ids=str)
def test_cosine_of_extreme_lengths(shared_bucket, scale):
    """Neither squares that overflow nor squares that vanish may disturb an angle."""
    index = shared_bucket.index(metric="cosine")
    index.put(vector("same", [scale, 0]), vector("right", [0, scale]), vector("against", [-scale, 0]))
    hits = index.query([scale, 0])
    assert [hit["key"] for hit in hits] == ["same", "right", "against"]
    assert [hit["distance"] for hit in hits] == pytest.approx([0, 1, 2], abs=1e-5)
