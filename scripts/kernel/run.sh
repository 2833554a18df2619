#!/usr/bin/env bash
# Runs a command in the user-mode kernel of build.sh: boots it (0.4 s), runs, powers off. No root is needed.
# usage: scripts/kernel/run.sh COMMAND ARGUMENT...     (so it can be a cargo runner)
#
# The command sees the files of this machine, read-only. /tmp, /run and /dev are the guest's own, but the working
# directory and this project stay visible. It is root there, with this environment and RIG_GUEST=1; it has udevd,
# the loopback interface, no other network, one CPU. Output and exit status pass through. There is no input.
# 124: over the time limit; 125: the guest died without a status, and its last words are printed.
#
#   RIG_TIMEOUT=SECONDS    time limit, 300 unless set
#   RIG_RW=DIR:DIR         directories that are writable
#   RIG_ARGS=WORDS         added to the kernel's command line, for example ubd0=FILE for a disk /dev/ubda
#   RIG_LINUX=FILE         another kernel
set -euo pipefail

if [ $# = 0 ]; then
  echo "usage: $0 COMMAND ARGUMENT..." >&2
  exit 2
fi
here=$(cd "$(dirname "$0")" && pwd)
linux=$("$here/build.sh")

# Kept short: the kernel has a socket in it.
work=$(mktemp -d /tmp/rig.XXXXXX)
trap 'rm -rf "$work"' EXIT
export RIG_GUEST=1
export -p >"$work/environment"
printf '%q ' "$@" >"$work/command"
printf '%s\n' "$PWD" "$(cd "$here/../.." && pwd)" >"$work/visible"

# Three consoles: the command's output, its errors, and the kernel's own words.
status=0
# shellcheck disable=SC2086 # RIG_ARGS are words
timeout --kill-after=5 "${RIG_TIMEOUT:-300}" "$linux" \
  mem=512M root=/dev/root rootfstype=hostfs rootflags=/ ro ${RIG_ARGS:-} init="$here/init.sh" RIG="$work" \
  con=null con0=null,fd:1 con1=null,fd:7 con2=null,fd:2 console=tty1 quiet \
  umid=guest uml_dir="$work/" </dev/null 7>"$work/kernel.log" || status=$?

if [ -s "$work/status" ]; then
  exit "$(cat "$work/status")"
elif [ "$status" = 124 ] || [ "$status" = 137 ]; then
  echo "error: $* took longer than ${RIG_TIMEOUT:-300} s" >&2
  exit 124
fi
echo "error: the guest died (status $status)" >&2
tail -n 30 "$work/kernel.log" >&2
exit 125
