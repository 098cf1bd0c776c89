"""The README's commands, as pasted: only the address changes, and a few words stand in for all of them."""

import json
import os
import re
import subprocess
import sys

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from server import REPOSITORY, Server, binary, clean_environment
from test_programs import AWS_CLI

README = (REPOSITORY / "README.md").read_text(encoding="utf-8")
ADDRESS = "http://127.0.0.1:8080"
BINARY = "./target/release/genai-vectors "
# Run elsewhere: `make` by whoever runs the tests, servers by the tests of the process, quarantine by its own.
ELSEWHERE = re.compile(rf"make |(AWS_\w+=\S+ )*{re.escape(BINARY)}(api|quarantine)\b")


def blocks(language):
    return re.findall(rf"^```{language}\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)


def commands():
    """Every command of the README's shell blocks, continued lines joined."""
    lines = [line for block in blocks("bash") for line in block.replace("\\\n", "").splitlines()]
    return [line for line in lines if not ELSEWHERE.match(line)]


@pytest.fixture(scope="module")
def checkout(tmp_path_factory):
    """A folder as the README's reader has it: the built binary, the words, and a server over ./data."""
    folder = tmp_path_factory.mktemp("checkout")
    (folder / "target" / "release").mkdir(parents=True)
    (folder / "target" / "release" / "genai-vectors").symlink_to(binary().resolve())
    (folder / ".cache").mkdir()
    vectors = np.random.default_rng(1).standard_normal((300, 100)).astype(np.float32)
    matrix = pa.FixedSizeListArray.from_arrays(pa.array(vectors.reshape(-1)), 100)
    words = pa.table({"key": [f"word {n}" for n in range(len(vectors))], "vector": matrix})
    pq.write_table(words, folder / ".cache" / "words-100.parquet")
    with Server(folder / "data", "--auth", "none") as running:
        yield folder, running


def run(checkout, *command):
    folder, server = checkout
    path = f"{AWS_CLI.parent}{os.pathsep}{os.environ['PATH']}"
    settings = clean_environment(GENAI_VECTORS_ENDPOINT=server.endpoint, PATH=path)
    result = subprocess.run(
        [part.replace(ADDRESS, server.endpoint) for part in command],
        cwd=folder,
        env=settings,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


def test_python(checkout):
    (snippet,) = blocks("python")
    assert "'key': 'sea'" in run(checkout, sys.executable, "-c", snippet)


def test_shell(checkout):
    """In the README's order, in one shell: it begins where the Python snippet ended."""
    lines = commands()
    kinds = {line.removeprefix(BINARY).split()[0] for line in lines}
    assert kinds == {"aws", "export", "import", "inspect"}, "what is not run here is named in ELSEWHERE"
    output = run(checkout, "bash", "-euc", "\n".join(lines))
    assert '"key": "sea"' in output and "imported into demo/words100" in output
    exported = pq.read_table(checkout[0] / ".cache" / "words.parquet")
    assert exported.num_rows == 300


def test_banner(checkout):
    """`make run` prints the README's snippet."""
    (snippet,) = blocks("python")
    assert snippet.replace(ADDRESS, checkout[1].endpoint) in checkout[1].output()


def test_keys_file():
    keys, *_policies = blocks("json")
    assert set(json.loads(keys)["keys"][0]) == {"accessKeyId", "secretAccessKey", "principal", "owner"}
