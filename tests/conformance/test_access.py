"""Who may do what: a vector bucket's policy as an owner puts it, and what it means for somebody with another key."""

import json

import pytest
from expect import NO_INDEX, missing, ok, refused
from places import unique_name, vector
from server import ACCOUNT, GUEST

pytestmark = pytest.mark.two_keys
GUEST_ONLY = {"AWS": GUEST}


def allow(bucket, *actions, **changes):
    """A statement for the guest about everything in the bucket."""
    return {
        "Effect": "Allow",
        "Principal": GUEST_ONLY,
        "Action": [f"s3vectors:{action}" for action in actions],
        "Resource": [bucket.arn, f"{bucket.arn}/index/*"],
    } | changes


def put_policy(owner, bucket, *statements):
    policy = json.dumps({"Version": "2012-10-17", "Statement": list(statements)})
    ok(owner.call("PutVectorBucketPolicy", bucket.by_name, policy=policy))


def denied(answer, reason=""):
    refused(answer, "AccessDeniedException")
    assert reason in answer.message, answer.message


def query(index, **more):
    return index.by_name | {"topK": 3, "queryVector": {"float32": [0.0, 0.0]}} | more


def test_nothing_without_a_policy(guest, guarded):
    index = guarded.index()
    denied(
        guest.call("GetVectorBucket", guarded.by_name), "no identity-based policy allows the s3vectors:GetVectorBucket"
    )
    denied(guest.call("QueryVectors", query(index)))
    denied(guest.call("ListVectorBuckets"))
    denied(guest.call("CreateVectorBucket", vectorBucketName=unique_name("guest")))
    denied(guest.call("ListTagsForResource", resourceArn=index.arn))


def test_403_before_404(owner, guest, guarded):
    absent = unique_name("absent")
    denied(guest.call("GetVectorBucket", vectorBucketName=absent))
    denied(guest.call("GetIndex", guarded.by_name, indexName=absent))
    put_policy(owner, guarded, allow(guarded, "GetIndex"))
    missing(guest.call("GetIndex", guarded.by_name, indexName=absent), NO_INDEX)
    denied(guest.call("DeleteIndex", guarded.by_name, indexName=absent))


def test_reader(owner, guest, guarded):
    """May search, but neither change anything nor see metadata."""
    index = guarded.index()
    index.put(vector("a", [1, 2], {"kind": "x"}))
    put_policy(owner, guarded, allow(guarded, "QueryVectors", "ListVectors"))
    assert [hit["key"] for hit in ok(guest.call("QueryVectors", query(index)))["vectors"]] == ["a"]
    assert [row["key"] for row in ok(guest.call("ListVectors", index.by_arn))["vectors"]] == ["a"]
    for more in ({"returnMetadata": True}, {"filter": {"kind": "x"}}):
        denied(guest.call("QueryVectors", query(index, **more)), "s3vectors:GetVectors")
    for more in ({"returnMetadata": True}, {"returnData": True}):
        denied(guest.call("ListVectors", index.by_name, **more), "s3vectors:GetVectors")
    denied(guest.call("GetVectors", index.by_name, keys=["a"]))
    denied(guest.call("PutVectors", index.by_name, vectors=[vector("b", [1, 2])]))
    denied(guest.call("DeleteVectors", index.by_name, keys=["a"]))
    put_policy(owner, guarded, allow(guarded, "QueryVectors", "ListVectors", "GetVectors"))
    hits = ok(guest.call("QueryVectors", query(index, returnMetadata=True, filter={"kind": "x"})))["vectors"]
    assert hits == [{"key": "a", "metadata": {"kind": "x"}}]
    assert ok(guest.call("ListVectors", index.by_name, returnData=True))["vectors"][0]["key"] == "a"


def test_writer_sees_each_change_of_the_policy(owner, guest, guarded):
    index = guarded.index()
    put = lambda key: guest.call("PutVectors", index.by_name, vectors=[vector(key, [1, 2])])  # noqa: E731
    for turn in range(3):
        put_policy(owner, guarded, allow(guarded, "PutVectors"))
        ok(put(f"in-{turn}"))
        put_policy(owner, guarded, allow(guarded, "PutVectors"), allow(guarded, "*", Effect="Deny"))
        denied(put(f"out-{turn}"), "explicit deny in a resource-based policy")
        ok(owner.call("DeleteVectorBucketPolicy", guarded.by_name))
        denied(put(f"out-{turn}"))
    assert [row["key"] for row in index.list()] == ["in-0", "in-1", "in-2"]


