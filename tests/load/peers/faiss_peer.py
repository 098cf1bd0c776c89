"""faiss-cpu with our index type and our search settings: single-thread latency and the CPU time of a build.

    .venvs/peers/bin/python tests/load/peers/faiss_peer.py --rows rows.npy --queries queries.npy --ours ours.json

`--ours` is the JSON that `ann_speed`, an example of the engine, printed for the same two files. Read from it: nlist,
code (its kind and m), nprobe, depth. Training takes as many rows as ours (64 a list) and as many iterations, unless
`--defaults` asks for FAISS's own. Cosine rows and queries are normalised; `depth` candidates are re-ranked exactly.

Printed under the names of `ann_speed`: recall, p50_ms and p99_ms (with the re-ranking), train_cpu_s, build_cpu_s
(adding the rows), index_bytes; and candidates_p50_ms (without the re-ranking), cpu_ms (of a query).
"""

from __future__ import annotations

import argparse
import itertools
import json
import re
from pathlib import Path

import faiss
import numpy as np
from measure import Asked, latencies, note, report, timed
from truth import recall

COUNT = 10
ROUNDS = 2
# As the engine trains (its `ivf/config` and `ivfpq/coarse`): rows of the sample per list, rounds of every k-means.
ROWS_PER_LIST, ITERATIONS = 64, 10


def prepared(vectors: np.ndarray, metric: str, width: int) -> np.ndarray:
    """Padded with zeros to whole sub-quantizers, and normalised for cosine."""
    padded = np.zeros((len(vectors), width), np.float32)
    padded[:, : vectors.shape[1]] = vectors
    if metric == "cosine":
        faiss.normalize_L2(padded)
    return padded


def sub_quantizers(ours: dict) -> int:
    return int(re.search(r"m: (\d+)", ours["code"]).group(1))


def factory(ours: dict) -> str:
    """FAISS's name of our index type: fast scan for 4 bits."""
    return f"IVF{ours['nlist']},PQ{sub_quantizers(ours)}" + ("x4fs" if "pq4" in ours["code"].lower() else "np")


def trained(rows: np.ndarray, ours: dict, metric: str, defaults: bool) -> faiss.Index:
    """The empty index."""
    kind = faiss.METRIC_INNER_PRODUCT if metric == "cosine" else faiss.METRIC_L2
    index = faiss.index_factory(rows.shape[1], factory(ours), kind)
    sample = len(rows)
    if not defaults:
        # As `ivfpq/train` and `ivf/config` of our engine have them.
        sample = min(sample, ours["nlist"] * ROWS_PER_LIST)
        for clustering in (index.cp, index.pq.cp):
            # The whole sample for the lists, and for every codebook.
            clustering.niter, clustering.max_points_per_centroid = ITERATIONS, sample
    chosen = np.random.default_rng(1).choice(len(rows), sample, replace=False)
    index.train(np.ascontiguousarray(rows[np.sort(chosen)]))
    return index


class Peer:
    """A built index and exact vectors beside it; queries as FAISS sees them."""

    def __init__(self, asked: Asked, index: faiss.Index, rows: np.ndarray, queries: np.ndarray):
        self.asked, self.index, self.queries = asked, index, queries
        exact = faiss.IndexFlat(rows.shape[1], index.metric_type)
        exact.add(rows)
        self.refined = faiss.IndexRefine(index, exact)
        self.keep = exact

    def measured(self, nprobe: int, depth: int, seconds: float) -> dict[str, float]:
        inner = faiss.SearchParametersIVF(nprobe=nprobe)
        outer = faiss.IndexRefineSearchParameters(k_factor=depth / COUNT, base_index_params=inner)

        def search(query: np.ndarray) -> np.ndarray:
            return self.refined.search(query[None], COUNT, params=outer)[1][0]

        def candidates(query: np.ndarray) -> np.ndarray:
            return self.index.search(query[None], depth, params=inner)[1][0]

        found = recall(self.asked.truth, self.asked.queries, self.asked.nearest, map(search, self.queries), COUNT)
        only = latencies(candidates, self.queries, seconds, ROUNDS)["p50_ms"]
        return {"recall": found, "candidates_p50_ms": only} | latencies(search, self.queries, seconds, ROUNDS)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=Path, required=True)
    parser.add_argument("--queries", type=Path, required=True)
    parser.add_argument("--metric", choices=("cosine", "euclidean"), default="cosine")
    parser.add_argument("--ours", required=True, help="a JSON file, or JSON itself")
    parser.add_argument("--defaults", action="store_true", help="FAISS's own training parameters")
    parser.add_argument("--seconds", type=float, default=5)
    parser.add_argument("--sweep", action="store_true", help="also show recall and time of other nprobe and depth")
    options = parser.parse_args()
    ours = json.loads(options.ours if options.ours.lstrip().startswith("{") else Path(options.ours).read_text())
    faiss.omp_set_num_threads(1)

    asked = Asked(options.rows, options.queries, options.metric)
    m = sub_quantizers(ours)
    width = -(-asked.rows.shape[1] // m) * m
    rows = prepared(asked.rows, options.metric, width)
    index, _, train_cpu = timed(lambda: trained(rows, ours, options.metric, options.defaults))
    _, _, add_cpu = timed(lambda: index.add(rows))
    note(f"{factory(ours)}: train {train_cpu:.1f}, add {add_cpu:.1f} CPU-seconds")
    peer = Peer(asked, index, rows, prepared(asked.queries, options.metric, width))
    if options.sweep:
        for depth, nprobe in itertools.product((50, 100, 200, 400), (16, 32, 64, 96, 128, 192, 256)):
            one = peer.measured(nprobe, depth, 1)
            note(f"nprobe {nprobe}, depth {depth}: " + ", ".join(f"{name} {value:.4g}" for name, value in one.items()))
    report(
        peer=f"faiss-cpu {faiss.__version__}",
        index=factory(ours),
        nprobe=ours["nprobe"],
        depth=ours["depth"],
        rows=len(rows),
        dimension=asked.rows.shape[1],
        **peer.measured(ours["nprobe"], ours["depth"], options.seconds),
        train_cpu_s=train_cpu,
        build_cpu_s=add_cpu,
        index_bytes=len(faiss.serialize_index(index)),
    )


if __name__ == "__main__":
    main()
