"""The fixtures of the conformance suite's server module, for clients that are programs of their own."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "conformance"))

from server import Server, write_keys_file


@pytest.fixture(scope="session", params=["none", "keys"])
def server(request, tmp_path_factory):
    """Each client runs unsigned-tolerant and with signatures verified."""
    folder = tmp_path_factory.mktemp(f"auth-{request.param}")
    flags = ["--auth", request.param]
    if request.param == "keys":
        flags += ["--keys-file", str(write_keys_file(folder / "keys.json"))]
    with Server(folder / "data", *flags) as running:
        running.auth = request.param
        yield running
        assert running.alive(), running.output()[-4000:]
