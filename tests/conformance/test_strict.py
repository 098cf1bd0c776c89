"""`--strict`: the differences to lenient mode, each refused as AWS refuses it, and nothing else different."""

import re

import pytest
from expect import invalid, ok
from filter_cases import ACCEPTED, DOCUMENTS, IMPLICIT_AND, REFUSED
from places import unique_name, vector

pytestmark = pytest.mark.own_server
QUERY = {"queryVector": {"float32": [0, 0]}, "topK": 100}


@pytest.fixture(scope="module")
def library(strict_bucket):
    index = strict_bucket.index()
    index.put(*(vector(key, [n, 0], metadata) for n, (key, metadata) in enumerate(DOCUMENTS.items())))
    return index


@pytest.mark.parametrize("case", IMPLICIT_AND)
def test_several_keys_in_one_filter_object(library, case):
    answer = library.call("QueryVectors", **QUERY, filter=IMPLICIT_AND[case][0])
    invalid(answer, "Invalid filter")
    assert [entry["path"] for entry in answer.field_list] == ["filter"]


@pytest.mark.parametrize("case", REFUSED)
def test_refused_with_the_bare_message(library, case):
    invalid(library.call("QueryVectors", **QUERY, filter=REFUSED[case]), "Invalid filter", "filter")


@pytest.mark.parametrize(
    "case", ["$ne", "$nin", "nested", "$in mixed types", "$startsWith", "range", "bare number in array"]
)
def test_accepted_with_the_same_meaning(library, case):
    condition, found = ACCEPTED[case]
    assert library.matching(condition) == found


@pytest.mark.parametrize(
    ("member", "value", "allowed"),
    [
        ("distanceMetric", "COSINE", "[euclidean, cosine]"),
        ("dataType", "FLOAT32", "[float32]"),
        ("distanceMetric", "Euclidean", "[euclidean, cosine]"),
    ],
)
def test_enums_are_lower_case(strict_api, strict_bucket, member, value, allowed):
    params = {"dataType": "float32", "dimension": 2, "distanceMetric": "cosine"} | {member: value}
    answer = strict_api.call("CreateIndex", strict_bucket.by_name, indexName="never", **params)
    invalid(answer, re.compile(re.escape(f"Member must satisfy enum value set: {allowed}")), f"/{member}")


def test_data_type_is_required(strict_api, strict_bucket):
    answer = strict_api.call(
        "CreateIndex", strict_bucket.by_name, indexName="never", dimension=2, distanceMetric="cosine"
    )
    invalid(answer, re.compile("dataType"))


def test_duplicate_keys_in_one_put(strict_bucket):
    index = strict_bucket.index()
    invalid(index.call("PutVectors", vectors=[vector("a", [1, 2]), vector("b", [1, 2]), vector("a", [3, 4])]))
    assert index.list() == []


EXTENSIONS = {
    "list filter": ("ListVectors", {"filter": {"n": 1}}),
    "list keyPrefix": ("ListVectors", {"keyPrefix": "k"}),
    "delete filter": ("DeleteVectors", {"filter": {"n": 1}}),
    "delete keys dryRun": ("DeleteVectors", {"keys": ["k"], "dryRun": True}),
    "query returnData": ("QueryVectors", QUERY | {"returnData": True}),
}


@pytest.mark.parametrize("case", EXTENSIONS)
def test_extension_members_are_refused(strict_bucket, case):
    index = strict_bucket.index()
    index.put(vector("k", [1, 2], {"n": 1}))
    operation, params = EXTENSIONS[case]
    invalid(index.call(operation, **params))
    assert len(index.list()) == 1


@pytest.mark.parametrize("count", [100, 101])
@pytest.mark.parametrize("shape", ["$in", "$and", "mixed"])
def test_constraint_budget(library, shape, count):
    condition = {
        "$in": {"year": {"$in": list(range(count))}},
        "$and": {"$and": [{"year": n} for n in range(count)]},
        "mixed": {"$or": [{"year": {"$in": list(range(count - 2))}}, {"$and": [{"year": 1}, {"ok": True}]}]},
    }[shape]
    answer = library.call("QueryVectors", **QUERY, filter=condition)
    if count > 100:
        invalid(answer)
    else:
        ok(answer)


@pytest.mark.parametrize("top_k", [100, 101, 250, 1000])
def test_pages_hold_at_most_a_hundred(strict_bucket, top_k):
    index = strict_bucket.index()
    index.put(*(vector(f"k{n:03}", [n, 0]) for n in range(500)))
    pages = list(index.query_pages([0, 0], top_k))
    expected = min(top_k, 500)
    assert [len(page["vectors"]) for page in pages if page["vectors"]] == [
        min(100, expected - start) for start in range(0, expected, 100)
    ]
    assert [hit["key"] for page in pages for hit in page["vectors"]] == [f"k{n:03}" for n in range(expected)]


def test_a_query_token_is_tied_to_what_is_asked_not_to_how_it_is_written(strict_bucket):
    """Some SDKs write the members of a filter in another order each time, and a page may show other members."""
    index = strict_bucket.index()
    index.put(*(vector(f"k{n:03}", [n, 0], {"n": n, "c": "x"}) for n in range(250)))
    wanted = {"queryVector": {"float32": [0, 0]}, "topK": 240}
    condition = {"n": {"$gte": 5, "$lt": 245}}
    token = ok(index.call("QueryVectors", **wanted, filter=condition))["nextToken"]
    for other in ({"n": {"$lt": 245, "$gte": 5}}, {"n": {"$gte": 5.0, "$lt": 2.45e2}}):
        for more in ({}, {"returnMetadata": True}, {"returnDistance": True}, {"queryMode": "ENHANCED"}):
            page = ok(index.call("QueryVectors", **wanted, filter=other, nextToken=token, **more))
            assert [hit["key"] for hit in page["vectors"]] == [f"k{n:03}" for n in range(105, 205)]
    for asked in ({"filter": {"n": {"$gte": 6, "$lt": 245}}}, {"filter": {"n": {"$gt": 5, "$lt": 245}}}, {}):
        invalid(index.call("QueryVectors", **wanted, nextToken=token, **asked), path="nextToken")
    invalid(index.call("QueryVectors", **(wanted | {"topK": 239}), filter=condition, nextToken=token))


def test_ordinary_use_is_the_same(strict_api, strict_bucket):
    index = strict_bucket.index(unique_name("i"), dimension=2, metric="cosine")
    index.put(vector("a", [1, 2], {"m": 1}))
    assert [hit["key"] for hit in index.query([1, 2], filter={"m": 1})] == ["a"]
    ok(index.call("GetVectors", keys=["a"], nextToken="ignored"))
    index.delete("a")
    assert index.list() == []
