"""`genai-vectors import` and `export`: every format, resumption, bad records by row, and identical round trips."""

import contextlib
import json
import random
import re
import struct
import subprocess
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from expect import ok
from places import Bucket, unique_name
from server import binary, clean_environment
from wire import RawClient

DIMENSION = 12


@pytest.fixture
def api(start, caller):
    return caller(start())


def tool(command, *arguments, endpoint=None, check=True, timeout=120):
    line = [str(binary()), command, *map(str, arguments)]
    if endpoint:
        line += ["--endpoint", endpoint]
    result = subprocess.run(line, capture_output=True, text=True, timeout=timeout, env=clean_environment(), check=False)
    assert not check or result.returncode == 0, result.stdout + result.stderr
    return result


def place(name=None):
    return ["--bucket", name or unique_name("imp"), "--index", "words"]


def random_rows(count, seed=5):
    chance = np.random.default_rng(seed)
    return [f"key {n} ü" for n in range(count)], chance.standard_normal((count, DIMENSION)).astype(np.float32)


def write_parquet(path, keys, vectors, **columns):
    matrix = pa.FixedSizeListArray.from_arrays(pa.array(vectors.reshape(-1)), vectors.shape[1])
    pq.write_table(pa.table({"key": keys, "vector": matrix, **columns}), path)
    return path


def contents(api, target):
    """key -> (vector bits, metadata) of an index."""
    ids = {"vectorBucketName": target[1], "indexName": target[3]}
    rows, token = {}, {}
    while token is not None:
        page = ok(api.call("ListVectors", ids, maxResults=1000, returnData=True, returnMetadata=True, **token))
        for row in page["vectors"]:
            assert row["key"] not in rows
            rows[row["key"]] = (np.array(row["data"]["float32"], np.float32).tobytes(), row["metadata"])
        token = {"nextToken": page["nextToken"]} if page.body.get("nextToken") else None
    return rows


def expected(keys, vectors, metadata=None):
    return {key: (vectors[n].tobytes(), metadata[n] if metadata else {}) for n, key in enumerate(keys)}


def test_parquet(api, tmp_path):
    keys, vectors = random_rows(2300)
    years = list(range(2300))
    tags = [["a", str(n % 7)] for n in years]
    file = write_parquet(
        tmp_path / "rows.parquet", keys, vectors, year=years, tags=tags, ok=[n % 2 == 0 for n in years]
    )
    target = place()
    result = tool("import", file, *target, "--create", "--metric", "cosine", endpoint=api.endpoint)
    assert "2300" in result.stdout + result.stderr or "2,300" in result.stdout + result.stderr
    metadata = [{"year": n, "tags": tags[n], "ok": n % 2 == 0} for n in years]
    assert contents(api, target) == expected(keys, vectors, metadata)
    found = ok(api.call("GetIndex", vectorBucketName=target[1], indexName="words"))["index"]
    assert (found["dimension"], found["distanceMetric"]) == (DIMENSION, "cosine")


@pytest.mark.parametrize("kind", ["list", "large list", "double list", "fixed double"])
def test_parquet_vector_types(api, tmp_path, kind):
    keys, vectors = random_rows(50)
    rows = vectors.tolist()
    types = {
        "list": pa.list_(pa.float32()),
        "large list": pa.large_list(pa.float32()),
        "double list": pa.list_(pa.float64()),
        "fixed double": pa.list_(pa.float64(), DIMENSION),
    }
    pq.write_table(pa.table({"key": keys, "vector": pa.array(rows, types[kind])}), tmp_path / "rows.parquet")
    target = place()
    tool("import", tmp_path / "rows.parquet", *target, "--create", "--metric", "euclidean", endpoint=api.endpoint)
    assert contents(api, target) == expected(keys, vectors)


def test_column_names(api, tmp_path):
    keys, vectors = random_rows(60)
    matrix = pa.FixedSizeListArray.from_arrays(pa.array(vectors.reshape(-1)), DIMENSION)
    columns = {"id": keys, "embedding": matrix, "a": list(range(60)), "b": ["x"] * 60, "c": [1.5] * 60}
    pq.write_table(pa.table(columns), tmp_path / "rows.parquet")
    target = place()
    names = ["--key-column", "id", "--vector-column", "embedding", "--metadata-columns", "a,c"]
    tool("import", tmp_path / "rows.parquet", *target, "--create", "--metric", "cosine", *names, endpoint=api.endpoint)
    assert contents(api, target) == expected(keys, vectors, [{"a": n, "c": 1.5} for n in range(60)])


