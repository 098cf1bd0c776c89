"""Encryption, index modes and text search: what is accepted and reported, and what is refused with which words."""

import re

import pytest
from expect import NO_INDEX, invalid, length_rule, missing, ok, refused
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
    invalid(api.call("UpdateMetadataConfiguration", getattr(bucket.index(), by), **params), TEXT, path=change)


@pytest.mark.parametrize("change", [{}, {"add": {}, "delete": {}}], ids=["neither", "both"])
def test_update_metadata_configuration_wants_one_change(index, change):
    """Judged with the identifiers: before existence."""
    message = "Must specify either add or delete but not both"
    invalid(index.call("UpdateMetadataConfiguration", **change), message)
    absent = index.by_name | {"indexName": "absent"}
    invalid(index.bucket.api.call("UpdateMetadataConfiguration", absent, **change), message)


def test_update_metadata_configuration_of_no_index(api, shared_bucket):
    ids = shared_bucket.by_name | {"indexName": "absent"}
    missing(api.call("UpdateMetadataConfiguration", ids, add={}), NO_INDEX)


KEY = {"metadataKey": "body"}
WRONG_CONFIGURATIONS = {
    "key too long": ([{"metadataKey": "k" * 64}], length_rule(1, 63), "/0/metadataKey"),
    "key empty": ([{"metadataKey": ""}], length_rule(1, 63), "/0/metadataKey"),
    "no key": ([KEY, {"language": "en"}], "Member must not be null", "/1/metadataKey"),
    "unknown language": ([KEY | {"language": "tlh"}], "Member must satisfy enum value set: [en, fr", "/0/language"),
    "unknown status": ([KEY | {"status": "GONE"}], "Member must satisfy enum value set: [ACTIVE", "/0/status"),
    "eleven": ([KEY] * 11, length_rule(0, 10), ""),
}


@pytest.mark.parametrize("case", WRONG_CONFIGURATIONS)
def test_wrong_text_search_configuration(api, bucket, case):
    """The model's constraints come first, at creation and later."""
    configurations, rule, where = WRONG_CONFIGURATIONS[case]
    config = {"textSearchConfigurations": configurations}
    pattern = re.compile(re.escape(rule))
    later = bucket.index().call("UpdateMetadataConfiguration", add=config)
    invalid(later, pattern, path="/add/textSearchConfigurations" + where)
    create = {"indexName": "never", "metadataConfiguration": config} | CREATE
    answer = api.call("CreateIndex", bucket.by_name, **create)
    invalid(answer, pattern, path="/metadataConfiguration/textSearchConfigurations" + where)


@pytest.mark.parametrize(
    ("change", "where"),
    [
        ({"add": 5}, "/add"),
        ({"add": [], "delete": {}}, "/add"),
        ({"delete": "all"}, "/delete"),
        ({"add": {"textSearchConfigurations": "body"}}, "/add/textSearchConfigurations"),
        ({"add": {"textSearchConfigurations": ["body"]}}, "/add/textSearchConfigurations/0"),
        (
            {"delete": {"textSearchConfigurations": [{"metadataKey": 1}]}},
            "/delete/textSearchConfigurations/0/metadataKey",
        ),
    ],
    ids=str,
)
def test_wrong_types_of_a_metadata_configuration(index, change, where):
    pattern = re.compile(f"^Value at '{where}' must be ")
    refused(index.call("UpdateMetadataConfiguration", **change), "SerializationException", pattern)


def test_removal_of_no_text_search_configuration(index):
    answer = index.call("UpdateMetadataConfiguration", delete={"textSearchConfigurations": []})
    invalid(answer, re.compile(re.escape(length_rule(1, 10))), path="/delete/textSearchConfigurations")


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
