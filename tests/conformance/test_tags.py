"""Tags of buckets and indexes: on creation, merged, removed, limited, and gone with what they were on."""

import re
from urllib.parse import quote

import pytest
from expect import invalid, missing, ok, refused
from places import Bucket, bucket_arn, index_arn, unique_name

PATTERN = "Member must satisfy regular expression pattern: "
RESERVED = "System tags cannot be added/updated by requester"


@pytest.fixture(params=["bucket", "index"])
def arn(request, bucket):
    return bucket.arn if request.param == "bucket" else bucket.index().arn


def tags_of(api, arn):
    return ok(api.call("ListTagsForResource", resourceArn=arn))["tags"]


def test_no_tags(api, arn):
    assert tags_of(api, arn) == {}


def test_tag_merge_overwrite_untag(api, arn):
    assert ok(api.call("TagResource", resourceArn=arn, tags={"a": "1", "b": "2"})).body == {}
    ok(api.call("TagResource", resourceArn=arn, tags={"b": "3", "c": ""}))
    assert tags_of(api, arn) == {"a": "1", "b": "3", "c": ""}
    assert ok(api.call("UntagResource", resourceArn=arn, tagKeys=["a", "c", "never"])).body == {}
    assert tags_of(api, arn) == {"b": "3"}


def test_tags_on_creation(api):
    bucket = Bucket(api, tags={"team": "search", "cost centre": "42"})
    index = bucket.index(tags={"kind": "index"})
    assert tags_of(api, bucket.arn) == {"team": "search", "cost centre": "42"}
    assert tags_of(api, index.arn) == {"kind": "index"}
    bucket.remove()


def test_tags_go_with_their_resource(api, bucket):
    index = bucket.index(tags={"old": "1"})
    ok(index.call("DeleteIndex"))
    missing(api.call("ListTagsForResource", resourceArn=index.arn), "The specified resource could not be found")
    assert tags_of(api, bucket.index(index.name).arn) == {}


@pytest.mark.parametrize("operation", ["TagResource", "UntagResource", "ListTagsForResource"])
@pytest.mark.parametrize(
    "what", ["bucket", "index", "index of a bucket that exists", "foreign account", "dotted bucket"]
)
def test_unknown_resource(api, shared_bucket, operation, what):
    arns = {
        "bucket": bucket_arn(unique_name("absent")),
        "index": index_arn(unique_name("absent"), "abc"),
        "index of a bucket that exists": index_arn(shared_bucket.name, "absent"),
        "foreign account": bucket_arn(shared_bucket.name, "999999999999"),
        "dotted bucket": bucket_arn("a.b"),
    }
    more = {"TagResource": {"tags": {"a": "b"}}, "UntagResource": {"tagKeys": ["a"]}}.get(operation, {})
    missing(api.call(operation, resourceArn=arns[what], **more), "The specified resource could not be found")


LEGAL = {
    "longest key": {"k" * 128: "v"},
    "longest value": {"k": "v" * 256},
    "empty value": {"k": ""},
    "all punctuation": {"a_.:/=+-@": "_.:/=+-@ x"},
    "leading space": {" k": "v"},
    "letters of the world": {"ключ": "値", "élan": "ß"},
    "value may say aws:": {"k": "aws:thing"},
    "fifty": {f"k{n}": str(n) for n in range(50)},
}


@pytest.mark.parametrize("case", LEGAL)
def test_legal_tags(api, bucket, case):
    ok(api.call("TagResource", resourceArn=bucket.arn, tags=LEGAL[case]))
    assert tags_of(api, bucket.arn) == LEGAL[case]
    ok(api.call("UntagResource", resourceArn=bucket.arn, tagKeys=list(LEGAL[case])))
    assert tags_of(api, bucket.arn) == {}


