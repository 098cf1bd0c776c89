"""The database in a bucket: as the older guide starts it, with a table, and every mistake in one line."""

import re
import socket
import subprocess

import pytest
from expect import ok
from object_servers import shared
from places import Bucket, unique_name, vector
from server import Server, binary, clean_environment
from wire import RawClient


def run(*arguments, environment, timeout=60):
    command = [str(binary()), *map(str, arguments)]
    return subprocess.run(
        command, capture_output=True, text=True, timeout=timeout, env=clean_environment(**environment), check=False
    )


def refusal(*flags, environment, command="api"):
    """The one line that a command says before it gives up."""
    result = run(command, *flags, environment=environment)
    assert result.returncode == 1, (result.returncode, result.stderr)
    said = [line for line in result.stderr.splitlines() if line.startswith("genai-vectors: ")]
    assert len(said) == 1 and "panicked" not in result.stderr, result.stderr
    assert len(said[0]) < 400, said[0]
    return said[0]


@pytest.fixture
def minio():
    return shared("minio")


@pytest.fixture
def place():
    """A prefix that no other test uses."""
    return f"s3://genai-vectors/{unique_name()}"


@pytest.fixture
def serve(tmp_path):
    """`serve("s3://...", environment)`: a server, killed at the end whatever happens."""
    started = []

    def begin(storage, environment, *flags):
        cache = {"XDG_CACHE_HOME": str(tmp_path / "home-cache")}
        log_path = tmp_path / f"server-{len(started)}.log"
        server = Server(storage, "--auth", "none", *flags, log_path=log_path, environment=environment | cache)
        started.append(server)
        return server.start()

    yield begin
    for server in started:
        server.kill()


def test_the_older_guides_command(minio, tmp_path):
    """Three variables and no flags: the bucket `genai-vectors` is the database, and nothing is kept on the disk."""
    environment = minio.environment() | {"SERVER_PORT": "0", "XDG_CACHE_HOME": str(tmp_path / "cache")}
    log = (tmp_path / "log").open("w+")
    process = subprocess.Popen(
        [binary(), "api"], cwd=tmp_path, env=clean_environment(**environment), stdout=log, stderr=log
    )
    try:
        text = ""
        while "endpoint:" not in text:
            assert process.poll() is None, text
            text = (tmp_path / "log").read_text()
        assert f"data: s3://genai-vectors at {minio.endpoint}\n" in text
        assert not (tmp_path / "data").exists()
    finally:
        process.kill()
        process.wait()


def test_two_servers_are_one_database(minio, place, serve, caller):
    first, second = (serve(place, minio.environment()) for _ in range(2))
    index = Bucket(caller(first)).index()
    index.put(vector("a", [1.0, 2.0], {"by": "first"}))
    index.bucket.api = caller(second)
    assert index.get("a")["a"]["metadata"] == {"by": "first"}
    index.put(vector("a", [3.0, 4.0], {"by": "second"}))
    index.bucket.api = caller(first)
    assert [hit["metadata"] for hit in index.query([0.0, 0.0], returnMetadata=True)] == [{"by": "second"}]
    ok(index.call("DeleteIndex"))
    index.bucket.api = caller(second)
    assert index.call("ListVectors").status == 404


def test_the_disk_cache_is_on_by_default(minio, place, serve, caller, tmp_path):
    server = serve(place, minio.environment(), "--fold-age-ms", "50")
    index = Bucket(caller(server)).index()
    index.put(*(vector(f"k{number}", [float(number), 0.0]) for number in range(50)))
    directory = tmp_path / "home-cache" / "genai-vectors"
    assert f"cache: {directory}" in server.output()
    while RawClient(server.endpoint).send("GET", "/stats").body["indexes"][0]["tailRows"]:
        pass
    assert len(index.query([0.0, 0.0], 50)) == 50
    assert RawClient(server.endpoint).send("GET", "/stats").body["diskCache"]["files"] > 0
    assert any(directory.iterdir())
    off = serve(place, minio.environment(), "--cache-mib", "0")
    assert RawClient(off.endpoint).send("GET", "/stats").body["diskCache"] is None


def test_inspect_and_quarantine_read_the_bucket(minio, place, serve, caller):
    server = serve(place, minio.environment(), "--indexer", "paused")
    index = Bucket(caller(server)).index()
    index.put(vector("a", [1.0, 2.0]))
    names = (index.bucket.name, index.name, "--storage", place)
    report = run("inspect", *names, "--verify", environment=minio.environment())
    assert report.returncode == 0 and "every checksum is right" in report.stdout, report.stderr
    nothing = refusal(*names, environment=minio.environment(), command="quarantine")
    assert "all 1 entries of the tail can be read" in nothing
    given_up = run("quarantine", *names, "--force", "--yes", environment=minio.environment())
    assert given_up.returncode == 0, given_up.stderr
    assert index.list() == []


