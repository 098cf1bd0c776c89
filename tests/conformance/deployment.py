"""The functions, deployed to an emulated AWS by infra/aws_local.py: the place of GENAI_VECTORS_TEST_STORE=lambda.

What was built is deployed as it is (`sam build`). GENAI_VECTORS_ENFORCE_IAM=1: the roles' policies are enforced.
"""

from __future__ import annotations

import atexit
import os
import subprocess
import sys
import tempfile

import boto3
from server import OTHER_KEY, OWNER_KEY, REGION, REPOSITORY, clean_environment

SCRIPT = REPOSITORY / "infra" / "aws_local.py"
_DEPLOYED: dict[tuple[str, ...], Deployment] = {}


class Deployment:
    """One deployed stack in an emulated AWS of its own; with what the suite uses of a `Server`."""

    def __init__(self, *parameters: str):
        flags = ["--no-build"]
        if os.environ.get("GENAI_VECTORS_ENFORCE_IAM"):
            flags.append("--enforce-iam")
        environment = clean_environment(
            AWS_ACCESS_KEY_ID=OWNER_KEY[0],
            AWS_SECRET_ACCESS_KEY=OWNER_KEY[1],
            GENAI_VECTORS_GUEST_KEY=":".join(OTHER_KEY),
        )
        if "GENAI_VECTORS_SERVERS" in os.environ:
            environment["GENAI_VECTORS_SERVERS"] = os.environ["GENAI_VECTORS_SERVERS"]
        self._log = tempfile.TemporaryFile("w+")  # noqa: SIM115 - as long as the process
        self._process = subprocess.Popen(
            [sys.executable, SCRIPT, *flags, *parameters],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=self._log,
            text=True,
        )
        self.said = self._read()
        self.endpoint = self.said["endpoint"]

    def _read(self) -> dict[str, str]:
        """What it prints until it is up."""
        said: dict[str, str] = {}
        for line in self._process.stdout:
            name, _, value = line.strip().partition(": ")
            said[name] = value
            if name == "aws":
                return said
        self._log.seek(0)
        raise RuntimeError(f"infra/aws_local.py failed:\n{self._log.read()[-6000:]}")

    def aws(self, service: str):
        """A client of the emulated AWS, as its administrator."""
        return boto3.client(
            service,
            endpoint_url=self.said["aws"],
            region_name=REGION,
            aws_access_key_id="123456789012",
            aws_secret_access_key="emulated",
        )

    def alive(self) -> bool:
        return self._process.poll() is None

    def output(self) -> str:
        """What all functions have logged."""
        logs = self.aws("logs")
        groups = [group["logGroupName"] for group in logs.describe_log_groups()["logGroups"]]
        lines = []
        for group in groups:
            for page in logs.get_paginator("filter_log_events").paginate(logGroupName=group):
                lines += [event["message"] for event in page["events"]]
        return "\n".join(lines)

    def stop(self) -> None:
        self._process.terminate()
        self._process.wait(30)


def shared(*parameters: str) -> Deployment:
    """The one with these values of the template's parameters, which lives as long as this process."""
    if parameters not in _DEPLOYED:
        _DEPLOYED[parameters] = Deployment(*parameters)
        atexit.register(_DEPLOYED[parameters].stop)
    return _DEPLOYED[parameters]
