#!/usr/bin/env python3
"""Deploys what `sam build` has built, with the credentials of the environment; then prints the endpoint URL, and a
snippet of Python that works as pasted.

deploy.py [NAME=VALUE ...]     values of the template's parameters; those that are not given stay as they are

The stack is called genai-vectors; another EnvironmentName than prod has one of its own, genai-vectors-NAME. The Region
is that of the environment (AWS_REGION, profile).
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

import boto3
from aws_local import quoted, sam
from sizes import BUILT, ROWS, lacking

STACK = "genai-vectors"
# e_machine of an ELF file.
MACHINES = {62: "x86_64", 183: "arm64"}
# Command lines are seen by others, and kept by shells.
KEYS_ELSEWHERE = """AccessKeys is not taken here, where others would see the secrets. Deploy without it, and put the
keys into the secret that the output AccessKeysSecretArn names; they are effective within a minute:
aws secretsmanager put-secret-value --secret-id ARN --secret-string file://keys.json"""
KEYS_SNIPPET = """\
import boto3, json
secret = boto3.client("secretsmanager", region_name="{region}").get_secret_value(SecretId="{secret}")
keys = json.loads(secret["SecretString"])
key = keys["keys"][0] if "keys" in keys else keys
s3vectors = boto3.client("s3vectors", endpoint_url="{url}", region_name="{region}",
    aws_access_key_id=key["accessKeyId"], aws_secret_access_key=key["secretAccessKey"])
print(s3vectors.list_vector_buckets()["vectorBuckets"])
"""
IAM_SNIPPET = """\
import boto3
from genai_vectors_client import sign_as_execute_api    # pip install ./infra/client
s3vectors = sign_as_execute_api(boto3.client("s3vectors", endpoint_url="{url}", region_name="{region}"))
print(s3vectors.list_vector_buckets()["vectorBuckets"])
"""


def values_of(parameters: list[str]) -> dict[str, str]:
    return dict(parameter.split("=", 1) for parameter in parameters)


def stack_of(parameters: list[str]) -> str:
    environment = values_of(parameters).get("EnvironmentName", "prod")
    return STACK if environment == "prod" else f"{STACK}-{environment}"


def built_for() -> str:
    """The kind of CPU that functions without FAISS were built for: on the other kind they would never start."""
    return MACHINES[int.from_bytes(bootstrap("CreateIndex", BUILT).read_bytes()[18:20], "little")]


def bootstrap(function: str, built: Path) -> Path:
    binary = built / f"{function}Function" / "bootstrap"
    if not binary.exists():
        sys.exit(f"deploy.py: {binary} is missing: make functions")
    return binary


def require_startable(built: Path) -> None:
    """Stops where a function needs what Amazon Linux 2023 lacks, such as the glibc of a newer machine that built it."""
    faults = [f"{row['name']} {fault}" for row in ROWS for fault in lacking(bootstrap(row["name"], built))[1]]
    if faults:
        reason = "would not start on Lambda (Amazon Linux 2023 has glibc 2.34), build them on an older system"
        sys.exit("\n".join([f"deploy.py: functions {reason}:", *faults]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parameters", nargs="*", metavar="NAME=VALUE")
    parameters = parser.parse_args().parameters
    for parameter in parameters:
        if "=" not in parameter:
            parser.error(f"{parameter!r} is not NAME=VALUE")
    if "AccessKeys" in values_of(parameters):
        parser.error(KEYS_ELSEWHERE)
    architecture = built_for()
    if values_of(parameters).get("Architecture", architecture) != architecture:
        sys.exit(f"deploy.py: the functions were built for {architecture}: make deploy ARCHITECTURE=... builds others")
    require_startable(BUILT)
    session = boto3.Session()
    if not session.region_name:
        sys.exit("deploy.py: no Region: set AWS_REGION, or one in your profile")
    stack = stack_of(parameters)
    overrides = [quoted(parameter) for parameter in (f"Architecture={architecture}", *parameters)]
    options = ["--stack-name", stack, "--region", session.region_name, "--parameter-overrides", *overrides]
    sam(dict(os.environ), "deploy", *options)
    (described,) = session.client("cloudformation").describe_stacks(StackName=stack)["Stacks"]
    outputs = {output["OutputKey"]: output["OutputValue"] for output in described["Outputs"]}
    secret = outputs.get("AccessKeysSecretArn")
    snippet = KEYS_SNIPPET if secret else IAM_SNIPPET
    print(f"endpoint: {outputs['ApiUrl']}\n")
    print(snippet.format(region=session.region_name, secret=secret, url=outputs["ApiUrl"]), end="")


if __name__ == "__main__":
    main()
