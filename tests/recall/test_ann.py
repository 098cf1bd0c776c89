"""Recall at the defaults, with and without filters, through overwriting, deleting and compaction; on four corpora.

Every answer is also checked for what must never happen (see `live.py`). `large.py` does the same at full size.
"""

import numpy as np
import pytest
from attributes import FORMS, SHARES
from corpora import mixture_corpus, words_corpus
from datasets import Mixture
from live import LiveIndex
from server import Server
from settled import QUICK, compactions, stats

ROWS, DIMENSION = 60_000, 96
# topK -> queries asked with it.
ASKED = {10: 300, 100: 100}
FILTERED = {10: 200}
DEEP = 10_000
CORPORA = [(name, metric) for name in ("words", "mixture") for metric in ("cosine", "euclidean")]
FLAGS = ("--auth", "none", "--log-level", "warn")


def assert_recall(found, stage):
    assert found[10] >= 0.98, f"{stage}: recall@10 {found[10]:.4f}"
    assert found.get(100, 1.0) >= 0.95, f"{stage}: recall@100 {found[100]:.4f}"


@pytest.fixture(scope="module", params=CORPORA, ids=lambda param: "-".join(param))
def index(request, tmp_path_factory):
    """A settled index of its own server. Only the last test of this file changes it."""
    name, metric = request.param
    folder = tmp_path_factory.mktemp(name)
    corpus = words_corpus(ROWS) if name == "words" else mixture_corpus(Mixture(ROWS, DIMENSION), folder)
    with Server(folder / "data", *FLAGS, environment=QUICK) as server:
        index = LiveIndex(server, corpus, metric, folder)
        index.load()
        index.settle()
        yield index


def restart(index, *flags):
    """The same data under a new process."""
    index.server.terminate()
    index.server.flags = (*FLAGS, *flags)
    index.server.start()


def test_recall_at_the_defaults(index):
    before = stats(index.client)["queries"]
    assert_recall(index.recall(ASKED), "settled")
    after = stats(index.client)["queries"]
    assert after["indexed"] - before["indexed"] == sum(ASKED.values()), "queries that no index answered"
    assert after["scannedRows"] - before["scannedRows"] < sum(ASKED.values()) * ROWS / 4


@pytest.mark.parametrize("share", SHARES)
@pytest.mark.parametrize("form", FORMS)
def test_filtered(index, form, share):
    predicate = index.corpus.attributes.predicate(form, share)
    assert_recall(index.recall(FILTERED, predicate), predicate.name)


def test_the_largest_top_k(index):
    found = index.recall({DEEP: 3})
    assert found[DEEP] >= 0.95, f"recall@{DEEP} {found[DEEP]:.4f}"
    assert (
        len(index.ask(index.corpus.queries[0], DEEP, index.corpus.attributes.predicate("ball", "10 %"))) == ROWS // 10
    )


def test_strict_pages_concatenate(index):
    """Pages of a hundred hold the same hits, in the same order, as the one page that a lenient server answers."""
    queries = index.corpus.queries[:3]
    filters = (None, index.corpus.attributes.predicate("direction", "10 %"))
    asked = [(query, count, where) for query in queries for where in filters for count in (1000, 5000)]
    whole = [index.pages(*params) for params in asked]
    assert all(len(pages) == 1 for pages in whole)
    restart(index, "--strict")
    for params, pages in zip(asked, whole, strict=True):
        in_pages = index.pages(*params)
        assert all(len(page) <= 100 for page in in_pages)
        hits = [hit for page in in_pages for hit in page]
        assert len({hit["key"] for hit in hits}) == len(hits), "a key on two pages"
        assert hits == pages[0]
    restart(index)


def test_recall_through_changes(index):
    """A fifth overwritten and a tenth deleted: in the tail, folded and compacted; then deleted rows in a big shard."""
    order = np.random.default_rng(5).permutation(ROWS)
    overwritten, deleted, later = order[: ROWS // 5], order[ROWS // 5 : 3 * ROWS // 10], order[-ROWS // 12 :]
    restart(index, "--indexer", "paused")
    index.overwrite(overwritten)
    index.delete(deleted)
    assert_recall(index.recall(ASKED), "changes in the tail")
    restart(index)
    index.settle()
    assert compactions(index.client) > 0
    assert_recall(index.recall(ASKED), "folded and compacted")
    for form in FORMS:
        predicate = index.corpus.attributes.predicate(form, "1 %")
        assert_recall(index.recall(FILTERED, predicate), f"compacted: {predicate.name}")
    index.delete(later)
    index.settle()
    assert_recall(index.recall(ASKED), "a twelfth dead")
