"""Seeded data sets for recall: mixtures of clusters of low intrinsic dimension, of any size, made in chunks.

A cluster is a random centre and a random subspace of about 30 dimensions with a decaying spectrum; cluster sizes follow
Zipf's law, and a little isotropic noise fills the other dimensions. The same arguments give the same rows whatever is
read of them, and queries come from the same distribution without being rows.

    python tests/recall/datasets.py 200000 768 --variant drifted --output rows.npy
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

CHUNK = 50_000
INTRINSIC = 30
# Shares of a row's energy: the place of its centre, its place within the cluster (1.0), and noise.
CENTRE, NOISE = 1.5, 0.02
# `duplicates`: this share of rows repeats another row; half of these repeat one of a few hot rows of their chunk.
REPEATED, HOT_ROWS = 0.2, 5
# `blob`: this share of rows is in one cluster a tenth as wide as the others.
BLOB, BLOB_WIDTH = 0.8, 0.1

VARIANTS = {
    "plain": "clusters with Zipf sizes",
    "drifted": "the second half's clusters have moved and turned; queries from both halves",
    "duplicates": "a fifth of the rows repeats other rows, some of them very often",
    "blob": "four fifths of the rows are one dense cluster",
    "equal": "clusters of equal size",
}


@dataclass
class Mixture:
    """`rows` x `dimension` float32 vectors of a variant."""

    rows: int
    dimension: int
    seed: int = 1
    variant: str = "plain"
    clusters: int = 0
    _parts: list[Clusters] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        if self.variant not in VARIANTS:
            raise ValueError(f"no variant {self.variant}: {', '.join(VARIANTS)}")
        self.clusters = self.clusters or max(8, round(math.sqrt(self.rows) / 4))
        self.weights, self.widths = self._weights(), np.ones(self.clusters)
        if self.variant == "blob":
            self.widths[0] = BLOB_WIDTH
        self._parts = [Clusters(self, part) for part in range(2 if self.variant == "drifted" else 1)]

    def _weights(self) -> np.ndarray:
        weights = np.ones(self.clusters)
        if self.variant != "equal":
            weights /= np.arange(1, self.clusters + 1)
        if self.variant == "blob":
            weights[0] = 0
            weights[0] = BLOB / (1 - BLOB) * weights.sum()
        return weights / weights.sum()

    def chunks(self) -> Iterator[np.ndarray]:
        """Up to CHUNK rows at a time, in order."""
        for start in range(0, self.rows, CHUNK):
            count = min(CHUNK, self.rows - start)
            random = np.random.default_rng([self.seed, 1, start])
            late = np.arange(start, start + count) >= self.rows // 2
            vectors = self._draw(random, late)
            if self.variant == "duplicates":
                copied, original = _repeats(random, count)
                vectors[copied] = vectors[original]
            yield vectors

    def queries(self, count: int) -> np.ndarray:
        """Vectors of the same distribution that are no rows."""
        random = np.random.default_rng([self.seed, 2])
        return self._draw(random, np.arange(count) % 2 == 1)

    def fresh(self, count: int, seed: int) -> np.ndarray:
        """More of the same distribution: new values for rows that are overwritten."""
        random = np.random.default_rng([self.seed, 3, seed])
        return self._draw(random, np.arange(count) % 2 == 1)

    def _draw(self, random: np.random.Generator, late: np.ndarray) -> np.ndarray:
        clusters = random.choice(self.clusters, len(late), p=self.weights)
        inner = random.standard_normal((len(late), self._parts[0].inner), np.float32)
        noise = random.standard_normal((len(late), self.dimension), np.float32)
        vectors = noise * (self.widths[clusters] * math.sqrt(NOISE / self.dimension))[:, None].astype(np.float32)
        for number, part in enumerate(self._parts):
            mine = late == bool(number) if len(self._parts) > 1 else np.ones(len(late), bool)
            for cluster in np.unique(clusters[mine]):
                rows = np.flatnonzero(mine & (clusters == cluster))
                vectors[rows] += part.place(cluster, inner[rows])
        return vectors


class Clusters:
    """Centres and subspaces. The second part of `drifted` has others, of the same kind."""

    def __init__(self, mixture: Mixture, part: int):
        random = np.random.default_rng([mixture.seed, 0, part])
        self.inner = min(INTRINSIC, mixture.dimension)
        spectrum = np.arange(1, self.inner + 1) ** -0.5
        spectrum /= np.sqrt(np.square(spectrum).sum())
        # Centres lie in a subspace too, wider than a cluster's: real embeddings do not fill their space either.
        wide = min(2 * self.inner, mixture.dimension)
        places = random.standard_normal((mixture.clusters, wide)) * math.sqrt(CENTRE / wide)
        self.centres = (places @ _orthonormal(random, wide, mixture.dimension)).astype(np.float32)
        self.bases = np.empty((mixture.clusters, self.inner, mixture.dimension), np.float32)
        for basis in self.bases:
            basis[:] = spectrum[:, None] * _orthonormal(random, self.inner, mixture.dimension)
        self.bases *= mixture.widths[:, None, None].astype(np.float32)

    def place(self, cluster: int, inner: np.ndarray) -> np.ndarray:
        return self.centres[cluster] + inner @ self.bases[cluster]


def materialise(mixture: Mixture, path: Path) -> np.ndarray:
    """Writes the rows to a .npy file, chunk by chunk; the file, mapped copy-on-write."""
    mapped = np.lib.format.open_memmap(path, "w+", np.float32, (mixture.rows, mixture.dimension))
    start = 0
    for vectors in mixture.chunks():
        mapped[start : start + len(vectors)] = vectors
        start += len(vectors)
    mapped.flush()
    del mapped
    return np.load(path, mmap_mode="c")


def _orthonormal(random: np.random.Generator, count: int, dimension: int) -> np.ndarray:
    """`count` orthonormal rows."""
    return np.linalg.qr(random.standard_normal((dimension, count)))[0].T


def _repeats(random: np.random.Generator, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Which rows of a chunk are copies, and of which rows."""
    order = random.permutation(count)
    copied, others = np.split(order, [int(count * REPEATED)])
    original = random.choice(others, len(copied))
    hot = len(copied) // 2
    original[:hot] = random.choice(others[:HOT_ROWS], hot)
    return copied, original


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("rows", type=int)
    parser.add_argument("dimension", type=int)
    parser.add_argument("--variant", choices=VARIANTS, default="plain")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--queries", type=int, default=1000, help="written beside the rows as NAME.queries.npy")
    parser.add_argument("--output", type=Path, required=True)
    options = parser.parse_args()
    mixture = Mixture(options.rows, options.dimension, options.seed, options.variant)
    materialise(mixture, options.output)
    np.save(options.output.with_suffix(".queries.npy"), mixture.queries(options.queries))


if __name__ == "__main__":
    main()
