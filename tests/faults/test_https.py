"""`import` and `export` over https: TLS in front of the server, with a certificate authority that nobody else knows."""

import contextlib
import socket
import ssl
import subprocess
import threading

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import trustme
from places import unique_name
from server import OWNER_KEY, Server, binary, clean_environment, write_keys_file

KEYS = {"AWS_ACCESS_KEY_ID": OWNER_KEY[0], "AWS_SECRET_ACCESS_KEY": OWNER_KEY[1]}


class TlsFront:
    """Ends TLS and hands the bytes on, as a load balancer in front of the server does."""

    def __init__(self, certificate, backend):
        self.context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        certificate.configure_cert(self.context)
        host, _, port = backend.removeprefix("http://").rpartition(":")
        self.backend = (host, int(port))
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.handshakes = 0
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self.listener.accept()
                threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection):
        # A client that does not trust the certificate ends the handshake.
        with contextlib.suppress(OSError), self.context.wrap_socket(connection, server_side=True) as client:
            self.handshakes += 1
            with socket.create_connection(self.backend) as server:
                back = threading.Thread(target=self._copy, args=(server, client), daemon=True)
                back.start()
                self._copy(client, server)
                back.join(10)

    @staticmethod
    def _copy(source, target):
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                target.sendall(data)
            target.shutdown(socket.SHUT_WR)

    def close(self):
        self.listener.close()


@pytest.fixture
def authority():
    return trustme.CA()


@pytest.fixture
def front(tmp_path, authority):
    """TLS for `localhost` in front of a server that verifies signatures."""
    keys = write_keys_file(tmp_path / "keys.json")
    with Server(tmp_path / "data", "--auth", "keys", "--keys-file", str(keys)) as server:
        running = TlsFront(authority.issue_cert("localhost"), server.endpoint)
        yield running
        running.close()


@pytest.fixture
def bundle(tmp_path, authority):
    file = tmp_path / "authority.pem"
    authority.cert_pem.write_to_path(file)
    return file


def tool(command, *arguments, **environment):
    line = [str(binary()), command, *map(str, arguments)]
    settings = clean_environment(**KEYS)
    settings.pop("SSL_CERT_FILE", None)
    settings.pop("SSL_CERT_DIR", None)
    settings |= environment
    return subprocess.run(line, capture_output=True, text=True, timeout=120, env=settings, check=False)


def write_rows(file, count=1500, dimension=8):
    vectors = np.random.default_rng(3).standard_normal((count, dimension)).astype(np.float32)
    matrix = pa.FixedSizeListArray.from_arrays(pa.array(vectors.reshape(-1)), dimension)
    pq.write_table(pa.table({"key": [f"key {n}" for n in range(count)], "vector": matrix}), file)
    return vectors


def place():
    return ["--bucket", unique_name("tls"), "--index", "words"]


@pytest.mark.parametrize("given_by", ["--ca-bundle", "AWS_CA_BUNDLE", "SSL_CERT_FILE"])
def test_a_round_trip_over_tls(front, bundle, tmp_path, given_by):
    vectors = write_rows(tmp_path / "rows.parquet")
    flags, environment = (["--ca-bundle", bundle], {}) if given_by.startswith("--") else ([], {given_by: str(bundle)})
    target = [*place(), "--endpoint", f"https://localhost:{front.port}", *flags]
    create = ["--create", "--metric", "euclidean"]
    imported = tool("import", tmp_path / "rows.parquet", *target, *create, **environment)
    assert imported.returncode == 0, imported.stderr
    exported = tool("export", *target, "--output", tmp_path / "back.parquet", **environment)
    assert exported.returncode == 0, exported.stderr
    rows = pq.read_table(tmp_path / "back.parquet").to_pylist()
    back = {row["key"]: np.array(row["vector"], dtype=np.float32).tobytes() for row in rows}
    assert back == {f"key {n}": vector.tobytes() for n, vector in enumerate(vectors)}
    assert front.handshakes >= 2


def refused(front, host, tmp_path, *flags, **environment):
    """What `import` says when it does not trust the server: soon, and without having sent anything."""
    write_rows(tmp_path / "rows.parquet", count=3)
    endpoint = ["--endpoint", f"https://{host}:{front.port}"]
    result = tool("import", tmp_path / "rows.parquet", *place(), *endpoint, "--create", *flags, **environment)
    assert result.returncode == 1 and "certificate" in result.stderr, result.stderr
    assert front.handshakes == 0
    return result.stderr


def test_an_unknown_authority_is_not_trusted(front, tmp_path):
    other = tmp_path / "other.pem"
    trustme.CA().cert_pem.write_to_path(other)
    assert "UnknownIssuer" in refused(front, "localhost", tmp_path, "--ca-bundle", other)
    assert "UnknownIssuer" in refused(front, "localhost", tmp_path, SSL_CERT_FILE=str(other))


def test_a_certificate_for_another_name_is_not_trusted(front, bundle, tmp_path):
    refused(front, "127.0.0.1", tmp_path, "--ca-bundle", bundle)


def test_no_authority_at_all(front, tmp_path):
    """A bare machine has none: plain http must work there all the same, https must say what is missing."""
    empty = tmp_path / "empty.pem"
    empty.write_text("")
    said = refused(front, "localhost", tmp_path, SSL_CERT_FILE=str(empty))
    assert "--ca-bundle" in said
    plain = f"http://{front.backend[0]}:{front.backend[1]}"
    create = ["--create", "--metric", "cosine", "--endpoint", plain]
    imported = tool("import", tmp_path / "rows.parquet", *place(), *create, SSL_CERT_FILE=str(empty))
    assert imported.returncode == 0, imported.stderr


@pytest.mark.parametrize(
    "content", ["", "not a certificate", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"]
)
def test_a_bundle_that_is_none(front, tmp_path, content):
    file = tmp_path / "bundle.pem"
    file.write_text(content)
    write_rows(tmp_path / "rows.parquet", count=3)
    endpoint = ["--endpoint", f"https://localhost:{front.port}", "--ca-bundle", file]
    result = tool("import", tmp_path / "rows.parquet", *place(), *endpoint, "--create")
    assert result.returncode == 1 and str(file) in result.stderr, result.stderr
