"""Every operation, by name and by ARN, with every wrong combination of identifiers and with missing places."""

import pytest
from expect import BUCKET_IDS, INDEX_IDS, NO_BUCKET, NO_INDEX, invalid, missing, ok
from places import bucket_arn, index_arn, unique_name, vector

QUERY = {"queryVector": {"float32": [1.0, 2.0]}, "topK": 1}
FULL_POLICY = (
    '{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::123456789012:root"},'
    '"Action":"s3vectors:*","Resource":"*"}]}'
)

BUCKET_OPERATIONS = {
    "GetVectorBucket": {},
    "DeleteVectorBucket": {},
    "ListIndexes": {},
    "PutVectorBucketPolicy": {"policy": FULL_POLICY},
    "GetVectorBucketPolicy": {},
    "DeleteVectorBucketPolicy": {},
    "PutVectorBucketDefaultIndexMode": {"defaultIndexMode": "ENHANCED"},
    "CreateIndex": {"indexName": "abc", "dataType": "float32", "dimension": 2, "distanceMetric": "cosine"},
}
INDEX_OPERATIONS = {
    "GetIndex": {},
    "DeleteIndex": {},
    "UpdateIndexMode": {"indexMode": "ENHANCED"},
    "PutVectors": {"vectors": [vector("a", [1.0, 2.0])]},
    "GetVectors": {"keys": ["a"]},
    "ListVectors": {},
    "DeleteVectors": {"keys": ["a"]},
    "QueryVectors": QUERY,
}
# What a bucket must hold before the operation can succeed.
NEEDS_POLICY = {"GetVectorBucketPolicy", "DeleteVectorBucketPolicy"}


@pytest.mark.parametrize("by", ["by_name", "by_arn"])
@pytest.mark.parametrize("operation", BUCKET_OPERATIONS)
def test_bucket_operation_succeeds(api, bucket, operation, by):
    if operation in NEEDS_POLICY:
        ok(api.call("PutVectorBucketPolicy", bucket.by_name, policy=FULL_POLICY))
    ok(api.call(operation, getattr(bucket, by), **BUCKET_OPERATIONS[operation]))


@pytest.mark.parametrize("by", ["by_name", "by_arn"])
@pytest.mark.parametrize("operation", INDEX_OPERATIONS)
def test_index_operation_succeeds(bucket, operation, by):
    index = bucket.index()
    ok(bucket.api.call(operation, getattr(index, by), **INDEX_OPERATIONS[operation]))


@pytest.mark.parametrize("combination", ["none", "both"])
@pytest.mark.parametrize("operation", BUCKET_OPERATIONS)
def test_bucket_operation_wants_exactly_one_identifier(api, shared_bucket, operation, combination):
    ids = {} if combination == "none" else shared_bucket.by_name | shared_bucket.by_arn
    invalid(api.call(operation, ids, **BUCKET_OPERATIONS[operation]), BUCKET_IDS)


NAME, INDEX, ARN = {"vectorBucketName": "abc"}, {"indexName": "def"}, {"indexArn": index_arn("abc", "def")}
WRONG_COMBINATIONS = {
    "none": {},
    "bucket name alone": NAME,
    "index name alone": INDEX,
    "bucket name and arn": NAME | ARN,
    "index name and arn": INDEX | ARN,
    "all three": NAME | INDEX | ARN,
}


@pytest.mark.parametrize("combination", WRONG_COMBINATIONS)
@pytest.mark.parametrize("operation", INDEX_OPERATIONS)
def test_index_operation_wants_arn_or_both_names(api, operation, combination):
    """The combination is judged before existence: neither place exists here."""
    invalid(api.call(operation, WRONG_COMBINATIONS[combination], **INDEX_OPERATIONS[operation]), INDEX_IDS)


@pytest.mark.parametrize("operation", INDEX_OPERATIONS)
def test_missing_index(api, shared_bucket, operation):
    for ids in (shared_bucket.by_name | {"indexName": "absent"}, {"indexArn": index_arn(shared_bucket.name, "absent")}):
        missing(api.call(operation, ids, **INDEX_OPERATIONS[operation]), NO_INDEX)