ILLEGAL = {
    "51": ({f"k{n}": "" for n in range(51)}, "Too many tags specified"),
    "system key": ({"aws:x": "v"}, RESERVED),
    "upper-case system key": ({"AWS:x": "v"}, None),
    "empty key": ({"": "v"}, None),
    "long key": ({"k" * 129: "v"}, None),
    "long value": ({"k": "v" * 257}, None),
    "bad character in value": ({"k": "a*b"}, re.compile("'/tags/k'.*" + PATTERN)),
    "bad character in key": ({"a*b": "v"}, re.compile("'/tags'.*" + PATTERN)),
    "emoji": ({"k": "🦀"}, re.compile(PATTERN)),
    "newline": ({"k": "a\nb"}, re.compile(PATTERN)),
}


@pytest.mark.parametrize("case", ILLEGAL)
def test_illegal_tags(api, shared_bucket, case):
    tags, message = ILLEGAL[case]
    invalid(api.call("TagResource", resourceArn=shared_bucket.arn, tags=tags), message)
    assert tags_of(api, shared_bucket.arn) == {}


def test_illegal_tags_prevent_creation(api, shared_bucket):
    name = unique_name("never")
    invalid(api.call("CreateVectorBucket", vectorBucketName=name, tags={"aws:x": "v"}), RESERVED)
    missing(api.call("GetVectorBucket", vectorBucketName=name), "The specified vector bucket could not be found")
    answer = api.call(
        "CreateIndex",
        shared_bucket.by_name,
        indexName="never",
        dataType="float32",
        dimension=2,
        distanceMetric="cosine",
        tags={f"k{n}": "" for n in range(51)},
    )
    invalid(answer, "Too many tags specified")
    assert "never" not in shared_bucket.index_names()


def test_fifty_one_by_merging(api, bucket):
    ok(api.call("TagResource", resourceArn=bucket.arn, tags={f"k{n}": "" for n in range(50)}))
    ok(api.call("TagResource", resourceArn=bucket.arn, tags={"k0": "changed"}))
    invalid(api.call("TagResource", resourceArn=bucket.arn, tags={"one more": ""}), re.compile("[Tt]oo many tags"))
    assert len(tags_of(api, bucket.arn)) == 50


@pytest.mark.parametrize("arn", ["nonsense", "arn:aws:s3:::bucket", "arn:aws:s3vectors:us-east-1:123456789012:table/x"])
def test_malformed_resource_arn(api, arn):
    answer = api.call("ListTagsForResource", resourceArn=arn)
    assert answer.error in ("ValidationException", "NotFoundException")


@pytest.mark.parametrize("encoding", ["encoded", "plain", "colons only", "slashes only"])
@pytest.mark.parametrize("prefix", ["", "/s3-vectors", "/prod"])
def test_arn_in_the_path(raw, bucket, encoding, prefix):
    arn = bucket.index().arn
    path = {
        "encoded": quote(arn, safe=""),
        "plain": arn,
        "colons only": quote(arn, safe="/"),
        "slashes only": quote(arn, safe=":"),
    }[encoding]
    target = f"{prefix}/tags/{path}"
    ok(raw.send("POST", target, b'{"tags":{"a":"1","b/c":"2"}}', {"Content-Type": "application/json"}))
    assert ok(raw.send("GET", target))["tags"] == {"a": "1", "b/c": "2"}
    ok(raw.send("DELETE", target + "?tagKeys=a&tagKeys=b%2Fc"))
    assert ok(raw.send("GET", target))["tags"] == {}


@pytest.mark.parametrize("method", ["PUT", "PATCH", "HEAD"])
def test_other_methods(raw, shared_bucket, method):
    answer = raw.send(method, "/tags/" + quote(shared_bucket.arn, safe=""))
    assert 400 <= answer.status < 500 and answer.headers.get("x-amzn-requestid")


@pytest.mark.parametrize(
    "body", [b"", b"{}", b'{"tags":null}', b'{"tags":[]}', b'{"tags":{"a":1}}', b'{"tags":{"a":null}}']
)
def test_malformed_tags(raw, shared_bucket, body):
    target = "/tags/" + quote(shared_bucket.arn, safe="")
    answer = raw.send("POST", target, body, {"Content-Type": "application/json"})
    assert answer.status == 400 and answer.error in ("ValidationException", "SerializationException")


def test_untag_without_keys(raw, shared_bucket):
    refused(raw.send("DELETE", "/tags/" + quote(shared_bucket.arn, safe="")), "ValidationException")
