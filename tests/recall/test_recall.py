"""Exact shards find exactly the nearest rows: recall 1.0 on a slice of real embeddings, in tail and in shards."""

import time

import pytest
import words
from server import Server
from wire import RawClient

ROWS = 30_000
QUERIES = 60


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    names, vectors = words.load(words.make(), ROWS)
    folder = tmp_path_factory.mktemp("words")
    path = words.write_parquet(folder / "slice.parquet", names, vectors)
    with Server(folder / "data", "--auth", "none", "--log-level", "warn") as server:
        yield server.endpoint, path, names, vectors


def wait_until_folded(endpoint, ids):
    """The whole index in shards, or as much as the indexer wants to fold within half a minute."""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        found = RawClient(endpoint).call("GetIndex", ids)["index"]
        if found["vectorCount"] >= ROWS * 0.9:
            return
        time.sleep(0.2)


@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
def test_recall_is_one(corpus, metric):
    endpoint, path, names, vectors = corpus
    words.import_words(path, endpoint, "words", metric, metric)
    searcher = words.Searcher(endpoint, "words", metric, names, vectors, metric)
    assert searcher.recall(words.sample_of(QUERIES, ROWS, seed=1)) == 1.0
    wait_until_folded(endpoint, searcher.ids)
    assert searcher.recall(words.sample_of(QUERIES, ROWS, seed=2)) == 1.0


def test_neighbours_make_sense(corpus):
    endpoint, path, names, vectors = corpus
    words.import_words(path, endpoint, "words", "sense")
    searcher = words.Searcher(endpoint, "words", "sense", names, vectors, "cosine")
    near = {word: [hit for hit, _ in searcher.nearest(vectors[searcher.number[word]])] for word in ("ocean", "guitar")}
    assert near["ocean"][0] == "ocean" and "sea" in near["ocean"]
    assert near["guitar"][0] == "guitar" and "bass" in near["guitar"]
