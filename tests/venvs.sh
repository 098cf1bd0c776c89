#!/usr/bin/env bash
# Installs what the Python and JavaScript tests need, under .venvs/ and tests/clients/js/node_modules. Safe to repeat:
# an environment whose requirements have not changed is left alone.
#
#   tests/venvs.sh              everything that the tests need
#   tests/venvs.sh main js      only these: main, awscli, old (all old SDKs), js, peers (what the bench compares with),
#                               deploy (SAM, cargo-lambda, cfn-lint), cdk (infra/cdk/node_modules)
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."
PYTHON=${PYTHON:-python3}
OLD_SDKS=(1.39.5 1.42.1 1.43.11)

# environment NAME REQUIREMENT-FILE [PIP-ARGUMENTS...]
environment() {
  local folder=.venvs/$1 wanted
  wanted=$(cat "$2" && echo "${@:3}" && "$PYTHON" --version)
  if [ -f "$folder/.installed" ] && [ "$(cat "$folder/.installed")" = "$wanted" ]; then return; fi
  echo "installing $folder"
  rm -rf "$folder"
  "$PYTHON" -m venv "$folder"
  "$folder/bin/pip" install --quiet --disable-pip-version-check -r "$2" "${@:3}"
  printf '%s\n' "$wanted" >"$folder/.installed"
}

old_sdks() {
  local version
  for version in "${OLD_SDKS[@]}"; do
    environment "botocore-$version" tests/requirements-old-sdk.txt "boto3==$version" "botocore==$version"
  done
}

# The versions are pinned in package.json; a lock file would pin a registry's address as well.
javascript() {
  local folder=tests/clients/js
  if [ -f "$folder/node_modules/.installed" ] && cmp -s "$folder/package.json" "$folder/node_modules/.installed"; then return; fi
  echo "installing $folder/node_modules"
  (cd "$folder" && npm install --package-lock=false --no-audit --no-fund --loglevel=error)
  cp "$folder/package.json" "$folder/node_modules/.installed"
}

construct() {
  local folder=infra/cdk
  if cmp -s "$folder/package-lock.json" "$folder/node_modules/.installed"; then return; fi
  echo "installing $folder/node_modules"
  (cd "$folder" && npm ci --no-audit --no-fund --loglevel=error)
  cp "$folder/package-lock.json" "$folder/node_modules/.installed"
}

for part in "${@:-all}"; do
  case "$part" in
    all) environment main tests/requirements.txt; environment awscli tests/requirements-awscli.txt; old_sdks; javascript; environment deploy tests/requirements-deploy.txt; construct ;;
    main) environment main tests/requirements.txt ;;
    awscli) environment awscli tests/requirements-awscli.txt ;;
    old) old_sdks ;;
    js) javascript ;;
    peers) environment peers tests/requirements-peers.txt ;;
    cdk) construct ;;
    deploy) environment deploy tests/requirements-deploy.txt ;;
    *) echo "unknown part: $part" >&2; exit 2 ;;
  esac
done
