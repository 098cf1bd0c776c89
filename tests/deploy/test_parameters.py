"""What infra/deploy.py refuses, and hands on to SAM, before anything is deployed: no AWS is needed for that."""

import json
import os
import re
import shutil
import subprocess
import sys

import deploy
import pytest
from aws_local import quoted
from deployed import DEPLOY_PYTHON, REPOSITORY, run
from sizes import ROWS

KEYS = '{"keys": [{"accessKeyId": "A", "secretAccessKey": "it\'s", "owner": true}]}'
# How `sam deploy --parameter-overrides` reads its arguments.
SAMS_PARSER = """\
import json, sys
from samcli.cli.types import CfnParameterOverridesType
print(json.dumps(CfnParameterOverridesType().convert(tuple(sys.argv[1:]), None, None)))
"""


def test_sam_reads_what_was_said():
    said = {
        "AlarmEmail": "",
        "PublicBasePath": "/a path/{apiId}/{stage}",
        "AccessKeys": KEYS,
        "TargetRecall": "0.9",
        "LogLevel": "a=b",
    }
    arguments = [quoted(f"{name}={value}") for name, value in said.items()]
    read = run(DEPLOY_PYTHON, "-c", SAMS_PARSER, *arguments, environment=dict(os.environ))
    assert json.loads(read) == said


def test_access_keys_are_refused(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["deploy.py", f"AccessKeys={KEYS}"])
    monkeypatch.setattr(deploy, "sam", lambda *_: pytest.fail("deployed"))
    with pytest.raises(SystemExit):
        deploy.main()
    assert "put-secret-value" in capsys.readouterr().err


@pytest.fixture
def built(monkeypatch, tmp_path):
    """Functions as `sam build` leaves them: programs that do nothing. Compiles one of them from other source."""

    def compiled(function, source):
        folder = tmp_path / f"{function}Function"
        folder.mkdir(exist_ok=True)
        (folder / "program.c").write_text(source)
        subprocess.run(["cc", "-o", folder / "bootstrap", folder / "program.c"], check=True)

    compiled(ROWS[0]["name"], "int main(void) { return 0; }\n")
    for row in ROWS[1:]:
        shutil.copytree(tmp_path / f"{ROWS[0]['name']}Function", tmp_path / f"{row['name']}Function")
    monkeypatch.setattr(deploy, "BUILT", tmp_path)
    return compiled


class Deployed(Exception):
    """SAM was called."""


@pytest.fixture
def ask(monkeypatch):
    """`make deploy` up to SAM."""

    def called(*_):
        raise Deployed

    monkeypatch.setattr(deploy, "sam", called)
    monkeypatch.setattr(sys, "argv", ["deploy.py"])
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    return deploy.main


def test_what_amazon_linux_cannot_start_is_not_deployed(built, ask):
    with pytest.raises(Deployed):
        ask()
    built("Sweep", "#include <stdlib.h>\nint main(void) { return (int)arc4random(); }\n")
    with pytest.raises(SystemExit, match=r"\nSweep needs GLIBC_2\.36$"):
        ask()


def test_the_longest_name_of_an_environment_fits_every_function():
    """Of Lambda's 64 characters; the template and the construct say the same."""
    pattern = "^[a-z0-9-]{1,13}$"
    for file in ("template.yaml", "cdk/lib/genai-vectors.ts"):
        assert pattern in (REPOSITORY / "infra" / file).read_text()
    assert re.search(pattern, "n" * 13) and not re.search(pattern, "n" * 14)
    longest = max((row["binary"] for row in ROWS), key=len)
    assert len(f"genai-vectors-{'n' * 13}-{longest}") <= 64


def test_the_construct_refuses_a_longer_name(tmp_path):
    for row in ROWS:
        (tmp_path / f"{row['name']}Function").mkdir()
        (tmp_path / f"{row['name']}Function" / "bootstrap").touch()
    cdk = REPOSITORY / "infra" / "cdk"
    context = ["-c", f"codeRoot={tmp_path}", "-c", f"environmentName={'n' * 14}", "-o", tmp_path / "cdk.out"]
    with pytest.raises(AssertionError, match="is not 1 to 13 lower-case letters"):
        run(cdk / "node_modules" / ".bin" / "cdk", "synth", "--quiet", *context, environment=dict(os.environ), cwd=cdk)
