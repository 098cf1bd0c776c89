"""What was built fits Lambda: its size, and what it needs of Amazon Linux 2023. Starts are measured by `make sizes`."""

import subprocess

import pytest
from deployed import DEPLOY_PYTHON, run
from emulator import ROOT
from lambda_runtime import start
from sizes import BUILT, ROWS, lacking

PROGRAM = '#include <stdio.h>\n#include <math.h>\nint main(int n, char **v) { (void)v; printf("%f", sqrt(n)); }\n'


def test_every_function(emulator):
    run(DEPLOY_PYTHON, ROOT / "infra" / "sizes.py", environment=emulator.environment())


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row["name"])
def test_a_cold_start_answers_its_sample_event(row):
    """As far as it goes with services that have nothing in them."""
    assert start(BUILT / f"{row['name']}Function" / "bootstrap", row).answer_ms > 0


def test_what_amazon_linux_lacks_is_found(tmp_path):
    """A program with OpenMP, which is not there; and one that wants a symbol of glibc 2.36."""
    source = tmp_path / "program.c"
    source.write_text(PROGRAM)
    subprocess.run(["cc", "-o", tmp_path / "plain", source, "-lm"], check=True)
    assert lacking(tmp_path / "plain")[1] == []
    subprocess.run(
        ["cc", "-fopenmp", "-o", tmp_path / "openmp", source, "-Wl,--no-as-needed", "-lgomp", "-lm"], check=True
    )
    assert "needs libgomp.so.1" in lacking(tmp_path / "openmp")[1]
    source.write_text("#include <stdlib.h>\nint main(void) { return (int)arc4random(); }\n")
    subprocess.run(["cc", "-o", tmp_path / "newer", source], check=True)
    newest, faults = lacking(tmp_path / "newer")
    assert newest == "2.36" and faults == ["needs GLIBC_2.36"]
