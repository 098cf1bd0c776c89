"""Bucket policies: stored, validated, returned with the same meaning, and gone with their bucket."""

import json

import pytest
from expect import NO_BUCKET, invalid, missing, ok
from places import Bucket, unique_name

NO_POLICY = "The specified vector bucket policy could not be found"


def policy(**changes):
    statement = {
        "Sid": "reader",
        "Effect": "Allow",
        "Principal": {"AWS": "arn:aws:iam::123456789012:root"},
        "Action": ["s3vectors:QueryVectors", "s3vectors:GetVectors"],
        "Resource": "arn:aws:s3vectors:us-east-1:123456789012:bucket/any/*",
    }
    return {"Version": "2012-10-17", "Statement": [statement | changes]}


@pytest.mark.parametrize("by", ["by_name", "by_arn"])
def test_put_get_replace_delete(api, bucket, by):
    ids = getattr(bucket, by)
    missing(api.call("GetVectorBucketPolicy", ids), NO_POLICY)
    assert ok(api.call("PutVectorBucketPolicy", ids, policy=json.dumps(policy()))).body == {}
    assert json.loads(ok(api.call("GetVectorBucketPolicy", ids))["policy"]) == policy()
    ok(api.call("PutVectorBucketPolicy", ids, policy=json.dumps(policy(Effect="Deny"), indent=2)))
    assert json.loads(ok(api.call("GetVectorBucketPolicy", ids))["policy"]) == policy(Effect="Deny")
    assert ok(api.call("DeleteVectorBucketPolicy", ids)).body == {}
    missing(api.call("GetVectorBucketPolicy", ids), NO_POLICY)


def test_delete_when_there_is_none(api, bucket):
    """Not verified on AWS: the operation is marked idempotent, so success; the policy message is fine too."""
    answer = api.call("DeleteVectorBucketPolicy", bucket.by_name)
    if answer.status != 200:
        missing(answer, NO_POLICY)


def test_policy_goes_with_the_bucket(api, bucket):
    ok(api.call("PutVectorBucketPolicy", bucket.by_name, policy=json.dumps(policy())))
    bucket.remove()
    missing(api.call("GetVectorBucketPolicy", bucket.by_name), NO_BUCKET)
    again = Bucket(api, name=bucket.name)
    missing(api.call("GetVectorBucketPolicy", again.by_name), NO_POLICY)


LEGAL = {
    "one action": policy(Action="s3vectors:*"),
    "everyone": policy(Principal="*"),
    "two principals": policy(Principal={"AWS": ["arn:aws:iam::123456789012:root", "arn:aws:iam::123456789012:user/x"]}),
    "condition": policy(Condition={"StringEquals": {"aws:ResourceTag/team": "search"}}),
    "unicode sid": policy(Sid="ключ"),
    "index resource": policy(Resource=["arn:aws:s3vectors:us-east-1:123456789012:bucket/b/index/i"]),
}


@pytest.mark.parametrize("case", LEGAL)
def test_legal_policy(api, shared_bucket, case):
    ok(api.call("PutVectorBucketPolicy", shared_bucket.by_name, policy=json.dumps(LEGAL[case])))
    assert json.loads(ok(api.call("GetVectorBucketPolicy", shared_bucket.by_arn))["policy"]) == LEGAL[case]


ILLEGAL = {
    "empty": "",
    "not json": "{",
    "array": "[]",
    "string": '"policy"',
    "no statement": '{"Version":"2012-10-17"}',
    "bad effect": json.dumps(policy(Effect="Maybe")),
    "statement is text": '{"Version":"2012-10-17","Statement":"x"}',
    "misspelt member": json.dumps(policy(Conditions={})),
    "no such action": json.dumps(policy(Action="s3vectors:QueryVector")),
    "principal is a name": json.dumps(policy(Principal={"AWS": "alice"})),
    "resource is a name": json.dumps(policy(Resource="books")),
    "unknown operator": json.dumps(policy(Condition={"StringMatches": {"aws:ResourceTag/a": "b"}})),
    "unknown condition key": json.dumps(policy(Condition={"StringEquals": {"aws:SourceVpc": "vpc-1"}})),
    "member twice": json.dumps(policy()).replace('"Effect"', '"Effect": "Deny", "Effect"'),
}


@pytest.mark.parametrize("case", ILLEGAL)
def test_illegal_policy(api, bucket, case):
    invalid(api.call("PutVectorBucketPolicy", bucket.by_name, policy=ILLEGAL[case]))
    missing(api.call("GetVectorBucketPolicy", bucket.by_name), NO_POLICY)


def test_policy_of_a_missing_bucket(api):
    absent = unique_name("absent")
    missing(api.call("PutVectorBucketPolicy", vectorBucketName=absent, policy=json.dumps(policy())), NO_BUCKET)
