#!/usr/bin/env bash
# Every Python suite against the built server; one pytest run per folder. Old SDKs run the conformance cases again.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
main=.venvs/main/bin/python

$main shared/format/tests/open_with_peers.py
$main shared/engine/tests/stock_faiss.py
$main -m pytest -q tests/conformance
for version in 1.39.5 1.42.1 1.43.11; do
  ".venvs/botocore-$version/bin/python" -m pytest -q tests/conformance -m "not cli"
done
$main -m pytest -q tests/clients
$main -m pytest -q tests/faults
$main -m pytest -q tests/recall
