"""Every list in pages of every size: complete, without repetition, in order, with prefixes and segments."""

import pytest
from expect import invalid, ok
from places import Bucket, unique_name, vector


def pages_of(api, operation, member, **params):
    token = {}
    seen_tokens = set()
    while True:
        page = ok(api.call(operation, **params, **token))
        yield page[member]
        text = page.body.get("nextToken")
        if not text:
            return
        assert text not in seen_tokens, "a token came twice"
        seen_tokens.add(text)
        token = {"nextToken": text}


@pytest.fixture(scope="module")
def bucket_family(api):
    family = unique_name("fam")
    made = [Bucket(api, name=f"{family}-{suffix}") for suffix in ("a", "aa", "ab", "b", "b0", "c")]
    yield family, sorted(one.name for one in made)
    for one in made:
        one.remove()


@pytest.mark.parametrize("size", [1, 2, 3, 5, 6, 7, 500])
def test_bucket_pages(api, bucket_family, size):
    family, names = bucket_family
    pages = list(pages_of(api, "ListVectorBuckets", "vectorBuckets", prefix=family, maxResults=size))
    assert [row["vectorBucketName"] for page in pages for row in page] == names
    assert all(len(page) <= size for page in pages)


@pytest.mark.parametrize(("suffix", "count"), [("-a", 3), ("-aa", 1), ("-b", 2), ("-d", 0), ("", 6)])
def test_bucket_prefix(api, bucket_family, suffix, count):
    family, names = bucket_family
    found = ok(api.call("ListVectorBuckets", prefix=family + suffix))["vectorBuckets"]
    assert [row["vectorBucketName"] for row in found] == [name for name in names if name.startswith(family + suffix)]
    assert len(found) == count


def test_bucket_paginator_of_boto3(stock_boto3, bucket_family):
    family, names = bucket_family
    pages = stock_boto3.get_paginator("list_vector_buckets").paginate(prefix=family, PaginationConfig={"PageSize": 2})
    assert [row["vectorBucketName"] for page in pages for row in page["vectorBuckets"]] == names


@pytest.fixture(scope="module")
def indexed_bucket(api):
    bucket = Bucket(api)
    for name in ("alpha", "alpha.1", "alpha-2", "beta", "beta0", "gamma", "0000", "zzz"):
        bucket.index(name)
    yield bucket
    bucket.remove()


@pytest.mark.parametrize("size", [1, 3, 8, 9, 500])
@pytest.mark.parametrize("by", ["by_name", "by_arn"])
def test_index_pages(api, indexed_bucket, size, by):
    pages = list(pages_of(api, "ListIndexes", "indexes", **getattr(indexed_bucket, by), maxResults=size))
    names = ["0000", "alpha", "alpha-2", "alpha.1", "beta", "beta0", "gamma", "zzz"]
    assert [row["indexName"] for page in pages for row in page] == names
    assert all(len(page) <= size for page in pages)


@pytest.mark.parametrize(("prefix", "count"), [("a", 3), ("alpha.", 1), ("beta", 2), ("zzzz", 0), ("0", 1)])
def test_index_prefix(api, indexed_bucket, prefix, count):
    pages = list(pages_of(api, "ListIndexes", "indexes", **indexed_bucket.by_name, prefix=prefix, maxResults=1))
    assert sum(len(page) for page in pages) == count


def test_index_paginator_of_boto3(stock_boto3, indexed_bucket):
    pages = stock_boto3.get_paginator("list_indexes").paginate(
        **indexed_bucket.by_name, PaginationConfig={"PageSize": 3}
    )
    assert len([row for page in pages for row in page["indexes"]]) == 8


@pytest.fixture(scope="module")
def thousand(shared_bucket):
    index = shared_bucket.index()
    index.put(*(vector(f"k{n:04}", [n, 0], {"n": n}) for n in range(1100)))
    return index


ALL_KEYS = {f"k{n:04}" for n in range(1100)}


@pytest.mark.parametrize("size", [7, 100, 499, 500, 1000, None])
def test_vector_pages(thousand, size):
    more = {"maxResults": size} if size else {}
    pages = list(thousand.list_pages(**more))
    keys = [row["key"] for page in pages for row in page]
    assert set(keys) == ALL_KEYS and len(keys) == 1100
    assert all(len(page) <= (size or 500) for page in pages)
    assert keys == sorted(keys), "key order: what makes tokens resumable"


def test_default_page_is_500(thousand):
    assert len(next(thousand.list_pages())) == 500


@pytest.mark.parametrize("count", [1, 2, 3, 7, 16])
@pytest.mark.parametrize("size", [1000, 50])
def test_segments_are_disjoint_and_complete(thousand, count, size):
    segments = [
        [row["key"] for row in thousand.list(segmentCount=count, segmentIndex=number, maxResults=size)]
        for number in range(count)
    ]
    keys = [key for segment in segments for key in segment]
    assert len(keys) == 1100 and set(keys) == ALL_KEYS
    if count > 1:
        assert max(len(segment) for segment in segments) < 1100, "the work is shared out"


