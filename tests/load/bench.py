#!/usr/bin/env python3
"""One table of speeds, each beside a peer measured in the same run: `make bench`.

    python tests/load/bench.py            10k and 350k rows of 100 dimensions (some minutes)
    python tests/load/bench.py --quick    2k and 20k rows, short runs

The peers: the same client against a no-op endpoint (what the client costs by itself), `GET /health` of the server, and
this machine's memory-read bandwidth. Clients are processes; on two cores they share them with the server.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "conformance"))

from clients import Load, boto3_calls, health_calls, put_bodies, query_bodies, raw_calls, records, run_clients
from expect import ok
from machine import cpu_seconds, memory_read_bytes_per_second
from server import Server, binary, clean_environment
from wire import RawClient

HERE = Path(__file__).resolve().parent
DIMENSION = 100
ROW_BYTES = DIMENSION * 4
MB = 1e6


class Table:
    """Rows of (what, measured, peer, ratio), printed once at the end."""

    def __init__(self) -> None:
        self.rows: list[tuple[str, str, str, str]] = []

    def add(self, what: str, measured: float, unit: str, peer: float | None = None, peer_name: str = "") -> None:
        row = (what, f"{measured:,.4g} {unit}" if measured < 1000 else f"{measured:,.0f} {unit}")
        if peer is None:
            self.rows.append((*row, peer_name, ""))
        else:
            shown = f"{peer:,.4g}" if peer < 1000 else f"{peer:,.0f}"
            self.rows.append((*row, f"{peer_name} {shown}", f"{measured / peer:.2f}"))
        print(f"  {what}: {row[1]}", file=sys.stderr, flush=True)

    def show(self) -> str:
        rows = [("measure", "value", "peer, same run", "ratio"), *self.rows]
        widths = [max(len(row[column]) for row in rows) for column in range(4)]
        lines = [
            "| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " |" for row in rows
        ]
        lines.insert(1, "|" + "|".join("-" * (width + 2) for width in widths) + "|")
        return "\n".join(lines)


class Bench:
    """The server under test, the no-op endpoint and the data."""

    def __init__(self, folder: Path, seconds: float):
        self.table = Table()
        self.seconds = seconds
        self.folder = folder
        self.server = Server(folder / "data", "--auth", "none", "--log-level", "warn").start()
        self.sink = subprocess.Popen([sys.executable, str(HERE / "sink.py")], stdout=subprocess.PIPE, text=True)
        self.sink_url = self.sink.stdout.readline().strip()
        self.rows = np.random.default_rng(100).standard_normal((60_000, DIMENSION), np.float32)
        self.http = RawClient(self.server.endpoint)
        ok(self.http.call("CreateVectorBucket", vectorBucketName="bench"))

    def close(self) -> None:
        self.server.kill()
        self.sink.kill()
        self.sink.wait()

    def index(self, name: str) -> dict[str, str]:
        ids = {"vectorBucketName": "bench", "indexName": name}
        ok(self.http.call("CreateIndex", ids, dataType="float32", dimension=DIMENSION, distanceMetric="cosine"))
        return ids

    def against_both(self, make: object, clients: int) -> tuple[Load, Load]:
        """The same calls against the server and against the no-op endpoint."""
        return tuple(run_clients(make(url), clients, self.seconds) for url in (self.server.endpoint, self.sink_url))

    def ingest(self) -> None:
        for batch, clients in ((500, 4), (500, 2), (1, 4)):
            ids = self.index(f"boto3-{batch}-{clients}")

            def params(client: int, number: int, ids: dict = ids, batch: int = batch) -> dict:
                return ids | {"vectors": records(self.rows, client, number, batch)}

            ours, noop = self.against_both(lambda url, p=params: boto3_calls(url, "put_vectors", p), clients)
            label = f"ingest, boto3, {clients} clients, batch {batch}"
            self.table.add(label, ours.rate * batch, "vectors/s", noop.rate * batch, "no-op")
        for batch, clients in ((500, 4), (1, 1), (1, 4)):
            self.ingest_raw(batch, clients)

    def ingest_raw(self, batch: int, clients: int) -> None:
        ids = self.index(f"raw-{batch}-{clients}")
        bodies = put_bodies(ids, self.rows, batch, 40)
        size = len(next(bodies(0)))
        used = cpu_seconds(self.server.pid)
        ours = run_clients(raw_calls(self.server.endpoint, "PutVectors", bodies), clients, self.seconds)
        used = cpu_seconds(self.server.pid) - used
        noop = run_clients(raw_calls(self.sink_url, "PutVectors", bodies), clients, self.seconds)
        label = f"ingest, raw, {clients} client{'s' * (clients > 1)}, batch {batch}"
        self.table.add(label, ours.rate * batch, "vectors/s", noop.rate * batch, "no-op")
        if batch > 1:
            per_core = len(ours.latencies) * size / MB / used
            self.table.add("  request bodies per core-second of the server", per_core, "MB/s")
        else:
            self.table.add("  put p50", ours.percentile(50), "ms", noop.percentile(50), "no-op")

    def bulk_import(self, rows: int) -> dict[str, str]:
        """`genai-vectors import` of a Parquet file; the index it makes serves the query measurements."""
        ids = {"vectorBucketName": "bench", "indexName": f"rows-{rows}"}
        path = self.folder / f"{rows}.parquet"
        vectors = np.random.default_rng(rows).standard_normal((rows, DIMENSION), np.float32)
        matrix = pa.FixedSizeListArray.from_arrays(pa.array(vectors.reshape(-1)), DIMENSION)
        pq.write_table(pa.table({"key": [f"row-{n}" for n in range(rows)], "vector": matrix}), path)
        command = [str(binary()), "import", str(path), "--endpoint", self.server.endpoint, "--create"]
        command += ["--metric", "cosine", "--bucket", "bench", "--index", ids["indexName"]]
        began = time.monotonic()
        subprocess.run(command, check=True, capture_output=True, env=clean_environment())
        self.table.add(f"import, {rows:,} rows from Parquet", rows / (time.monotonic() - began), "vectors/s")
        self.wait_until_folded(ids, rows)
        return ids

    def wait_until_folded(self, ids: dict[str, str], rows: int) -> None:
        """Queries are measured over shards, not over a tail that the indexer is folding meanwhile."""
        deadline, count = time.monotonic() + 120, -1
        while time.monotonic() < deadline:
            found = ok(self.http.call("GetIndex", ids))["index"]
            if found["vectorCount"] >= rows or (found["vectorCount"] == count and count > 0.9 * rows):
                break
            count = found["vectorCount"]
            time.sleep(1)
        time.sleep(1)

    def queries(self, ids: dict[str, str], rows: int) -> None:
        asked = np.random.default_rng(1).standard_normal((200, DIMENSION), np.float32)

        def params(client: int, number: int) -> dict:
            row = asked[(client * 17 + number) % len(asked)]
            return ids | {"queryVector": {"float32": row.tolist()}, "topK": 10}

        kinds = {
            "boto3": lambda url: boto3_calls(url, "query_vectors", params),
            "raw": lambda url: raw_calls(url, "QueryVectors", query_bodies(ids, asked)),
        }
        for kind, make in kinds.items():
            for clients in (1, 4):
                ours, noop = self.against_both(make, clients)
                label = f"query {rows:,} rows, {kind}, {clients} client{'s' * (clients > 1)}"
                self.table.add(f"{label}: rate", ours.rate, "queries/s", noop.rate, "no-op")
                self.table.add("  p50", ours.percentile(50), "ms", noop.percentile(50), "no-op")
                self.table.add("  p99", ours.percentile(99), "ms", noop.percentile(99), "no-op")
                if kind == "raw" and clients == 1:
                    self.scan_speed(rows, ours)

    def scan_speed(self, rows: int, ours: Load) -> None:
        """Bytes of vectors over the time that a query takes longer than `GET /health` does."""
        health = run_clients(health_calls(self.server.endpoint), 1, min(2, self.seconds))
        self.table.add("  GET /health p50", health.percentile(50), "ms")
        scan = max(1e-6, (ours.percentile(50) - health.percentile(50)) / 1000)
        bandwidth = memory_read_bytes_per_second(os.cpu_count())
        self.table.add("  flat scan", rows * ROW_BYTES / scan / 1e9, "GB/s", bandwidth / 1e9, "memory read")

    def start_to_first_answer(self, ids: dict[str, str]) -> None:
        self.table.add("resident memory after all of this", self.server.resident_bytes() / MB, "MB")
        self.server.kill()
        query = {"queryVector": {"float32": self.rows[0].tolist()}, "topK": 10}
        began = time.monotonic()
        self.server.start()
        client = RawClient(self.server.endpoint)
        ok(client.call("GetIndex", ids))
        self.table.add("start to first GetIndex answer", time.monotonic() - began, "s")
        ok(client.call("QueryVectors", ids, **query))
        self.table.add("start to first QueryVectors answer", time.monotonic() - began, "s")
        self.table.add("resident memory after the first query", self.server.resident_bytes() / MB, "MB")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="small sizes and short runs")
    parser.add_argument("--rows", type=int, nargs="+", help="index sizes; default 10000 350000")
    parser.add_argument("--seconds", type=float, help="length of each run; default 5")
    parser.add_argument("--output", type=Path, help="also write the rows as JSON")
    options = parser.parse_args()
    sizes = options.rows or ([2000, 20_000] if options.quick else [10_000, 350_000])
    folder = Path(tempfile.mkdtemp(prefix="genai-vectors-bench-"))
    bench = Bench(folder, options.seconds or (1.0 if options.quick else 5.0))
    try:
        bench.ingest()
        for rows in sizes:
            ids = bench.bulk_import(rows)
            bench.queries(ids, rows)
        bench.start_to_first_answer(ids)
    finally:
        bench.close()
        shutil.rmtree(folder, ignore_errors=True)
    print(f"{os.cpu_count()} cores, {DIMENSION} dimensions, sizes {sizes}")
    print(bench.table.show())
    if options.output:
        options.output.write_text(json.dumps(bench.table.rows, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
