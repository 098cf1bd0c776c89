"""The AWS CLI runs every operation of its own model (19 in version 1.46.3), with its own parsing and paging."""

import functools
import json
import os
import re
import subprocess
from pathlib import Path

import pytest
from places import unique_name
from server import ANY_KEY, REPOSITORY, clean_environment

pytestmark = pytest.mark.cli
CLI = Path(os.environ.get("AWS_CLI", REPOSITORY / ".venvs" / "awscli" / "bin" / "aws"))
POLICY = {
    "Version": "2012-10-17",
    "Statement": [
        {
            "Effect": "Allow",
            "Principal": {"AWS": "arn:aws:iam::123456789012:root"},
            "Action": "s3vectors:*",
            "Resource": "*",
        }
    ],
}


class Cli:
    """`aws s3vectors <operation> --option value ...`; answers are parsed, refusals are kept as text."""

    def __init__(self, endpoint):
        self.endpoint = endpoint
        self.ran = set()

    def run(self, operation, *arguments, **options):
        command = [str(CLI), "s3vectors", operation, "--endpoint-url", self.endpoint, "--output", "json"]
        for name, value in options.items():
            command.append("--" + name.replace("_", "-"))
            values = value if isinstance(value, list) else [value]
            command += [item if isinstance(item, str) else json.dumps(item) for item in values]
        settings = clean_environment(
            AWS_ACCESS_KEY_ID=ANY_KEY[0],
            AWS_SECRET_ACCESS_KEY=ANY_KEY[1],
            AWS_DEFAULT_REGION="us-east-1",
            AWS_PAGER="",
            AWS_MAX_ATTEMPTS="1",
        )
        self.ran.add(operation)
        return subprocess.run(
            [*command, *arguments], capture_output=True, text=True, timeout=60, env=settings, check=False
        )

    def __call__(self, operation, *arguments, **options):
        result = self.run(operation, *arguments, **options)
        assert result.returncode == 0, result.stderr
        return json.loads(result.stdout) if result.stdout.strip() else {}

    def refused(self, operation, error, **options):
        result = self.run(operation, **options)
        assert result.returncode != 0 and error in result.stderr, result.stdout + result.stderr

    @functools.cached_property
    def offered(self):
        """The operations of the CLI's own model, from its complaint about an operation that does not exist."""
        command = [str(CLI), "s3vectors", "no-such-operation"]
        text = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False).stderr
        names = re.findall(r"\b[a-z0-9]+(?:-[a-z0-9]+)+\b", text.split("valid choices")[-1])
        return set(names) - {"no-such-operation"}


@pytest.fixture(scope="module")
def cli(endpoint):
    return Cli(endpoint)


def run_bucket_operations(cli, bucket):
    made = cli("create-vector-bucket", vector_bucket_name=bucket, tags={"team": "search"})
    assert made["vectorBucketArn"].endswith(bucket)
    found = cli("get-vector-bucket", vector_bucket_arn=made["vectorBucketArn"])["vectorBucket"]
    assert found["vectorBucketName"] == bucket
    listed = cli("list-vector-buckets", prefix=bucket)["vectorBuckets"]
    assert [row["vectorBucketName"] for row in listed] == [bucket]
    cli("put-vector-bucket-policy", vector_bucket_name=bucket, policy=POLICY)
    assert json.loads(cli("get-vector-bucket-policy", vector_bucket_name=bucket)["policy"]) == POLICY
    cli("delete-vector-bucket-policy", vector_bucket_name=bucket)
    cli.refused("get-vector-bucket-policy", "NotFoundException", vector_bucket_name=bucket)
    if "put-vector-bucket-default-index-mode" in cli.offered:
        cli("put-vector-bucket-default-index-mode", vector_bucket_name=bucket, default_index_mode="ENHANCED")


def run_index_operations(cli, bucket, ids):
    config = {"data_type": "float32", "dimension": 2, "distance_metric": "euclidean"}
    arn = cli("create-index", **ids, **config)["indexArn"]
    assert cli("get-index", index_arn=arn)["index"]["dimension"] == 2
    assert len(cli("list-indexes", vector_bucket_name=bucket)["indexes"]) == 1
    if "update-index-mode" in cli.offered:
        cli("update-index-mode", **ids, index_mode="ENHANCED")
    if "update-metadata-configuration" in cli.offered:
        add = {"textSearchConfigurations": [{"metadataKey": "body"}]}
        cli.refused("update-metadata-configuration", "ValidationException", **ids, add=add)
    cli("tag-resource", resource_arn=arn, tags={"a": "1", "b": "2"})
    cli("untag-resource", resource_arn=arn, tag_keys=["a"])
    assert cli("list-tags-for-resource", resource_arn=arn)["tags"] == {"b": "2"}
    cli.refused("create-index", "ConflictException", **ids, **config)


def run_vector_operations(cli, ids):
    records = [{"key": f"k{n:03}", "data": {"float32": [n, 0]}, "metadata": {"odd": n % 2 == 1}} for n in range(230)]
    cli("put-vectors", **ids, vectors=records)
    listed = cli("list-vectors", "--page-size", "100", **ids)["vectors"]
    assert [row["key"] for row in listed] == [row["key"] for row in records], "the CLI follows the pages by itself"
    found = cli("get-vectors", "--return-data", "--return-metadata", **ids, keys=["k007", "none"])["vectors"]
    assert found == [records[7]]
    asked = {"query_vector": {"float32": [0, 0]}, "top_k": "150", "filter": {"odd": True}}
    hits = cli("query-vectors", "--return-distance", "--return-metadata", **ids, **asked)["vectors"]
    assert [hit["key"] for hit in hits] == [f"k{n:03}" for n in range(1, 230, 2)]
    assert hits[1] == {"key": "k003", "distance": 9, "metadata": {"odd": True}}
    cli("delete-vectors", **ids, keys=["k007", "none"])
    assert cli("get-vectors", **ids, keys=["k007"])["vectors"] == []


def test_every_operation_of_the_cli(cli):
    bucket = unique_name("cli")
    ids = {"vector_bucket_name": bucket, "index_name": "tour"}
    run_bucket_operations(cli, bucket)
    run_index_operations(cli, bucket, ids)
    run_vector_operations(cli, ids)
    cli.refused("delete-vector-bucket", "ConflictException", vector_bucket_name=bucket)
    cli("delete-index", **ids)
    cli("delete-vector-bucket", vector_bucket_name=bucket)
    cli.refused("get-index", "NotFoundException", **ids)
    assert len(cli.offered) >= 19
    assert cli.ran == cli.offered
