"""Starts, watches and ends one `genai-vectors api` process.

The only file of the black-box tests that knows how the server is launched: conformance, faults, recall and load all go
through it, so a changed flag is changed here once.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import signal
import subprocess
import time
from pathlib import Path

import object_servers

REPOSITORY = Path(__file__).resolve().parents[2]
REGION = "us-east-1"
ACCOUNT = "123456789012"
# The suite's target when it is not a server of its own, and the key to sign with (a server without keys takes any).
EXTERNAL = os.environ.get("GENAI_VECTORS_ENDPOINT")
# Where servers of the suite keep their data instead of a directory: `minio` or `seaweedfs`, started by the suite.
# `lambda`: there is no server; the suite's target is what deployment.py deploys to an emulated AWS.
STORE = os.environ.get("GENAI_VECTORS_TEST_STORE")
DEPLOYED = STORE == "lambda"
OWNER_KEY = ("AKIDEXAMPLEOWNER", "owner-secret/with+signs=")
OTHER_KEY = ("AKIDEXAMPLEOTHER", "other-secret")
ANY_KEY = (os.environ.get("AWS_ACCESS_KEY_ID", "test"), os.environ.get("AWS_SECRET_ACCESS_KEY", "test"))
if DEPLOYED:
    ANY_KEY = OWNER_KEY

# The key of somebody who may do nothing until a policy says so; with a target of its own, if that knows such a key.
GUEST_KEY = tuple(os.environ.get("GENAI_VECTORS_GUEST_KEY", "").split(":", 1)) if EXTERNAL else OTHER_KEY
GUEST = f"arn:aws:iam::{ACCOUNT}:user/other"

_ENDPOINT_LINE = re.compile(r"^\s*endpoint:\s*(http://\S+)", re.MULTILINE)
# Settings of the caller's shell must not leak into the server under test.
_FOREIGN_SETTINGS = ("AWS_", "SERVER_", "GENAI_VECTORS_", "LOG_")


class ServerDidNotStart(RuntimeError):
    """The process ended, or printed no endpoint in time; the message holds what it wrote."""


def binary() -> Path:
    """The executable under test: GENAI_VECTORS_BIN, else the release build of this checkout."""
    return Path(os.environ.get("GENAI_VECTORS_BIN", REPOSITORY / "target" / "release" / "genai-vectors"))


def offers(flag: str, value: str) -> bool:
    """Whether this build of the server takes the flag, which its help may not show."""
    asked = subprocess.run([binary(), "api", flag, value, "--help"], capture_output=True, env=clean_environment())
    return asked.returncode == 0


# Every shard is scanned exactly, however large: the flat rows of the bench, and what they are compared with.
ALWAYS_FLAT = {"GENAI_VECTORS_FLAT_THRESHOLD": "1000000000"}


def clean_environment(**extra: str) -> dict[str, str]:
    """The caller's environment without anything that configures the server or an AWS client."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(_FOREIGN_SETTINGS)}
    return kept | extra


def write_keys_file(path: Path) -> Path:
    """An owner key, and a key that may do nothing until a policy allows it."""
    users = ((OWNER_KEY, "owner", True), (OTHER_KEY, "other", False))
    keys = [
        {
            "accessKeyId": pair[0],
            "secretAccessKey": pair[1],
            "principal": f"arn:aws:iam::{ACCOUNT}:user/{user}",
            "owner": owner,
        }
        for pair, user, owner in users
    ]
    path.write_text(json.dumps({"keys": keys}))
    return path


class Server:
    """One server process on one storage directory, or on `s3://...`. Ports are the server's own choice (`--port 0`)."""

    def __init__(
        self,
        storage: Path | str,
        *flags: str,
        host: str = "127.0.0.1",
        log_path: Path | None = None,
        environment: dict[str, str] | None = None,
    ):
        self.storage = storage
        self.flags = flags
        self.host = host
        self.environment = environment or {}
        self.log_path = log_path or Path(storage).parent / f"{Path(storage).name}.server.log"
        self.endpoint = ""
        self.process: subprocess.Popen | None = None

    def spawn(self) -> Server:
        """Starts the process without waiting for it."""
        storage, environment = self._place()
        command = [str(binary()), "api", "--host", self.host, "--port", "0"]
        command += ["--storage", storage, "--region", REGION, "--account", ACCOUNT]
        command += ["--log-format", "json", *self.flags]
        with self.log_path.open("ab") as log:
            self._log_start = log.tell()
            self.process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=clean_environment(**environment),
            )
        return self

    def _place(self) -> tuple[str, dict[str, str]]:
        """The storage and the environment: with STORE a prefix of its own stands for each directory."""
        if not STORE or str(self.storage).startswith("s3://"):
            return str(self.storage), self.environment
        prefix = hashlib.sha256(str(self.storage).encode()).hexdigest()[:16]
        cache = {"GENAI_VECTORS_CACHE_DIR": f"{self.storage}-cache"}
        environment = object_servers.shared(STORE).environment() | cache | self.environment
        return f"s3://genai-vectors-tests/{prefix}", environment

    def start(self, timeout: float = 30.0) -> Server:
        """Starts the process and returns once it has printed its endpoint."""
        self.spawn()
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            found = _ENDPOINT_LINE.search(self.output())
            if found:
                self.endpoint = found.group(1).rstrip("/")
                return self
            if self.process.poll() is not None:
                raise ServerDidNotStart(f"exit status {self.process.returncode}\n{self.output()[-4000:]}")
            time.sleep(0.005)
        self.kill()
        raise ServerDidNotStart(f"no endpoint line within {timeout} s\n{self.output()[-4000:]}")

    def output(self) -> str:
        """What this process (not an earlier one on the same directory) has written so far."""
        with self.log_path.open("rb") as log:
            log.seek(self._log_start)
            return log.read().decode("utf-8", "replace")

    @property
    def pid(self) -> int:
        return self.process.pid

    def alive(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def wait(self, timeout: float) -> int:
        return self.process.wait(timeout)

    def kill(self) -> None:
        """`kill -9`: nothing may be flushed, nothing may be said."""
        if self.alive():
            self.process.send_signal(signal.SIGKILL)
            self.process.wait(10)

    def terminate(self, timeout: float = 15.0) -> int:
        """SIGTERM; the exit status. A server that does not end in time is killed, and that is an error."""
        if not self.alive():
            return self.process.returncode if self.process else 0
        self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            self.kill()
            raise

    def restart(self) -> Server:
        self.terminate()
        return self.start()

    def resident_bytes(self) -> int:
        """Resident set size by /proc, in bytes."""
        return self._status_kib("VmRSS") * 1024

    def peak_resident_bytes(self) -> int:
        return self._status_kib("VmHWM") * 1024

    def anonymous_bytes(self) -> int:
        """Resident memory that no file backs: what a busy machine cannot take back."""
        return self._status_kib("RssAnon") * 1024

    def cpu_seconds(self) -> float:
        """User and system time so far, all threads."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def _status_kib(self, field: str) -> int:
        status = Path(f"/proc/{self.pid}/status").read_text()
        return int(re.search(rf"^{field}:\s+(\d+) kB", status, re.MULTILINE).group(1))

    def __enter__(self) -> Server:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.kill()
