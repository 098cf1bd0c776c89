"""LanceDB, in process: ingests, builds IVF_PQ, finds the cheapest search that reaches a recall, and measures that.

.venvs/peers/bin/python tests/load/peers/lancedb_peer.py --rows rows.npy --queries queries.npy --folder DIR
"""

from __future__ import annotations

import argparse
import sys
from bisect import bisect_left
from pathlib import Path

import lancedb
import numpy as np
import pyarrow as pa
from lancedb.index import IvfPq
from measure import Asked, Search, latencies, note, rate, report, timed

BATCH = 10_000
# The search is sought with this many of the queries, a little above the target, and then measured with all of them.
SOUGHT, ABOVE = 500, 0.001
NPROBES = (3, 5, 7, 10, 14, 20, 28, 40, 57, 80, 113, 160, 226, 320)
REFINE_FACTORS = (2, 4, 8, 12, 20, 40)


def batches(rows: np.ndarray) -> pa.RecordBatchReader:
    """The rows as an application would stream them in: key and vector."""
    dimension = rows.shape[1]
    kind = pa.list_(pa.float32(), dimension)
    schema = pa.schema([("key", pa.int64()), ("vector", kind)])

    def stream():
        for start in range(0, len(rows), BATCH):
            part = np.ascontiguousarray(rows[start : start + BATCH])
            vectors = pa.FixedSizeListArray.from_arrays(pa.array(part.reshape(-1)), dimension)
            keys = pa.array(np.arange(start, start + len(part)))
            yield pa.RecordBatch.from_arrays([keys, vectors], schema=schema)

    return pa.RecordBatchReader.from_batches(schema, stream())


class Searches:
    """Searches of one table, by key and distance only: the rows' vectors are not materialised for the caller."""

    def __init__(self, table: lancedb.table.Table, metric: str, asked: Asked):
        self.table, self.metric, self.asked = table, metric, asked

    def of(self, nprobes: int, refine_factor: int) -> Search:
        def search(query: np.ndarray) -> np.ndarray:
            wanted = self.table.search(query).distance_type(self.metric).limit(self.asked.count)
            wanted = wanted.nprobes(nprobes).refine_factor(refine_factor).select(["key", "_distance"])
            return wanted.to_arrow()["key"].to_numpy()

        return search

    def cheapest(self, target: float, seconds: float) -> tuple[int, int]:
        """For every refine factor the fewest nprobes that reach the target; of these the fastest."""
        found = []
        for refine_factor in REFINE_FACTORS:

            def reaches(nprobes: int, refine_factor: int = refine_factor) -> bool:
                return self.asked.recall(self.of(nprobes, refine_factor), queries=SOUGHT) >= target + ABOVE

            first = bisect_left(NPROBES, True, key=reaches)
            if first == len(NPROBES):
                continue
            p50 = latencies(self.of(NPROBES[first], refine_factor), self.asked.queries, seconds)["p50_ms"]
            note(f"nprobes {NPROBES[first]}, refine_factor {refine_factor}: p50 {p50:.2f} ms")
            found.append((p50, NPROBES[first], refine_factor))
        if not found:
            sys.exit(f"no nprobes and refine_factor reach recall {target}")
        return min(found)[1:]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=Path, required=True)
    parser.add_argument("--queries", type=Path, required=True)
    parser.add_argument("--folder", type=Path, required=True, help="where the database is made")
    parser.add_argument("--metric", choices=("cosine", "euclidean"), default="cosine")
    parser.add_argument("--partitions", type=int, help="default: LanceDB's")
    parser.add_argument("--sub-vectors", type=int, help="default: a quarter of the dimension when that divides it")
    parser.add_argument("--bits", type=int, default=8, choices=(4, 8))
    parser.add_argument("--target", type=float, default=0.98, help="recall@10 to be reached")
    parser.add_argument("--seconds", type=float, default=5, help="of each measurement")
    options = parser.parse_args()

    rows = np.load(options.rows, mmap_mode="r")
    dimension = rows.shape[1]
    sub_vectors = options.sub_vectors or (dimension // 4 if dimension % 4 == 0 else None)
    metric = "l2" if options.metric == "euclidean" else options.metric
    database = lancedb.connect(str(options.folder))
    table, ingest_seconds, ingest_cpu = timed(lambda: database.create_table("rows", batches(rows)))
    note(f"ingested {len(rows):,} rows in {ingest_seconds:.1f} s, {ingest_cpu:.1f} CPU-seconds")
    kind = IvfPq(metric, options.partitions, sub_vectors, options.bits)
    _, index_seconds, index_cpu = timed(lambda: table.create_index("vector", config=kind))
    note(f"indexed in {index_seconds:.1f} s, {index_cpu:.1f} CPU-seconds")

    asked = Asked(options.rows, options.queries, options.metric)
    searches = Searches(table, metric, asked)
    nprobes, refine_factor = searches.cheapest(options.target, options.seconds / 5)
    search = searches.of(nprobes, refine_factor)
    report(
        peer=f"lancedb {lancedb.__version__}",
        rows=len(rows),
        dimension=dimension,
        partitions=options.partitions,
        sub_vectors=sub_vectors,
        bits=options.bits,
        nprobes=nprobes,
        refine_factor=refine_factor,
        recall_at_10=asked.recall(search),
        **latencies(search, asked.queries, options.seconds),
        rate_1_thread=rate(search, asked.queries, 1, options.seconds),
        rate_4_threads=rate(search, asked.queries, 4, options.seconds),
        ingest_seconds=ingest_seconds,
        ingest_cpu_seconds=ingest_cpu,
        index_seconds=index_seconds,
        index_cpu_seconds=index_cpu,
        disk_bytes=sum(file.stat().st_size for file in options.folder.rglob("*") if file.is_file()),
    )


if __name__ == "__main__":
    main()
