#!/usr/bin/env python3
"""What a million writes and a million queries cost on AWS, beside Amazon S3 Vectors: `make costs`.

    round_trips --json | python tests/load/costs.py

Requests are the counted ones of `round_trips`; prices, durations and shares are the constants below. Free tiers, taxes
and transfer out of the region are left out on both sides; what a deployment costs at rest, and what observing it costs,
is told below the table.
"""

from __future__ import annotations

import json
import math
import sys
from dataclasses import dataclass, field

from table import markdown

# List prices of us-east-1 in dollars, as of October 2026.
PRICE_DATE = "October 2026"
LAMBDA_GB_SECOND = 0.0000166667  # x86_64
LAMBDA_REQUEST = 0.20e-6
HTTP_API_REQUEST = 1.00e-6  # of each 512 KB of body
S3_WRITE = 5.0e-6  # PUT, POST, LIST
S3_READ = 0.4e-6
DYNAMODB_READ = 0.125e-6  # strongly consistent, of each 4 KB
DYNAMODB_WRITE = 0.625e-6  # of each KB
SQS_REQUEST = 0.40e-6
LOGS_GB = 0.50
METRIC_MONTH = 0.30  # a custom one, for the hours in which it is sent
ALARM_MONTH = 0.10
DASHBOARD_MONTH = 3.00
SECRET_MONTH = 0.40
TRACE = 5.0e-6
# Amazon S3 Vectors.
VECTORS_PUT_GB = 0.20
VECTORS_PUT_LEAST_BYTES = 128 * 1024
VECTORS_QUERY = 2.50e-6
VECTORS_FIRST_100K_TB = 0.004
VECTORS_TO_10M_TB = 0.002
VECTORS_OTHER_REQUEST = 0.055e-3

# What is stored and sent: one vector.
DIMENSION = 384
KEY_BYTES = 16
METADATA_BYTES = 100
JSON_BYTES_PER_NUMBER = 22.3
STORED_BYTES = DIMENSION * 4 + KEY_BYTES + METADATA_BYTES

# Functions, as the template makes them.
WRITE_GB = 1024 / 1024
QUERY_GB = 3008 / 1024
INDEXER_GB = 3008 / 1024
CPU_PER_GB = 1 / 1.769
COLD_SHARE = 0.005  # of all requests; a container then answers 200 of them
COLD_START_S = 0.25  # before the first request can be sent
OVERHEAD_S = 0.003  # event, signature, answer
LOG_BYTES = 1_000
ACCESS_LOG_BYTES = 200
TRACED_SHARE = 0.05  # by X-Ray's default rule, which also takes the first request of each second
# At rest: a sweep a minute, a collection an hour, Lambda's pollers at two queues, what observes all of it.
MONTH_S = 30 * 24 * 3600
SWEEP_GB, SWEEP_S = 256 / 1024, 0.1
POLLERS, POLL_S = 5, 20  # of each queue
RESTING_METRICS = 9  # of sweep, of collection and of both: requests, durations, cold starts
ALARMS = 11
USED_METRICS = 4  # that an operation in use adds
# CPU, of the README's measurements: parsing of bodies, a core-second; folding and merging, a GB-second.
PARSED_BYTES_S = 200e6
FOLDED_ROWS_GB_S = 20_000
MERGED_ROWS_GB_S = 5_000

# The index's record, without a tail and for each entry of it.
RECORD_BYTES = 450
ENTRY_BYTES = 28
FOLD_ENTRIES = 64
# A cold start reads what the query needs of the shards: parts of 8 MiB, at this rate.
PART_BYTES = 8 * 2**20
COLD_BYTES_S = 150e6


@dataclass
class Bill:
    """Dollars by where they go."""

    lines: dict[str, float] = field(default_factory=dict)

    def add(self, where: str, dollars: float) -> None:
        self.lines[where] = self.lines.get(where, 0) + dollars

    def merge(self, other: Bill, times: float) -> None:
        for where, dollars in other.lines.items():
            self.add(where, dollars * times)

    @property
    def total(self) -> float:
        return sum(self.lines.values())


def of_requests(requests: dict[str, int], record_bytes: float) -> Bill:
    """What one call's requests cost, with a record of this size."""
    bill = Bill()
    reads = math.ceil(record_bytes / 4096) * DYNAMODB_READ
    writes = math.ceil(record_bytes / 1024) * DYNAMODB_WRITE
    prices = {
        "GetItem": ("DynamoDB", reads),
        "Query": ("DynamoDB", reads),
        "Scan": ("DynamoDB", reads),
        "UpdateItem": ("DynamoDB", writes),
        "PutObject": ("S3", S3_WRITE),
        "ListObjects": ("S3", S3_WRITE),
        "GetObject": ("S3", S3_READ),
        # Sent, and received and deleted by the hundred.
        "SendMessage": ("SQS", SQS_REQUEST * 1.02),
    }
    for kind, count in requests.items():
        where, price = prices[kind]
        bill.add(where, price * count)
    return bill