def test_a_missing_store_is_not_made_by_looking(minio, place):
    for command in ("inspect", "quarantine"):
        said = refusal("bucket", "index", "--storage", place, environment=minio.environment(), command=command)
        assert "there is no genai-vectors store here" in said
        nowhere = ("--storage", "s3://no-such-bucket")
        said = refusal("bucket", "index", *nowhere, environment=minio.environment(), command=command)
        assert "bucket no-such-bucket does not exist on S3 at" in said


def test_an_explicit_directory_beats_the_environment(minio, tmp_path, serve):
    server = serve(str(tmp_path / "data"), minio.environment())
    assert f"data: {tmp_path / 'data'}\n" in server.output() and (tmp_path / "data" / "v1").is_dir()


def test_its_own_address_is_refused():
    environment = {"AWS_ENDPOINT_URL": "http://localhost:8080", "AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b"}
    assert "this server's own address" in refusal(environment=environment)


def test_wrong_endpoints(minio, place, tmp_path):
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        endpoint = f"http://127.0.0.1:{closed.getsockname()[1]}"
    said = refusal("--storage", place, environment=minio.environment() | {"AWS_ENDPOINT_URL": endpoint})
    assert f"cannot reach S3 at {endpoint}" in said and "is it running" in said
    other = Server(tmp_path / "data", "--auth", "none").start()
    try:
        said = refusal("--storage", place, environment=minio.environment() | {"AWS_ENDPOINT_URL": other.endpoint})
        assert "is it the right server?" in said
    finally:
        other.kill()


def test_wrong_keys(minio, place):
    key_id, secret = minio.key
    said = refusal("--storage", place, environment=minio.environment((key_id + "x", secret)))
    assert "does not know the access key: check AWS_ACCESS_KEY_ID" in said
    said = refusal("--storage", place, environment=minio.environment((key_id, secret + "x")))
    assert "refuses the signature: check AWS_SECRET_ACCESS_KEY" in said
    keyless = {"AWS_ENDPOINT_URL": minio.endpoint, "AWS_EC2_METADATA_DISABLED": "true", "HOME": "/nonexistent"}
    assert "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY" in refusal("--storage", place, environment=keyless)


def test_a_missing_permission_is_named(place, serve):
    """A key that may only read."""
    server = shared("seaweedfs")
    reader = server.environment(("reader", "reader-secret"))
    said = refusal("--storage", "s3://made-by-nobody", environment=reader)
    assert re.search("may not call s3:(CreateBucket|ListBucket) on bucket made-by-nobody", said), said
    serve(place, server.environment()).kill()
    assert "may not call s3:PutObject on bucket genai-vectors" in refusal("--storage", place, environment=reader)


def test_a_store_that_ignores_conditions_is_refused(place):
    said = refusal("--storage", place, environment=shared("rclone").environment())
    assert "If-None-Match is ignored" in said and "S3, MinIO and SeaweedFS can" in said


def test_the_catalog_in_a_table(minio, place, serve, caller):
    """`--table` is for a new store; a store that has its catalog elsewhere, or a table of another store, is refused."""
    tables = {"AWS_ENDPOINT_URL_DYNAMODB": shared("dynoxide").endpoint}
    environment = minio.environment() | tables
    table = unique_name("vectors")
    first, second = (serve(place, environment, "--table", table) for _ in range(2))
    assert f"catalog in table {table}" in first.output()
    index = Bucket(caller(first)).index()
    index.put(vector("a", [1.0, 2.0]))
    index.bucket.api = caller(second)
    assert list(index.get("a")) == ["a"]
    names = (index.bucket.name, index.name, "--storage", place)
    assert run("inspect", *names, "--table", table, environment=environment).returncode == 0
    said = refusal("--storage", place, environment=environment)
    assert "this store's catalog is a DynamoDB table" in said and "--table" in said
    said = refusal("--storage", f"{place}-2", "--table", table, environment=environment)
    assert f"table {table} is not the one that this store's catalog is in" in said
    said = refusal("--storage", place, "--table", f"{table}-2", environment=environment)
    assert f"table {table}-2 does not exist" in said
    serve(f"{place}-3", environment)
    said = refusal("--storage", f"{place}-3", "--table", f"{table}-3", environment=environment)
    assert "leave --table out" in said
    assert "needs a bucket" in refusal("--storage", "./data", "--table", table, environment={})
