#!/usr/bin/env bash
# Runs the kernel tests of the drivers, in two guests side by side: each has one CPU, and mostly waits. Then those of the
# server that boot guests of their own and cut their power.
set -euo pipefail
cd "$(dirname "$0")/../.."

# Before the guests have a time limit.
RIG_LINUX=$(scripts/kernel/build.sh)
export RIG_LINUX RIG_TIMEOUT=${RIG_TIMEOUT:-900}
tests=(cargo test --package fobd-drivers --features hid --features pcsc --test kernel --locked)
"${tests[@]}" --no-run
# The whole workspace: with other features than `make test` has, all would be built again.
power=(cargo test --workspace --test power --locked)
"${power[@]}" --no-run

run() {
  "${tests[@]}" --config "target.'cfg(all())'.runner='$PWD/scripts/kernel/run.sh'" -- "$@" 2>&1
}

log=$(mktemp)
trap 'rm -f "$log"' EXIT
status=0
run kernel::tokens:: >"$log" &
run kernel:: --skip kernel::tokens:: || status=1
wait $! || status=1
cat "$log"
"${power[@]}" -- --nocapture || status=1
exit "$status"
