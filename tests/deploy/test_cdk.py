"""The construct: deployed by CDK into the emulated AWS, and imported by a stack of somebody else."""

import json
import shutil

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
    run(TOOL, "bootstrap", f"aws://{ACCOUNT}/{REGION}", environment=environment, cwd=CDK)
    context = ["-c", "environmentName=cdk", "-c", f"publicBasePath={BASE_PATH}", "-c", "stackName=genai-vectors-cdk"]
    output = tmp_path_factory.mktemp("cdk") / "cdk.out"
    run(TOOL, "deploy", "--require-approval", "never", "-o", output, *context, environment=environment, cwd=CDK)
    made = outputs(emulator, "genai-vectors-cdk")
    return Deployed(emulator, made["ApiId"], made["AccessKeysSecretArn"])


def test_every_operation(deployed):
    deployed.tour()


def test_it_can_be_imported_by_another_stack(emulator, tmp_path):
    """Packed as for a registry, type-checked and synthesized in a project that has only CDK itself."""
    environment = emulator.environment()
    (packed,) = json.loads(
        run("npm", "pack", "--json", "--pack-destination", tmp_path, environment=environment, cwd=CDK)
    )
    modules = tmp_path / "node_modules"
    (modules / ".bin").mkdir(parents=True)
    for name in ("aws-cdk-lib", "constructs", "@types"):
        (modules / name).symlink_to(CDK / "node_modules" / name)
    package = tmp_path / "package"
    shutil.unpack_archive(tmp_path / packed["filename"], tmp_path)
    package.rename(modules / "genai-vectors-cdk")
    (tmp_path / "app.ts").write_text(CONSUMER % BUILT)
    (tmp_path / "package.json").write_text("{}")
    settings = {"target": "ES2022", "module": "CommonJS", "strict": True, "esModuleInterop": True, "skipLibCheck": True}
    settings |= {"moduleResolution": "Node", "preserveSymlinks": True, "types": ["node"]}
    (tmp_path / "tsconfig.json").write_text(json.dumps({"compilerOptions": settings, "files": ["app.ts"]}))
    run(CDK / "node_modules" / ".bin" / "tsc", environment=environment, cwd=tmp_path)
    command = "node --preserve-symlinks --preserve-symlinks-main app.js"
    run(TOOL, "synth", "--app", command, "-o", tmp_path / "cdk.out", environment=environment, cwd=tmp_path)
    template = json.loads((tmp_path / "cdk.out" / "search.template.json").read_text())
    kinds = [resource["Type"] for resource in template["Resources"].values()]
    functions = json.loads((CDK / "functions.json").read_text())
    assert kinds.count("AWS::Lambda::Function") == len(functions)
