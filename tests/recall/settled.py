"""Waits until an index has settled: nothing in the tail, every live row in shards, no indexing going on.

Progress is read from GetIndex and `/stats`. Work that neither shows (a compaction that runs) shows as CPU time of the
server, so an index counts as settled after a quiet while, longer than the pause after which the server merges once
more (`--settle-ms`; suites that wait often make it short: QUICK). Members of either that say what is going on are
believed too: any member of the index named `pending...`, `...Running` or `...Due` must be zero, false or empty.
"""

from __future__ import annotations

import re
import time
from dataclasses import dataclass
from typing import Any

from server import Server
from wire import RawClient

POLL, QUIET = 0.2, 1.2
# The server's own pause, and a setting that makes it short.
PAUSE = 10.0
SETTING = "GENAI_VECTORS_SETTLE_MS"
QUICK = {SETTING: "300"}
# Of one core; polling itself takes less.
IDLE = 0.06
_GOING_ON = re.compile(r"^pending[A-Z]|Running$|Due$|^compacting$|^indexing$")


@dataclass
class Settled:
    """How long it took, the quiet while not counted, and what the server says of the index."""

    seconds: float
    cpu_seconds: float
    index: dict[str, Any]
    stats: dict[str, Any]


def stats(client: RawClient) -> dict[str, Any]:
    answer = client.send("GET", "/stats")
    assert answer.status == 200, f"/stats: {answer.status} {answer.text[:200]!r}"
    return answer.body


def compactions(client: RawClient) -> int:
    return stats(client)["indexer"]["compactions"]


def described(client: RawClient, ids: dict[str, str]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The members of GetIndex, and those of the index in `/stats`."""
    index = client.call("GetIndex", ids)
    assert index.status == 200, f"GetIndex: {index.status} {index.text[:200]!r}"
    own = [entry for entry in stats(client)["indexes"] if all(entry[name] == value for name, value in ids.items())]
    return index["index"], own[0]


def going_on(members: dict[str, Any]) -> list[str]:
    return [name for name, value in members.items() if _GOING_ON.search(name) and value]


def wait_until_settled(server: Server, ids: dict[str, str], rows: int, timeout: float = 600.0) -> Settled:
    """Returns once the index has `rows` live rows in shards and nothing moves; AssertionError after the timeout."""
    client = RawClient(server.endpoint)
    pause = int(server.environment[SETTING]) / 1000 if SETTING in server.environment else PAUSE
    began, cpu_at_start = time.monotonic(), server.cpu_seconds()
    quiet_since, cpu_then, seen = began, cpu_at_start, None
    while True:
        index, entry = described(client, ids)
        now, cpu = time.monotonic(), server.cpu_seconds()
        state = (index["vectorCount"], index["unindexedCount"], entry["shards"], entry["bytes"])
        done = state[:2] == (rows, 0) and not going_on(index) and not going_on(entry)
        idle = cpu - cpu_then <= IDLE * max(now - quiet_since, QUIET)
        if not done or state != seen or not idle:
            quiet_since, cpu_then, seen = now, cpu, state
        elif now - quiet_since >= pause + QUIET:
            return Settled(quiet_since - began, cpu_then - cpu_at_start, index, entry)
        assert now - began < timeout, f"not settled after {timeout} s, {rows} rows expected: {index} {entry}"
        time.sleep(POLL)
