"""What this machine can do: memory-read bandwidth, and the CPU time that a process has used."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path

import numpy as np


def memory_read_bytes_per_second(threads: int) -> float:
    """Best of several passes over arrays far bigger than any cache; numpy releases the lock while it reduces."""
    size = 256 * 1024 * 1024 // threads
    arrays = [np.ones(size // 4, np.float32) for _ in range(threads)]
    best = 0.0
    for reduce in (np.sum, lambda array: np.dot(array, array)):
        for _ in range(5):
            workers = [threading.Thread(target=reduce, args=(array,)) for array in arrays]
            began = time.perf_counter()
            for worker in workers:
                worker.start()
            for worker in workers:
                worker.join()
            best = max(best, size * threads / (time.perf_counter() - began))
    return best


def cpu_seconds(pid: int) -> float:
    """User and system time of a process so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
