"""Fault tests start their own servers, with the launcher of the conformance suite."""

import os
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "conformance"))

from caller import Caller
from server import ANY_KEY, Server

# Only root may mount the small disk that the full-disk cases fill. Continuous integration leaves nothing out: there
# they fail for a user who may not.
may_mount = os.geteuid() == 0 or os.environ.get("CI") == "true"
collect_ignore = [] if may_mount else ["test_full_disk.py"]


def pytest_terminal_summary(terminalreporter):
    for name in collect_ignore:
        terminalreporter.write_line(f"left out: {name} (needs root to mount a small tmpfs)")


@pytest.fixture
def start(tmp_path):
    """`start("--indexer", "paused")`: a server on this test's directory, killed at the end whatever happens."""
    started = []

    def begin(*flags, storage=None, **options):
        log_path = tmp_path / "server.log"  # never on the disk that a test fills
        server = Server(storage or tmp_path / "data", "--auth", "none", *flags, log_path=log_path, **options)
        started.append(server)
        return server.start()

    yield begin
    for server in started:
        server.kill()


@pytest.fixture
def caller():
    return lambda server: Caller(server.endpoint, ANY_KEY)
