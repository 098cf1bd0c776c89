"""Many callers at once: one winner where there can be one, nothing lost where there is room for all."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from expect import ok
from places import Bucket, unique_name, vector

THREADS = 16


def at_once(work, count=THREADS):
    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(work, range(count)))


@pytest.mark.parametrize("attempt", range(3))
def test_one_creator_of_a_bucket_wins(api, attempt):
    name = unique_name("race")
    answers = at_once(lambda _: api.call("CreateVectorBucket", vectorBucketName=name))
    assert sorted(answer.status for answer in answers) == [200] + [409] * (THREADS - 1)
    ok(api.call("DeleteVectorBucket", vectorBucketName=name))


@pytest.mark.parametrize("attempt", range(3))
def test_one_creator_of_an_index_wins(bucket, attempt):
    def create(number):
        config = {"dataType": "float32", "dimension": number + 1, "distanceMetric": "cosine"}
        return bucket.api.call("CreateIndex", bucket.by_name, indexName="race", **config)

    answers = at_once(create)
    assert sorted(answer.status for answer in answers) == [200] + [409] * (THREADS - 1)
    winner = next(number for number, answer in enumerate(answers) if answer.status == 200)
    stored = ok(bucket.api.call("GetIndex", bucket.by_name, indexName="race"))["index"]
    assert stored["dimension"] == winner + 1


def test_one_deleter_wins(api, bucket):
    index = bucket.index()
    answers = at_once(lambda _: index.call("DeleteIndex"))
    assert sorted(answer.status for answer in answers) == [200] + [404] * (THREADS - 1)
    answers = at_once(lambda _: api.call("DeleteVectorBucket", bucket.by_name))
    assert sorted(answer.status for answer in answers) == [200] + [404] * (THREADS - 1)


def test_many_buckets_and_indexes_at_once(api):
    names = [unique_name("many") for _ in range(THREADS)]
    buckets = at_once(lambda n: Bucket(api, name=names[n]))
    at_once(lambda n: buckets[n].index("abc"))
    at_once(lambda n: buckets[0].index(f"more-{n}"))
    assert len(buckets[0].index_names()) == THREADS + 1
    at_once(lambda n: buckets[n].remove())
    assert all(api.call("GetVectorBucket", one.by_name).status == 404 for one in buckets)


def test_concurrent_puts_of_different_keys_are_all_kept(bucket):
    index = bucket.index()
    at_once(lambda n: [index.put(vector(f"k{n}-{step}", [n, step])) for step in range(25)])
    assert sorted(row["key"] for row in index.list()) == sorted(f"k{n}-{s}" for n in range(THREADS) for s in range(25))


def test_concurrent_puts_of_one_key_leave_one_whole_version(bucket):
    index = bucket.index()
    at_once(lambda n: [index.put(vector("same", [n, step], {"n": n, "step": step})) for step in range(10)])
    stored = index.get("same")["same"]
    assert stored["data"]["float32"] == [stored["metadata"]["n"], stored["metadata"]["step"]]
    assert stored["metadata"]["step"] == 9, "the last version is somebody's last"
    assert len(index.query([0, 0])) == 1


def test_delete_by_filter_spares_what_was_rewritten_meanwhile(bucket):
    """Rows move out of the filter while it deletes: whoever was first, no acknowledged new version is gone."""
    index, count = bucket.index(), 200
    for _ in range(12):
        index.put(*(vector(f"k{n}", [1, 2], {"state": "old"}) for n in range(count)))

        def work(number):
            if number == 0:
                return ok(index.call("DeleteVectors", filter={"state": "old"}))
            for start in range(0, count, 20):
                index.put(*(vector(f"k{n}", [3, 4], {"state": "new"}) for n in range(start, start + 20)))
            return None

        at_once(work, 2)
        left = [row["metadata"]["state"] for row in index.list(returnMetadata=True)]
        assert left == ["new"] * count


def test_batches_are_never_seen_in_part(bucket):
    """Writers replace all ten keys at a time; a reader of the ten always sees one round."""
    index = bucket.index()
    keys = [f"k{n}" for n in range(10)]
    index.put(*(vector(key, [0, 0], {"round": 0}) for key in keys))
    rounds = list(range(1, 40))

    def work(number):
        if number < 2:
            for step in rounds[number::2]:
                index.put(*(vector(key, [step, 0], {"round": step}) for key in keys))
            return set()
        torn = set()
        for _ in range(30):
            seen = {record["metadata"]["round"] for record in index.get(*keys).values()}
            seen_by_query = {hit["metadata"]["round"] for hit in index.query([0, 0], returnMetadata=True)}
            torn |= {len(seen), len(seen_by_query)}
        return torn

    assert set().union(*at_once(work, 6)) == {1}


def test_errors_of_grouped_writes_are_each_writers_own(bucket):
    """Writes that share a commit must not share a refusal."""
    index = bucket.index()

    def work(number):
        values = [1.0, 2.0] if number % 2 == 0 else [1.0]
        return [index.call("PutVectors", vectors=[vector(f"k{number}-{step}", values)]).status for step in range(10)]

    results = at_once(work)
    assert all(set(statuses) == {200 if number % 2 == 0 else 400} for number, statuses in enumerate(results))
    assert len(index.list()) == THREADS // 2 * 10


def test_readers_of_a_deleted_index_get_404_or_data(bucket):
    index = bucket.index()
    index.put(*(vector(f"k{n}", [n, 0]) for n in range(100)))

    def work(number):
        if number == 0:
            return {index.call("DeleteIndex").status}
        calls = (index.call("QueryVectors", queryVector={"float32": [0, 0]}, topK=5) for _ in range(20))
        return {answer.status for answer in calls}

    assert set().union(*at_once(work)) <= {200, 404}


def test_delete_and_create_of_one_name(bucket):
    """However they interleave, vectors of an earlier life never show in a later one."""

    def work(number):
        seen_old = 0
        for step in range(8):
            bucket.api.call("DeleteIndex", bucket.by_name, indexName="phoenix")
            config = {"dataType": "float32", "dimension": 2, "distanceMetric": "euclidean"}
            made = bucket.api.call("CreateIndex", bucket.by_name, indexName="phoenix", **config)
            if made.status == 200:
                listed = bucket.api.call("ListVectors", bucket.by_name, indexName="phoenix")
                rows = listed["vectors"] if listed.status == 200 else []
                seen_old += any(row["key"].startswith(f"{number}-") for row in rows)
            bucket.api.call(
                "PutVectors", bucket.by_name, indexName="phoenix", vectors=[vector(f"{number}-{step}", [1, 2])]
            )
        return seen_old

    assert sum(at_once(work, 4)) == 0
