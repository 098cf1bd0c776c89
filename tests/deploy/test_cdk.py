"""The construct: deployed by CDK into the emulated AWS, and imported by a stack of somebody else."""

import json
import shutil
import tempfile
from pathlib import Path

import pytest
from deployed import BASE_PATH, REPOSITORY, Deployed, outputs, run
from emulator import ACCOUNT, REGION

CDK = REPOSITORY / "infra" / "cdk"
TOOL = CDK / "node_modules" / ".bin" / "cdk"
BUILT = REPOSITORY / ".aws-sam" / "build"
CONSUMER = """\
import { App, CfnOutput, Stack } from "aws-cdk-lib";
import { GenaiVectors } from "genai-vectors-cdk";

const stack = new Stack(new App(), "search");
const vectors = new GenaiVectors(stack, "Vectors", { codeRoot: "%s", environmentName: "search" });
new CfnOutput(stack, "Endpoint", { value: vectors.url });
new CfnOutput(stack, "Alarms", { value: vectors.alarms.topicArn });
"""


@pytest.fixture(scope="module")
def deployed(emulator, tmp_path_factory):
    """`cdk bootstrap` and `cdk deploy`, with nothing but the environment that leads to the emulator."""
    environment = emulator.environment(CDK_DEFAULT_ACCOUNT=ACCOUNT, CDK_DEFAULT_REGION=REGION)
    folder = tmp_path_factory.mktemp("cdk")
    run(TOOL, "bootstrap", f"aws://{ACCOUNT}/{REGION}", environment=environment, cwd=folder)
    context = ["-c", "environmentName=cdk", "-c", f"publicBasePath={BASE_PATH}", "-c", "stackName=genai-vectors-cdk"]
    run(
        TOOL,
        "deploy",
        "--require-approval",
        "never",
        "-o",
        folder / "cdk.out",
        *context,
        environment=environment,
        cwd=CDK,
    )
    made = outputs(emulator, "genai-vectors-cdk")
    return Deployed(emulator, made["ApiId"], made["AccessKeysSecretArn"])


def test_every_operation(deployed):
    deployed.tour()


@pytest.fixture
def project():
    """A folder that finds CDK, as any project with it installed does, and nothing else of ours."""
    (CDK / "cdk.out").mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=CDK / "cdk.out") as folder:
        yield Path(folder)


def test_it_can_be_imported_by_another_stack(emulator, project):
    """Packed as for a registry, installed, type-checked, synthesized."""
    environment = emulator.environment()
    command = ["npm", "pack", "--json", "--pack-destination", project]
    (packed,) = json.loads(run(*command, environment=environment, cwd=CDK))
    shutil.unpack_archive(project / packed["filename"], project)
    (project / "node_modules").mkdir()
    (project / "package").rename(project / "node_modules" / "genai-vectors-cdk")
    (project / "package.json").write_text("{}")
    (project / "app.ts").write_text(CONSUMER % BUILT)
    settings = {"target": "ES2022", "module": "CommonJS", "strict": True, "skipLibCheck": True, "types": ["node"]}
    (project / "tsconfig.json").write_text(json.dumps({"compilerOptions": settings, "files": ["app.ts"]}))
    run(CDK / "node_modules" / ".bin" / "tsc", environment=environment, cwd=project)
    run(TOOL, "synth", "--app", "node app.js", "-o", project / "cdk.out", environment=environment, cwd=project)
    template = json.loads((project / "cdk.out" / "search.template.json").read_text())
    kinds = [resource["Type"] for resource in template["Resources"].values()]
    functions = json.loads((CDK / "functions.json").read_text())
    assert kinds.count("AWS::Lambda::Function") == len(functions)