def test_missing_column_is_named(api, tmp_path):
    keys, vectors = random_rows(5)
    file = write_parquet(tmp_path / "rows.parquet", keys, vectors)
    result = tool(
        "import",
        file,
        *place(),
        "--create",
        "--metric",
        "cosine",
        "--key-column",
        "nope",
        endpoint=api.endpoint,
        check=False,
    )
    assert result.returncode != 0 and "nope" in result.stderr and "panicked" not in result.stderr


@pytest.mark.parametrize("dtype", ["<f4", "<f8"])
def test_npy_with_keys_file(api, tmp_path, dtype):
    keys, vectors = random_rows(700)
    np.save(tmp_path / "rows.npy", vectors.astype(dtype))
    (tmp_path / "keys.txt").write_text("".join(f"{key}\n" for key in keys), encoding="utf-8")
    target = place()
    keys_file = ["--keys-file", tmp_path / "keys.txt"]
    tool("import", tmp_path / "rows.npy", *target, "--create", "--metric", "cosine", *keys_file, endpoint=api.endpoint)
    assert contents(api, target) == expected(keys, vectors)


def test_npy_with_too_few_keys(api, tmp_path):
    keys, vectors = random_rows(10)
    np.save(tmp_path / "rows.npy", vectors)
    (tmp_path / "keys.txt").write_text("\n".join(keys[:9]), encoding="utf-8")
    keys_file = ["--keys-file", tmp_path / "keys.txt"]
    result = tool(
        "import",
        tmp_path / "rows.npy",
        *place(),
        "--create",
        "--metric",
        "cosine",
        *keys_file,
        endpoint=api.endpoint,
        check=False,
    )
    assert result.returncode != 0 and "9" in result.stderr and "10" in result.stderr


