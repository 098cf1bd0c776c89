"""The rows of approximate search: ours over HTTP against LanceDB in process, our engine against faiss-cpu, and growth.

The data are words-100 (queries held back) and, for growth, a mixture of clusters of `tests/recall/datasets.py`. What is
compared never runs at the same time: the server is stopped before a peer starts.
"""

from __future__ import annotations

import shutil
import sys
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import cold_start
import numpy as np
import peer
from bench_server import Target
from clients import query_bodies, raw_calls
from corpora import mixture_corpus, words_corpus
from datasets import Mixture
from live import Corpus, LiveIndex
from server import ALWAYS_FLAT
from settled import stats
from table import Table

MB = 1e6
METRIC = "cosine"
TARGET = 0.98
ASKED = {10: 500}
DIMENSION = 100
LANCE = "LanceDB"


@dataclass
class Ours:
    """What the server did with a corpus; times in seconds, latencies in milliseconds."""

    rows: int
    import_s: float
    settled_s: float
    cpu_s: float
    compactions: int
    recall: float
    p50: float
    p99: float
    noop_p50: float
    rate_1: float
    rate_4: float
    bytes_per_vector: float
    anonymous_mb: float


class AnnBench:
    """Adds its rows to the table; every part makes and removes its own files."""

    def __init__(self, folder: Path, seconds: float, table: Table, rows: int | None):
        self.folder, self.seconds, self.table = folder, seconds, table
        self.corpus = words_corpus(rows)
        self.files = (folder / "rows.npy", folder / "queries.npy")
        for path, values in zip(self.files, (self.corpus.vectors, self.corpus.queries), strict=True):
            np.save(path, values)

    @contextmanager
    def target(self, environment: dict[str, str] | None = None):
        folder = self.folder / "server"
        folder.mkdir()
        target = Target(folder, self.seconds, environment)
        try:
            yield target
        finally:
            target.close()
            shutil.rmtree(folder, ignore_errors=True)

    def load(self, target: Target, corpus: Corpus) -> tuple[LiveIndex, dict[str, float]]:
        """Imports and waits until all of it is indexed."""
        index = LiveIndex(target.server, corpus, METRIC, self.folder)
        used = target.server.cpu_seconds()
        import_s = index.load()
        settled = index.settle(timeout=1800)
        return index, {
            "import_s": import_s,
            "settled_s": import_s + settled.seconds,
            "cpu_s": target.server.cpu_seconds() - used,
            "compactions": stats(index.client)["indexer"]["compactions"],
            "bytes_per_vector": settled.index["sizeBytes"] / len(corpus.keys),
        }

    def measured(self, target: Target, corpus: Corpus) -> tuple[LiveIndex, Ours]:
        index, loaded = self.load(target, corpus)
        recall = index.recall(ASKED)[10]
        bodies = query_bodies(index.ids, corpus.queries)
        one, noop = target.against_both(lambda url: raw_calls(url, "QueryVectors", bodies), 1)
        four, _ = target.against_both(lambda url: raw_calls(url, "QueryVectors", bodies), 4)
        return index, Ours(
            rows=len(corpus.keys),
            recall=recall,
            p50=one.percentile(50),
            p99=one.percentile(99),
            noop_p50=noop.percentile(50),
            rate_1=one.rate,
            rate_4=four.rate,
            anonymous_mb=target.server.anonymous_bytes() / MB,
            **loaded,
        )

    def against_lancedb(self, *options: str) -> Ours:
        """Ours first, then LanceDB with the cheapest search that reaches the target."""
        with self.target() as target:
            index, ours = self.measured(target, self.corpus)
            cold_start.measure(target.server, index.ids, self.corpus.queries[0].tolist(), self.table)
        with self.target(ALWAYS_FLAT) as target:
            flat = self.load(target, self.corpus)[1]
        folder = self.folder / "lancedb"
        theirs = peer.lancedb(*self.files, folder, "--seconds", str(self.seconds), "--target", str(TARGET), *options)
        shutil.rmtree(folder, ignore_errors=True)

        add, name = self.table.add, f"words-100, {ours.rows:,} rows"
        add(f"{name}: recall@10", ours.recall, "", theirs["recall_at_10"], LANCE)
        add("  p50, HTTP, 1 client", ours.p50, "ms", theirs["p50_ms"], f"{LANCE} in process")
        add("  p99, HTTP, 1 client", ours.p99, "ms", theirs["p99_ms"], f"{LANCE} in process")
        add("  rate, HTTP, 1 client", ours.rate_1, "queries/s", theirs["rate_1_thread"], f"{LANCE} 1 thread")
        add("  rate, HTTP, 4 clients", ours.rate_4, "queries/s", theirs["rate_4_threads"], f"{LANCE} 4 threads")
        took = theirs["ingest_seconds"] + theirs["index_seconds"]
        add("  ingest + index, wall", ours.settled_s, "s", took, LANCE)
        add("  CPU-seconds, ingest + index", ours.cpu_s, "s", theirs["index_cpu_seconds"], f"{LANCE}, index only")
        extra = ours.cpu_s - flat["cpu_s"]
        add("    beyond the same without ANN indexes", extra, "s", theirs["index_cpu_seconds"], f"{LANCE}, index only")
        add("  bytes per vector", ours.bytes_per_vector, "", theirs["disk_bytes"] / ours.rows, LANCE)
        add("  resident memory beyond files", ours.anonymous_mb, "MB")
        print(f"  LanceDB: {theirs}", file=sys.stderr)
        return ours

    def engine(self, ours: Ours) -> None:
        """Our engine, faiss-cpu with the same index and search, our engine again; of each the better of two rounds."""
        runs = [peer.engine(*self.files, METRIC)]
        theirs = peer.faiss(*self.files, METRIC, runs[0], "--seconds", str(self.seconds))
        runs.append(peer.engine(*self.files, METRIC))
        for run in (*runs, theirs):
            print(f"  {run}", file=sys.stderr)
        p50 = min(run["p50_ms"] for run in runs)
        build = min(run["train_cpu_s"] + run["build_cpu_s"] for run in runs)
        add, name = self.table.add, f"faiss-cpu {theirs['index']}"
        settings = f"engine, nprobe {theirs['nprobe']}, depth {theirs['depth']}"
        add(f"{settings}: recall@10", runs[0]["recall"], "", theirs["recall"], name)
        add("  p50, re-ranking included", p50, "ms", theirs["p50_ms"], "faiss-cpu")
        add("  build, CPU", build, "s", theirs["train_cpu_s"] + theirs["build_cpu_s"], "faiss-cpu")
        add("  index file", runs[0]["index_bytes"] / MB, "MB", theirs["index_bytes"] / MB, "faiss-cpu")
        add("  HTTP p50 less no-op p50", ours.p50 - ours.noop_p50, "ms", p50, "engine")

    def growth(self, sizes: list[int]) -> None:
        """p50 by rows, and what ingest achieves while indexes are built."""
        before: Ours | None = None
        for rows in sizes:
            corpus = mixture_corpus(Mixture(rows, DIMENSION, seed=4), self.folder, filtered=False)
            with self.target() as target:
                _, ours = self.measured(target, corpus)
            noop = f"{ours.noop_p50:.3f}"
            self.table.add(f"mixture, {rows:,} rows: recall@10", ours.recall, "")
            peers = (before.p50, f"{before.rows:,} rows") if before else (None, "")
            self.table.add("  p50, HTTP, 1 client", ours.p50, "ms", *peers)
            self.table.add("  rate, HTTP, 4 clients", ours.rate_4, "queries/s", None, f"no-op p50 {noop} ms")
            built = f"{ours.compactions} compactions meanwhile"
            self.table.add("  import", rows / ours.import_s, "vectors/s", None, built)
            self.table.add("  import until settled", rows / ours.settled_s, "vectors/s")
            before = ours
            del corpus
            for path in self.folder.glob("plain-*.npy"):
                path.unlink()
