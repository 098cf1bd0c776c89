"""An index on a running server, and beside it what it must contain: every answer is checked against that.

Wrong answers (a deleted key, an old version, a row that the filter excludes, too few rows, a wrong distance or order)
are AssertionErrors at once; only recall is measured.
"""

from __future__ import annotations

import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from attributes import Attributes, Predicate
from server import Server, binary, clean_environment
from settled import Settled, wait_until_settled
from truth import Truth, recall
from wire import JSON_TYPE, RawClient, to_json

BATCH = 500
ROW_GROUP = 20_000
BUCKET = "recall"


@dataclass
class Corpus:
    """Rows, queries that are no rows, new values for overwriting, and optionally metadata."""

    name: str
    keys: list[str]
    vectors: np.ndarray
    queries: np.ndarray
    fresh: np.ndarray
    attributes: Attributes | None = None


class LiveIndex:
    """Loads a corpus, changes it, asks. Deleted rows stay in the matrix, under a mask."""

    def __init__(self, server: Server, corpus: Corpus, metric: str, folder: Path):
        self.server, self.corpus, self.metric, self.folder = server, corpus, metric, folder
        self.ids = {"vectorBucketName": BUCKET, "indexName": f"{corpus.name}-{metric}"}
        self.row_of = {key: row for row, key in enumerate(corpus.keys)}
        self.truth = Truth(corpus.vectors, metric)
        self.live = np.ones(len(corpus.keys), bool)
        self._client: RawClient | None = None

    @property
    def client(self) -> RawClient:
        """Of the server's present endpoint: it has another after a restart."""
        if self._client is None or self._client.host not in self.server.endpoint:
            self._client = RawClient(self.server.endpoint, timeout=120)
        return self._client

    def load(self) -> float:
        """All rows, by `genai-vectors import`; seconds it took."""
        return self._import(np.arange(len(self.corpus.keys)))

    def overwrite(self, rows: np.ndarray, seed: int = 1) -> float:
        """New vectors for these rows, and their metadata exchanged among them."""
        self.truth.replace(rows, self.corpus.fresh[: len(rows)])
        if self.corpus.attributes:
            self.corpus.attributes.shuffle(rows, seed)
        self.live[rows] = True
        return self._import(rows)

    def delete(self, rows: np.ndarray) -> None:
        for start in range(0, len(rows), BATCH):
            keys = [self.corpus.keys[row] for row in rows[start : start + BATCH]]
            self.call("DeleteVectors", keys=keys)
        self.live[rows] = False

    def settle(self, timeout: float = 600.0) -> Settled:
        return wait_until_settled(self.server, self.ids, int(self.live.sum()), timeout)

    def call(self, operation: str, **params: Any) -> dict[str, Any]:
        """Backs off as an SDK does when the server is busy folding."""
        for attempt in range(8):
            answer = self.client.call(operation, self.ids, **params)
            if answer.status not in (429, 503):
                break
            time.sleep(0.05 * 2**attempt)
        assert answer.status == 200, f"{operation}: {answer.status} {answer.text[:300]!r}"
        return answer.body

    def _import(self, rows: np.ndarray) -> float:
        path = write_parquet(self.folder / f"{self.ids['indexName']}.parquet", self.corpus, rows)
        command = [str(binary()), "import", str(path), "--endpoint", self.server.endpoint, "--create"]
        command += ["--bucket", BUCKET, "--index", self.ids["indexName"], "--metric", self.metric]
        began = time.monotonic()
        subprocess.run(command, check=True, capture_output=True, env=clean_environment())
        seconds = time.monotonic() - began
        path.unlink()
        return seconds

    def pages(self, query: np.ndarray, count: int, predicate: Predicate | None = None) -> list[list[dict]]:
        """The hits of one query, page by page."""
        params = {"queryVector": {"float32": query.tolist()}, "topK": count, "returnDistance": True}
        if predicate:
            params["filter"] = predicate.filter
        found, token = [], {}
        while True:
            answer = self.call("QueryVectors", **params, **token)
            found.append(answer["vectors"])
            if not answer.get("nextToken"):
                return found
            token = {"nextToken": answer["nextToken"]}

    def ask(self, query: np.ndarray, count: int, predicate: Predicate | None = None) -> np.ndarray:
        """Row numbers of the hits, after every check that needs no other row."""
        hits = [hit for page in self.pages(query, count, predicate) for hit in page]
        rows = np.array([self.row_of[hit["key"]] for hit in hits], np.int64)
        said = np.array([hit["distance"] for hit in hits])
        assert len(np.unique(rows)) == len(rows), "a key was returned twice"
        assert self.live[rows].all(), "a deleted key was returned"
        allowed = self.allowed(predicate)
        assert allowed[rows].all(), f"a row outside the filter was returned: {predicate and predicate.filter}"
        due = min(count, int(allowed.sum()))
        assert len(rows) == due, f"{len(rows)} of {due} rows were returned: {predicate and predicate.filter}"
        assert (np.diff(said) >= 0).all(), "distances are not ascending"
        if len(rows):
            true = self.truth.distances(query, rows)
            # An old version of the row would be elsewhere.
            assert np.allclose(said, true, rtol=1e-4, atol=1e-5), f"distances are off by {np.abs(said - true).max()}"
        return rows

    def allowed(self, predicate: Predicate | None) -> np.ndarray:
        return self.live & predicate.mask if predicate else self.live

    def recall(self, counts: dict[int, int], predicate: Predicate | None = None) -> dict[int, float]:
        """`counts`: topK -> how many of the queries are asked with it. Recall by topK."""
        queries = self.corpus.queries[: max(counts.values())]
        nearest = self.truth.nearest(queries, max(counts), self.allowed(predicate))
        found = {}
        for count, number in counts.items():
            asked = queries[:number]
            answers = [self.ask(query, count, predicate) for query in asked]
            found[count] = recall(self.truth, asked, nearest[:number], answers, count)
        return found

    def seconds(self, count: int, number: int, *predicates: Predicate | None) -> list[np.ndarray]:
        """Latencies of so many queries for each predicate (None: no filter), asked in turn, so that whatever else the
        machine does meets them alike. Bodies are ready made and nothing is checked between."""
        taken = np.empty((len(predicates), number))
        bodies = [[self._body(query, count, p) for query in self.corpus.queries[:number]] for p in predicates]
        for position, together in enumerate(zip(*bodies, strict=True)):
            for which, body in enumerate(together):
                began = time.perf_counter()
                answer = self.client.send("POST", "/QueryVectors", body, {"Content-Type": JSON_TYPE})
                taken[which, position] = time.perf_counter() - began
                assert answer.status == 200, f"{answer.status} {answer.text[:300]!r}"
        return list(taken)

    def _body(self, query: np.ndarray, count: int, predicate: Predicate | None) -> bytes:
        more = {"filter": predicate.filter} if predicate else {}
        return to_json(self.ids | {"queryVector": {"float32": query.tolist()}, "topK": count} | more)


def write_parquet(path: Path, corpus: Corpus, rows: np.ndarray) -> Path:
    """Key, vector and metadata columns of these rows, a row group at a time."""
    dimension = corpus.vectors.shape[1]
    writer: pq.ParquetWriter | None = None
    for start in range(0, len(rows), ROW_GROUP):
        part = rows[start : start + ROW_GROUP]
        flat = pa.array(np.ascontiguousarray(corpus.vectors[part]).reshape(-1))
        columns = {"key": [corpus.keys[row] for row in part]}
        columns["vector"] = pa.FixedSizeListArray.from_arrays(flat, dimension)
        table = pa.table(columns | (corpus.attributes.columns(part) if corpus.attributes else {}))
        writer = writer or pq.ParquetWriter(path, table.schema)
        writer.write_table(table)
    if writer:
        writer.close()
    return path
