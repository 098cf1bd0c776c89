"""Vector buckets: create, get, list, delete, by name and by ARN."""

import re
import time

import pytest
from expect import NO_BUCKET, invalid, missing, ok, refused
from places import Bucket, bucket_arn, unique_name

INVALID_NAME = "Invalid vector bucket name"


def test_create_answers_the_arn(api):
    name = unique_name()
    answer = ok(api.call("CreateVectorBucket", vectorBucketName=name))
    assert answer["vectorBucketArn"] == bucket_arn(name)
    ok(api.call("DeleteVectorBucket", vectorBucketName=name))


@pytest.mark.sdk("CreateVectorBucket>vectorBucketArn")
def test_stock_boto3_shows_the_arn(stock_boto3):
    name = unique_name()
    assert stock_boto3.create_vector_bucket(vectorBucketName=name)["vectorBucketArn"] == bucket_arn(name)
    stock_boto3.delete_vector_bucket(vectorBucketName=name)


@pytest.mark.parametrize("by", ["by_name", "by_arn"])
def test_get(api, bucket, by):
    found = ok(api.call("GetVectorBucket", getattr(bucket, by)))["vectorBucket"]
    assert found["vectorBucketName"] == bucket.name
    assert found["vectorBucketArn"] == bucket.arn
    assert found["encryptionConfiguration"] == {"sseType": "AES256"}
    assert found["defaultIndexMode"] == "ENHANCED"
    assert abs(found["creationTime"] - time.time()) < 120
    assert "tags" not in found


def test_creation_time_is_a_number_and_stays(api, bucket):
    first = ok(api.call("GetVectorBucket", bucket.by_name))["vectorBucket"]["creationTime"]
    assert isinstance(first, int | float)
    bucket.index()
    assert ok(api.call("GetVectorBucket", bucket.by_name))["vectorBucket"]["creationTime"] == first
    listed = ok(api.call("ListVectorBuckets", prefix=bucket.name))["vectorBuckets"]
    assert listed == [{"vectorBucketName": bucket.name, "vectorBucketArn": bucket.arn, "creationTime": first}]


@pytest.mark.parametrize("by", ["by_name", "by_arn"])
def test_delete(api, bucket, by):
    assert ok(api.call("DeleteVectorBucket", getattr(bucket, by))).body == {}
    missing(api.call("GetVectorBucket", bucket.by_name), NO_BUCKET)
    assert ok(api.call("ListVectorBuckets", prefix=bucket.name))["vectorBuckets"] == []


def test_create_again_conflicts(api, bucket):
    answer = api.call("CreateVectorBucket", vectorBucketName=bucket.name)
    refused(answer, "ConflictException", "A vector bucket with the specified name already exists")


def test_create_after_delete_is_a_new_empty_bucket(api, bucket):
    bucket.index().put({"key": "old", "data": {"float32": [1, 2]}})
    bucket.remove()
    again = Bucket(api, name=bucket.name)
    assert again.index_names() == []


def test_delete_refuses_a_bucket_with_an_index(api, bucket):
    index = bucket.index()
    refused(
        api.call("DeleteVectorBucket", bucket.by_name), "ConflictException", "The specified vector bucket is not empty"
    )
    ok(index.call("DeleteIndex"))
    ok(api.call("DeleteVectorBucket", bucket.by_name))


@pytest.mark.parametrize("operation", ["GetVectorBucket", "DeleteVectorBucket", "ListIndexes"])
@pytest.mark.parametrize("by", ["name", "arn"])
def test_missing_bucket(api, operation, by):
    name = unique_name("absent")
    params = {"vectorBucketName": name} if by == "name" else {"vectorBucketArn": bucket_arn(name)}
    missing(api.call(operation, params), NO_BUCKET)


@pytest.mark.parametrize("name", ["abc", "0-0", "a" * 63, "1234", "a-b-c-d", "with--two"])
def test_legal_names(api, name):
    api.call("DeleteVectorBucket", vectorBucketName=name)
    ok(api.call("CreateVectorBucket", vectorBucketName=name))
    assert ok(api.call("GetVectorBucket", vectorBucketName=name))["vectorBucket"]["vectorBucketName"] == name
    ok(api.call("DeleteVectorBucket", vectorBucketName=name))


@pytest.mark.parametrize("name", ["under_score", "am&p", "has space", "sl/ash", "ünï", "a\nb-c", "per%cent"])
def test_illegal_characters(api, name):
    invalid(api.call("CreateVectorBucket", vectorBucketName=name), INVALID_NAME)


@pytest.mark.parametrize("name", ["-abc", "abc-", "UPPER", "abC"])
def test_illegal_shapes(api, name):
    invalid(api.call("CreateVectorBucket", vectorBucketName=name), re.compile("nvalid"))


def test_two_constraints_are_reported_together(api):
    answer = api.call(
        "CreateIndex", vectorBucketName="b", indexName="i", dataType="float32", dimension=0, distanceMetric="cosine"
    )
    invalid(answer, re.compile("^3 validation errors detected"))
    for path in ("/vectorBucketName", "/indexName", "/dimension"):
        assert f"'{path}'" in answer.message


def test_stock_boto3_raises_typed_exceptions(stock_boto3):
    name = unique_name("typed")
    with pytest.raises(stock_boto3.exceptions.NotFoundException) as caught:
        stock_boto3.get_vector_bucket(vectorBucketName=name)
    assert caught.value.response["Error"]["Message"] == NO_BUCKET
    stock_boto3.create_vector_bucket(vectorBucketName=name)
    with pytest.raises(stock_boto3.exceptions.ConflictException):
        stock_boto3.create_vector_bucket(vectorBucketName=name)
    stock_boto3.delete_vector_bucket(vectorBucketName=name)
    with pytest.raises(stock_boto3.exceptions.ValidationException) as caught:
        stock_boto3.create_vector_bucket(vectorBucketName="not_legal")
    assert caught.value.response["message"] == caught.value.response["Error"]["Message"] == INVALID_NAME
