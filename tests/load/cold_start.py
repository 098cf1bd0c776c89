#!/usr/bin/env python3
"""Cold start: from the start of a server on a settled index to its first answer, and the bytes read for it.

    python tests/load/cold_start.py                      all of words-100
    python tests/load/cold_start.py --rows 20000

The process is new each time, so its own caches are empty. Measured with the files in the operating system's cache and
without; and, where the server has a disk cache, with an empty one, also with 30 ms added to every call of the storage.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "conformance"))
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "recall"))

from corpora import words_corpus
from expect import ok
from live import LiveIndex
from server import Server, offers
from settled import stats
from table import Table
from wire import RawClient

DELAY_MS = 30
MB = 1e6


@dataclass
class Start:
    """Seconds from the start of the process, and what was read until the answer."""

    listening: float
    answered: float
    # The same query when everything is warm.
    warm: float
    # By system calls; from the disk, memory maps included; and what the disk cache fetched, where there is one.
    called_bytes: int
    disk_bytes: int
    fetched: dict[str, int] | None


def drop_page_cache(folder: Path) -> None:
    """Asks the operating system to forget these files; needs no privilege for clean pages."""
    for path in folder.rglob("*"):
        if path.is_file():
            descriptor = os.open(path, os.O_RDONLY)
            os.fsync(descriptor)
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
            os.close(descriptor)


def first_answer(server: Server, ids: dict[str, str], query: list[float]) -> Start:
    """Starts the (stopped) server and asks at once."""
    params = {"queryVector": {"float32": query}, "topK": 10, "returnDistance": True}
    began = time.monotonic()
    server.start()
    listening = time.monotonic() - began
    client = RawClient(server.endpoint)
    ok(client.call("QueryVectors", ids, **params))
    answered = time.monotonic() - began
    io = dict(line.split(": ") for line in Path(f"/proc/{server.pid}/io").read_text().splitlines())
    fetched = stats(client).get("diskCache")
    warm = []
    for _ in range(5):
        before = time.monotonic()
        ok(client.call("QueryVectors", ids, **params))
        warm.append(time.monotonic() - before)
    return Start(listening, answered, min(warm), int(io["rchar"]), int(io["read_bytes"]), fetched)


def measure(server: Server, ids: dict[str, str], query: list[float], table: Table) -> None:
    """Restarts the server on its directory several times; leaves it stopped."""
    server.terminate()
    cache = server.storage.parent / "cache"
    flags = server.flags
    first_answer(server, ids, query)
    kinds = [("files in the page cache", ()), ("files not in the page cache", ())]
    if offers("--cache-dir", "cache"):
        kinds.append(("empty disk cache", ("--cache-dir", str(cache))))
        delay = ("--cache-dir", str(cache), "--object-delay-ms", str(DELAY_MS))
        kinds.append((f"empty disk cache, {DELAY_MS} ms more for every storage call", delay))
    for name, more in kinds:
        server.terminate()
        shutil.rmtree(cache, ignore_errors=True)
        if "not in" in name:
            drop_page_cache(server.storage)
        server.flags = (*flags, *more)
        start = first_answer(server, ids, query)
        table.add(f"cold start to the first answer, {name}", start.answered, "s", start.warm, "warm")
        table.add("  of that, until it listens", start.listening, "s")
        table.add("  bytes read by system calls", start.called_bytes / MB, "MB")
        table.add("  bytes read from the disk", start.disk_bytes / MB, "MB")
        if start.fetched:
            table.add("  bytes fetched into the disk cache", start.fetched["missBytes"] / MB, "MB")
            table.add("  fetches", start.fetched["misses"], "")
    server.terminate()
    server.flags = flags


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, help="words; default all")
    parser.add_argument("--server-flags", default="", help="more flags of `genai-vectors api`, in one argument")
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="genai-vectors-cold-"))
    table = Table()
    try:
        flags = ("--auth", "none", "--log-level", "warn", *options.server_flags.split())
        with Server(folder / "data", *flags) as server:
            index = LiveIndex(server, words_corpus(options.rows), "cosine", folder)
            index.load()
            index.settle()
            measure(server, index.ids, index.corpus.queries[0].tolist(), table)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    print(table.show())
    return 0


if __name__ == "__main__":
    sys.exit(main())
