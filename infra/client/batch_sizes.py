#!/usr/bin/env python3
"""How many vectors one PutVectors may have on AWS Lambda, by dimension, as boto3 encodes them.

batch_sizes.py prints the table, --update writes it into the README, --check compares the README's with it.

Vectors are random, seeded, and of unit length, with keys of 36 characters: text of other numbers is a little longer or
shorter.
"""

from __future__ import annotations

import json
import random
import struct
import sys
from pathlib import Path

from genai_vectors_client import FRAME_BYTES, MAX_EVENT_BYTES, MAX_VECTORS, SEPARATOR, event_bytes

README = Path(__file__).resolve().parents[2] / "README.md"
BEGIN, END = "<!-- batches:begin -->\n", "<!-- batches:end -->\n"
DIMENSIONS = 256, 384, 512, 768, 1024, 1536, 2048, 3072, 4096
SAMPLES = 32
METADATA_BYTES = 1024


def vector(dimension: int, metadata: bool) -> dict:
    """float32 as Python prints it: the digits of the double that it is."""
    numbers = [random.gauss(0, 1) for _ in range(dimension)]
    length = sum(number * number for number in numbers) ** 0.5
    values = struct.unpack(f"{dimension}f", struct.pack(f"{dimension}f", *(number / length for number in numbers)))
    made = {"key": "k" * 36, "data": {"float32": list(values)}}
    return made | ({"metadata": {"text": "t" * METADATA_BYTES}} if metadata else {})


def fitting(dimension: int, metadata: bool) -> tuple[int, int]:
    """Bytes of one vector inside an event, and how many fit."""
    sizes = [event_bytes(json.dumps(vector(dimension, metadata)).encode()) + len(SEPARATOR) for _ in range(SAMPLES)]
    names = {"vectorBucketName": "b" * 63, "indexName": "i" * 63, "vectors": []}
    room = MAX_EVENT_BYTES - FRAME_BYTES - event_bytes(json.dumps(names).encode())
    # Rounded up, so that the promise holds for vectors that print longer than these.
    size = max(sizes)
    return size, min(room // size, MAX_VECTORS)


def table() -> str:
    random.seed(1)
    lines = ["| dimension | bytes per vector | vectors per request | with 1 KB of metadata each |", "|--:|--:|--:|--:|"]
    for dimension in DIMENSIONS:
        size, count = fitting(dimension, metadata=False)
        lines.append(f"| {dimension} | {size:,} | {count} | {fitting(dimension, metadata=True)[1]} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    made = table()
    if not sys.argv[1:]:
        print(made, end="")
        return
    before, rest = README.read_text(encoding="utf-8").split(BEGIN)
    current, after = rest.split(END)
    if sys.argv[1] == "--update":
        README.write_text(before + BEGIN + made + END + after, encoding="utf-8")
    elif current != made:
        sys.exit("the README's table is not what infra/client/batch_sizes.py prints")


if __name__ == "__main__":
    main()
