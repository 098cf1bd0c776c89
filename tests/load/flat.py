"""The rows of exact scans: ingest, queries with boto3 and raw, start. Shards stay flat whatever their size."""

from __future__ import annotations

import os
import subprocess
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from bench_server import Target
from clients import Load, boto3_calls, health_calls, put_bodies, query_bodies, raw_calls, records, run_clients
from expect import ok
from machine import memory_read_bytes_per_second
from server import ALWAYS_FLAT, binary, clean_environment
from settled import wait_until_settled
from table import Table
from wire import RawClient

DIMENSION = 100
ROW_BYTES = DIMENSION * 4
MB = 1e6


class FlatBench(Target):
    """Random vectors: to an exact scan all data are alike."""

    def __init__(self, folder: Path, seconds: float, table: Table):
        super().__init__(folder, seconds, ALWAYS_FLAT)
        self.table, self.folder = table, folder
        self.rows = np.random.default_rng(100).standard_normal((60_000, DIMENSION), np.float32)
        self.http = RawClient(self.server.endpoint)
        ok(self.http.call("CreateVectorBucket", vectorBucketName="bench"))

    def index(self, name: str) -> dict[str, str]:
        ids = {"vectorBucketName": "bench", "indexName": name}
        ok(self.http.call("CreateIndex", ids, dataType="float32", dimension=DIMENSION, distanceMetric="cosine"))
        return ids

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
        used = self.server.cpu_seconds()
        ours = run_clients(raw_calls(self.server.endpoint, "PutVectors", bodies), clients, self.seconds)
        used = self.server.cpu_seconds() - used
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
        self.table.add(f"import, {rows:,} rows from Parquet, flat", rows / (time.monotonic() - began), "vectors/s")
        wait_until_settled(self.server, ids, rows)
        return ids

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
                label = f"flat query {rows:,} rows, {kind}, {clients} client{'s' * (clients > 1)}"
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
        self.table.add("flat: resident memory after all of this", self.server.resident_bytes() / MB, "MB")
        self.server.kill()
        query = {"queryVector": {"float32": self.rows[0].tolist()}, "topK": 10}
        began = time.monotonic()
        self.server.start()
        client = RawClient(self.server.endpoint)
        ok(client.call("GetIndex", ids))
        self.table.add("flat: start to first GetIndex answer", time.monotonic() - began, "s")
        ok(client.call("QueryVectors", ids, **query))
        self.table.add("flat: start to first QueryVectors answer", time.monotonic() - began, "s")
        self.table.add("flat: resident memory after the first query", self.server.resident_bytes() / MB, "MB")
