"""infra/client: what boto3 clients of a deployment on Lambda may add, against a server behind Lambda's limits."""

import os
import random
import shutil
import subprocess
import sys
from datetime import UTC, datetime

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError
from lambda_limits import EVENT_BYTES, LambdaLimits
from server import ANY_KEY, OWNER_KEY, REGION, REPOSITORY, clean_environment
from signing import Signer
from test_programs import AWS_CLI

CLIENT = REPOSITORY / "infra" / "client"
sys.path.insert(0, str(CLIENT))

from genai_vectors_client import sign_as_execute_api, split_large_requests  # noqa: E402

BUCKET, DIMENSION = "split-requests", 1536
# The largest request that the splitting may leave room in: a vector is 34 KB, and 16 KB are kept for headers.
NEARLY_FULL = EVENT_BYTES - 64 * 1024


def client(endpoint, key):
    config = Config(retries={"total_max_attempts": 1})
    return boto3.client(
        "s3vectors",
        endpoint_url=endpoint,
        region_name=REGION,
        aws_access_key_id=key[0],
        aws_secret_access_key=key[1],
        config=config,
    )


@pytest.fixture
def limits(server):
    with LambdaLimits(server.endpoint) as limits:
        limits.key = OWNER_KEY if server.auth == "keys" else ANY_KEY
        yield limits


@pytest.fixture
def index(limits, request):
    """The members that name an index of its own; 4,096 dimensions by parameter."""
    s3vectors = client(limits.endpoint, limits.key)
    names = {"vectorBucketName": BUCKET, "indexName": f"i{abs(hash(request.node.name)):x}"}
    if not any(bucket["vectorBucketName"] == BUCKET for bucket in s3vectors.list_vector_buckets()["vectorBuckets"]):
        s3vectors.create_vector_bucket(vectorBucketName=BUCKET)
    s3vectors.create_index(
        **names,
        dataType="float32",
        dimension=getattr(request, "param", DIMENSION),
        distanceMetric="euclidean",
        metadataConfiguration={"nonFilterableMetadataKeys": ["text"]},
    )
    limits.seen.clear()
    yield names
    s3vectors.delete_index(**names)


def batch(count, dimension=DIMENSION, **metadata):
    """Seeded numbers of 18 digits, as embeddings print."""
    source = random.Random(7)
    one = [source.gauss(0, 1) for _ in range(dimension)]
    return [
        {"key": f"k{n}", "data": {"float32": [float(n), *one[1:]]}, **({"metadata": metadata} if metadata else {})}
        for n in range(count)
    ]


def first_value(s3vectors, index, key):
    (vector,) = s3vectors.get_vectors(**index, keys=[key], returnData=True)["vectors"]
    return vector["data"]["float32"][0]


def test_a_large_put_without_it(limits, index):
    with pytest.raises(ClientError) as refused:
        client(limits.endpoint, limits.key).put_vectors(**index, vectors=batch(500))
    assert refused.value.response["Error"]["Code"] == "413"


def test_a_large_put_is_split(limits, index):
    s3vectors = split_large_requests(client(limits.endpoint, limits.key))
    vectors = batch(500)
    vectors[-1] = vectors[-1] | {"key": vectors[0]["key"]}
    vectors[-2] = vectors[-2] | {"key": vectors[-3]["key"]}
    s3vectors.put_vectors(**index, vectors=vectors)
    sizes = [seen.event_bytes for seen in limits.seen]
    assert len(sizes) == 3 and max(sizes) <= EVENT_BYTES
    assert all(size > NEARLY_FULL for size in sizes[:-1]), "no more requests than needed"
    listed = s3vectors.get_paginator("list_vectors").paginate(**index)
    assert sum(len(page["vectors"]) for page in listed) == 498
    # The last of duplicate keys wins, within a request and across them.
    assert first_value(s3vectors, index, "k0") == 499
    assert first_value(s3vectors, index, "k497") == 498
    assert first_value(s3vectors, index, "k250") == 250


def test_a_put_that_fits_is_not_touched(limits, index):
    plain, splitting = client(limits.endpoint, limits.key), split_large_requests(client(limits.endpoint, limits.key))
    for s3vectors in (plain, splitting):
        s3vectors.put_vectors(**index, vectors=batch(150, text='ä"\\'))
    first, second = limits.seen
    assert first.body == second.body


@pytest.mark.parametrize("index", [2], indirect=True)
def test_escapes_are_counted(limits, index):
    """Metadata that is twice as large inside an event: every character is an escape, and its backslash another."""
    s3vectors = split_large_requests(client(limits.endpoint, limits.key))
    s3vectors.put_vectors(**index, vectors=batch(500, dimension=2, text='"\\' * 8_000))
    assert len(limits.seen) > 1
    assert all(seen.status == 200 and seen.event_bytes <= EVENT_BYTES for seen in limits.seen)