def invoked(gigabytes: float, seconds: float) -> Bill:
    bill = Bill()
    bill.add("Lambda", LAMBDA_REQUEST + gigabytes * seconds * LAMBDA_GB_SECOND)
    bill.add("logs", LOG_BYTES / 1e9 * LOGS_GB)
    return bill


def asked(body_bytes: float) -> Bill:
    bill = Bill()
    bill.add("API Gateway", max(1, math.ceil(body_bytes / (512 * 1024))) * HTTP_API_REQUEST)
    return bill


class Counted:
    """The output of `round_trips --json`."""

    def __init__(self, lines: list[dict]) -> None:
        self.lines = {(line["what"], line["state"]): line for line in lines}

    def of(self, what: str, state: str) -> tuple[dict[str, int], float]:
        line = self.lines[what, state]
        return line["requests"], line["milliseconds"] / 1000

    def starting(self, what: str) -> tuple[dict[str, int], float]:
        (state,) = [state for (name, state) in self.lines if name == what]
        return self.of(what, state)


def fold(counted: Counted, entries: int, vectors: int) -> Bill:
    """One fold of so many writes of so many vectors each, in one invocation."""
    requests, seconds = counted.starting("Fold")
    requests = dict(requests)
    requests["GetObject"] -= FOLD_ENTRIES - entries
    bill = of_requests(requests, RECORD_BYTES + ENTRY_BYTES * entries / 2)
    # The mark of an index with work is an item that comes and goes.
    bill.add("DynamoDB", 2 * DYNAMODB_WRITE)
    bill.merge(invoked(INDEXER_GB, seconds + OVERHEAD_S), 1)
    bill.add("Lambda", entries * vectors / FOLDED_ROWS_GB_S * LAMBDA_GB_SECOND)
    return bill


def merges(counted: Counted, folds: float, rows: float) -> Bill:
    """The compactions that follow: each row is rewritten about log4(rows / rows of a fold) times."""
    requests, seconds = counted.starting("Compaction")
    passes = max(1.0, math.log(max(4.0, folds), 4))
    # Two merges were counted; a merge takes four shards, or what four of them have become.
    one = of_requests(requests, RECORD_BYTES)
    one.merge(invoked(INDEXER_GB, seconds), 1)
    bill = Bill()
    bill.merge(one, folds / 3 / 2)
    bill.add("Lambda", rows * passes / MERGED_ROWS_GB_S * LAMBDA_GB_SECOND)
    return bill


def writes(counted: Counted, vectors: int, entries: int) -> Bill:
    """A million PutVectors of so many vectors each, of which so many are folded at a time."""
    million = 1_000_000
    body = vectors * (DIMENSION * JSON_BYTES_PER_NUMBER + METADATA_BYTES + 60)
    parse_s = body / PARSED_BYTES_S / (WRITE_GB * CPU_PER_GB)
    bill = Bill()
    bill.merge(asked(body), million)
    for state, share in (("warm", 1 - COLD_SHARE), ("cold", COLD_SHARE)):
        requests, seconds = counted.of("PutVectors", state)
        start_s = COLD_START_S if state == "cold" else 0
        each = invoked(WRITE_GB, start_s + seconds + parse_s + OVERHEAD_S)
        # The record grows from fold to fold.
        for length in range(entries):
            size = RECORD_BYTES + ENTRY_BYTES * (length + 1)
            each.merge(of_requests(requests, size), 1 / entries)
        bill.merge(each, million * share)
    folds = million / entries
    bill.merge(fold(counted, entries, vectors), folds)
    bill.merge(merges(counted, folds, million * vectors), 1)
    return bill


def vectors_writes(vectors: int) -> float:
    size = max(VECTORS_PUT_LEAST_BYTES, vectors * STORED_BYTES)
    return 1_000_000 * size / 1e9 * VECTORS_PUT_GB


@dataclass
class Index:
    """An index that is asked."""

    rows: int
    state: str
    cpu_ms: float  # of one query on the function's two cores
    cold_bytes: int  # of files that a cold container reads
    ranges: int  # ranged reads of each query: vectors of candidates that are on no disk


# 66 bytes a row of index.faiss and 40 of keys; the vectors themselves stay in S3 where they do not fit in /tmp.
INDEXES = [
    Index(10_000, "cold", 2, 10_000 * (STORED_BYTES + 40), 0),
    Index(1_000_000, "cold, a shard with FAISS index", 30, 1_000_000 * (STORED_BYTES + 106), 0),
    Index(10_000_000, "cold, a shard with FAISS index", 200, 10_000_000 * 106, 200),
]


