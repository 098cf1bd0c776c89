"""Requests that no client would send: mutations of good ones, from a seed."""

from __future__ import annotations

import copy
import json
import random
from typing import Any

IDS = {"vectorBucketName": "fuzz-bucket", "indexName": "fuzz-index"}
BUCKET = {"vectorBucketName": "fuzz-bucket"}
GOOD = [
    ("CreateVectorBucket", BUCKET | {"tags": {"a": "b"}, "encryptionConfiguration": {"sseType": "AES256"}}),
    ("GetVectorBucket", BUCKET),
    ("ListVectorBuckets", {"maxResults": 5, "prefix": "f"}),
    ("CreateIndex", IDS | {"dataType": "float32", "dimension": 4, "distanceMetric": "cosine"}),
    ("GetIndex", IDS),
    ("ListIndexes", BUCKET | {"maxResults": 5}),
    ("PutVectors", IDS | {"vectors": [{"key": "a", "data": {"float32": [1, 2, 3, 4]}, "metadata": {"m": ["x", "y"]}}]}),
    ("GetVectors", IDS | {"keys": ["a", "b"], "returnData": True}),
    ("ListVectors", IDS | {"maxResults": 10, "segmentCount": 4, "segmentIndex": 1, "keyPrefix": "a"}),
    ("QueryVectors", IDS | {"queryVector": {"float32": [1, 2, 3, 4]}, "topK": 3, "filter": {"m": {"$in": ["x", 1]}}}),
    ("DeleteVectors", IDS | {"keys": ["b"]}),
    ("DeleteVectors", IDS | {"filter": {"m": "nothing"}, "dryRun": True}),
    ("PutVectorBucketPolicy", BUCKET | {"policy": '{"Version":"2012-10-17","Statement":[]}'}),
    ("UpdateIndexMode", IDS | {"indexMode": "ENHANCED"}),
    ("UpdateMetadataConfiguration", IDS | {"add": {"textSearchConfigurations": [{"metadataKey": "m"}]}}),
]
STRANGE = [
    None,
    True,
    0,
    -1,
    2**31,
    2**63,
    -(2**64),
    1e308,
    1e-320,
    0.1,
    "",
    "a",
    "NaN",
    "Infinity",
    "\ud800",
    "\u0000",
    "🦀" * 300,
    "x" * 5000,
    "../..",
    "$eq",
    [],
    {},
    [[]],
    {"": {}},
    [None],
    {"$and": [{}]},
    [0] * 2000,
    {"$or": [{"a": 1}, {"b": {"$gt": "x"}}]},
]


def mutated(chance: random.Random) -> tuple[str, str, bytes]:
    """Method, target and body of one strange request."""
    operation, params = chance.choice(GOOD)
    params = copy.deepcopy(params)
    for _ in range(chance.randint(1, 3)):
        _mutate(chance, params)
    body = json.dumps(params).encode()
    kind = chance.random()
    if kind < 0.15:
        body = _scramble(chance, body)
    elif kind < 0.2:
        body = chance.randbytes(chance.randint(0, 200))
    target = f"/{operation}"
    if chance.random() < 0.05:
        target = "/tags/" + "".join(
            chance.choice("%3A%2Farn:/x?&=é".encode("unicode_escape").decode()) for _ in range(30)
        )
    method = "POST" if chance.random() < 0.95 else chance.choice(["GET", "PUT", "DELETE", "PATCH"])
    return method, target, body


def _mutate(chance: random.Random, value: Any) -> None:
    """Changes one place of a JSON value: replaces, removes, repeats or adds."""
    while True:
        if isinstance(value, dict) and value:
            place: Any = chance.choice(list(value))
        elif isinstance(value, list) and value:
            place = chance.randrange(len(value))
        else:
            return
        if isinstance(value[place], dict | list) and value[place] and chance.random() < 0.6:
            value = value[place]
            continue
        break
    kind = chance.random()
    if kind < 0.6:
        value[place] = copy.deepcopy(chance.choice(STRANGE))
    elif kind < 0.75:
        del value[place]
    elif isinstance(value, list):
        value.extend([copy.deepcopy(value[place])] * chance.choice((1, 10, 600)))
    else:
        value[chance.choice(["", "x", "$eq", "nextToken", "filter", "indexArn"])] = copy.deepcopy(
            chance.choice(STRANGE)
        )


def _scramble(chance: random.Random, body: bytes) -> bytes:
    """Cuts, doubles or overwrites bytes of the text."""
    position = chance.randrange(len(body))
    kind = chance.random()
    if kind < 0.4:
        return body[:position]
    if kind < 0.6:
        return body[:position] + body[position // 2 :]
    return body[:position] + bytes([chance.randrange(256)]) + body[position + 1 :]
