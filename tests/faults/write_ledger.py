"""What a writing client knows about its own keys: which version was acknowledged, and which one is in doubt.

Every key belongs to one client, so its history is a line: the last acknowledged state, and at most one attempt whose
outcome is unknown because the server died under it. Reality must be one of the two.
"""

from __future__ import annotations

import hashlib
import random
from typing import Any

DIMENSION = 8
GONE = None


def content(key: str, version: int) -> dict[str, Any]:
    """Vector and metadata that follow from key and version alone, so that a mixture of two versions shows."""
    noise = random.Random(f"{key}/{version}")
    # Sixty-fourths: their decimal text is exact, so the answer's shortest digits compare equal without rounding.
    values = [noise.randint(-64, 64) / 64 for _ in range(DIMENSION)]
    text = hashlib.sha256(f"{key}/{version}".encode()).hexdigest()
    return {"data": {"float32": values}, "metadata": {"version": version, "text": text}}


class Ledger:
    """One client's keys: `acknowledged` versions, and the `doubtful` batch that was under way at the kill, if any."""

    def __init__(self, client: int):
        self.client = client
        self.acknowledged: dict[str, int | None] = {}
        self.doubtful: dict[str, int | None] = {}
        self.versions = 0
        self.chance = random.Random(client)

    def next_batch(self) -> dict[str, int | None]:
        """Puts of one version to several keys (new and old ones), or deletes of several keys."""
        self.versions += 1
        keys = [f"c{self.client}-{self.chance.randrange(60)}" for _ in range(self.chance.randint(1, 12))]
        outcome = GONE if self.chance.random() < 0.25 else self.versions
        return dict.fromkeys(keys, outcome)

    def begin(self, batch: dict[str, int | None]) -> None:
        self.doubtful = batch

    def acknowledge(self) -> None:
        self.acknowledged |= self.doubtful
        self.doubtful = {}

    def settle(self, found: dict[str, dict[str, Any]]) -> list[str]:
        """Compares with what the restarted server holds; complaints. Afterwards the doubt is gone."""
        happened = self.acknowledged | self.doubtful
        for reality in (happened, self.acknowledged):
            complaints = self._differences(reality, found)
            if not complaints:
                break
        self.acknowledged, self.doubtful = dict(reality), {}
        return complaints

    def _differences(self, reality: dict[str, int | None], found: dict[str, dict[str, Any]]) -> list[str]:
        complaints = []
        for key in sorted(set(reality) | set(found)):
            version = reality.get(key)
            expected = None if version is None else {"key": key, **content(key, version)}
            if found.get(key) != expected:
                stored = found.get(key) and found[key]["metadata"].get("version")
                complaints.append(f"{key}: acknowledged version {version}, the server has {stored}")
        return complaints
