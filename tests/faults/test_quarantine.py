"""A write that cannot be read back: reads name it, and `genai-vectors quarantine` gives it up and nothing else."""

import json
import re
import subprocess
import time

import pytest
from expect import NO_INDEX, missing, ok, refused
from places import Bucket, vector
from server import binary, clean_environment

DAMAGES = {
    "one bit flipped": lambda file: file.write_bytes(flipped(file.read_bytes())),
    "cut off": lambda file: file.write_bytes(file.read_bytes()[:-100]),
    "emptied": lambda file: file.write_bytes(b""),
    "gone": lambda file: file.unlink(),
}


def flipped(content):
    middle = len(content) // 2
    return content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]


class Damaged:
    """A paused server's index with one write after the other, whose WAL objects are known by their order."""

    def __init__(self, start, caller, tmp_path):
        self.directory = tmp_path / "data"
        self.server = start("--indexer", "paused", storage=self.directory)
        self.caller = caller
        self.index = Bucket(caller(self.server)).index()
        self.objects = []

    def write(self, *keys, value=1.0):
        known = set(self.objects)
        self.index.put(*(vector(key, [value, 0.0], {"value": value}) for key in keys))
        (new,) = set(self.directory.glob("v1/*/wal/*.arrow")) - known
        self.objects.append(new)

    def restart(self, indexer="paused", *flags):
        self.server.terminate()
        self.server.flags = ("--auth", "none", "--indexer", indexer, *flags)
        self.server.start()
        self.index.bucket.api = self.caller(self.server)

    def damage(self, number, how="one bit flipped"):
        """Damages the write of this number and starts the server again: what is in memory hides it."""
        DAMAGES[how](self.objects[number])
        self.restart()
        return self.objects[number].stem

    def quarantine(self, *flags, answer=None, index=None):
        index = index or self.index
        line = [binary(), "quarantine", index.bucket.name, index.name, "--storage", self.directory, *flags]
        return subprocess.run(
            line, input=answer, capture_output=True, text=True, timeout=60, env=clean_environment(), check=False
        )

    def contents(self):
        rows = {row["key"]: row["metadata"]["value"] for row in self.index.list(returnMetadata=True)}
        hits = {hit["key"]: hit["metadata"]["value"] for hit in self.index.query([0, 0], 100, returnMetadata=True)}
        found = {key: row["metadata"]["value"] for key, row in self.index.get("a", "b", "c", "d", "e").items()}
        assert rows == hits == found
        return rows

    def manifest(self):
        newest = max(self.directory.glob("v1/*/manifest/*.json"), key=lambda file: file.name)
        return json.loads(newest.read_text())


@pytest.fixture
def damaged(start, caller, tmp_path):
    return Damaged(start, caller, tmp_path)


def wait_until(is_so, what, seconds=30):
    deadline = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < deadline, f"{what}: not within {seconds} s"
        time.sleep(0.05)


def every_read(index):
    yield index.call("ListVectors")
    yield index.call("GetVectors", keys=["c"])
    yield index.call("QueryVectors", queryVector={"float32": [0, 0]}, topK=1)


@pytest.mark.parametrize("how", DAMAGES)
def test_the_unreadable_write_is_given_up_and_nothing_else(damaged, how):
    damaged.write("a", "b")
    damaged.write("b", "c", value=2.0)
    damaged.write("d", value=3.0)
    entry = damaged.damage(0, how)
    for answer in every_read(damaged.index):
        refused(answer, "InternalServerException", re.compile(f"Write {entry} .*quarantine"))
    ok(damaged.index.call("GetIndex"))
    damaged.index.put(vector("e", [4.0, 0.0], {"value": 4.0}))

    damaged.server.terminate()
    said = damaged.quarantine(answer="yes\n")
    assert said.returncode == 0, said.stderr
    assert re.search(rf"entry {entry} \(2 rows, \d+ KiB\) cannot be read: \w", said.stdout)
    assert f"gave up entry {entry}" in said.stdout
    manifest = damaged.manifest()
    assert (manifest["quarantined"], manifest["folded"]) == ([entry], [entry])

    expected = {"b": 2.0, "c": 2.0, "d": 3.0, "e": 4.0}
    damaged.server.start()
    damaged.index.bucket.api = damaged.caller(damaged.server)
    assert damaged.contents() == expected
    damaged.restart(indexer="on")
    assert damaged.contents() == expected