@pytest.mark.parametrize("operation", INDEX_OPERATIONS)
def test_missing_bucket_of_an_index_operation_says_index(api, operation):
    answer = api.call(operation, vectorBucketName=unique_name("absent"), indexName="abc", **INDEX_OPERATIONS[operation])
    missing(answer, NO_INDEX)


@pytest.mark.parametrize("operation", BUCKET_OPERATIONS)
def test_missing_bucket(api, operation):
    missing(api.call(operation, vectorBucketName=unique_name("absent"), **BUCKET_OPERATIONS[operation]), NO_BUCKET)


@pytest.mark.parametrize("operation", BUCKET_OPERATIONS)
def test_bucket_arn_with_a_dot_is_not_found(api, operation):
    """The ARN's pattern admits dots in a bucket's name, and the names that buckets may have do not."""
    missing(api.call(operation, vectorBucketArn=bucket_arn("a.b"), **BUCKET_OPERATIONS[operation]), NO_BUCKET)


@pytest.mark.parametrize("operation", INDEX_OPERATIONS)
def test_index_arn_with_a_dotted_bucket_is_not_found(api, operation):
    missing(api.call(operation, indexArn=index_arn("a.b", "abc"), **INDEX_OPERATIONS[operation]), NO_INDEX)


@pytest.mark.parametrize(
    "arn",
    [
        "not-an-arn",
        "arn:aws:s3:::bucket",
        "arn:aws:s3vectors:us-east-1:12345:bucket/abc",
        "arn:aws:s3vectors:us-east-1:123456789012:bucket/ab",
        "arn:aws:s3vectors:us-east-1:123456789012:bucket/UPPER",
        "arn:aws:s3vectors:us-east-1:123456789012:bucket/abc/",
        "arn:gcp:s3vectors:us-east-1:123456789012:bucket/abc",
        bucket_arn("a.b") + "/index/abc",
        bucket_arn("ab."),
    ],
)
def test_malformed_bucket_arn(api, arn):
    invalid(api.call("GetVectorBucket", vectorBucketArn=arn))


@pytest.mark.parametrize(
    "arn",
    [
        bucket_arn("abc"),
        bucket_arn("a.b"),
        bucket_arn("abc") + "/index/",
        bucket_arn("abc") + "/index/x",
        bucket_arn("abc") + "/index/UPPER",
        bucket_arn("abc") + "/table/def",
        bucket_arn("abc") + "/index/def/more",
    ],
)
def test_malformed_index_arn(api, arn):
    invalid(api.call("GetIndex", indexArn=arn))


def test_foreign_account_is_not_found_or_denied(api, bucket):
    """An ARN of another account never reaches this account's bucket."""
    index = bucket.index()
    bucket_answer = api.call("GetVectorBucket", vectorBucketArn=bucket_arn(bucket.name, "999999999999"))
    index_answer = api.call("GetIndex", indexArn=index_arn(bucket.name, index.name, "999999999999"))
    for answer in (bucket_answer, index_answer):
        assert answer.error in ("NotFoundException", "AccessDeniedException")


def test_foreign_region_is_not_found_or_denied(api, bucket):
    answer = api.call("GetVectorBucket", vectorBucketArn=bucket.arn.replace("us-east-1", "eu-central-1"))
    assert answer.error in ("NotFoundException", "AccessDeniedException")


def test_wrong_combination_beats_missing_place(api):
    answer = api.call("PutVectors", vectorBucketName=unique_name("absent"), vectors=[vector("a", [1.0])])
    invalid(answer, INDEX_IDS)


def test_missing_index_beats_wrong_dimension(api, shared_bucket):
    answer = api.call("PutVectors", shared_bucket.by_name, indexName="absent", vectors=[vector("a", [1.0] * 9)])
    missing(answer, NO_INDEX)


def test_model_constraint_beats_missing_place(api):
    answer = api.call("GetVectors", vectorBucketName=unique_name("absent"), indexName="abc", keys=["k"] * 101)
    invalid(answer)
