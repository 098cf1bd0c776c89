"""The corpora of the recall suites: words-100, and mixtures of `datasets.py`."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import words
from attributes import Attributes
from datasets import Mixture, materialise
from live import Corpus

QUERIES = 1000
# Rows that may be overwritten with new values.
FRESH = 0.25
# A word's new vector: another word's, moved by this share of its length.
MOVED = 0.1


def words_corpus(rows: int | None = None, seed: int = 1) -> Corpus:
    """`rows` random words (all but the queries by default); words that were left out are the queries."""
    names, vectors = words.load(words.make())
    random = np.random.default_rng([seed, 6])
    order = random.permutation(len(names))
    asked, kept = order[:QUERIES], np.sort(order[QUERIES:][:rows])
    vectors, queries = np.array(vectors[kept]), np.array(vectors[asked])
    fresh = vectors[random.choice(len(kept), int(FRESH * len(kept)), replace=False)]
    noise = random.standard_normal(fresh.shape, np.float32)
    noise *= MOVED * np.linalg.norm(fresh, axis=1, keepdims=True) / np.linalg.norm(noise, axis=1, keepdims=True)
    return Corpus("words", [names[row] for row in kept], vectors, queries, fresh + noise, Attributes(vectors, seed))


def mixture_corpus(mixture: Mixture, folder: Path, filtered: bool = True) -> Corpus:
    """The rows in a file of `folder`, mapped copy-on-write."""
    name = f"{mixture.variant}-{mixture.rows}x{mixture.dimension}"
    vectors = materialise(mixture, folder / f"{name}.npy")
    fresh = mixture.fresh(int(FRESH * mixture.rows), seed=1)
    keys = [f"row-{row:07}" for row in range(mixture.rows)]
    attributes = Attributes(vectors, mixture.seed) if filtered else None
    return Corpus(name, keys, vectors, mixture.queries(QUERIES), fresh, attributes)
