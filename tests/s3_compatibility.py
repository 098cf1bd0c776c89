#!/usr/bin/env python3
"""Runs every S3 Vectors operation of the installed boto3 against a deployment and prints one line for each.

Needs only boto3. Works in a vector bucket of its own and removes it at the end, also after a failure:

    python tests/s3_compatibility.py --endpoint-url http://localhost:8080
"""

from __future__ import annotations

import argparse
import json
import sys
import time
import uuid
from collections.abc import Callable
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

POLICY = {
    "Version": "2012-10-17",
    "Statement": [
        {
            "Effect": "Allow",
            "Principal": {"AWS": "arn:aws:iam::123456789012:root"},
            "Action": "s3vectors:QueryVectors",
            "Resource": "*",
        }
    ],
}
INDEX = "compatibility"


class NotAsDocumented(Exception):
    """An answer that arrived, and is not what the API promises."""


def expect(holds: bool, complaint: str) -> None:
    if not holds:
        raise NotAsDocumented(complaint)


class Tour:
    """One method per operation, in an order in which each finds what it needs; each checks what it gets."""

    def __init__(self, client: Any):
        self.client = client
        self.bucket = f"compat-{int(time.time())}-{uuid.uuid4().hex[:8]}"
        self.ids = {"vectorBucketName": self.bucket, "indexName": INDEX}
        self.bucket_arn = self.index_arn = ""

    def create_vector_bucket(self) -> None:
        answer = self.client.create_vector_bucket(vectorBucketName=self.bucket)
        self.bucket_arn = answer.get("vectorBucketArn", "")

    def get_vector_bucket(self) -> None:
        found = self.client.get_vector_bucket(vectorBucketName=self.bucket)["vectorBucket"]
        expect(found["vectorBucketName"] == self.bucket, f"another bucket: {found}")
        expect(found["creationTime"].year > 2000, f"no creation time: {found}")
        self.bucket_arn = found["vectorBucketArn"]

    def list_vector_buckets(self) -> None:
        rows = self.client.list_vector_buckets(prefix=self.bucket)["vectorBuckets"]
        expect([row["vectorBucketName"] for row in rows] == [self.bucket], f"listed {rows}")

    def put_vector_bucket_default_index_mode(self) -> None:
        self.client.put_vector_bucket_default_index_mode(vectorBucketName=self.bucket, defaultIndexMode="ENHANCED")

    def put_vector_bucket_policy(self) -> None:
        self.client.put_vector_bucket_policy(vectorBucketName=self.bucket, policy=json.dumps(POLICY))

    def get_vector_bucket_policy(self) -> None:
        stored = json.loads(self.client.get_vector_bucket_policy(vectorBucketName=self.bucket)["policy"])
        expect(stored["Statement"][0]["Effect"] == "Allow", f"stored policy: {stored}")

    def delete_vector_bucket_policy(self) -> None:
        self.client.delete_vector_bucket_policy(vectorBucketName=self.bucket)

    def create_index(self) -> None:
        self.client.create_index(**self.ids, dataType="float32", dimension=3, distanceMetric="cosine")

    def get_index(self) -> None:
        found = self.client.get_index(**self.ids)["index"]
        expect((found["dimension"], found["distanceMetric"]) == (3, "cosine"), f"described as {found}")
        self.index_arn = found["indexArn"]

    def list_indexes(self) -> None:
        rows = self.client.list_indexes(vectorBucketName=self.bucket)["indexes"]
        expect([row["indexName"] for row in rows] == [INDEX], f"listed {rows}")

    def update_index_mode(self) -> None:
        self.client.update_index_mode(**self.ids, indexMode="ENHANCED")

    def update_metadata_configuration(self) -> None:
        """Full-text search is not built yet: the documented answer is a refusal that says so."""
        try:
            add = {"textSearchConfigurations": [{"metadataKey": "body"}]}
            self.client.update_metadata_configuration(**self.ids, add=add)
        except ClientError as error:
            said = error.response["Error"]
            expect(said["Code"] == "ValidationException" and "full-text" in said["Message"].lower(), str(error))

    def tag_resource(self) -> None:
        self.client.tag_resource(resourceArn=self.index_arn, tags={"team": "search", "stage": "test"})

    def list_tags_for_resource(self) -> None:
        tags = self.client.list_tags_for_resource(resourceArn=self.index_arn)["tags"]
        expect(tags == {"team": "search", "stage": "test"}, f"tags {tags}")

    def untag_resource(self) -> None:
        self.client.untag_resource(resourceArn=self.index_arn, tagKeys=["stage"])

    def put_vectors(self) -> None:
        rows = {"red": [1.0, 0.0, 0.0], "orange": [0.9, 0.3, 0.0], "blue": [0.0, 0.0, 1.0]}
        vectors = [
            {"key": key, "data": {"float32": data}, "metadata": {"length": len(key), "warm": key != "blue"}}
            for key, data in rows.items()
        ]
        self.client.put_vectors(**self.ids, vectors=vectors)

    def get_vectors(self) -> None:
        flags = {"returnData": True, "returnMetadata": True}
        rows = self.client.get_vectors(**self.ids, keys=["red", "none"], **flags)["vectors"]
        wanted = [{"key": "red", "data": {"float32": [1.0, 0.0, 0.0]}, "metadata": {"length": 3, "warm": True}}]
        expect(rows == wanted, f"got {rows}")

    def list_vectors(self) -> None:
        keys = sorted(row["key"] for row in self.client.list_vectors(**self.ids)["vectors"])
        expect(keys == ["blue", "orange", "red"], f"listed {keys}")

    def query_vectors(self) -> None:
        asked = {"queryVector": {"float32": [1.0, 0.1, 0.0]}, "returnDistance": True, "returnMetadata": True}
        hits = self.client.query_vectors(**self.ids, **asked, topK=2)["vectors"]
        expect([hit["key"] for hit in hits] == ["red", "orange"], f"found {hits}")
        expect(hits[0]["distance"] <= hits[1]["distance"], f"not in order: {hits}")
        cold = self.client.query_vectors(**self.ids, **asked, topK=2, filter={"warm": False})["vectors"]
        expect([hit["key"] for hit in cold] == ["blue"], f"the filter found {cold}")

    def delete_vectors(self) -> None:
        self.client.delete_vectors(**self.ids, keys=["red", "none"])
        left = self.client.get_vectors(**self.ids, keys=["red", "blue"])["vectors"]
        expect([row["key"] for row in left] == ["blue"], f"left {left}")

    def delete_index(self) -> None:
        self.client.delete_index(**self.ids)
        expect(self.client.list_indexes(vectorBucketName=self.bucket)["indexes"] == [], "still listed")

    def delete_vector_bucket(self) -> None:
        self.client.delete_vector_bucket(vectorBucketName=self.bucket)
        try:
            self.client.get_vector_bucket(vectorBucketName=self.bucket)
        except ClientError as error:
            expect(error.response["Error"]["Code"] == "NotFoundException", str(error))
        else:
            raise NotAsDocumented("still there")

    def clean_up(self) -> None:
        """Whatever failed, nothing stays behind. Already gone is fine."""
        for remove in (lambda: self.client.delete_index(**self.ids), self._delete_bucket):
            try:
                remove()
            except Exception as error:
                if "NotFound" not in type(error).__name__:
                    print(f"   (cleaning up: {error})", file=sys.stderr)

    def _delete_bucket(self) -> None:
        self.client.delete_vector_bucket(vectorBucketName=self.bucket)


