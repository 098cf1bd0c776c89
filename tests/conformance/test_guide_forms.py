"""The raw HTTP forms of the older production guide, which real users have in their scripts."""

import json
import math

import pytest
from expect import ok
from places import index_arn, unique_name, vector

PREFIXES = ["", "/s3-vectors", "/prod", "/v1/stage/s3-vectors"]
PAIR = [
    {
        "key": "document-1",
        "data": {"float32": [0.1, 0.2, 0.3, 0.4, 0.5]},
        "metadata": {"title": "Sample Document", "category": "test", "timestamp": "2025-08-10T12:00:00Z"},
    },
    {
        "key": "document-2",
        "data": {"float32": [0.6, 0.7, 0.8, 0.9, 1.0]},
        "metadata": {"title": "Another Document", "category": "test", "timestamp": "2025-08-10T12:01:00Z"},
    },
]


class Curl:
    """`curl -X POST $BASE/<Operation> -d ...`, unsigned."""

    def __init__(self, raw, prefix):
        self.raw, self.prefix = raw, prefix

    def __call__(self, operation, **params):
        body = json.dumps(params, indent=2).encode()
        return self.raw.send("POST", f"{self.prefix}/{operation}", body, {"Content-Type": "application/json"})


@pytest.fixture(params=PREFIXES)
def curl(raw, request):
    return Curl(raw, request.param)


@pytest.fixture
def guide_index(curl):
    bucket = unique_name("guide")
    ids = {"vectorBucketName": bucket, "indexName": "my-embeddings"}
    ok(curl("CreateVectorBucket", vectorBucketName=bucket))
    ok(curl("CreateIndex", **ids, dimension=5, distanceMetric="COSINE", dataType="FLOAT32"))
    yield ids
    curl("DeleteIndex", **ids)
    curl("DeleteVectorBucket", vectorBucketName=bucket)


@pytest.mark.own_server
def test_all_thirteen_calls(curl):
    bucket = unique_name("guide")
    ids = {"vectorBucketName": bucket, "indexName": "my-embeddings"}
    assert ok(curl("CreateVectorBucket", vectorBucketName=bucket))["vectorBucketArn"].endswith(f"bucket/{bucket}")
    assert bucket in [row["vectorBucketName"] for row in ok(curl("ListVectorBuckets"))["vectorBuckets"]]
    assert ok(curl("GetVectorBucket", vectorBucketName=bucket))["vectorBucket"]["vectorBucketName"] == bucket
    ok(curl("CreateIndex", **ids, dimension=5, distanceMetric="COSINE", dataType="FLOAT32"))
    assert len(ok(curl("ListIndexes", vectorBucketName=bucket))["indexes"]) == 1
    assert ok(curl("GetIndex", **ids))["index"]["dimension"] == 5
    ok(curl("PutVectors", **ids, vectors=PAIR))
    assert len(ok(curl("ListVectors", **ids, maxResults=10))["vectors"]) == 2
    found = ok(curl("GetVectors", **ids, keys=["document-1", "document-2"], returnData=True, returnMetadata=True))
    assert [row["metadata"] for row in found["vectors"]] == [row["metadata"] for row in PAIR]
    hits = ok(
        curl(
            "QueryVectors",
            **ids,
            queryVector={"float32": [0.15, 0.25, 0.35, 0.45, 0.55]},
            topK=5,
            returnData=True,
            returnMetadata=True,
            filter={"category": "test"},
        )
    )
    assert [hit["key"] for hit in hits["vectors"]] == ["document-1", "document-2"]
    assert hits["vectors"][0]["data"]["float32"] == [0.1, 0.2, 0.3, 0.4, 0.5]
    assert hits["vectors"][0]["metadata"]["title"] == "Sample Document" and hits["distanceMetric"] == "cosine"
    for operation, params in (
        ("DeleteVectors", ids | {"keys": ["document-1"]}),
        ("DeleteIndex", ids),
        ("DeleteVectorBucket", {"vectorBucketName": bucket}),
    ):
        assert isinstance(ok(curl(operation, **params)).body, dict)


@pytest.mark.own_server
@pytest.mark.parametrize("metric", ["COSINE", "EUCLIDEAN", "Cosine", "euclidean"])
def test_enums_of_any_case_are_stored_lower_case(raw, bucket, metric):
    name = unique_name("i")
    curl = Curl(raw, "")
    ok(curl("CreateIndex", **bucket.by_name, indexName=name, dimension=2, distanceMetric=metric, dataType="Float32"))
    stored = ok(curl("GetIndex", **bucket.by_name, indexName=name))["index"]
    assert (stored["distanceMetric"], stored["dataType"]) == (metric.lower(), "float32")


@pytest.mark.own_server
def test_data_type_may_be_missing(raw, bucket):
    curl = Curl(raw, "/s3-vectors")
    ok(curl("CreateIndex", **bucket.by_name, indexName="abc", dimension=1536, distanceMetric="COSINE"))
    assert ok(curl("GetIndex", **bucket.by_name, indexName="abc"))["index"]["dataType"] == "float32"


@pytest.mark.own_server
def test_the_guides_arn_form_is_understood(raw, index):
    real = index_arn(index.bucket.name, index.name)
    guide = real.replace(":bucket/", ":vector-bucket/")
    curl = Curl(raw, "")
    assert ok(curl("GetIndex", indexArn=guide))["index"]["indexArn"] == real
    found = ok(curl("GetVectorBucket", vectorBucketArn=guide.split("/index/")[0]))["vectorBucket"]
    assert found["vectorBucketArn"] == index.bucket.arn
    ok(curl("PutVectors", indexArn=guide, vectors=[vector("a", [1, 2])]))
    assert list(index.get("a")) == ["a"]


@pytest.mark.own_server
def test_filter_with_several_fields(raw, guide_index):
    curl = Curl(raw, "")
    ok(curl("PutVectors", **guide_index, vectors=PAIR))
    both = {"category": "test", "title": "Another Document"}
    hits = ok(curl("QueryVectors", **guide_index, queryVector={"float32": [1] * 5}, topK=5, filter=both))
    assert [hit["key"] for hit in hits["vectors"]] == ["document-2"]


@pytest.mark.own_server
def test_the_guides_large_payload(raw, bucket):
    ids = bucket.by_name | {"indexName": "large-vectors"}
    curl = Curl(raw, "/s3-vectors")
    ok(curl("CreateIndex", **ids, dimension=1536, distanceMetric="COSINE"))
    records = [vector(f"vec-{n}", [0.1] * 1536, {"batch": 1, "index": n}) for n in range(100)]
    ok(curl("PutVectors", **ids, vectors=records))
    asked = {"queryVector": {"float32": [0.1] * 1536}, "topK": 5, "returnDistance": True}
    hits = ok(curl("QueryVectors", **ids, **asked))["vectors"]
    assert len(hits) == 5 and all(math.isclose(hit["distance"], 0, abs_tol=1e-6) for hit in hits)


@pytest.mark.own_server
def test_upper_case_enums_through_boto3(stock_boto3, bucket):
    """botocore does not check enums, so the guide's boto3 example reaches the server as written (plus dataType)."""
    stock_boto3.create_index(
        vectorBucketName=bucket.name, indexName="embeddings", dimension=3, distanceMetric="COSINE", dataType="FLOAT32"
    )
    found = stock_boto3.get_index(vectorBucketName=bucket.name, indexName="embeddings")["index"]
    assert (found["distanceMetric"], found["dataType"]) == ("cosine", "float32")
