"""Runs the peers of the ANN rows, one at a time, and our engine beside faiss-cpu: each prints one JSON object."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

from server import REPOSITORY, clean_environment

PEERS = Path(__file__).resolve().parent / "peers"
PYTHON = REPOSITORY / ".venvs" / "peers" / "bin" / "python"
# As everything else is built: nothing is compiled for it alone.
BUILD = ("cargo", "build", "--quiet", "--release", "--locked", "--workspace", "--example", "ann_speed")


def environment(threads: int) -> dict[str, str]:
    """Every thread pool that a peer may start has the same bound."""
    pools = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "LANCE_CPU_THREADS", "TOKIO_WORKER_THREADS")
    return clean_environment(**dict.fromkeys(pools, str(threads)), RUST_LOG="error")


def printed(command: list[str], threads: int) -> dict[str, Any]:
    """The last line of what the program prints; its progress goes to our standard error."""
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=environment(threads))
    return json.loads(done.stdout.strip().splitlines()[-1])


def lancedb(rows: Path, queries: Path, folder: Path, *options: str) -> dict[str, Any]:
    """In process, with a thread per core."""
    command = [str(PYTHON), str(PEERS / "lancedb_peer.py"), "--rows", str(rows), "--queries", str(queries)]
    return printed([*command, "--folder", str(folder), *options], os.cpu_count())


def faiss(rows: Path, queries: Path, metric: str, ours: dict[str, Any], *options: str) -> dict[str, Any]:
    """Single-threaded, with the index type and the search settings that our engine printed."""
    command = [str(PYTHON), str(PEERS / "faiss_peer.py"), "--rows", str(rows), "--queries", str(queries)]
    return printed([*command, "--metric", metric, "--ours", json.dumps(ours), *options], 1)


def engine(rows: Path, queries: Path, metric: str) -> dict[str, Any]:
    """Our engine without service and HTTP, single-threaded: what it prints, `peers/faiss_peer.py` reads."""
    subprocess.run(BUILD, check=True, cwd=REPOSITORY)
    target = Path(os.environ.get("CARGO_TARGET_DIR", REPOSITORY / "target"))
    program = target / "release" / "examples" / "ann_speed"
    return printed([str(program), str(rows), str(queries), metric], 1)
