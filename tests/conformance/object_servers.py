"""MinIO and the like for the server under test: started by infra/servers.py, stopped with this process at last."""

from __future__ import annotations

import atexit
import json
import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).resolve().parents[2] / "infra" / "servers.py"
_RUNNING: dict[str, ObjectServer] = {}


class ObjectServer:
    """One running server. It ends when its standard input does, so a killed test run leaves none behind."""

    def __init__(self, name: str):
        self.name = name
        self._process = subprocess.Popen(
            [sys.executable, SCRIPT, "run", name], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        line = self._process.stdout.readline()
        assert line, f"infra/servers.py run {name} failed; its standard error says why"
        said = json.loads(line)
        self.endpoint = said["endpoint"]
        self.key = (said["accessKeyId"], said["secretAccessKey"])

    def environment(self, key: tuple[str, str] | None = None) -> dict[str, str]:
        """What makes `genai-vectors` use it."""
        key_id, secret = key or self.key
        return {"AWS_ENDPOINT_URL": self.endpoint, "AWS_ACCESS_KEY_ID": key_id, "AWS_SECRET_ACCESS_KEY": secret}

    def stop(self) -> None:
        self._process.stdin.close()
        self._process.wait(120)  # it removes what may be tens of thousands of files


def shared(name: str) -> ObjectServer:
    """The one of this name that lives as long as this process."""
    if name not in _RUNNING:
        _RUNNING[name] = ObjectServer(name)
        atexit.register(_RUNNING[name].stop)
    return _RUNNING[name]
