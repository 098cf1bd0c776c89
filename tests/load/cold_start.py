#!/usr/bin/env python3
"""Cold start: from the start of a server on a settled index to its first answer, and the bytes read for it.

    python tests/load/cold_start.py                      all of words-100
    python tests/load/cold_start.py --rows 20000

Three times: with the files in the operating system's cache, without, and with 30 ms added to every object read. The
process is new each time, so its own caches are empty.
"""

from __future__ import annotations

import argparse
import os
import re
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
from table import Table
from wire import RawClient

DELAY_MS = 30
MB = 1e6
_READ_BYTES = re.compile(r"^genai_vectors_object\w*read\w*bytes\w*(?:\{.*\})? (\d+)", re.MULTILINE)
_READS = re.compile(r"^genai_vectors_object_reads_total(?:\{.*\})? (\d+)", re.MULTILINE)


@dataclass
class Start:
    """Seconds from the start of the process, and what was read until the answer."""

    listening: float
    answered: float
    second: float
    # By system calls; from the disk, memory maps included; and by the server's own count, where it has one.
    called_bytes: int
    disk_bytes: int
    object_bytes: int | None
    object_reads: int | None


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
    metrics = client.send("GET", "/metrics").text.decode()
    ok(client.call("QueryVectors", ids, **params))
    before = time.monotonic()
    ok(client.call("QueryVectors", ids, **params))
    second = time.monotonic() - before
    return Start(
        listening, answered, second, int(io["rchar"]), int(io["read_bytes"]), *counted(metrics, _READ_BYTES, _READS)
    )


def counted(metrics: str, *patterns: re.Pattern) -> list[int | None]:
    """Sums of the families that match; None where there is none."""
    found = [[int(value) for value in pattern.findall(metrics)] for pattern in patterns]
    return [sum(values) if values else None for values in found]


def measure(server: Server, ids: dict[str, str], query: list[float], table: Table) -> None:
    """Restarts the server on its directory several times; leaves it stopped."""
    server.terminate()
    flags = server.flags
    first_answer(server, ids, query)
    kinds = [("files in the page cache", False, ()), ("files not in the page cache", True, ())]
    if offers("--object-delay-ms"):
        kinds.append((f"{DELAY_MS} ms added to every object read", False, ("--object-delay-ms", str(DELAY_MS))))
    for name, dropped, more in kinds:
        server.terminate()
        if dropped:
            drop_page_cache(server.storage)
        server.flags = (*flags, *more)
        start = first_answer(server, ids, query)
        table.add(f"cold start to the first answer, {name}", start.answered, "s", start.second, "third query")
        table.add("  of that, until it listens", start.listening, "s")
        table.add("  bytes read by system calls", start.called_bytes / MB, "MB")
        table.add("  bytes read from the disk", start.disk_bytes / MB, "MB")
        if start.object_bytes is not None:
            table.add("  bytes of objects read", start.object_bytes / MB, "MB")
        if start.object_reads is not None:
            table.add("  object reads", start.object_reads, "")
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
