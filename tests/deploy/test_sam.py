"""infra/deploy.py, which `make deploy` runs, with the built functions, into the emulated AWS."""

import re
import sys

import pytest
from deployed import BASE_PATH, DEPLOY_PYTHON, REPOSITORY, Deployed, outputs, run

SCRIPT = REPOSITORY / "infra" / "deploy.py"


@pytest.fixture(scope="module")
def printed(emulator):
    return run(DEPLOY_PYTHON, SCRIPT, f"PublicBasePath={BASE_PATH}", environment=emulator.environment())


@pytest.fixture(scope="module")
def deployed(emulator, printed):
    made = outputs(emulator, "genai-vectors")
    return Deployed(emulator, made["ApiId"], made["AccessKeysSecretArn"])


def test_every_operation(deployed):
    deployed.tour()


def test_the_snippet_works_as_pasted(emulator, deployed, printed):
    """Only the address changes: nobody resolves the name of an emulated API."""
    endpoint, snippet = re.fullmatch(r"endpoint: (https://\S+)\n\n(.*)", printed, re.DOTALL).groups()
    assert endpoint.startswith(f"https://{deployed.api_id}.execute-api.us-east-1.")
    pasted = snippet.replace(endpoint, deployed.endpoint)
    assert run(sys.executable, "-c", pasted, environment=emulator.environment()) == "[]\n"


def test_deploying_again_keeps_the_parameters(emulator, deployed):
    """Signatures cover the path in front: without its parameter the tour would be refused."""
    run(DEPLOY_PYTHON, SCRIPT, environment=emulator.environment())
    deployed.tour()


def test_another_environment_is_a_stack_of_its_own_and_can_be_deleted(emulator, deployed):
    """With another auth mode: no keys, and its snippet signs for API Gateway."""
    parameters = ["EnvironmentName=other", "AuthMode=iam"]
    printed = run(DEPLOY_PYTHON, SCRIPT, *parameters, environment=emulator.environment())
    assert "sign_as_execute_api" in printed and "AccessKeysSecretArn" not in outputs(emulator, "genai-vectors-other")
    sam = DEPLOY_PYTHON.parent / "sam"
    delete = [sam, "delete", "--stack-name", "genai-vectors-other", "--no-prompts", "--region", "us-east-1"]
    run(*delete, environment=emulator.environment(SAM_CLI_TELEMETRY="0"))
    stacks = emulator.client("cloudformation").list_stacks()["StackSummaries"]
    alive = {stack["StackName"] for stack in stacks if stack["StackStatus"] != "DELETE_COMPLETE"}
    assert "genai-vectors" in alive and "genai-vectors-other" not in alive


def test_what_is_not_a_parameter_is_refused(emulator):
    with pytest.raises(AssertionError, match="is not NAME=VALUE"):
        run(DEPLOY_PYTHON, SCRIPT, "AuthMode", environment=emulator.environment())
