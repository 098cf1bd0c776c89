#!/usr/bin/env python3
"""One table of speeds, each beside a peer measured in the same run: `make bench`.

    python tests/load/bench.py                   everything (half an hour)
    python tests/load/bench.py --only flat       exact scans only, 10k and 350k rows of 100 dimensions (some minutes)
    python tests/load/bench.py --quick           small sizes, short runs

Parts: `flat` (ingest, exact scans, start), `ann` (against LanceDB, cold start), `engine` (against faiss-cpu; includes
`ann`), `growth` (10k, 100k, 1M rows; ingest while indexing).

The peers: the same client against a no-op endpoint (what the client costs by itself), `GET /health` of the server, this
machine's memory-read bandwidth, and LanceDB and faiss-cpu in processes of their own (.venvs/peers). Clients are
processes; on two cores they share them with the server.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "conformance"))
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "recall"))

from ann import AnnBench
from flat import DIMENSION, FlatBench
from table import Table

PARTS = ("flat", "ann", "engine", "growth")


def measure_flat(folder: Path, seconds: float, table: Table, sizes: list[int]) -> None:
    bench = FlatBench(folder, seconds, table)
    try:
        bench.ingest()
        for rows in sizes:
            ids = bench.bulk_import(rows)
            bench.queries(ids, rows)
        bench.start_to_first_answer(ids)
    finally:
        bench.close()


def measure_ann(folder: Path, seconds: float, table: Table, only: list[str], quick: bool) -> None:
    bench = AnnBench(folder, seconds, table, 40_000 if quick else None)
    if "ann" in only or "engine" in only:
        ours = bench.against_lancedb()
        if "engine" in only:
            bench.engine(ours)
    if "growth" in only:
        bench.growth([5000, 50_000] if quick else [10_000, 100_000, 1_000_000])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="small sizes and short runs")
    parser.add_argument("--only", nargs="+", choices=PARTS, default=list(PARTS), help="parts; default all")
    parser.add_argument("--rows", type=int, nargs="+", help="sizes of the flat part; default 10000 350000")
    parser.add_argument("--seconds", type=float, help="length of each run; default 5")
    parser.add_argument("--output", type=Path, help="also write the rows as JSON")
    options = parser.parse_args()
    sizes = options.rows or ([2000, 20_000] if options.quick else [10_000, 350_000])
    seconds = options.seconds or (1.0 if options.quick else 5.0)
    table = Table()
    folder = Path(tempfile.mkdtemp(prefix="genai-vectors-bench-"))
    try:
        if "flat" in options.only:
            measure_flat(folder, seconds, table, sizes)
        if set(options.only) - {"flat"}:
            measure_ann(folder, seconds, table, options.only, options.quick)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    print(f"{os.cpu_count()} cores, {DIMENSION} dimensions, flat sizes {sizes}")
    print(table.show())
    if options.output:
        options.output.write_text(json.dumps(table.rows, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
