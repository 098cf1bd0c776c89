"""The stock faiss-cpu package opens our files and finds the same rows: `stock_faiss.py [FOLDER]`.

Without a folder the files are made by the example `ivfpq_files`.
"""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import faiss
import numpy as np

ROOT = Path(__file__).resolve().parents[3]
KINDS = {"pq4": faiss.IndexIVFPQFastScan, "pq4r": faiss.IndexIVFPQFastScan, "pq8": faiss.IndexIVFPQ}


def make_files(folder):
    # The whole workspace, as everywhere else: the same features, so nothing is compiled twice.
    build = ["cargo", "build", "--quiet", "--release", "--locked", "--workspace", "--example", "ivfpq_files"]
    as_tested = os.environ.get("CARGO_AS_TESTED", "").split()
    subprocess.run([*build, *as_tested], cwd=ROOT, check=True)
    target = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
    subprocess.run([target / "release" / "examples" / "ivfpq_files", folder], check=True)


def same_rows(index, query, parameters, ours):
    """Equal rows, or rows of equal distance: fast scan's distances are integers, and ties may fall either way.

    Of residuals our own distances are finer than the package's: only most rows are the same.
    """
    distances, labels = index.search(query, len(ours), params=parameters)
    if list(labels[0]) == ours:
        return
    if index.by_residual:
        assert len(set(ours) & set(labels[0])) >= 0.7 * len(ours), (ours, labels)
        return
    every_distance, every_label = index.search(query, index.ntotal, params=parameters)
    distance_of = dict(zip(every_label[0], every_distance[0], strict=True))
    assert len(set(ours)) == len(ours)
    assert [distance_of[row] for row in ours] == list(distances[0]), (ours, labels)


def check(folder, case):
    def read(what):
        return np.fromfile(folder / f"{case['name']}.{what}.f32", dtype="<f4").reshape(-1, case["dimension"])

    generation = faiss.read_index(str(folder / f"{case['name']}.generation.faiss"))
    index = faiss.read_index(str(folder / f"{case['name']}.index.faiss"))
    rows, queries = read("rows"), read("queries")
    for opened, count in (generation, 0), (index, case["rows"]):
        assert type(opened) is KINDS[case["name"].split("-")[1]], type(opened)
        assert (opened.ntotal, opened.d, opened.nlist) == (count, case["dimension"], case["nlist"])
        assert opened.is_trained and opened.by_residual == case["name"].endswith("pq4r")
        # The package takes it for the one of a search of residuals, whatever the search says.
        opened.nprobe = case["nprobe"]

    selected = np.zeros(case["rows"], dtype=bool)
    selected[:: case["selected"]] = True
    selector = faiss.IDSelectorBitmap(np.packbits(selected, bitorder="little"))
    plain = faiss.SearchParametersIVF(nprobe=case["nprobe"])
    filtered = faiss.SearchParametersIVF(nprobe=case["nprobe"], sel=selector)
    # The generation, filled by the package itself, is the same index again.
    generation.add(rows)
    for searched in index, generation:
        for number, query in enumerate(queries):
            same_rows(searched, query[None], plain, case["plain"][number])
            same_rows(searched, query[None], filtered, case["filtered"][number])
    index.nprobe = 1  # as written
    ours = (folder / f"{case['name']}.index.faiss").read_bytes()
    assert faiss.serialize_index(index).tobytes() == ours, "the package writes other bytes"
    print(f"{case['name']}: {len(queries)} queries, faiss-cpu {faiss.__version__} agrees")


def check_all(folder):
    for case in json.loads((folder / "expected.json").read_text()):
        check(folder, case)


def main():
    if len(sys.argv) > 1:
        check_all(Path(sys.argv[1]))
        return
    with tempfile.TemporaryDirectory() as folder:
        make_files(folder)
        check_all(Path(folder))


if __name__ == "__main__":
    main()