def test_what_fails_half_way(limits, index):
    """As documented: what came before is stored, what comes behind is not, and the whole may be put again."""
    s3vectors = split_large_requests(client(limits.endpoint, limits.key))
    limits.fail_at = 1
    vectors = batch(500)
    with pytest.raises(ClientError) as failed:
        s3vectors.put_vectors(**index, vectors=vectors)
    assert "asked to fail" in str(failed.value) and len(limits.seen) == 2
    stored = s3vectors.get_vectors(**index, keys=["k0", "k200", "k499"])["vectors"]
    assert [vector["key"] for vector in stored] == ["k0"]
    s3vectors.put_vectors(**index, vectors=vectors)
    assert first_value(s3vectors, index, "k499") == 499


def test_more_than_500_vectors_are_refused_as_always(limits, index):
    with pytest.raises(ClientError):
        split_large_requests(client(limits.endpoint, limits.key)).put_vectors(**index, vectors=batch(501))
    assert len(limits.seen) == 1


@pytest.mark.parametrize("index", [4096], indirect=True)
def test_a_large_answer_is_asked_for_in_parts(limits, index):
    """100 vectors of the largest dimension with 30 KB of metadata each: more than an answer may have."""
    s3vectors = split_large_requests(client(limits.endpoint, limits.key))
    s3vectors.put_vectors(**index, vectors=batch(100, dimension=4096, text="t" * 30_000))
    keys = [f"k{n}" for n in reversed(range(100))]
    ask = index | {"keys": [*keys[:99], keys[0]], "returnData": True, "returnMetadata": True}
    with pytest.raises(ClientError, match="keys at a time"):
        client(limits.endpoint, limits.key).get_vectors(**ask)
    answer = s3vectors.get_vectors(**ask)
    assert [vector["key"] for vector in answer["vectors"]] == keys[:99]
    assert [vector["data"]["float32"][0] for vector in answer["vectors"]] == list(range(99, 0, -1))
    assert answer["ResponseMetadata"]["HTTPStatusCode"] == 200
    # Other refusals stay what they are.
    with pytest.raises(ClientError, match="could not be found"):
        s3vectors.get_vectors(**ask | {"indexName": "nowhere"})


def assert_signed_for_api_gateway(seen, key):
    """The signature is the one that a signer for execute-api makes over the same request."""
    headers = {name.lower(): value for name, value in seen.headers.items()}
    authorization = headers["authorization"]
    assert "/us-east-1/execute-api/aws4_request" in authorization
    names = authorization.split("SignedHeaders=")[1].split(",")[0].split(";")
    moment = datetime.strptime(headers["x-amz-date"], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    signer = Signer(*key, service="execute-api", skew=moment - datetime.now(UTC))
    signed = signer.sign("POST", seen.path, {n: headers[n] for n in names if n != "x-amz-date"}, seen.body)
    assert signed["authorization"] == authorization


def test_signatures_for_api_gateway():
    with LambdaLimits() as stub:
        s3vectors = sign_as_execute_api(split_large_requests(client(stub.endpoint, OWNER_KEY)))
        s3vectors.put_vectors(vectorBucketName="b" * 3, indexName="i" * 3, vectors=batch(300))
    assert len(stub.seen) == 2
    for seen in stub.seen:
        assert_signed_for_api_gateway(seen, OWNER_KEY)


@pytest.mark.parametrize("program", ["boto3", "cli"])
def test_the_model_alone_signs_for_api_gateway(program):
    """AWS_DATA_PATH leads the CLI, and programs on boto3 that cannot be changed, to a service model with the name."""
    ask = f"import boto3; boto3.client('s3vectors', endpoint_url='%s').get_index(indexArn='{'a' * 40}')"
    with LambdaLimits() as stub:
        commands = {
            "boto3": [sys.executable, "-c", ask % stub.endpoint],
            "cli": [AWS_CLI, "s3vectors", "get-index", "--index-arn", "a" * 40, "--endpoint-url", stub.endpoint],
        }
        environment = clean_environment(
            AWS_DATA_PATH=str(CLIENT / "models"),
            AWS_ACCESS_KEY_ID=OWNER_KEY[0],
            AWS_SECRET_ACCESS_KEY=OWNER_KEY[1],
            AWS_DEFAULT_REGION=REGION,
            PATH=os.environ["PATH"],
        )
        subprocess.run(commands[program], env=environment, check=True, timeout=60, stdout=subprocess.DEVNULL)
    (seen,) = stub.seen
    assert_signed_for_api_gateway(seen, OWNER_KEY)


def test_it_can_be_installed(tmp_path):
    source = shutil.copytree(CLIENT, tmp_path / "source")
    command = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--wheel-dir", tmp_path, source]
    subprocess.run(command, check=True, capture_output=True, timeout=120)
    (wheel,) = tmp_path.glob("genai_vectors_client-*.whl")
    code = "import genai_vectors_client; print(genai_vectors_client.__file__)"
    environment = clean_environment(PYTHONPATH=str(wheel))
    ran = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert str(wheel) in ran.stdout
