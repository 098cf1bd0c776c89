"""Encryption, index modes and text search: what is accepted and reported, and what is refused with which words."""

import re

import pytest
from expect import invalid, ok
from places import Bucket, unique_name, vector

KMS = "arn:aws:kms:us-east-1:123456789012:key/1234abcd-12ab-34cd-56ef-1234567890ab"
OTHER_KMS = KMS.replace("1234abcd", "ffffffff")
CREATE = {"dataType": "float32", "dimension": 2, "distanceMetric": "cosine"}


def encryption_of(index):
    return ok(index.call("GetIndex"))["index"]["encryptionConfiguration"]


@pytest.mark.parametrize("config", [{"sseType": "AES256"}, {"sseType": "aws:kms", "kmsKeyArn": KMS}], ids=str)
def test_bucket_encryption_is_reported_and_inherited(api, config):
    bucket = Bucket(api, encryptionConfiguration=config)
    assert ok(api.call("GetVectorBucket", bucket.by_name))["vectorBucket"]["encryptionConfiguration"] == config
    assert encryption_of(bucket.index()) == config
    bucket.remove()


def test_index_encryption_overrides_the_bucket(api):
    bucket = Bucket(api, encryptionConfiguration={"sseType": "aws:kms", "kmsKeyArn": KMS})
    own = {"sseType": "aws:kms", "kmsKeyArn": OTHER_KMS}
    assert encryption_of(bucket.index(encryptionConfiguration=own)) == own
    assert encryption_of(bucket.index(encryptionConfiguration={"sseType": "AES256"})) == {"sseType": "AES256"}
    bucket.remove()


def test_vectors_of_an_index_with_a_kms_key(bucket):
    index = bucket.index(encryptionConfiguration={"sseType": "aws:kms", "kmsKeyArn": KMS})
    index.put(vector("a", [1, 2]))
    assert list(index.get("a")) == ["a"]


ILLEGAL_ENCRYPTION = {
    "key with AES256": (
        {"sseType": "AES256", "kmsKeyArn": KMS},
        "kmsKeyArn must not be specified when sseType is AES256.",
    ),
    "kms without key": ({"sseType": "aws:kms"}, "kmsKeyArn must be specified when sseType is set to aws:kms"),
    "unknown type": ({"sseType": "rot13"}, re.compile(r"/encryptionConfiguration/sseType.*\[AES256, aws:kms\]")),
    "alias": ({"sseType": "aws:kms", "kmsKeyArn": "alias/mine"}, re.compile("kmsKeyArn")),
    "not an arn": ({"sseType": "aws:kms", "kmsKeyArn": "x"}, re.compile("kmsKeyArn")),
    "too long": ({"sseType": "aws:kms", "kmsKeyArn": KMS + "x" * 2048}, re.compile("kmsKeyArn")),
}


@pytest.mark.parametrize("case", ILLEGAL_ENCRYPTION)
@pytest.mark.parametrize("operation", ["CreateVectorBucket", "CreateIndex"])
def test_illegal_encryption(api, shared_bucket, operation, case):
    config, message = ILLEGAL_ENCRYPTION[case]
    place = {"vectorBucketName": unique_name("never")}
    if operation == "CreateIndex":
        place = shared_bucket.by_name | {"indexName": "never"} | CREATE
    invalid(api.call(operation, place, encryptionConfiguration=config), message)


@pytest.mark.parametrize("by", ["by_name", "by_arn"])
def test_default_index_mode(api, bucket, by):
    ids = getattr(bucket, by)
    assert ok(api.call("PutVectorBucketDefaultIndexMode", ids, defaultIndexMode="ENHANCED")).body == {}
    message = "defaultIndexMode cannot be set to CLASSIC because this vector bucket does not support CLASSIC mode"
    invalid(api.call("PutVectorBucketDefaultIndexMode", ids, defaultIndexMode="CLASSIC"), message)
    assert ok(api.call("GetVectorBucket", ids))["vectorBucket"]["defaultIndexMode"] == "ENHANCED"


@pytest.mark.parametrize("by", ["by_name", "by_arn"])
def test_index_mode(api, bucket, by):
    ids = getattr(bucket.index(), by)
    assert ok(api.call("UpdateIndexMode", ids, indexMode="ENHANCED")).body == {}
    message = "indexMode cannot be set to CLASSIC because the vector bucket does not support CLASSIC mode"
    invalid(api.call("UpdateIndexMode", ids, indexMode="CLASSIC"), message)
    assert ok(api.call("GetIndex", ids))["index"]["indexMode"] == "ENHANCED"


@pytest.mark.parametrize("mode", ["FAST", "", "Classic!"])
def test_unknown_mode(api, bucket, mode):
    pattern = re.compile(r"Member must satisfy enum value set: \[CLASSIC, ENHANCED\]")
    invalid(bucket.index().call("UpdateIndexMode", indexMode=mode), pattern)
    invalid(api.call("PutVectorBucketDefaultIndexMode", bucket.by_name, defaultIndexMode=mode), pattern)


TEXT = re.compile("[Ff]ull-text search.*not supported")


def test_text_search_configuration_is_refused_at_creation(api, bucket):
    config = {"textSearchConfigurations": [{"metadataKey": "body", "language": "en"}]}
    invalid(api.call("CreateIndex", bucket.by_name, indexName="never", metadataConfiguration=config, **CREATE), TEXT)
    assert bucket.index_names() == []


@pytest.mark.parametrize("by", ["by_name", "by_arn"])
@pytest.mark.parametrize("change", ["add", "delete"])
def test_update_metadata_configuration_is_refused(api, bucket, by, change):
    params = {change: {"textSearchConfigurations": [{"metadataKey": "body"}]}}
    invalid(api.call("UpdateMetadataConfiguration", getattr(bucket.index(), by), **params), TEXT)


TEXT_QUERIES = {
    "texts alone": {"queryTexts": [{"text": "ocean", "metadataKey": "body"}]},
    "hybrid": {"queryVector": {"float32": [1, 2]}, "queryTexts": [{"text": "ocean", "metadataKey": "body"}]},
    "scores": {"queryVector": {"float32": [1, 2]}, "returnScores": True},
}


@pytest.mark.parametrize("case", TEXT_QUERIES)
def test_text_queries_are_refused_not_ignored(index, case):
    index.put(vector("a", [1, 2], {"body": "ocean"}))
    invalid(index.call("QueryVectors", topK=1, **TEXT_QUERIES[case]), TEXT)


def test_return_scores_false_means_nothing(index):
    index.put(vector("a", [1, 2]))
    assert [hit["key"] for hit in index.query([1, 2], returnScores=False)] == ["a"]
