"""The filter language: accepted and refused forms, non-filterable keys, random filters against a naive evaluator."""

import random
import re

import pytest
from expect import invalid, ok
from filter_cases import ACCEPTED, DOCUMENTS, IMPLICIT_AND, NOT_OBJECTS, REFUSED
from naive_filter import matches, random_condition, random_metadata
from places import vector

QUERY = {"queryVector": {"float32": [0, 0]}, "topK": 100}


@pytest.fixture(scope="module")
def library(shared_bucket):
    index = shared_bucket.index(metadataConfiguration={"nonFilterableMetadataKeys": ["text"]})
    index.put(*(vector(key, [n, 0], metadata) for n, (key, metadata) in enumerate(DOCUMENTS.items())))
    return index


@pytest.mark.parametrize("case", ACCEPTED)
def test_accepted(library, case):
    condition, found = ACCEPTED[case]
    assert library.matching(condition) == found
    assert found == sorted(key for key, metadata in DOCUMENTS.items() if matches(condition, metadata))


@pytest.mark.parametrize("case", IMPLICIT_AND)
def test_implicit_and_in_lenient_mode(library, case):
    condition, found = IMPLICIT_AND[case]
    assert library.matching(condition) == found


@pytest.mark.parametrize("case", REFUSED)
def test_refused(library, case):
    """A filter is never ignored: what is not understood is refused, with the path of the parameter."""
    answer = library.call("QueryVectors", **QUERY, filter=REFUSED[case])
    invalid(answer, re.compile("^Invalid filter"))
    assert any(entry["path"].lstrip("/").startswith("filter") for entry in answer.field_list)


@pytest.mark.parametrize("condition", NOT_OBJECTS, ids=str)
def test_no_object(library, raw, condition):
    answer = raw.call("QueryVectors", library.by_name, **QUERY, filter=condition)
    assert answer.status == 400 and answer.error in ("ValidationException", "SerializationException")


def test_null_is_no_filter(library, raw):
    answer = ok(raw.call("QueryVectors", library.by_name, **QUERY, filter=None))
    assert len(answer["vectors"]) == len(DOCUMENTS)


@pytest.mark.parametrize(
    "condition",
    [
        {"text": "x"},
        {"text": {"$exists": True}},
        {"$and": [{"genre": "drama"}, {"text": {"$ne": "x"}}]},
        {"$or": [{"text": 1}]},
    ],
    ids=str,
)
def test_non_filterable_key(library, condition):
    invalid(
        library.call("QueryVectors", **QUERY, filter=condition),
        re.compile("Invalid use of non-filterable metadata in filter"),
    )


def test_filter_is_checked_on_an_empty_index(shared_bucket):
    index = shared_bucket.index()
    invalid(index.call("QueryVectors", **QUERY, filter={"f": {"$bad": 1}}), re.compile("^Invalid filter"))
    assert index.matching({"f": 1}) == []


def test_hits_of_a_filter_are_the_nearest_ones(shared_bucket):
    """The filter comes first: topK is filled from the matching vectors however far away they are."""
    index = shared_bucket.index()
    index.put(*(vector(f"k{n:03}", [n, 0], {"far": n >= 290, "odd": n % 2}) for n in range(300)))
    assert [hit["key"] for hit in index.query([0, 0], 5, filter={"far": True})] == [f"k{n}" for n in range(290, 295)]
    both = {"$and": [{"far": True}, {"odd": 1}]}
    assert [hit["key"] for hit in index.query([0, 0], 50, filter=both)] == ["k291", "k293", "k295", "k297", "k299"]


def test_more_than_a_hundred_constraints_in_lenient_mode(library):
    assert library.matching({"year": {"$in": [*range(1000, 1999), 1999]}}) == ["other"]


def test_numbers_compare_as_doubles(shared_bucket):
    index = shared_bucket.index()
    index.put(vector("a", [0, 0], {"n": 9007199254740993}), vector("b", [0, 0], {"n": 0.1}))
    assert index.matching({"n": 9007199254740992}) == ["a"]
    assert index.matching({"n": {"$gt": 9007199254740992}}) == []
    assert index.matching({"n": 0.1}) == ["b"]
    assert index.matching({"n": 0.10000000000000001}) == ["b"]


@pytest.fixture(scope="module")
def random_documents():
    chance = random.Random(41)
    return {f"d{n:03}": random_metadata(chance) for n in range(200)}


@pytest.fixture(scope="module")
def random_library(shared_bucket, random_documents):
    index = shared_bucket.index()
    index.put(*(vector(key, [n, 0], metadata) for n, (key, metadata) in enumerate(random_documents.items())))
    return index


@pytest.mark.parametrize("seed", range(12))
def test_random_filters_agree_with_the_naive_evaluator(random_library, random_documents, seed):
    chance = random.Random(f"filters {seed}")
    for _ in range(25):
        condition = random_condition(chance)
        expected = sorted(key for key, metadata in random_documents.items() if matches(condition, metadata))
        assert random_library.matching(condition) == expected, f"seed {seed}: {condition}"


def test_random_filters_while_documents_change(shared_bucket):
    """A newest version that fails the filter hides an older one that would pass."""
    chance = random.Random(7)
    index = shared_bucket.index()
    live: dict[str, dict] = {}
    for _ in range(30):
        batch = {f"d{chance.randrange(20)}": random_metadata(chance) for _ in range(5)}
        index.put(*(vector(key, [1, 1], metadata) for key, metadata in batch.items()))
        live |= batch
        gone = f"d{chance.randrange(20)}"
        index.delete(gone)
        live.pop(gone, None)
        condition = random_condition(chance)
        assert index.matching(condition) == sorted(k for k, m in live.items() if matches(condition, m)), condition
