#!/usr/bin/env python3
"""What each built function weighs, and how long it takes to start: a table. Fails where one is too large, starts too
slowly, or needs what Amazon Linux 2023 (provided.al2023) lacks.

sizes.py [--start] [--update]     of what `sam build` has left in .aws-sam/build

Sizes are those of the zip files that Lambda gets. What is needed is read from each binary's dynamic section. --start
also runs each one under a Lambda runtime API of our own, with services beside it that answer at once: from the start of
the process to its first request for work (init: with the access keys read), and to its first answer. --update writes
the table into the README.
"""

from __future__ import annotations

import argparse
import io
import json
import re
import statistics
import subprocess
import sys
import zipfile
from dataclasses import dataclass
from pathlib import Path

from lambda_runtime import Start, start
from servers import ROOT

BUILT = ROOT / ".aws-sam" / "build"
README = ROOT / "README.md"
BEGIN, END = "<!-- sizes:begin -->\n", "<!-- sizes:end -->\n"
ROWS = json.loads((ROOT / "infra" / "cdk" / "functions.json").read_text())
# Of the functions without FAISS.
MOST_ZIP_BYTES = 6_000_000
MOST_INIT_MS = 60
STARTS = 9
WITH_FAISS = {"query-vectors", "fold", "compact"}
# What every provided.al2023 has: glibc 2.34 and GCC 11's libgcc. It has no OpenMP, no BLAS, and a libstdc++ that we
# would have to keep up with; those are linked in.
LIBRARIES = {"libc.so.6", "libm.so.6", "libgcc_s.so.1", "ld-linux-x86-64.so.2", "ld-linux-aarch64.so.1"}
NEWEST = {"GLIBC": (2, 34), "GCC": (11, 0)}


@dataclass(frozen=True)
class Weight:
    """A function's row of the table."""

    name: str
    has_faiss: bool
    binary_bytes: int
    zip_bytes: int
    glibc: str
    faults: list[str]
    starts: list[Start]

    def median(self, figure: str) -> float:
        """Of all starts, in milliseconds."""
        return statistics.median(getattr(start, figure) for start in self.starts)


def zipped(binary: Path) -> int:
    """As SAM zips it."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.write(binary, "bootstrap")
    return len(file.getvalue())


def needs(binary: Path) -> tuple[set[str], set[str]]:
    """Shared libraries, and versions of their symbols (`GLIBC_2.34`), by the dynamic section."""
    command = ["readelf", "--dynamic", "--version-info", "--wide", str(binary)]
    text = subprocess.run(
        command, check=True, capture_output=True, text=True, env={"LC_ALL": "C", "PATH": "/usr/bin:/bin"}
    )
    libraries = set(re.findall(r"\(NEEDED\)\s+Shared library: \[(.+?)\]", text.stdout))
    return libraries, set(re.findall(r"Name: (\w+?_[\d.]+) ", text.stdout))


def version(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split("."))


def lacking(binary: Path) -> tuple[str, list[str]]:
    """The newest glibc that the binary wants, and what of it Amazon Linux 2023 lacks."""
    libraries, versions = needs(binary)
    faults = [f"needs {library}" for library in sorted(libraries - LIBRARIES)]
    newest = "0"
    for symbol in sorted(versions):
        library, number = symbol.split("_", 1)
        if library == "GLIBC":
            newest = max(newest, number, key=version)
        if library not in NEWEST or version(number) > NEWEST[library]:
            faults.append(f"needs {symbol}")
    return newest, faults


def has_faiss(binary: Path) -> bool:
    """By the names of its classes, which stripping leaves."""
    return b"N5faiss" in binary.read_bytes()


def weigh(row: dict, starts: int) -> Weight:
    binary = BUILT / f"{row['name']}Function" / "bootstrap"
    if not binary.exists():
        sys.exit(f"{binary} is missing: build the functions first, with make functions")
    glibc, faults = lacking(binary)
    weight = Weight(
        name=row["name"],
        has_faiss=has_faiss(binary),
        binary_bytes=binary.stat().st_size,
        zip_bytes=zipped(binary),
        glibc=glibc,
        faults=faults,
        starts=[start(binary, row) for _ in range(starts)],
    )
    if weight.has_faiss != (row["binary"] in WITH_FAISS):
        faults.append("has FAISS" if weight.has_faiss else "has no FAISS")
    if not weight.has_faiss and weight.zip_bytes > MOST_ZIP_BYTES:
        faults.append(f"{weight.zip_bytes:,} bytes zipped, more than {MOST_ZIP_BYTES:,}")
    if not weight.has_faiss and starts and weight.median("init_ms") > MOST_INIT_MS:
        faults.append(f"{weight.median('init_ms'):.0f} ms of init, more than {MOST_INIT_MS}")
    return weight


def table(weights: list[Weight]) -> str:
    timed = bool(weights[0].starts)
    lines = [
        "| function | FAISS | zip | binary | glibc |"
        + (" init | of it on a CPU | start to first answer |" if timed else ""),
        "|---|---|--:|--:|--:|" + ("--:|--:|--:|" if timed else ""),
    ]
    for weight in sorted(weights, key=lambda weight: (weight.has_faiss, weight.name)):
        sizes = f"{weight.zip_bytes / 1e6:.1f} MB | {weight.binary_bytes / 1e6:.1f} MB | {weight.glibc}"
        figures = ("init_ms", "init_cpu_ms", "answer_ms") if timed else ()
        times = "".join(f" {weight.median(figure):.0f} ms |" for figure in figures)
        lines.append(f"| {weight.name} | {'yes' if weight.has_faiss else ''} | {sizes} |{times}")
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--start", action="store_true", help="measure starts too")
    parser.add_argument("--update", action="store_true", help="write the table into the README")
    arguments = parser.parse_args()
    weights = [weigh(row, STARTS if arguments.start else 0) for row in ROWS]
    print(table(weights), end="")
    if arguments.update:
        before, rest = README.read_text(encoding="utf-8").split(BEGIN)
        README.write_text(before + BEGIN + table(weights) + END + rest.split(END)[1], encoding="utf-8")
    faults = [f"{weight.name}: {fault}" for weight in weights for fault in weight.faults]
    if faults:
        sys.exit("\n".join(faults))


if __name__ == "__main__":
    main()
