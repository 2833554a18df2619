#!/usr/bin/env bash
# Installs what building, testing and the demo need on Debian and Ubuntu; on other systems it names the packages.
# usage: scripts/setup.sh [demo|test]     (test adds what only the tests use)
set -euo pipefail
cd "$(dirname "$0")/.."

what=${1:-test}
packages=(gcc libc6-dev pkg-config libpcsclite-dev pcscd vsmartcard-vpcd util-linux)
if [ "$what" = test ]; then
  packages+=(python3 python3-venv strace)
fi

if ! command -v cargo >/dev/null; then
  echo "error: cargo is missing: install a Rust toolchain first (https://rustup.rs)" >&2
  exit 1
fi

if ! command -v dpkg-query >/dev/null; then
  echo "This is neither Debian nor Ubuntu. Install what these packages hold, then go on:" >&2
  printf '  %s\n' "${packages[@]}" >&2
  for tool in pcscd pkg-config unshare; do
    command -v "$tool" >/dev/null || { echo "error: $tool is missing" >&2; exit 1; }
  done
else
  missing=()
  for package in "${packages[@]}"; do
    dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null | grep -qx installed || missing+=("$package")
  done
  if [ ${#missing[@]} -gt 0 ]; then
    root=()
    if [ "$(id -u)" != 0 ]; then
      command -v sudo >/dev/null || { echo "error: as root, install: ${missing[*]}" >&2; exit 1; }
      root=(sudo)
    fi
    echo "setup: installing ${missing[*]} (${root[*]:-as root})"
    apt=("${root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=300 -qq)
    "${apt[@]}" update
    "${apt[@]}" install -y --no-install-recommends "${missing[@]}" >/dev/null
  fi
fi

# Clients that nobody here wrote, for the tests that compare notes with them.
if [ "$what" = test ]; then
  venv=.cache/venv
  if ! cmp -s tests/requirements.txt "$venv/requirements.txt"; then
    echo "setup: Python clients into $venv"
    rm -rf "$venv"
    python3 -m venv "$venv"
    "$venv/bin/pip" install --quiet --disable-pip-version-check -r tests/requirements.txt
    cp tests/requirements.txt "$venv/requirements.txt"
  fi
fi
