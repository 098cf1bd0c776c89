"""`--cache-dir`: shard files are kept, bounded, checked and mended; a cache that is broken only costs time."""

import shutil
import time

import pytest
from expect import ok
from places import Bucket, vector
from wire import RawClient

ROWS = 3000
DIMENSION = 32


def record(number):
    values = [float(number % 61), float(number % 7), *([0.25] * (DIMENSION - 2))]
    return vector(f"key-{number}", values, {"group": str(number % 5)})


def status(server):
    return RawClient(server.endpoint).send("GET", "/stats").body


def hits(index):
    found = index.query([9.0, 2.0, *([0.25] * (DIMENSION - 2))], 20, filter={"group": "3"}, returnMetadata=True)
    assert len(found) == 20
    return found


@pytest.fixture
def cached(start, caller, tmp_path):
    """A server with a cache whose index is one folded shard, that index, its answer, and the cache's directory."""
    directory = tmp_path / "cache"
    flags = ["--cache-dir", str(directory), "--cache-mib", "4", "--fold-age-ms", "50"]
    server = start(*flags)
    index = Bucket(caller(server)).index(dimension=DIMENSION)
    index.put(*map(record, range(ROWS)))
    deadline = time.monotonic() + 20
    while status(server)["indexes"][0]["tailRows"] or not status(server)["indexes"][0]["shards"]:
        assert time.monotonic() < deadline, status(server)
        time.sleep(0.05)
    return server, index, hits(index), directory


def restart(server, index, caller):
    server.kill()
    server.start()
    index.bucket.api = caller(server)


def test_kept_files_answer_after_a_restart(cached, caller):
    server, index, answer, directory = cached
    before = status(server)["diskCache"]
    assert before["misses"] > 0 and before["files"] == len(list(directory.iterdir()))
    assert 0 < before["bytes"] <= before["limitBytes"] == 4 << 20
    restart(server, index, caller)
    assert hits(index) == answer
    after = status(server)["diskCache"]
    assert after["hits"] > 0 and after["misses"] == after["corruptFiles"] == after["writeFailures"] == 0
    text = RawClient(server.endpoint).send("GET", "/metrics").text.decode()
    for family in ("hits_total", "misses_total", "evictions_total", "corrupt_files_total", "bytes", "limit_bytes"):
        assert f"\ngenai_vectors_disk_cache_{family} " in text, family


def test_damaged_files_are_fetched_again(cached, caller):
    server, index, answer, directory = cached
    server.kill()
    files = sorted(directory.iterdir())
    for number, path in enumerate(files):
        sound = bytearray(path.read_bytes())
        if number % 2:
            path.write_bytes(sound[: len(sound) // 2])
        else:
            sound[len(sound) // 2] ^= 1
            path.write_bytes(sound)
    restart(server, index, caller)
    assert hits(index) == answer
    assert status(server)["diskCache"]["corruptFiles"] > 0
    restart(server, index, caller)
    assert hits(index) == answer
    assert status(server)["diskCache"]["corruptFiles"] == 0


def test_a_broken_directory_costs_time_only(cached, caller):
    server, index, answer, directory = cached
    server.kill()
    shutil.rmtree(directory)
    directory.write_text("not a directory")
    restart(server, index, caller)
    assert hits(index) == answer
    assert status(server)["diskCache"]["writeFailures"] > 0
    assert "disk cache cannot be written" in server.output()
    directory.unlink()
    restart(server, index, caller)
    assert hits(index) == answer
    assert status(server)["diskCache"]["files"] > 0


def test_without_a_directory_there_is_no_cache(start, caller):
    server = start()
    assert status(server)["diskCache"] is None
    assert "disk_cache" not in RawClient(server.endpoint).send("GET", "/metrics").text.decode()


def test_a_delay_for_measuring(start, caller):
    server = start("--object-delay-ms", "40")
    api = caller(server)
    began = time.monotonic()
    ok(api.call("ListVectorBuckets"))
    assert time.monotonic() - began >= 0.04