def test_json_lines(api, tmp_path):
    keys, vectors = random_rows(120)
    metadata = [{"n": n, "list": ["a", "b"], "ok": True, "text": "ü"} for n in range(120)]
    lines = (
        json.dumps({"key": key, "vector": vectors[n].tolist(), **metadata[n]}, ensure_ascii=n % 2 == 0)
        for n, key in enumerate(keys)
    )
    (tmp_path / "rows.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    target = place()
    tool("import", tmp_path / "rows.jsonl", *target, "--create", "--metric", "euclidean", endpoint=api.endpoint)
    assert contents(api, target) == expected(keys, vectors, metadata)


BAD_LINES = {
    "not json": "{",
    "wrong length": '{"key": "bad", "vector": [1, 2]}',
    "no vector": '{"key": "bad"}',
    "no key": '{"vector": [1, 2, 3]}',
    "null in metadata object": '{"key": "bad", "vector": [1, 2, 3], "m": {"x": null}}',
    "word in vector": '{"key": "bad", "vector": [1, 2, "x"]}',
}


@pytest.mark.parametrize("case", BAD_LINES)
def test_a_bad_record_names_its_row(api, tmp_path, case):
    lines = [json.dumps({"key": f"k{n}", "vector": [n, 1, 2]}) for n in range(40)]
    lines[36] = BAD_LINES[case]
    (tmp_path / "rows.jsonl").write_text("\n".join(lines), encoding="utf-8")
    result = tool(
        "import",
        tmp_path / "rows.jsonl",
        *place(),
        "--create",
        "--metric",
        "euclidean",
        endpoint=api.endpoint,
        check=False,
    )
    assert result.returncode != 0 and "37" in result.stderr, result.stderr
    assert "panicked" not in result.stderr


def test_missing_file_and_missing_server(tmp_path):
    result = tool("import", tmp_path / "absent.parquet", *place(), endpoint="http://127.0.0.1:9", check=False)
    assert result.returncode != 0 and "absent.parquet" in result.stderr
    keys, vectors = random_rows(3)
    file = write_parquet(tmp_path / "rows.parquet", keys, vectors)
    result = tool(
        "import", file, *place(), "--create", "--metric", "cosine", endpoint="http://127.0.0.1:9", check=False
    )
    assert result.returncode not in (0, 101) and "127.0.0.1:9" in result.stderr


def test_interrupted_import_resumes_without_doubling(start, caller, tmp_path):
    """Kill the import in the middle, twice; the third run finishes, and every row is there once."""
    api = caller(start())
    keys, vectors = random_rows(40_000)
    file = write_parquet(tmp_path / "rows.parquet", keys, vectors)
    target = place()
    line = [binary(), "import", file, *target, "--create", "--metric", "euclidean", "--endpoint", api.endpoint]
    ids = {"vectorBucketName": target[1], "indexName": "words"}
    for least in (1, 8000):
        process = subprocess.Popen(line, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=clean_environment())
        deadline = time.monotonic() + 30
        while process.poll() is None and time.monotonic() < deadline:
            answer = RawClient(api.endpoint).call("GetIndex", ids)
            if answer.status == 200 and answer["index"]["vectorCount"] + answer["index"]["unindexedCount"] > least:
                break
            time.sleep(0.005)
        process.kill()
        process.wait()
    tool("import", file, *target, "--create", "--metric", "euclidean", endpoint=api.endpoint)
    assert contents(api, target) == expected(keys, vectors)


@pytest.mark.parametrize("kind", ["parquet", "npy"])
def test_an_import_holds_bounded_memory(api, tmp_path, kind):
    """A hundred megabytes in one row group: held a part at a time."""
    vectors = np.random.default_rng(7).standard_normal((100_000, 256), dtype=np.float32)
    file = tmp_path / f"rows.{kind}"
    if kind == "npy":
        np.save(file, vectors)
    else:
        write_parquet(file, [f"k{n}" for n in range(len(vectors))], vectors)
    assert file.stat().st_size > 100_000_000
    line = [binary(), "import", file, *place(), "--create", "--metric", "euclidean", "--endpoint", api.endpoint]
    running = subprocess.Popen(line, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=clean_environment())
    peak_kib = 0
    while running.poll() is None:
        with contextlib.suppress(OSError, AttributeError):  # it has ended
            status = Path(f"/proc/{running.pid}/status").read_text()
            peak_kib = max(peak_kib, int(re.search(r"VmHWM:\s+(\d+) kB", status).group(1)))
        time.sleep(0.01)
    assert running.returncode == 0
    assert 0 < peak_kib < 80 * 1024, f"{peak_kib} KiB"


def test_repeated_import_changes_nothing(api, tmp_path):
    keys, vectors = random_rows(900)
    file = write_parquet(tmp_path / "rows.parquet", keys, vectors)
    target = place()
    for _ in range(2):
        tool("import", file, *target, "--create", "--metric", "cosine", endpoint=api.endpoint)
    assert contents(api, target) == expected(keys, vectors)


def odd_metadata(chance, number):
    values = [
        {"n": number, "f": chance.random(), "s": "é🦀", "b": True, "l": ["x", ""], "m": [1, 2.5]},
        {},
        {"": "empty key", "$eq": 1, "a.b": -0.5},
        {"big": 12345678901234567890, "tiny": 1e-300, "n": "a string here"},
        {"text": "long " * 1000},
    ]
    return values[number % len(values)]


def any_float(chance):
    while True:
        (value,) = struct.unpack("<f", struct.pack("<I", chance.getrandbits(32)))
        if value == value and abs(value) != float("inf"):
            return value


def test_round_trip_is_identical_bit_for_bit(api, tmp_path):
    """export -> import into another index -> the same keys, bits and metadata texts; export again -> the same rows."""
    chance = random.Random(3)
    bucket = Bucket(api)
    settings = {"metadataConfiguration": {"nonFilterableMetadataKeys": ["text"]}}
    source = bucket.index("words", dimension=DIMENSION, **settings)
    copied = bucket.index("copied", dimension=DIMENSION, **settings)
    rows = [
        {
            "key": f"k{n}" if n % 3 else f"ключ/{n} 🦀",
            "data": {"float32": [any_float(chance) for _ in range(DIMENSION)]},
            "metadata": odd_metadata(chance, n),
        }
        for n in range(1500)
    ]
    source.put(*rows)
    source.delete("k1", "k2")
    first, second = tmp_path / "first.parquet", tmp_path / "second.parquet"
    tool("export", "--bucket", bucket.name, "--index", "words", "--output", first, endpoint=api.endpoint)
    tool("import", first, "--bucket", bucket.name, "--index", "copied", endpoint=api.endpoint)
    before = contents(api, ["", bucket.name, "", "words"])
    after = contents(api, ["", bucket.name, "", "copied"])
    assert len(before) == 1498 and after == before
    texts = [json.dumps({k: m for k, (_, m) in side.items()}, sort_keys=True) for side in (before, after)]
    assert texts[0] == texts[1], "a number changed its kind on the way"
    tool("export", "--bucket", bucket.name, "--index", "copied", "--output", second, endpoint=api.endpoint)
    assert pq.read_table(first).sort_by("key").equals(pq.read_table(second).sort_by("key"))
    assert copied.name == "copied"


def test_export_opens_in_duckdb(api, tmp_path):
    import duckdb

    keys, vectors = random_rows(100)
    file = write_parquet(tmp_path / "rows.parquet", keys, vectors, n=list(range(100)))
    target = place()
    tool("import", file, *target, "--create", "--metric", "cosine", endpoint=api.endpoint)
    tool("export", *target, "--output", tmp_path / "out.parquet", endpoint=api.endpoint)
    count = duckdb.sql(f"select count(distinct key) from read_parquet('{tmp_path / 'out.parquet'}')").fetchall()
    assert count == [(100,)]


def test_round_trip_of_an_empty_index(api, tmp_path):
    """The file says how the index is made although it has no rows."""
    bucket = Bucket(api)
    bucket.index("words", metric="cosine", metadataConfiguration={"nonFilterableMetadataKeys": ["text"]})
    place = ["--bucket", bucket.name, "--index"]
    tool("export", *place, "words", "--output", tmp_path / "out.parquet", endpoint=api.endpoint)
    assert pq.read_table(tmp_path / "out.parquet").num_rows == 0
    tool("import", tmp_path / "out.parquet", *place, "copied", "--create", endpoint=api.endpoint)
    made = [ok(api.call("GetIndex", bucket.by_name, indexName=name))["index"] for name in ("words", "copied")]
    for member in ("dimension", "distanceMetric", "metadataConfiguration", "unindexedCount", "vectorCount"):
        assert made[0][member] == made[1][member]


def test_empty_array(api, tmp_path):
    """Its shape says the dimension."""
    np.save(tmp_path / "rows.npy", np.zeros((0, DIMENSION), np.float32))
    target = place()
    tool("import", tmp_path / "rows.npy", *target, "--create", "--metric", "cosine", endpoint=api.endpoint)
    found = ok(api.call("GetIndex", vectorBucketName=target[1], indexName="words"))["index"]
    assert found["dimension"] == DIMENSION


def test_array_of_another_type(api, tmp_path):
    np.save(tmp_path / "rows.npy", np.zeros((3, DIMENSION), np.int64))
    flags = ["--create", "--metric", "cosine"]
    result = tool("import", tmp_path / "rows.npy", *place(), *flags, endpoint=api.endpoint, check=False)
    assert result.returncode != 0
    assert result.stderr.rstrip().endswith(
        "the array's dtype is '<i8'; vectors are f2, f4 or f8: save array.astype('float32')"
    )


def test_two_columns_of_one_name(api, tmp_path):
    keys, vectors = random_rows(3)
    file = write_parquet(tmp_path / "rows.parquet", keys, vectors, year=[1, 2, 3], copy=[4, 5, 6])
    table = pq.read_table(file)
    pq.write_table(table.rename_columns(["key", "vector", "year", "year"]), file)
    flags = ["--create", "--metric", "cosine"]
    result = tool("import", file, *place(), *flags, endpoint=api.endpoint, check=False)
    assert result.returncode != 0 and 'two columns have the name "year"' in result.stderr


def test_export_of_a_missing_index(api, tmp_path):
    result = tool("export", *place(), "--output", tmp_path / "out.parquet", endpoint=api.endpoint, check=False)
    assert result.returncode != 0 and "does not exist" in result.stderr
    assert not (tmp_path / "out.parquet").exists()
