"""What this machine can do: memory-read bandwidth."""

from __future__ import annotations

import threading
import time

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
