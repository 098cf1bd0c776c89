"""The server under measurement, and the no-op endpoint beside it: what the client costs by itself."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from clients import Call, Load, run_clients
from server import Server

FLAGS = ("--auth", "none", "--log-level", "warn")


class Target:
    """Both endpoints, running."""

    def __init__(self, folder: Path, seconds: float, environment: dict[str, str] | None = None):
        self.seconds = seconds
        self.server = Server(folder / "data", *FLAGS, environment=environment).start()
        sink = [sys.executable, str(Path(__file__).resolve().parent / "sink.py")]
        self.sink = subprocess.Popen(sink, stdout=subprocess.PIPE, text=True)
        self.sink_url = self.sink.stdout.readline().strip()

    def close(self) -> None:
        self.server.kill()
        self.sink.kill()
        self.sink.wait()

    def against_both(self, make: Callable[[str], Callable[[int], Call]], clients: int) -> tuple[Load, Load]:
        """The same calls against the server and against the no-op endpoint."""
        return tuple(run_clients(make(url), clients, self.seconds) for url in (self.server.endpoint, self.sink_url))
