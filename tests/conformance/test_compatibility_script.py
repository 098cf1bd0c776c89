"""`tests/s3_compatibility.py` with this environment's boto3: N is the number of operations *its* model has."""

import subprocess
import sys

import installed_model
from server import ANY_KEY, REPOSITORY, clean_environment


def test_every_operation_of_the_installed_boto3(endpoint):
    script = REPOSITORY / "tests" / "s3_compatibility.py"
    settings = clean_environment(AWS_ACCESS_KEY_ID=ANY_KEY[0], AWS_SECRET_ACCESS_KEY=ANY_KEY[1])
    result = subprocess.run(
        [sys.executable, str(script), "--endpoint-url", endpoint],
        capture_output=True,
        text=True,
        timeout=120,
        env=settings,
        check=False,
    )
    assert result.returncode == 0, result.stdout + result.stderr
    count = len(installed_model.OPERATIONS)
    assert f"🏆 Overall: {count}/{count} commands passed (100.0%)" in result.stdout