ORDER = [name for name in vars(Tour) if not name.startswith("_") and name != "clean_up"]


def run(step: Callable[[], None] | None) -> str | None:
    """The complaint; None when all is well."""
    if step is None:
        return "this script knows no check for it"
    try:
        step()
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return None


def snake(operation: str) -> str:
    return "".join(f"_{c.lower()}" if c.isupper() else c for c in operation).lstrip("_")


def client_for(endpoint: str, region: str) -> Any:
    """The caller's own credentials when there are any; a server without keys takes anything."""
    session = boto3.Session()
    known = {} if session.get_credentials() else {"aws_access_key_id": "test", "aws_secret_access_key": "test"}
    config = Config(retries={"total_max_attempts": 3}, connect_timeout=5, read_timeout=60)
    return session.client("s3vectors", endpoint_url=endpoint, region_name=region, config=config, **known)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--endpoint-url", default="http://localhost:8080", help="default: %(default)s")
    parser.add_argument("--region", default=boto3.Session().region_name or "us-east-1", help="default: %(default)s")
    options = parser.parse_args()
    client = client_for(options.endpoint_url, options.region)
    tour = Tour(client)
    offered = [snake(operation) for operation in client.meta.service_model.operation_names]
    ordered = [name for name in ORDER if name in offered]
    ordered += sorted(set(offered) - set(ordered))
    print(f"🧪 {len(ordered)} S3 Vectors operations of boto3 {boto3.__version__} against {options.endpoint_url}")
    passed = 0
    try:
        for number, name in enumerate(ordered, 1):
            complaint = run(getattr(tour, name, None))
            passed += complaint is None
            print(f"{number:2}. {'❌' if complaint else '✅'} {name}" + (f": {complaint}" if complaint else ""))
    finally:
        tour.clean_up()
    print(f"🏆 Overall: {passed}/{len(ordered)} commands passed ({100 * passed / len(ordered):.1f}%)")
    if passed < len(ordered):
        return 1
    print("🎉 All S3 vectors API commands working perfectly!")
    return 0


if __name__ == "__main__":
    sys.exit(main())
