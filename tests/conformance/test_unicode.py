"""Text that breaks careless servers: every plane of Unicode, look-alikes, control characters, lone surrogates."""

import pytest
from expect import ok, refused
from places import vector

TEXTS = {
    "emoji": "🦀🚀👩‍👩‍👧‍👦",
    "flag": "🇯🇵",
    "chinese": "向量数据库",
    "arabic": "قاعدة بيانات",
    "combining": "e\u0301",
    "precomposed": "\u00e9",
    "zero width": "a\u200bb",
    "right to left mark": "\u202eabc",
    "byte order mark": "\ufeffx",
    "last plane": "\U0010ffff",
    "noncharacter": "\uffff\ufffe",
    "replacement": "\ufffd",
    "control": "\u0001\u001f\u007f\u0085",
    "nul": "a\u0000b",
    "newline": "a\nb\r\n\t",
    "quotes": "\"'`\\/",
    "markup": "<script>&amp;</script>",
    "path": "../../etc/passwd",
    "percent": "%2e%2e%2f%00",
    "spaces": "  leading and trailing  ",
    "one space": " ",
    "sql": "'; DROP TABLE vectors; --",
    "dollar": "$eq",
    "json": '{"a":1}',
    "line separators": "\u2028\u2029",
}


@pytest.mark.parametrize("name", TEXTS)
def test_as_key_and_in_metadata(shared_bucket, name):
    text = TEXTS[name]
    index = shared_bucket.index()
    metadata = {text: text, "list": [text, "other"]}
    index.put(vector(text, [1, 2], metadata), vector("other", [9, 9], {"list": ["other"]}))
    assert index.get(text)[text] == {"key": text, "data": {"float32": [1, 2]}, "metadata": metadata}
    assert text in [row["key"] for row in index.list()]
    assert index.query([1, 2], 1)[0]["key"] == text
    if not text.startswith("$"):
        assert index.matching({text: text}) == [text]
    assert index.matching({"list": text}) == [text]
    index.delete(text)
    assert [row["key"] for row in index.list()] == ["other"]


def test_no_normalisation(shared_bucket):
    """Composed and decomposed forms are two keys."""
    index = shared_bucket.index()
    index.put(vector("e\u0301", [1, 0]), vector("\u00e9", [2, 0]))
    assert index.get("\u00e9")["\u00e9"]["data"]["float32"] == [2, 0]
    assert len(index.list()) == 2


def test_list_order_is_bytewise(shared_bucket):
    keys = ["Z", "a", "é", "中", "\uffff", "\U0001f600", "~", "0"]
    index = shared_bucket.index()
    index.put(*(vector(key, [1, 2]) for key in keys))
    assert [row["key"] for row in index.list()] == sorted(keys, key=str.encode)


SURROGATES = {
    "high in key": '"key":"a\\ud800","data":{"float32":[1,2]}',
    "low in key": '"key":"\\udc00","data":{"float32":[1,2]}',
    "pair in the wrong order": '"key":"\\udc00\\ud800","data":{"float32":[1,2]}',
    "in metadata value": '"key":"a","data":{"float32":[1,2]},"metadata":{"m":"\\ud83d"}',
    "in metadata key": '"key":"a","data":{"float32":[1,2]},"metadata":{"\\ud83d":1}',
    "in metadata array": '"key":"a","data":{"float32":[1,2]},"metadata":{"m":["x","\\udfff"]}',
}


@pytest.mark.parametrize("case", SURROGATES)
def test_lone_surrogates(index, raw, case):
    ids = f'"vectorBucketName":"{index.bucket.name}","indexName":"{index.name}"'
    body = f'{{{ids},"vectors":[{{"key":"good","data":{{"float32":[1,2]}}}},{{{SURROGATES[case]}}}]}}'
    refused(
        raw.send("POST", "/PutVectors", body.encode(), {"Content-Type": "application/json"}), "SerializationException"
    )
    assert index.list() == []


def test_lone_surrogate_in_a_filter(index):
    answer = index.call("QueryVectors", queryVector={"float32": [1, 2]}, topK=1, filter={"a": "\ud800"})
    refused(answer, "SerializationException")


def test_escaped_pair_is_one_character(index, raw):
    ids = f'"vectorBucketName":"{index.bucket.name}","indexName":"{index.name}"'
    body = f'{{{ids},"vectors":[{{"key":"\\ud83e\\udd80","data":{{"float32":[1,2]}}}}]}}'
    ok(raw.send("POST", "/PutVectors", body.encode(), {"Content-Type": "application/json"}))
    assert list(index.get("🦀")) == ["🦀"]


@pytest.mark.parametrize("octets", [b"\xff", b"\xc3", b"\xed\xa0\x80", b"\xc0\x80", b"\xf4\x90\x80\x80"], ids=repr)
def test_invalid_utf8(index, raw, octets):
    ids = f'"vectorBucketName":"{index.bucket.name}","indexName":"{index.name}"'
    body = f'{{{ids},"vectors":[{{"key":"'.encode() + octets + b'","data":{"float32":[1,2]}}]}'
    answer = raw.send("POST", "/PutVectors", body, {"Content-Type": "application/json"})
    refused(answer, "SerializationException")
