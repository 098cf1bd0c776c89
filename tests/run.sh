#!/usr/bin/env bash
# Every Python suite against the built server; one pytest run per folder. Old SDKs run the conformance cases again, and
# so does the newest over MinIO (a machine without Go points AWS_ENDPOINT_URL at its own), in part over SeaweedFS, and
# against the functions in an emulated AWS, there once more in part with the roles' policies enforced.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
main=.venvs/main/bin/python

# What is built here is built with the tests' features: see tests/servers/Cargo.toml.
export CARGO_AS_TESTED="--features genai-vectors-test-servers/as-tested"
python3 infra/servers.py install minio seaweedfs ministack dynamodb-local dynoxide rclone

$main shared/format/tests/open_with_peers.py
$main shared/engine/tests/stock_faiss.py
# Runs suites at the same time, each named by its arguments; shows what each printed, and fails when one does. They mostly
# wait: for a server's disk, and one request after the other.
together() {
  local logs number=0 failed=0 pids=()
  logs=$(mktemp -d)
  for suite in "$@"; do
    bash -c "$suite" >"$logs/$number" 2>&1 &
    pids+=($!)
    number=$((number + 1))
  done
  for number in "${!pids[@]}"; do
    wait "${pids[$number]}" || failed=1
    echo "--- ${*:$((number + 1)):1}"
    cat "$logs/$number"
  done
  rm -r "$logs"
  return "$failed"
}

old() {
  echo ".venvs/botocore-$1/bin/python -m pytest -q tests/conformance -m 'not cli'"
}
together "$main -m pytest -q tests/conformance" "$(old 1.39.5)" "$(old 1.42.1)" "$(old 1.43.11)"
together "GENAI_VECTORS_TEST_STORE=minio $main -m pytest -q tests/conformance" \
  "GENAI_VECTORS_TEST_STORE=seaweedfs $main -m pytest -q tests/conformance/test_{buckets,indexes,vectors,query,pagination}.py"
PATH="$PWD/.venvs/deploy/bin:$PATH" SAM_CLI_TELEMETRY=0 sam build
together "GENAI_VECTORS_TEST_STORE=lambda $main -m pytest -q tests/conformance" \
  "GENAI_VECTORS_TEST_STORE=lambda GENAI_VECTORS_ENFORCE_IAM=1 $main -m pytest -q tests/conformance/test_{deployed,compatibility_script,cli,access}.py"
$main -m pytest -q tests/deploy
$main -m pytest -q tests/clients
$main -m pytest -q tests/faults
$main -m pytest -q tests/recall
