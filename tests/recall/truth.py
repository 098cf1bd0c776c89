"""The exact answer, by numpy: candidates by float32 products in blocks, then float64 distances decide.

Used by the recall suites, by the benches and by their peers, so that everybody is judged by the same rule.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

# Rows whose float32 distances are computed at a time, and candidates beyond the asked count that float64 decides on.
BLOCK = 32_768
MARGIN = 64
# Below this many rows the selected ones are gathered, for so many queries together; above it the others are masked.
GATHERED, TOGETHER = 100_000, 64


def slack(metric: str, border: np.ndarray) -> np.ndarray:
    """Distances that two float32 sums in different order cannot tell apart: nearer than that is a tie."""
    return np.full_like(border, 2e-6) if metric == "cosine" else 1e-5 * np.maximum(1e-3, border)


class Truth:
    """Exact neighbours among the rows of a matrix (n x d float32); distances as the API states them."""

    def __init__(self, vectors: np.ndarray, metric: str):
        self.vectors, self.metric = vectors, metric
        self.squares = np.concatenate([_squares(block) for _, block in _blocks(vectors)])

    def replace(self, rows: np.ndarray, vectors: np.ndarray) -> None:
        """These rows have new values (the matrix must be writable)."""
        self.vectors[rows] = vectors
        self.squares[rows] = _squares(vectors)

    def distances(self, query: np.ndarray, rows: np.ndarray) -> np.ndarray:
        """Float64 distances from one query to these rows."""
        found, query = self.vectors[rows].astype(np.float64), query.astype(np.float64)
        if self.metric == "euclidean":
            return np.square(found - query).sum(axis=1)
        lengths = np.sqrt(np.square(found).sum(axis=1)) * np.linalg.norm(query)
        return 1 - (found @ query) / lengths

    def nearest(self, queries: np.ndarray, count: int, allowed: np.ndarray | None = None) -> list[tuple]:
        """For each query (row numbers, float64 distances) of its nearest, ascending; `allowed` is a mask of rows.

        Fewer than `count` only when fewer rows are allowed.
        """
        rows = None if allowed is None else np.flatnonzero(allowed)
        gathered = rows is not None and len(rows) <= GATHERED
        candidates = self._gathered(queries, count, rows) if gathered else self._masked(queries, count, allowed)
        answers = []
        for query, found in zip(queries, candidates, strict=True):
            distances = self.distances(query, found)
            order = np.lexsort((found, distances))[:count]
            answers.append((found[order], distances[order]))
        return answers

    def _scores(self, queries: np.ndarray, vectors: np.ndarray, squares: np.ndarray) -> np.ndarray:
        """Float32 values in the order of the distances, queries x rows."""
        products = queries @ vectors.T
        if self.metric == "cosine":
            return -products / np.sqrt(squares)
        return squares - 2 * products

    def _gathered(self, queries: np.ndarray, count: int, rows: np.ndarray) -> list[np.ndarray]:
        vectors = np.ascontiguousarray(self.vectors[rows])
        squares, kept = self.squares[rows], min(len(rows), count + MARGIN)
        return [
            rows[low]
            for start in range(0, len(queries), TOGETHER)
            for low in _lowest(self._scores(queries[start : start + TOGETHER], vectors, squares), kept)
        ]

    def _masked(self, queries: np.ndarray, count: int, allowed: np.ndarray | None) -> np.ndarray:
        kept = min(len(self.vectors), count + MARGIN)
        best = np.empty((len(queries), 0), np.float32)
        names = np.empty((len(queries), 0), np.int64)
        for start, block in _blocks(self.vectors):
            end = start + len(block)
            scores = self._scores(queries, block, self.squares[start:end]).astype(np.float32)
            if allowed is not None:
                scores += np.where(allowed[start:end], np.float32(0), np.float32(np.inf))
            low = _lowest(scores, min(kept, len(block)))
            best = np.concatenate([best, np.take_along_axis(scores, low, 1)], axis=1)
            names = np.concatenate([names, low + start], axis=1)
            low = _lowest(best, min(kept, best.shape[1]))
            best, names = np.take_along_axis(best, low, 1), np.take_along_axis(names, low, 1)
        return names


def recall(truth: Truth, queries: np.ndarray, nearest: Sequence[tuple], answers: Iterable, count: int) -> float:
    """Share of the true nearest `count` that the answers hold; equal distances count as either.

    `nearest` is what `Truth.nearest` said for at least `count`; an answer is the row numbers returned for a query.
    A short answer loses what it lacks; a query with fewer matching rows is judged by those.
    """
    right = wanted = 0
    for query, (_, distances), answer in zip(queries, nearest, answers, strict=True):
        due = min(count, len(distances))
        wanted += due
        if not due:
            continue
        found = np.unique(np.asarray(answer, np.int64)[:count])
        border = distances[due - 1]
        near = truth.distances(query, found) <= border + slack(truth.metric, np.array([border]))
        right += min(due, int(near.sum()))
    return right / max(1, wanted)


def _blocks(vectors: np.ndarray) -> Iterable[tuple[int, np.ndarray]]:
    for start in range(0, len(vectors), BLOCK):
        yield start, np.ascontiguousarray(vectors[start : start + BLOCK])


def _squares(vectors: np.ndarray) -> np.ndarray:
    return np.einsum("ij,ij->i", vectors, vectors, dtype=np.float64).astype(np.float32)


def _lowest(scores: np.ndarray, count: int) -> np.ndarray:
    """Columns of the lowest `count` scores of each row, in no order."""
    if count >= scores.shape[1]:
        return np.broadcast_to(np.arange(scores.shape[1]), scores.shape)
    return np.argpartition(scores, count - 1, axis=1)[:, :count]
