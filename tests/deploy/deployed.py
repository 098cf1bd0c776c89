"""A deployed API: where it is, who may call it, and whether every operation works through it."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from emulator import Emulator

REPOSITORY = Path(__file__).resolve().parents[2]
DEPLOY_PYTHON = REPOSITORY / ".venvs" / "deploy" / "bin" / "python"
# What clients of the emulator have in front of the path.
BASE_PATH = "/_aws/execute-api/{apiId}/{stage}"


@dataclass(frozen=True)
class Deployed:
    """By the outputs of a stack."""

    emulator: Emulator
    api_id: str
    secret_arn: str

    @property
    def endpoint(self) -> str:
        return f"{self.emulator.endpoint}/_aws/execute-api/{self.api_id}/$default"

    def key(self) -> tuple[str, str]:
        """The key that the deployment has made."""
        secret = self.emulator.client("secretsmanager").get_secret_value(SecretId=self.secret_arn)
        key = json.loads(secret["SecretString"])
        return key["accessKeyId"], key["secretAccessKey"]

    def tour(self) -> None:
        """Every operation of boto3, as tests/s3_compatibility.py calls them."""
        key_id, secret = self.key()
        environment = self.emulator.environment(AWS_ACCESS_KEY_ID=key_id, AWS_SECRET_ACCESS_KEY=secret)
        script = REPOSITORY / "tests" / "s3_compatibility.py"
        run(sys.executable, script, "--endpoint-url", self.endpoint, environment=environment)


def outputs(emulator: Emulator, stack: str) -> dict[str, str]:
    (described,) = emulator.client("cloudformation").describe_stacks(StackName=stack)["Stacks"]
    return {output["OutputKey"]: output["OutputValue"] for output in described["Outputs"]}


def run(*command: str | Path, environment: dict[str, str], cwd: Path = REPOSITORY) -> str:
    """What the program prints; all it said when it fails."""
    ran = subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return ran.stdout
