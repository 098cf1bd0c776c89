"""Metadata columns for filtered queries: what matches 50, 10, 1 and 0.1 % of the rows, and three rows.

Each share comes in three forms: random rows; the rows furthest along a direction; the rows nearest to one row, which is
the hardest for an index that looks into a fixed number of clusters, since queries come from everywhere.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

FORMS = ("random", "direction", "ball")
SHARES = {"50 %": 0.5, "10 %": 0.1, "1 %": 0.01, "0.1 %": 0.001, "3 rows": 0.0}
RARE = 3
BLOCK = 50_000


@dataclass
class Predicate:
    """A filter, and a mask of the rows that it matches."""

    form: str
    share: str
    filter: dict[str, Any]
    mask: np.ndarray

    @property
    def name(self) -> str:
        return f"{self.form}, {self.share}"


class Attributes:
    """For each form a rank (integers from 0), a half (boolean) and a band (text), made from one order of the rows."""

    def __init__(self, vectors: np.ndarray, seed: int):
        random = np.random.default_rng([seed, 4])
        self.ranks = {"random": random.permutation(len(vectors))}
        direction = random.standard_normal(vectors.shape[1]).astype(np.float32)
        anchor = np.array(vectors[random.integers(len(vectors))])
        along, away = np.empty(len(vectors)), np.empty(len(vectors))
        for start in range(0, len(vectors), BLOCK):
            block = vectors[start : start + BLOCK]
            along[start : start + BLOCK] = -(block @ direction)
            away[start : start + BLOCK] = np.square(block - anchor).sum(axis=1)
        self.ranks["direction"], self.ranks["ball"] = _ranks(along), _ranks(away)

    def shuffle(self, rows: np.ndarray, seed: int) -> None:
        """These rows exchange their metadata: a row that matched may no longer match."""
        order = np.random.default_rng([seed, 5]).permutation(len(rows))
        for rank in self.ranks.values():
            rank[rows] = rank[rows][order]

    def columns(self, rows: slice | np.ndarray) -> dict[str, Any]:
        """Columns of a Parquet file: they become the rows' metadata."""
        made: dict[str, Any] = {}
        for form, rank in self.ranks.items():
            count, part = len(rank), rank[rows]
            made[f"{form}_rank"] = part
            made[f"{form}_half"] = part < count // 2
            made[f"{form}_band"] = np.where(part < count // 10, "first", "other").tolist()
        return made

    def predicates(self) -> list[Predicate]:
        return [self.predicate(form, share) for form in FORMS for share in SHARES]

    def predicate(self, form: str, share: str) -> Predicate:
        """Each share has another kind of filter: boolean, text, range, range within `$and`, `$in`."""
        rank = self.ranks[form]
        count = len(rank)
        limit = int(count * SHARES[share])
        name = f"{form}_rank"
        if share == "50 %":
            return Predicate(form, share, {f"{form}_half": True}, rank < limit)
        if share == "10 %":
            return Predicate(form, share, {f"{form}_band": {"$eq": "first"}}, rank < limit)
        if share == "1 %":
            return Predicate(form, share, {name: {"$lt": limit}}, rank < limit)
        if share == "0.1 %":
            both = [{name: {"$gte": limit}}, {name: {"$lt": 2 * limit}}]
            return Predicate(form, share, {"$and": both}, (rank >= limit) & (rank < 2 * limit))
        return Predicate(form, share, {name: {"$in": list(range(RARE))}}, rank < RARE)


def _ranks(values: np.ndarray) -> np.ndarray:
    ranks = np.empty(len(values), np.int64)
    ranks[np.argsort(values, kind="stable")] = np.arange(len(values))
    return ranks
