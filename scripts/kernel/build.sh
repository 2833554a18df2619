#!/usr/bin/env bash
# Prints the path of a Linux kernel that runs as an ordinary program (user-mode Linux) and has HID, USB and what
# a program makes devices with: /dev/uhid and vhci_hcd. Distributions ship none that has them, so it is built here,
# once, in 3 to 6 minutes on two cores, and kept in .cache/kernel until the configuration or this script changes.
#
# RIG_LINUX=FILE      takes this kernel instead
# KERNEL_SOURCE=FILE  builds from this linux-6.12*.tar.xz
#
# Otherwise the source is Debian's package linux-source-6.12 (Debian 12 and 13 have it, and apt checks what it
# fetches), and on other systems the release of kernel.org.
set -euo pipefail
cd "$(dirname "$0")/../.."

if [ -n "${RIG_LINUX:-}" ]; then
  [ -x "$RIG_LINUX" ] || { echo "error: RIG_LINUX is $RIG_LINUX, which cannot be run" >&2; exit 1; }
  realpath "$RIG_LINUX"
  exit
fi

if [ "$(uname -m)" != x86_64 ]; then
  echo "error: user-mode Linux runs on x86-64 only, and this is $(uname -m)" >&2
  exit 1
fi

release=6.12
checksum=b1a2562be56e42afb3f8489d4c2a7ac472ac23098f1ef1c1e40da601f54625eb
package=linux-source-$release
config=$PWD/scripts/kernel/config
cache=$PWD/.cache/kernel
log=$cache/build.log
kernel=$cache/linux-$(cat "$config" scripts/kernel/build.sh | sha256sum | cut -c 1-16)

mkdir -p "$cache"
# Two callers build it once: the second waits and finds it.
exec 9>"$cache/lock"
flock 9
if [ -x "$kernel" ]; then
  echo "$kernel"
  exit
fi

# What a killed build left.
rm -rf "$cache"/build.*/
work=$(mktemp -d "$cache/build.XXXXXX")
cd "$work"
end() {
  local status=$?
  rm -rf "$work"
  [ "$status" = 0 ] || { tail -n 20 "$log"; echo "error: the kernel could not be built (log: $log)"; } >&4
}
trap end EXIT
exec 3>&1 4>&2 >"$log" 2>&1

archive=${KERNEL_SOURCE:-}
if [ -n "$archive" ]; then
  archive=$(realpath "$archive")
elif apt-cache show "$package" >/dev/null; then
  echo "kernel: fetching $package" >&4
  apt-get download "$package"
  dpkg-deb --extract "$package"_*.deb package
  archive=package/usr/src/$package.tar.xz
else
  archive=linux-$release.tar.xz
  echo "kernel: fetching $archive from kernel.org" >&4
  curl -fsSLo "$archive" "https://cdn.kernel.org/pub/linux/kernel/v6.x/$archive"
  echo "$checksum  $archive" | sha256sum --check
fi

start=$SECONDS
echo "kernel: building" >&4
mkdir source
tar --extract --xz --file "$archive" --directory source --strip-components 1
cd source
make -s ARCH=um allnoconfig
ARCH=um scripts/kconfig/merge_config.sh -m .config "$config"
make -s ARCH=um olddefconfig
# An option whose dependencies are not met is dropped without a word.
lost=$(grep '^CONFIG.*=y$' "$config" | grep -vxFf .config || true)
[ -z "$lost" ] || { echo "the configuration lost: $lost"; exit 1; }
make -s ARCH=um -j"$(nproc)" linux
strip -o "$kernel.new" linux
rm -f "$cache"/linux-????????????????
mv "$kernel.new" "$kernel"
echo "kernel: built in $((SECONDS - start)) s" >&4
echo "$kernel" >&3
