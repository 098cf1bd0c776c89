"""Programs that users run: the JavaScript SDK's tour, the compatibility script, the guide's two shell scripts."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from server import OWNER_KEY, REPOSITORY, clean_environment

TESTS = REPOSITORY / "tests"
SIGNED = {"AWS_ACCESS_KEY_ID": OWNER_KEY[0], "AWS_SECRET_ACCESS_KEY": OWNER_KEY[1], "AWS_REGION": "us-east-1"}
AWS_CLI = Path(os.environ.get("AWS_CLI", REPOSITORY / ".venvs" / "awscli" / "bin" / "aws"))


def run(command, timeout=120, **environment):
    settings = clean_environment(**SIGNED, **environment)
    return subprocess.run(
        [str(part) for part in command], capture_output=True, text=True, timeout=timeout, env=settings, check=False
    )


def test_javascript_sdk_tour(server):
    result = run(["node", TESTS / "clients" / "js" / "tour.mjs", server.endpoint])
    assert result.returncode == 0, result.stdout + result.stderr
    assert "NOT RUN" not in result.stdout
    assert result.stdout.count("ok ") >= 19


def test_compatibility_script(server):
    result = run([sys.executable, TESTS / "s3_compatibility.py", "--endpoint-url", server.endpoint])
    assert result.returncode == 0, result.stdout + result.stderr
    lines = result.stdout.strip().splitlines()
    count = sum(line.lstrip("0123456789. ").startswith("✅") for line in lines)
    assert lines[-2] == f"🏆 Overall: {count}/{count} commands passed (100.0%)"
    assert lines[-1] == "🎉 All S3 vectors API commands working perfectly!"


def test_compatibility_script_fails_loudly():
    result = run([sys.executable, TESTS / "s3_compatibility.py", "--endpoint-url", "http://127.0.0.1:9"])
    assert result.returncode == 1
    assert "🏆 Overall: 0/" in result.stdout and "🎉" not in result.stdout


def test_guide_cli_script(server):
    result = run(["bash", TESTS / "test_aws_cli.sh"], AWS=str(AWS_CLI), ENDPOINT_URL=server.endpoint)
    assert result.returncode == 0, result.stdout + result.stderr
    assert result.stdout.count("✅") == 13


@pytest.mark.parametrize("prefix", ["", "/s3-vectors"])
def test_guide_curl_script(server, prefix):
    """Unsigned calls: with keys every one of them is refused, and the script says so."""
    result = run(["bash", TESTS / "test_s3_api.sh"], BASE_URL=server.endpoint + prefix)
    if server.auth == "keys":
        assert result.returncode != 0 and "AccessDeniedException" in result.stderr
    else:
        assert result.returncode == 0, result.stdout + result.stderr
        assert result.stdout.rstrip().endswith("✅ Test completed successfully!")


def test_guide_scripts_fail_loudly():
    """Against nothing at all, neither script may end well."""
    nowhere = {"AWS": str(AWS_CLI), "ENDPOINT_URL": "http://127.0.0.1:9", "BASE_URL": "http://127.0.0.1:9"}
    for script in ("test_aws_cli.sh", "test_s3_api.sh"):
        assert run(["bash", TESTS / script], AWS_MAX_ATTEMPTS="1", **nowhere).returncode != 0