def test_a_newer_write_takes_those_before_it_into_a_shard(damaged):
    damaged.write("a", "b")
    damaged.write("b", value=2.0)
    damaged.write("b", "c", value=3.0)
    damaged.write("d", value=4.0)
    entry = damaged.damage(2)
    damaged.server.terminate()
    said = damaged.quarantine("--yes")
    assert said.returncode == 0, said.stderr
    assert "2 older entries are folded first, 1 newer ones stay" in said.stdout
    damaged.restart()
    # The write never happened: of its keys, what was there before is back.
    assert damaged.contents() == {"a": 1.0, "b": 2.0, "d": 4.0}
    assert damaged.manifest()["quarantined"] == [entry]
    assert ok(damaged.index.call("GetIndex"))["index"]["vectorCount"] == 2


def test_two_unreadable_writes_are_given_up_one_by_one(damaged):
    damaged.write("a")
    damaged.write("b")
    damaged.write("c")
    damaged.damage(0)
    damaged.damage(2)
    damaged.server.terminate()
    first = damaged.quarantine("--yes")
    assert first.returncode == 0 and "1 more cannot be read" in first.stdout
    second = damaged.quarantine("--yes")
    assert second.returncode == 0 and "more cannot be read" not in second.stdout
    damaged.restart()
    assert damaged.contents() == {"b": 1.0}


def test_a_running_server_must_be_stopped_first(damaged):
    damaged.write("a")
    damaged.damage(0)
    said = damaged.quarantine("--yes")
    assert said.returncode != 0
    assert str(damaged.directory) in said.stderr and str(damaged.server.pid) in said.stderr
    assert "stop it" in said.stderr
    assert damaged.server.alive()


@pytest.mark.parametrize("answer", ["no\n", "\n", "", "yesterday\n"])
def test_anything_but_yes_changes_nothing(damaged, answer):
    damaged.write("a")
    entry = damaged.damage(0)
    damaged.server.terminate()
    before = stored(damaged.directory)
    said = damaged.quarantine(answer=answer)
    assert said.returncode != 0 and "nothing was changed" in said.stderr
    assert entry in said.stdout and "[y/N]" in said.stdout
    assert stored(damaged.directory) == before


def stored(directory):
    """Every stored object; the start-up probe leaves documents of its own."""
    files = [file for file in directory.glob("v1/**/*") if file.is_file() and "probe" not in file.parts]
    return {file: file.read_bytes() for file in files}


def test_a_readable_write_is_not_given_up(damaged):
    damaged.write("a")
    damaged.write("b")
    damaged.server.terminate()
    said = damaged.quarantine("--yes")
    assert said.returncode != 0 and "can be read" in said.stderr and "--force" in said.stderr
    damaged.server.start()
    damaged.index.bucket.api = damaged.caller(damaged.server)
    assert damaged.contents() == {"a": 1.0, "b": 1.0}
    damaged.server.terminate()
    forced = damaged.quarantine("--yes", "--force")
    assert forced.returncode == 0 and damaged.objects[0].stem in forced.stdout
    damaged.restart()
    assert damaged.contents() == {"b": 1.0}


def test_nothing_to_give_up(damaged):
    other = damaged.index.bucket.index()
    damaged.server.terminate()
    empty = damaged.quarantine("--yes", "--force", index=other)
    assert empty.returncode != 0 and "empty" in empty.stderr
    other.name = "no-such-index"
    unknown = damaged.quarantine("--yes", index=other)
    assert unknown.returncode != 0 and "does not exist" in unknown.stderr
    damaged.restart()
    missing(damaged.index.bucket.api.call("GetIndex", other.bucket.by_name, indexName=other.name), NO_INDEX)


def test_a_mistyped_directory_does_not_become_a_database(tmp_path):
    for directory in (tmp_path / "nowhere", tmp_path):
        line = [binary(), "quarantine", "books", "words", "--storage", directory, "--yes"]
        said = subprocess.run(line, capture_output=True, text=True, timeout=60, env=clean_environment(), check=False)
        assert said.returncode == 1 and str(directory) in said.stderr
    assert not list(tmp_path.iterdir())


def test_the_indexer_goes_on_at_once(damaged):
    """Folds that failed on the unreadable write wait longer and longer; once it is given up, nobody waits any more."""
    damaged.write("a")
    damaged.write("b")
    damaged.damage(0)
    damaged.restart("on", "--fold-age-ms", "10")
    wait_until(lambda: damaged.server.output().count("a fold failed") >= 3, "three failed folds")
    damaged.server.terminate()
    assert damaged.quarantine("--yes").returncode == 0
    damaged.server.start()
    damaged.index.bucket.api = damaged.caller(damaged.server)
    wait_until(lambda: ok(damaged.index.call("GetIndex"))["index"]["vectorCount"] == 1, "a fold")
    assert damaged.contents() == {"b": 1.0}
