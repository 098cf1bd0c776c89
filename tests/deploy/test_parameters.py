"""What infra/deploy.py refuses, and hands on to SAM, before anything is deployed: no AWS is needed for that."""

import json
import os
import sys

import deploy
import pytest
from aws_local import quoted
from deployed import DEPLOY_PYTHON, run

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
