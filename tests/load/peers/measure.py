"""What both peers share: their input files, recall by the same rule as ours, latencies."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "recall"))

from truth import Truth, recall

Search = Callable[[np.ndarray], np.ndarray]


class Asked:
    """Rows, queries, and what the right answers are."""

    def __init__(self, rows: Path, queries: Path, metric: str, count: int = 10):
        self.rows = np.load(rows, mmap_mode="r")
        self.queries = np.load(queries)
        self.metric, self.count = metric, count
        self.truth = Truth(self.rows, metric)
        self.nearest = self.truth.nearest(self.queries, 100)

    def recall(self, search: Search, queries: int | None = None) -> float:
        """Over all queries, or the first so many."""
        asked = self.queries[:queries]
        return recall(self.truth, asked, self.nearest[:queries], [search(query) for query in asked], self.count)


def latencies(search: Search, queries: np.ndarray, seconds: float, rounds: int = 1) -> dict[str, float]:
    """p50 and p99 in milliseconds, of the best of some rounds, and the CPU time of a query, over all of them."""
    best: np.ndarray | None = None
    used, count = time.process_time(), 0
    for _ in range(rounds):
        taken, began, number = [], time.perf_counter(), 0
        while time.perf_counter() - began < seconds / rounds:
            query = queries[number % len(queries)]
            before = time.perf_counter()
            search(query)
            taken.append(time.perf_counter() - before)
            number += 1
        if best is None or np.median(taken) < np.median(best):
            best = np.array(taken)
        count += number
    cpu = (time.process_time() - used) / count
    p50, p99 = np.percentile(best, [50, 99])
    return {"p50_ms": float(p50) * 1000, "p99_ms": float(p99) * 1000, "cpu_ms": cpu * 1000}


def rate(search: Search, queries: np.ndarray, threads: int, seconds: float) -> float:
    """Queries a second of so many threads together."""
    end = time.perf_counter() + seconds

    def work(thread: int) -> int:
        number = 0
        while time.perf_counter() < end:
            search(queries[(thread * 17 + number) % len(queries)])
            number += 1
        return number

    began = time.perf_counter()
    with ThreadPoolExecutor(threads) as pool:
        return sum(pool.map(work, range(threads))) / (time.perf_counter() - began)


def timed(work: Callable[[], Any]) -> tuple[Any, float, float]:
    """The result, wall seconds, and CPU seconds of this process with all its threads."""
    began, used = time.perf_counter(), time.process_time()
    result = work()
    return result, time.perf_counter() - began, time.process_time() - used


def report(**values: Any) -> None:
    """One JSON object, the last line of standard output."""
    print(json.dumps(values), flush=True)


def note(text: str) -> None:
    print(f"    {text}", file=sys.stderr, flush=True)