def test_segments_are_stable(thousand):
    once = [row["key"] for row in thousand.list(segmentCount=4, segmentIndex=2)]
    assert [row["key"] for row in thousand.list(segmentCount=4, segmentIndex=2)] == once


def test_more_segments_than_vectors(shared_bucket):
    index = shared_bucket.index()
    index.put(vector("a", [1, 2]), vector("b", [1, 2]))
    found = [row["key"] for n in range(16) for row in index.list(segmentCount=16, segmentIndex=n)]
    assert sorted(found) == ["a", "b"]


def test_one_megabyte_ends_a_page(shared_bucket):
    index = shared_bucket.index(dimension=1024)
    for start in range(0, 600, 200):
        index.put(*(vector(f"k{n:03}", [n + 0.123] * 1024) for n in range(start, start + 200)))
    pages = list(index.list_pages(maxResults=1000, returnData=True))
    assert len(pages) > 1
    assert all(0 < len(page) < 600 for page in pages)
    assert [row["key"] for page in pages for row in page] == [f"k{n:03}" for n in range(600)]


def test_answers_stay_below_six_megabytes(shared_bucket):
    """Get a hundred vectors with 40 KB of text each fits; each page of a list stays small."""
    index = shared_bucket.index(metadataConfiguration={"nonFilterableMetadataKeys": ["text"]})
    for start in range(0, 100, 50):
        index.put(*(vector(f"k{n:02}", [n, 0], {"text": "t" * 40000}) for n in range(start, start + 50)))
    answer = ok(index.call("GetVectors", keys=[f"k{n:02}" for n in range(100)], returnMetadata=True))
    assert len(answer["vectors"]) == 100 and len(answer.text) < 6 * 1024 * 1024
    pages = list(index.list_pages(returnMetadata=True))
    assert len(pages) >= 3 and sum(len(page) for page in pages) == 100


def test_vector_paginator_of_boto3(stock_boto3, thousand):
    pages = stock_boto3.get_paginator("list_vectors").paginate(**thousand.by_name, PaginationConfig={"PageSize": 300})
    assert {row["key"] for page in pages for row in page["vectors"]} == ALL_KEYS


def test_a_token_may_change_page_size_but_not_the_listing(thousand):
    first = ok(thousand.call("ListVectors", maxResults=10))
    second = ok(thousand.call("ListVectors", maxResults=25, nextToken=first["nextToken"]))
    assert [row["key"] for row in second["vectors"]] == [f"k{n:04}" for n in range(10, 35)]
    refused = thousand.call("ListVectors", segmentCount=2, segmentIndex=0, nextToken=first["nextToken"])
    invalid(refused)


def test_a_token_belongs_to_its_index(thousand, shared_bucket):
    token = ok(thousand.call("ListVectors", maxResults=10))["nextToken"]
    invalid(shared_bucket.index().call("ListVectors", nextToken=token))


def test_a_token_of_index_names_belongs_to_its_bucket(api):
    """Not to another bucket, nor to a later one of the same name: it would skip names there."""
    first, second = Bucket(api), Bucket(api)
    for name in ("ab0", "ab1", "ab2"):
        first.index(name)
    second.index("ab0")
    wanted = {"prefix": "ab", "maxResults": 2}
    token = ok(api.call("ListIndexes", first.by_name, **wanted))["nextToken"]
    assert len(ok(api.call("ListIndexes", first.by_arn, **wanted, nextToken=token))["indexes"]) == 1
    invalid(api.call("ListIndexes", second.by_name, **wanted, nextToken=token))
    first.remove()
    again = Bucket(api, name=first.name)
    invalid(api.call("ListIndexes", again.by_name, **wanted, nextToken=token))
    for bucket in (second, again):
        bucket.remove()


def test_tokens_do_not_cross_operations(api, thousand, bucket_family):
    token = ok(api.call("ListVectorBuckets", prefix=bucket_family[0], maxResults=1))["nextToken"]
    invalid(thousand.call("ListVectors", nextToken=token))


def test_writes_between_pages_neither_repeat_nor_lose(shared_bucket):
    index = shared_bucket.index()
    index.put(*(vector(f"k{n:03}", [n, 0]) for n in range(200)))
    seen = []
    for step, page in enumerate(index.list_pages(maxResults=20)):
        seen += [row["key"] for row in page]
        index.put(vector(f"a-before-{step}", [0, 0]), vector(f"k{step:03}x", [0, 0]), vector(f"k{step * 7:03}", [9, 9]))
    assert len(seen) == len(set(seen))
    assert {f"k{n:03}" for n in range(200)} <= set(seen)


def test_deleted_key_of_the_page_border(shared_bucket):
    """The token's own key may vanish between two pages."""
    index = shared_bucket.index()
    index.put(*(vector(f"k{n}", [n, 0]) for n in range(10)))
    first = ok(index.call("ListVectors", maxResults=5))
    index.delete("k4", "k5")
    rest = ok(index.call("ListVectors", nextToken=first["nextToken"]))
    assert [row["key"] for row in rest["vectors"]] == ["k6", "k7", "k8", "k9"]
