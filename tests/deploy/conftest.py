"""The emulated AWS that is deployed into. What is deployed are the functions that `make functions` has built."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "infra"))

from emulator import Emulator


@pytest.fixture(scope="session")
def emulator():
    with Emulator() as running:
        yield running
        assert running.alive()