def test_one_index_of_two(owner, guest, guarded):
    first, second = guarded.index(), guarded.index()
    put_policy(owner, guarded, allow(guarded, "QueryVectors", Resource=first.arn))
    ok(guest.call("QueryVectors", query(first)))
    denied(guest.call("QueryVectors", query(second)))
    put_policy(owner, guarded, allow(guarded, "QueryVectors", Resource=f"{guarded.arn}/index/*"))
    ok(guest.call("QueryVectors", query(second)))


@pytest.mark.parametrize(
    "principal",
    ["*", {"AWS": "*"}, {"AWS": ACCOUNT}, {"AWS": f"arn:aws:iam::{ACCOUNT}:root"}, {"AWS": [GUEST, f"{GUEST}x"]}],
    ids=["anyone", "any of AWS", "account", "root", "among others"],
)
def test_principals_that_include_the_guest(owner, guest, guarded, principal):
    put_policy(owner, guarded, allow(guarded, "GetVectorBucket", Principal=principal))
    ok(guest.call("GetVectorBucket", guarded.by_name))


@pytest.mark.parametrize(
    "principal",
    [{"AWS": "999999999999"}, {"AWS": f"{GUEST}x"}, {"Service": "lambda.amazonaws.com"}],
    ids=["other account", "other user", "service"],
)
def test_principals_that_do_not(owner, guest, guarded, principal):
    put_policy(owner, guarded, allow(guarded, "GetVectorBucket", Principal=principal))
    denied(guest.call("GetVectorBucket", guarded.by_name))


def test_negated_parts(owner, guest, guarded):
    everyone_else = allow(guarded, "*", Effect="Deny", NotPrincipal=GUEST_ONLY)
    del everyone_else["Principal"]
    but_deleting = allow(guarded, NotAction="s3vectors:Delete*")
    del but_deleting["Action"]
    index = guarded.index()
    put_policy(owner, guarded, everyone_else, but_deleting)
    ok(guest.call("GetIndex", index.by_name))
    denied(guest.call("DeleteIndex", index.by_name))
    denied(owner.call("GetIndex", index.by_name), "explicit deny in a resource-based policy")
    ok(owner.call("DeleteVectorBucketPolicy", guarded.by_name))


def test_conditions_on_tags(owner, guest, guarded):
    index = guarded.index(tags={"team": "search"})
    on = lambda operator, key, value: {"Condition": {operator: {key: value}}}  # noqa: E731
    put_policy(owner, guarded, allow(guarded, "*", **on("StringEquals", "aws:ResourceTag/team", "search")))
    ok(guest.call("QueryVectors", query(index)))
    denied(guest.call("GetVectorBucket", guarded.by_name))
    ok(owner.call("TagResource", resourceArn=index.arn, tags={"team": "other"}))
    denied(guest.call("QueryVectors", query(index)))
    put_policy(owner, guarded, allow(guarded, "*", **on("ForAllValues:StringLike", "aws:TagKeys", ["team", "cost*"])))
    ok(guest.call("TagResource", resourceArn=index.arn, tags={"team": "mine", "cost centre": "1"}))
    denied(guest.call("TagResource", resourceArn=index.arn, tags={"team": "mine", "owner": "me"}))
    ok(guest.call("UntagResource", resourceArn=index.arn, tagKeys=["team"]))


def test_an_owner_cannot_lock_itself_out(owner, guarded):
    put_policy(owner, guarded, allow(guarded, "*", Effect="Deny", Principal="*"))
    denied(owner.call("GetVectorBucket", guarded.by_name))
    assert "Deny" in ok(owner.call("GetVectorBucketPolicy", guarded.by_name))["policy"]
    ok(owner.call("DeleteVectorBucketPolicy", guarded.by_name))
    ok(owner.call("GetVectorBucket", guarded.by_name))


def test_a_new_bucket_of_the_same_name_has_no_policy(owner, guest, guarded):
    put_policy(owner, guarded, allow(guarded, "*"))
    index = guarded.index()
    ok(guest.call("QueryVectors", query(index)))
    guarded.remove()
    ok(owner.call("CreateVectorBucket", vectorBucketName=guarded.name))
    ok(owner.call("CreateIndex", index.by_name, dataType="float32", dimension=2, distanceMetric="euclidean"))
    denied(guest.call("QueryVectors", query(index)))
    denied(guest.call("GetIndex", index.by_name))
