"""Buckets and indexes for tests: unique names, removed afterwards, with the few calls every test repeats."""

from __future__ import annotations

import itertools
import os
import secrets
from typing import Any

from caller import Caller
from expect import ok
from server import ACCOUNT, REGION

_COUNTER = itertools.count()
_RUN = f"{os.getpid()}-{secrets.token_hex(3)}"


def unique_name(hint: str = "t") -> str:
    return f"{hint}-{_RUN}-{next(_COUNTER)}"


def bucket_arn(bucket: str, account: str = ACCOUNT) -> str:
    return f"arn:aws:s3vectors:{REGION}:{account}:bucket/{bucket}"


def index_arn(bucket: str, index: str, account: str = ACCOUNT) -> str:
    return f"{bucket_arn(bucket, account)}/index/{index}"


def vector(key: str, values: list[float], metadata: Any = None) -> dict[str, Any]:
    """One record of PutVectors; without metadata when none is given."""
    record = {"key": key, "data": {"float32": values}}
    return record if metadata is None else record | {"metadata": metadata}


class Bucket:
    """A vector bucket that a test made."""

    def __init__(self, api: Caller, **settings: Any):
        self.api = api
        self.name = settings.pop("name", None) or unique_name()
        self.arn = bucket_arn(self.name)
        self.by_name = {"vectorBucketName": self.name}
        self.by_arn = {"vectorBucketArn": self.arn}
        ok(api.call("CreateVectorBucket", vectorBucketName=self.name, **settings))

    def index(self, name: str | None = None, dimension: int = 2, metric: str = "euclidean", **settings: Any) -> Index:
        return Index(self, name or unique_name("i"), dimension, metric, **settings)

    def index_names(self) -> list[str]:
        return [row["indexName"] for page in self._index_pages() for row in page]

    def _index_pages(self) -> Any:
        token: dict[str, str] = {}
        while True:
            page = ok(self.api.call("ListIndexes", self.by_name, **token))
            yield page["indexes"]
            if not page.body.get("nextToken"):
                return
            token = {"nextToken": page["nextToken"]}

    def remove(self) -> None:
        """Leaves nothing behind; fine when the test has removed (parts of) it already."""
        if self.api.call("GetVectorBucket", self.by_name).status == 404:
            return
        for name in self.index_names():
            self.api.call("DeleteIndex", self.by_name, indexName=name)
        self.api.call("DeleteVectorBucket", self.by_name)


class Index:
    """An index that a test made. Read methods return plain lists and dicts, `call` the whole answer."""

    def __init__(self, bucket: Bucket, name: str, dimension: int, metric: str, **settings: Any):
        self.bucket = bucket
        self.name = name
        self.arn = index_arn(bucket.name, name)
        self.by_name = {"vectorBucketName": bucket.name, "indexName": name}
        self.by_arn = {"indexArn": self.arn}
        config = {"dataType": "float32", "dimension": dimension, "distanceMetric": metric} | settings
        ok(bucket.api.call("CreateIndex", self.by_name, **config))

    def call(self, operation: str, **params: Any) -> Any:
        return self.bucket.api.call(operation, self.by_name, **params)

    def put(self, *records: dict[str, Any]) -> None:
        """Stores any number of records, 500 a call."""
        for start in range(0, len(records), 500):
            ok(self.call("PutVectors", vectors=list(records[start : start + 500])))

    def delete(self, *keys: str) -> None:
        ok(self.call("DeleteVectors", keys=list(keys)))

    def get(self, *keys: str) -> dict[str, dict[str, Any]]:
        """key -> record with data and metadata, for the keys that exist."""
        found = ok(self.call("GetVectors", keys=list(keys), returnData=True, returnMetadata=True))["vectors"]
        return {record["key"]: record for record in found}

    def list(self, **params: Any) -> list[dict[str, Any]]:
        """Every page's records, in the order in which they came."""
        return [record for page in self.list_pages(**params) for record in page]

    def list_pages(self, **params: Any) -> Any:
        token: dict[str, str] = {}
        while True:
            page = ok(self.call("ListVectors", **params, **token))
            yield page["vectors"]
            if not page.body.get("nextToken"):
                return
            token = {"nextToken": page["nextToken"]}

    def query(self, values: list[float], top_k: int = 10, **params: Any) -> list[dict[str, Any]]:
        """The hits of all pages, with distances."""
        return [hit for page in self.query_pages(values, top_k, **params) for hit in page["vectors"]]

    def query_pages(self, values: list[float], top_k: int = 10, **params: Any) -> Any:
        wanted = {"queryVector": {"float32": values}, "topK": top_k, "returnDistance": True} | params
        token: dict[str, str] = {}
        while True:
            page = ok(self.call("QueryVectors", **wanted, **token))
            yield page
            if not page.body.get("nextToken"):
                return
            token = {"nextToken": page["nextToken"]}

    def matching(self, condition: Any, near: list[float] | None = None) -> list[str]:
        """Sorted keys of the vectors that a filter lets through."""
        return sorted(hit["key"] for hit in self.query(near or [0.0, 0.0], 10000, filter=condition))
