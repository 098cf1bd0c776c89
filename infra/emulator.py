"""The emulated AWS (MiniStack, by servers.py) on this machine: started, given to AWS clients, stopped."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
REGION = "us-east-1"
# The emulator takes a key of twelve digits for an account.
ACCOUNT = "123456789012"
_OURS = ("AWS_", "GENAI_VECTORS_")


class Emulator:
    """Runs while the `with` block does."""

    def __init__(self, **environment: str):
        self.extra = environment
        self.endpoint = ""
        self._process: subprocess.Popen | None = None

    def __enter__(self) -> Emulator:
        command = [sys.executable, str(ROOT / "infra" / "servers.py"), "run", "ministack"]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=os.environ | self.extra
        )
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError("the emulated AWS did not start")
        self.endpoint = json.loads(line)["endpoint"]
        return self

    def __exit__(self, *_: object) -> None:
        """It stops when its input ends."""
        self._process.stdin.close()
        try:
            self._process.wait(20)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def alive(self) -> bool:
        return self._process.poll() is None

    def environment(self, **more: str) -> dict[str, str]:
        """The caller's environment, with every AWS client led to the emulator and nothing else of AWS."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith(_OURS)}
        aws = {
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_ACCESS_KEY_ID": ACCOUNT,
            "AWS_SECRET_ACCESS_KEY": "emulated",
            "AWS_DEFAULT_REGION": REGION,
            "AWS_REGION": REGION,
        }
        return kept | aws | more

    def client(self, service: str):
        """A boto3 client of one of the emulator's services."""
        import boto3

        return boto3.client(
            service,
            endpoint_url=self.endpoint,
            region_name=REGION,
            aws_access_key_id=ACCOUNT,
            aws_secret_access_key="emulated",
        )
