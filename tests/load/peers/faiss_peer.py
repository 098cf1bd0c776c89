"""faiss-cpu with our index type and our search settings: single-thread latency and the CPU time of a build.

    .venvs/peers/bin/python tests/load/peers/faiss_peer.py --rows rows.npy --queries queries.npy --parameters ours.json

`--parameters` is the JSON that `ann_speed` (an example of the engine) printed for the same two files. Read from it:

    index            FAISS factory string, such as "IVF1024,PQ25x4fs"
    metric           "cosine" (rows and queries are normalised, inner product) or "euclidean"
    nprobe, depth    of every search; `depth` candidates are re-ranked exactly (f32, from memory)
    train_rows       rows of the training sample
    coarse_iterations, pq_iterations, seed, points_per_centroid      of the training; all optional

Printed, under the same names in both programs: recall_at_10, search_us (candidates only, p50), total_us (with the
re-ranking, p50), total_p99_us, total_cpu_us, train_cpu_seconds, add_cpu_seconds, build_cpu_seconds, index_bytes.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import faiss
import numpy as np
from measure import Asked, latencies, note, report, timed

COUNT = 10
ROUNDS = 5


def prepared(vectors: np.ndarray, metric: str) -> np.ndarray:
    vectors = np.array(vectors, np.float32)
    if metric == "cosine":
        faiss.normalize_L2(vectors)
    return vectors


def trained(rows: np.ndarray, parameters: dict, defaults: bool) -> faiss.Index:
    """The empty index; `defaults` leaves FAISS's own clustering parameters."""
    kind = faiss.METRIC_INNER_PRODUCT if parameters["metric"] == "cosine" else faiss.METRIC_L2
    index = faiss.index_factory(rows.shape[1], parameters["index"], kind)
    if not defaults:
        settings = ((index.cp, "coarse_iterations"), (index.pq.cp, "pq_iterations"))
        for clustering, iterations in settings:
            clustering.niter = parameters.get(iterations, clustering.niter)
            clustering.seed = parameters.get("seed", clustering.seed)
            points = parameters.get("points_per_centroid")
            clustering.max_points_per_centroid = points or clustering.max_points_per_centroid
    sample = min(len(rows), parameters.get("train_rows", len(rows)))
    chosen = np.random.default_rng(1).choice(len(rows), sample, replace=False)
    index.train(np.ascontiguousarray(rows[np.sort(chosen)]))
    return index


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=Path, required=True)
    parser.add_argument("--queries", type=Path, required=True)
    parser.add_argument("--parameters", required=True, help="a JSON file, or JSON itself")
    parser.add_argument("--defaults", action="store_true", help="FAISS's own training parameters")
    parser.add_argument("--seconds", type=float, default=5)
    parser.add_argument("--sweep", action="store_true", help="also print recall and time of other nprobe and depth")
    options = parser.parse_args()
    text = options.parameters
    parameters = json.loads(text if text.lstrip().startswith("{") else Path(text).read_text())
    faiss.omp_set_num_threads(1)

    asked = Asked(options.rows, options.queries, parameters["metric"])
    rows, queries = prepared(asked.rows, parameters["metric"]), prepared(asked.queries, parameters["metric"])
    asked.queries = queries
    index, _, train_cpu = timed(lambda: trained(rows, parameters, options.defaults))
    _, _, add_cpu = timed(lambda: index.add(rows))
    note(f"{parameters['index']}: train {train_cpu:.1f}, add {add_cpu:.1f} CPU-seconds")
    exact = faiss.IndexFlat(rows.shape[1], index.metric_type)
    exact.add(rows)
    refined = faiss.IndexRefine(index, exact)

    def measured(nprobe: int, depth: int, seconds: float) -> dict[str, float]:
        inner = faiss.SearchParametersIVF(nprobe=nprobe)
        outer = faiss.IndexRefineSearchParameters(k_factor=depth / COUNT, base_index_params=inner)
        found = asked.recall(lambda query: refined.search(query[None], COUNT, params=outer)[1][0])
        candidates = latencies(lambda q: index.search(q[None], depth, params=inner), queries, seconds, ROUNDS)
        total = latencies(lambda q: refined.search(q[None], COUNT, params=outer), queries, seconds, ROUNDS)
        return {
            "recall_at_10": found,
            "search_us": candidates["p50_ms"] * 1000,
            "total_us": total["p50_ms"] * 1000,
            "total_p99_us": total["p99_ms"] * 1000,
            "total_cpu_us": total["cpu_ms"] * 1000,
        }

    if options.sweep:
        for depth in (50, 100, 200, 400):
            for nprobe in (16, 32, 64, 96, 128, 192, 256):
                one = measured(nprobe, depth, 1)
                note(f"nprobe {nprobe}, depth {depth}: " + ", ".join(f"{k} {v:.4g}" for k, v in one.items()))
    report(
        peer=f"faiss-cpu {faiss.__version__}",
        **{name: parameters[name] for name in ("index", "metric", "nprobe", "depth")},
        rows=len(rows),
        dimension=rows.shape[1],
        **measured(parameters["nprobe"], parameters["depth"], options.seconds),
        train_cpu_seconds=train_cpu,
        add_cpu_seconds=add_cpu,
        build_cpu_seconds=train_cpu + add_cpu,
        index_bytes=len(faiss.serialize_index(index)),
    )


if __name__ == "__main__":
    main()
