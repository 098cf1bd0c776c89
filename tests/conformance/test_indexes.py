"""Indexes: create, get, list, delete, by name and by ARN; what CreateIndex stores comes back."""

import re
import time

import pytest
from expect import NO_BUCKET, NO_INDEX, invalid, missing, ok, refused
from places import index_arn, unique_name, vector

SETTINGS = {"dataType": "float32", "dimension": 3, "distanceMetric": "cosine"}


@pytest.mark.parametrize("by", ["by_name", "by_arn"])
def test_create(api, bucket, by):
    answer = ok(api.call("CreateIndex", getattr(bucket, by), indexName="made", **SETTINGS))
    assert answer["indexArn"] == index_arn(bucket.name, "made")


@pytest.mark.parametrize("by", ["by_name", "by_arn"])
@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
def test_get(bucket, by, metric):
    index = bucket.index(dimension=7, metric=metric)
    found = ok(bucket.api.call("GetIndex", getattr(index, by)))["index"]
    assert found["vectorBucketName"] == bucket.name
    assert found["indexName"] == index.name
    assert found["indexArn"] == index.arn
    assert (found["dataType"], found["dimension"], found["distanceMetric"]) == ("float32", 7, metric)
    assert found["encryptionConfiguration"] == {"sseType": "AES256"}
    assert found["indexMode"] == "ENHANCED"
    assert abs(found["creationTime"] - time.time()) < 120
    assert "metadataConfiguration" not in found
    assert "tags" not in found


@pytest.mark.parametrize("keys", [["text"], [f"k{n}" for n in range(10)], ["a" * 63], ["ünïcode", "with space", "$x"]])
def test_non_filterable_keys_come_back(bucket, keys):
    index = bucket.index(metadataConfiguration={"nonFilterableMetadataKeys": keys})
    stored = ok(index.call("GetIndex"))["index"]["metadataConfiguration"]
    assert sorted(stored["nonFilterableMetadataKeys"]) == sorted(keys)


def test_create_again_conflicts_even_with_the_same_settings(bucket):
    index = bucket.index(dimension=3, metric="cosine")
    answer = index.call("CreateIndex", **SETTINGS)
    refused(answer, "ConflictException", "An index with the specified name already exists")


def test_create_in_a_missing_bucket(api):
    answer = api.call("CreateIndex", vectorBucketName=unique_name("absent"), indexName="abc", **SETTINGS)
    missing(answer, NO_BUCKET)


@pytest.mark.parametrize("by", ["by_name", "by_arn"])
def test_delete_takes_the_vectors_along(bucket, by):
    index = bucket.index()
    index.put(vector("a", [1, 2]))
    assert ok(bucket.api.call("DeleteIndex", getattr(index, by))).body == {}
    for operation, more in (("GetIndex", {}), ("GetVectors", {"keys": ["a"]}), ("DeleteIndex", {})):
        missing(index.call(operation, **more), NO_INDEX)
    assert bucket.index_names() == []


def test_recreated_index_is_empty_and_may_differ(bucket):
    index = bucket.index()
    index.put(vector("a", [1, 2], {"m": 1}))
    ok(index.call("DeleteIndex"))
    again = bucket.index(index.name, dimension=3, metric="cosine")
    assert again.list() == []
    assert again.get("a") == {}
    again.put(vector("b", [1, 0, 0]))
    assert [hit["key"] for hit in again.query([1, 0, 0])] == ["b"]


def test_same_index_name_in_two_buckets_is_two_indexes(api, bucket):
    from places import Bucket

    other = Bucket(api)
    first, second = bucket.index("same"), other.index("same")
    first.put(vector("a", [1, 1]))
    assert second.list() == []
    other.remove()


def test_list_shows_summaries_in_name_order(bucket):
    made = {name: bucket.index(name) for name in ("zebra", "alpha", "mid.dle", "alpha-2", "0zero")}
    page = ok(bucket.api.call("ListIndexes", bucket.by_arn))
    assert [row["indexName"] for row in page["indexes"]] == sorted(made)
    for row in page["indexes"]:
        assert set(row) == {"vectorBucketName", "indexName", "indexArn", "creationTime"}
        assert row["indexArn"] == made[row["indexName"]].arn
    assert "nextToken" not in page.body


@pytest.mark.parametrize("name", ["abc", "0.0", "a" * 63, "a.b-c", "a..b", "1-1"])
def test_legal_names(shared_bucket, name):
    index = shared_bucket.index(name)
    assert ok(shared_bucket.api.call("GetIndex", index.by_arn))["index"]["indexName"] == name


@pytest.mark.parametrize("name", ["UPPER", "under_score", "-abc", "abc-", ".abc", "abc.", "has space", "sl/ash", "ünï"])
def test_illegal_names(shared_bucket, name):
    invalid(
        shared_bucket.api.call("CreateIndex", shared_bucket.by_name, indexName=name, **SETTINGS), re.compile("nvalid")
    )


def test_duplicate_keys_of_different_case_are_different(bucket):
    index = bucket.index(metadataConfiguration={"nonFilterableMetadataKeys": ["text"]})
    index.put(vector("a", [0, 0], {"Text": "t"}), vector("A", [1, 1]))
    assert index.matching({"Text": "t"}) == ["a"]
    assert len(index.list()) == 2


def test_extra_counts_in_get_index(bucket):
    index = bucket.index()
    index.put(*(vector(f"k{n}", [n, n]) for n in range(20)))
    found = ok(index.call("GetIndex"))["index"]
    assert found["vectorCount"] + found["unindexedCount"] == 20
    assert isinstance(found["sizeBytes"], int) and found["sizeBytes"] >= 0
