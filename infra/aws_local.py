#!/usr/bin/env python3
"""The real deployment without an account: starts the emulated AWS, deploys the unmodified template to it with SAM,
prints `endpoint: URL`, and stays up until it is interrupted; then it stops all that it started.

The owner's key is AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY of the environment, or one that is made and printed.
GENAI_VECTORS_GUEST_KEY=ID:SECRET adds a key that may do nothing until a policy says so.

aws_local.py [--no-build] [--enforce-iam] [NAME=VALUE ...]     values of the template's parameters
"""

from __future__ import annotations

import argparse
import json
import os
import secrets
import shutil
import signal
import subprocess
import sys
import time

from emulator import ACCOUNT, REGION, ROOT, Emulator

STACK = "genai-vectors"
# Clients sign the path in front of the API, which the event lacks.
BASE_PATH = "/_aws/execute-api/{apiId}/{stage}"


def tool(name: str) -> str:
    """A program of the deployment's environment (tests/venvs.sh deploy), else of the path."""
    ours = ROOT / ".venvs" / "deploy" / "bin" / name
    found = str(ours) if ours.exists() else shutil.which(name)
    return found or sys.exit(f"aws_local.py: {name} is missing: tests/venvs.sh deploy")


def sam(environment: dict[str, str], *arguments: str) -> None:
    """Runs SAM with cargo-lambda beside it. What it says goes to standard error."""
    path = f"{ROOT / '.venvs' / 'deploy' / 'bin'}:{os.environ['PATH']}"
    ran = subprocess.run(
        [tool("sam"), *arguments],
        cwd=ROOT,
        env=environment | {"SAM_CLI_TELEMETRY": "0", "PATH": path},
        stdin=subprocess.DEVNULL,
        stdout=sys.stderr,
    )
    if ran.returncode != 0:
        sys.exit(f"aws_local.py: sam {arguments[0]} failed")


def quoted(parameter: str) -> str:
    """NAME=VALUE as SAM reads all of the value: it would stop at a quote or a space, and refuse an empty one."""
    name, value = parameter.split("=", 1)
    escaped = value.replace("'", "\\'")
    return f"{name}='{escaped}'"


def build() -> None:
    sam(dict(os.environ), "build")


def owner_key() -> tuple[str, str, bool]:
    """Id, secret, and whether they have just been made."""
    key = os.environ.get("AWS_ACCESS_KEY_ID"), os.environ.get("AWS_SECRET_ACCESS_KEY")
    if all(key):
        return *key, False
    return f"OWNER{secrets.token_hex(6).upper()}", secrets.token_urlsafe(30), True


def access_keys(owner: tuple[str, str]) -> str:
    def entry(name: str, key: tuple[str, str], is_owner: bool) -> dict:
        principal = f"arn:aws:iam::{ACCOUNT}:user/{name}"
        return {"accessKeyId": key[0], "secretAccessKey": key[1], "principal": principal, "owner": is_owner}

    keys = [entry("owner", owner, True)]
    guest = os.environ.get("GENAI_VECTORS_GUEST_KEY", "").split(":", 1)
    if len(guest) == 2:
        keys.append(entry("other", (guest[0], guest[1]), False))
    return json.dumps({"keys": keys})


def deploy(emulator: Emulator, parameters: list[str]) -> dict[str, str]:
    """The stack's outputs."""
    overrides = [quoted(parameter) for parameter in (f"PublicBasePath={BASE_PATH}", *parameters)]
    options = ["--stack-name", STACK, "--no-confirm-changeset", "--no-progressbar", "--parameter-overrides", *overrides]
    sam(emulator.environment(), "deploy", *options)
    stacks = emulator.client("cloudformation").describe_stacks(StackName=STACK)["Stacks"]
    return {output["OutputKey"]: output["OutputValue"] for output in stacks[0]["Outputs"]}


def mend_event_sources(emulator: Emulator) -> None:
    """The emulator keeps a number that came by a parameter as a text, which its poller cannot compare."""
    lambdas = emulator.client("lambda")
    for mapping in lambdas.list_event_source_mappings()["EventSourceMappings"]:
        concurrency = int(mapping["ScalingConfig"]["MaximumConcurrency"])
        lambdas.update_event_source_mapping(UUID=mapping["UUID"], ScalingConfig={"MaximumConcurrency": concurrency})


def as_over_tls(request, **_: object) -> None:
    request.headers["x-forwarded-proto"] = "https"


def allow_plain_http(emulator: Emulator, bucket: str) -> None:
    """The policies of bucket and queues refuse what is not encrypted on its way. An emulator that enforces policies
    obeys them, and speaks plain HTTP; only what says that it came through a proxy with TLS may take them away."""
    emulator.client("s3").delete_bucket_policy(Bucket=bucket)
    sqs = emulator.client("sqs")
    sqs.meta.events.register("before-send.sqs", as_over_tls)
    for url in sqs.list_queues(QueueNamePrefix=STACK)["QueueUrls"]:
        sqs.set_queue_attributes(QueueUrl=url, Attributes={"Policy": ""})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--no-build", action="store_true", help="deploy what was built before")
    parser.add_argument("--enforce-iam", action="store_true", help="the emulator enforces the roles' policies")
    parser.add_argument("parameters", nargs="*", metavar="NAME=VALUE")
    arguments = parser.parse_args()
    for name in (signal.SIGINT, signal.SIGTERM):
        signal.signal(name, lambda *_: sys.exit(0))
    if not arguments.no_build:
        build()
    enforced = {"AUTH": "true"} if arguments.enforce_iam else {}
    with Emulator(**enforced) as emulator:
        outputs = deploy(emulator, arguments.parameters)
        mend_event_sources(emulator)
        if arguments.enforce_iam:
            allow_plain_http(emulator, outputs["BucketName"])
        key_id, secret, made = owner_key()
        if "AccessKeysSecretArn" in outputs:
            # As an operator would rotate keys: into the secret, without redeploying.
            emulator.client("secretsmanager").put_secret_value(
                SecretId=outputs["AccessKeysSecretArn"], SecretString=access_keys((key_id, secret))
            )
        endpoint = f"{emulator.endpoint}/_aws/execute-api/{outputs['ApiId']}/$default"
        print(f"endpoint: {endpoint}")
        if made:
            print(f"key: {key_id} {secret}")
        print(f"region: {REGION}\nstorage: s3://{outputs['BucketName']} and table {outputs['TableName']}")
        print(f"aws: {emulator.endpoint}", flush=True)
        while emulator.alive():
            time.sleep(1)
        sys.exit("aws_local.py: the emulated AWS has stopped")


if __name__ == "__main__":
    main()