def queries(counted: Counted, index: Index) -> Bill:
    """A million queries of an index that is not written to."""
    million = 1_000_000
    shards = max(1, index.rows // 1_000_000)
    bill = Bill()
    bill.merge(asked(DIMENSION * JSON_BYTES_PER_NUMBER), million)
    range_s = 0.030 * math.ceil(index.ranges / 64)
    work_s = index.cpu_ms / 1000 + range_s + OVERHEAD_S
    requests, seconds = counted.of("QueryVectors", "warm")
    warm = of_requests(requests, RECORD_BYTES)
    warm.merge(invoked(QUERY_GB, seconds + work_s), 1)
    requests, seconds = counted.of("QueryVectors", index.state)
    requests = dict(requests)
    requests["GetObject"] += (shards - 1) * 6 + index.cold_bytes // PART_BYTES
    cold = of_requests(requests, RECORD_BYTES)
    cold.merge(invoked(QUERY_GB, COLD_START_S + seconds + index.cold_bytes / COLD_BYTES_S + work_s), 1)
    bill.merge(warm, million * (1 - COLD_SHARE))
    bill.merge(cold, million * COLD_SHARE)
    bill.add("S3", million * index.ranges * S3_READ)
    return bill


def vectors_queries(rows: int) -> float:
    first, rest = min(rows, 100_000), max(0, rows - 100_000)
    processed = first * VECTORS_FIRST_100K_TB + rest * VECTORS_TO_10M_TB
    return 1_000_000 * (VECTORS_QUERY + processed * STORED_BYTES / 1e12)


def at_rest() -> float:
    """A month of a deployment that nobody asks, without what is stored."""
    sweeps = MONTH_S / 60
    sweep = invoked(SWEEP_GB, SWEEP_S).total + DYNAMODB_READ + TRACE
    observed = RESTING_METRICS * METRIC_MONTH + ALARMS * ALARM_MONTH + DASHBOARD_MONTH + SECRET_MONTH
    return observed + sweeps * sweep + 2 * POLLERS * MONTH_S / POLL_S * SQS_REQUEST


def beside() -> str:
    """What the table leaves out, by its order of magnitude."""
    million = 1_000_000
    access_logs = million * ACCESS_LOG_BYTES / 1e9 * LOGS_GB
    traces = million * TRACE
    return (
        f"Not in the table: access logs (${access_logs:.2f} a million requests), X-Ray's traces "
        f"(${traces * TRACED_SHARE:.2f} a million where requests are many, up to ${traces:.2f} where fewer than one a "
        f"second come), and metrics (${USED_METRICS * METRIC_MONTH:.2f} a month for each operation in use). At rest a "
        f"deployment costs about ${at_rest():.0f} a month: metrics, alarms, the dashboard, the secret, Lambda's "
        f"polling of the queues, the sweeps."
    )


def main() -> None:
    counted = Counted(json.load(sys.stdin))
    places = ["API Gateway", "Lambda", "S3", "DynamoDB", "SQS", "logs"]
    rows = []

    def line(what: str, bill: Bill, peer: float) -> None:
        assert set(bill.lines) <= set(places)
        cells = [f"{bill.lines.get(place, 0):,.2f}" for place in places]
        rows.append((what, *cells, f"{bill.total:,.2f}", f"{peer:,.2f}", f"{bill.total / peer:.2f}"))

    for vectors in (1, 100, 500):
        what = "vector" if vectors == 1 else "vectors"
        line(f"writes of {vectors} {what}", writes(counted, vectors, FOLD_ENTRIES), vectors_writes(vectors))
    line("writes of 1 vector, one in 10 s", writes(counted, 1, 1), vectors_writes(1))
    for index in INDEXES:
        line(f"queries of {index.rows:,} vectors", queries(counted, index), vectors_queries(index.rows))
    header = ("a million, in dollars", *places, "here", "S3 Vectors", "ratio")
    print(markdown(header, rows))
    million_gb = 1_000_000 * STORED_BYTES / 1e9
    print(
        f"\nList prices of us-east-1, {PRICE_DATE}; {DIMENSION} dimensions, {METADATA_BYTES} bytes of filterable "
        f"metadata; {COLD_SHARE:.1%} of the requests are cold. A query of 10,000, 1 million and 10 million vectors is "
        f"taken to need {', '.join(f'{index.cpu_ms:g}' for index in INDEXES)} ms of its function; of 10 million "
        f"vectors {INDEXES[-1].ranges} candidates are read by ranges. 1 million vectors need `CacheStorage=4096 "
        f"CacheMib=3072`. "
        f"Stored, a million vectors are ${million_gb * 0.023 * 1.1:.2f} a month here (without backups) and "
        f"${million_gb * 0.06:.2f} there."
    )
    print(f"\n{beside()}")


if __name__ == "__main__":
    main()
