#!/usr/bin/env python3
"""Recall, latency, disk and memory at full size, phase by phase: `make recall-large` (an hour or two).

    python tests/recall/large.py                                   every case
    python tests/recall/large.py --only words-cosine blob          some of them
    python tests/recall/large.py --scale 0.05                      everything small: does it run at all?

Phases of a case: `settled` (imported, folded, compacted), `changing` (right after a fifth was overwritten and a tenth
deleted), `changed` (settled again) and `restarted` (a new process, memory measured after the queries). Latencies are of
one keep-alive client, HTTP included; CPU and wall time are those until it had settled, without our queries. Exit
status 1: a target was missed, or (at once) an answer was wrong.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
import threading
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "conformance"))
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "load"))

from corpora import mixture_corpus, words_corpus
from datasets import Mixture
from live import Corpus, LiveIndex
from server import Server
from table import markdown

ASKED = {10: 500, 100: 200}
FILTERED = {10: 100}
TARGETS = {10: 0.98, 100: 0.95}
SLOWER = 3.0
MB = 1e6


@dataclass
class Case:
    """What is loaded; `rows` of None: all the words."""

    variant: str
    metric: str
    rows: int | None = None
    dimension: int = 128
    filtered: bool = False

    def corpus(self, folder: Path, scale: float) -> Corpus:
        if self.variant == "words":
            return words_corpus(int(scale * 340_000) if scale < 1 else None)
        mixture = Mixture(int(self.rows * scale), self.dimension, seed=self.dimension, variant=self.variant)
        return mixture_corpus(mixture, folder, self.filtered)


CASES = {
    "words-cosine": Case("words", "cosine", filtered=True),
    "words-euclidean": Case("words", "euclidean"),
    "1m": Case("plain", "euclidean", 1_000_000, filtered=True),
    "768": Case("plain", "cosine", 200_000, 768),
    "drifted": Case("drifted", "euclidean", 300_000),
    "duplicates": Case("duplicates", "euclidean", 300_000),
    "blob": Case("blob", "euclidean", 300_000),
    "equal": Case("equal", "cosine", 300_000),
}


@dataclass
class Phase:
    """One row of the table; the last three figures are of the work that led to the phase."""

    case: str
    phase: str
    recall_10: float
    recall_100: float
    p50_ms: float
    p99_ms: float
    bytes_per_vector: float
    resident_mb: float
    anonymous_mb: float
    cpu_s: float = 0.0
    seconds: float = 0.0
    peak_anonymous_mb: float = 0.0


@dataclass
class Filtered:
    """One row of the filtered table."""

    case: str
    rows: str
    matching: int
    recall_10: float
    p50_ms: float
    ratio: float


class Peak:
    """The most anonymous memory that the server held meanwhile, sampled."""

    def __init__(self, server: Server):
        self.server, self.bytes, self.over = server, 0, threading.Event()
        self.thread = threading.Thread(target=self._sample)

    def _sample(self) -> None:
        while not self.over.wait(0.02):
            self.bytes = max(self.bytes, self.server.anonymous_bytes())

    def __enter__(self) -> Peak:
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.over.set()
        self.thread.join()


class Run:
    """One case on a server of its own."""

    def __init__(self, name: str, case: Case, corpus: Corpus, folder: Path):
        self.name, self.case, self.corpus, self.folder = name, case, corpus, folder
        self.phases: list[Phase] = []
        self.filtered: list[Filtered] = []
        self.asking_cpu = 0.0

    def run(self, flags: list[str]) -> None:
        with Server(self.folder / "data", "--auth", "none", "--log-level", "warn", *flags) as server:
            self.server = server
            self.index = LiveIndex(server, self.corpus, self.case.metric, self.folder)
            self.worked("settled", self.index.load)
            if self.case.filtered:
                self.ask_filtered()
            self.worked("changed", self.change)
            server.restart()
            self.phase("restarted")

    def worked(self, phase: str, work: object) -> None:
        """Runs the work, waits until the index has settled, and measures the phase after that."""
        used, phases = self.server.cpu_seconds(), len(self.phases)
        with Peak(self.server) as peak:
            seconds = work()
            settled = self.index.settle(timeout=3600)
        # Our queries meanwhile cost about what they cost in a quiet phase.
        cpu = self.server.cpu_seconds() - used - self.asking_cpu * (len(self.phases) - phases)
        self.phase(phase, cpu_s=cpu, seconds=seconds + settled.seconds, peak_anonymous_mb=peak.bytes / MB)

    def change(self) -> float:
        rows = len(self.corpus.keys)
        order = np.random.default_rng(5).permutation(rows)
        seconds = self.index.overwrite(order[: rows // 5])
        self.index.delete(order[rows // 5 : 3 * rows // 10])
        self.phase("changing", seconds=seconds)
        return seconds

    def phase(self, phase: str, **figures: float) -> None:
        used = self.server.cpu_seconds()
        found = self.index.recall(ASKED)
        taken = self.index.seconds(10, len(self.corpus.queries), None)[0] * 1000
        size = self.index.call("GetIndex")["index"]["sizeBytes"]
        row = Phase(
            self.name,
            phase,
            found[10],
            found[100],
            *np.percentile(taken, [50, 99]).tolist(),
            size / int(self.index.live.sum()),
            self.server.resident_bytes() / MB,
            self.server.anonymous_bytes() / MB,
            **figures,
        )
        self.phases.append(row)
        if len(self.phases) == 1:
            self.asking_cpu = self.server.cpu_seconds() - used
        print(f"  {row}", file=sys.stderr, flush=True)

    def ask_filtered(self) -> None:
        number = FILTERED[10]
        for predicate in self.corpus.attributes.predicates():
            found = self.index.recall(FILTERED, predicate)[10]
            plain, p50 = (np.median(taken) * 1000 for taken in self.index.seconds(10, number, None, predicate))
            matching = int(predicate.mask.sum())
            row = Filtered(self.name, predicate.name, matching, found, float(p50), float(p50 / plain))
            self.filtered.append(row)
            print(f"  {row}", file=sys.stderr, flush=True)

    def missed(self) -> list[str]:
        """The targets that were missed, in words."""
        told = []
        for row in self.phases:
            for count, found in ((10, row.recall_10), (100, row.recall_100)):
                if found < TARGETS[count]:
                    told.append(f"{row.case}, {row.phase}: recall@{count} {found:.4f} < {TARGETS[count]}")
        for row in self.filtered:
            if row.recall_10 < TARGETS[10]:
                told.append(f"{row.case}, {row.rows}: recall@10 {row.recall_10:.4f} < {TARGETS[10]}")
            if row.ratio > SLOWER:
                told.append(f"{row.case}, {row.rows}: p50 {row.ratio:.1f} x the unfiltered one > {SLOWER}")
        return told


def show(runs: list[Run]) -> None:
    for rows, kind in (([p for r in runs for p in r.phases], Phase), ([f for r in runs for f in r.filtered], Filtered)):
        names = [name.replace("_", " ") for name in kind.__dataclass_fields__]
        print(markdown(names, [list(asdict(row).values()) for row in rows]), end="\n\n")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=CASES, default=list(CASES), metavar="CASE")
    parser.add_argument("--scale", type=float, default=1.0, help="share of the rows; default 1")
    parser.add_argument("--server-flags", default="", help="more flags of `genai-vectors api`, in one argument")
    parser.add_argument("--output", type=Path, help="also write the rows as JSON")
    options = parser.parse_args()
    runs = []
    for name in options.only:
        print(f"{name}: {CASES[name]}", file=sys.stderr, flush=True)
        folder = Path(tempfile.mkdtemp(prefix="genai-vectors-recall-"))
        try:
            run = Run(name, CASES[name], CASES[name].corpus(folder, options.scale), folder)
            runs.append(run)
            run.run(options.server_flags.split())
        finally:
            shutil.rmtree(folder, ignore_errors=True)
    show(runs)
    missed = [line for run in runs for line in run.missed()]
    print("\n".join(missed) or "every target was met")
    if options.output:
        options.output.write_text(json.dumps([asdict(row) for r in runs for row in [*r.phases, *r.filtered]], indent=1))
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
