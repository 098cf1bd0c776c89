"""Clients under measurement, each in a process of its own: boto3, and the raw signed keep-alive client."""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from caller import boto3_client
from server import ANY_KEY
from signing import Signer
from wire import RawClient, to_json

JSON = {"Content-Type": "application/json"}
Call = Callable[[int], None]


@dataclass
class Load:
    """What some clients did together: latencies in seconds, and the wall time from the first start to the last end."""

    latencies: np.ndarray
    seconds: float

    @property
    def rate(self) -> float:
        return len(self.latencies) / self.seconds

    def percentile(self, percent: float) -> float:
        """In milliseconds."""
        return float(np.percentile(self.latencies, percent)) * 1000


def run_clients(make_call: Callable[[int], Call], clients: int, seconds: float) -> Load:
    """Each client repeats its call for so many seconds, after a warm-up call and a common start."""
    context = multiprocessing.get_context("fork")
    gate, results = context.Barrier(clients), context.Queue()

    def work(client: int) -> None:
        try:
            call = make_call(client)
            call(0)
            gate.wait(60)
            began, latencies, number = time.monotonic(), [], 0
            while time.monotonic() - began < seconds:
                before = time.perf_counter()
                call(number := number + 1)
                latencies.append(time.perf_counter() - before)
            results.put((began, time.monotonic(), latencies))
        except BaseException as error:
            gate.abort()
            results.put(repr(error))

    processes = [context.Process(target=work, args=(client,)) for client in range(clients)]
    for process in processes:
        process.start()
    collected = [results.get(timeout=seconds + 120) for _ in processes]
    for process in processes:
        process.join()
    failed = [result for result in collected if isinstance(result, str)]
    if failed:
        raise RuntimeError(f"a client failed: {failed[0]}")
    begins, ends, latencies = zip(*collected, strict=True)
    return Load(np.concatenate([np.array(row) for row in latencies]), max(ends) - min(begins))


def boto3_calls(endpoint: str, operation: str, params: Callable[[int, int], dict[str, Any]]) -> Callable[[int], Call]:
    """`params(client, number)` is built for every call, as an application would."""

    def make(client: int) -> Call:
        method = getattr(boto3_client(endpoint, ANY_KEY), operation)
        return lambda number: method(**params(client, number))

    return make


def raw_calls(endpoint: str, operation: str, bodies: Callable[[int], Iterator[bytes]]) -> Callable[[int], Call]:
    """Bodies come ready made, so that the client does little but sign and send."""

    def make(client: int) -> Call:
        http = RawClient(endpoint, Signer(*ANY_KEY))
        stream = bodies(client)

        def call(_: int) -> None:
            answer = http.send("POST", f"/{operation}", next(stream), JSON)
            if answer.status != 200:
                raise RuntimeError(f"{operation}: {answer.status} {answer.text[:300]!r}")

        return call

    return make


def health_calls(endpoint: str) -> Callable[[int], Call]:
    def make(_: int) -> Call:
        http = RawClient(endpoint, Signer(*ANY_KEY))
        return lambda _: http.send("GET", "/health").status == 200 or None

    return make


def records(rows: np.ndarray, client: int, number: int, batch: int) -> list[dict[str, Any]]:
    """Batch `number` of a client: keys of its own, rows taken in turn."""
    start = (client * 7919 + number * batch) % (len(rows) - batch)
    values = rows[start : start + batch].tolist()
    return [{"key": f"c{client}-{number * batch + n}", "data": {"float32": v}} for n, v in enumerate(values)]


def put_bodies(ids: dict[str, str], rows: np.ndarray, batch: int, kept: int) -> Callable[[int], Iterator[bytes]]:
    """`kept` prepared bodies a client, repeated: later rounds overwrite, which costs the server no less."""

    def stream(client: int) -> Iterator[bytes]:
        made = [to_json(ids | {"vectors": records(rows, client, number, batch)}) for number in range(kept)]
        while True:
            yield from made

    return stream


def query_bodies(ids: dict[str, str], asked: np.ndarray) -> Callable[[int], Iterator[bytes]]:
    def stream(client: int) -> Iterator[bytes]:
        shifted = np.roll(asked, client * 17, axis=0)
        made = [to_json(ids | {"queryVector": {"float32": row.tolist()}, "topK": 10}) for row in shifted]
        while True:
            yield from made

    return stream
