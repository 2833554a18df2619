#!/usr/bin/env bash
# The main job of fobd from end to end, on real parts: the shipped server, a fresh database file, a real pcscd.
# The token is an emulated YubiKey behind a virtual reader, or with TOKEN=real the key that is plugged in.
#   KEEP=1      leaves server and token running and says how to use them
#   TOKEN=real  uses the real key, after asking; adds two credentials to it and erases them again
# Exits 0 only if every answer was the expected one.
set -euo pipefail
cd "$(dirname "$0")/.."

# Short, because the path of a socket in it must have less than 108 bytes.
dir=$(mktemp -d /tmp/fobd-demo.XXXXXX)
server_pid='' token_pid='' real=''
[ "${TOKEN:-}" = real ] && real=yes
programmed=()

end() {
  local status=$?
  trap - EXIT INT TERM
  if [ -n "$real" ] && [ -n "$server_pid" ]; then
    for slot in "${programmed[@]}"; do fobd device erase "$device" "$slot" --yes >/dev/null 2>&1 || true; done
  fi
  for pid in $server_pid $token_pid; do kill "$pid" 2>/dev/null || true; done
  for pid in $server_pid $token_pid; do wait "$pid" 2>/dev/null || true; done
  if [ "$status" = 0 ]; then rm -rf "$dir"; else echo "The server's log is in $dir/serve.log" >&2; fi
  exit "$status"
}
trap end EXIT
trap 'exit 130' INT TERM

fail() { echo "FAILED: $*" >&2; exit 1; }
title() { printf '\n== %s\n' "$*"; }
fobd() { target/debug/fobd "$@"; }

# expect STATUS WHAT COMMAND...: runs the command, shows its output, and stops unless it ends with that status.
expect() {
  local wanted=$1 what=$2 status=0
  shift 2
  "$@" 2>&1 | sed 's/^/   /' || status=${PIPESTATUS[0]}
  [ "$status" = "$wanted" ] || fail "$what: expected exit status $wanted, got $status"
}

verify() { # verify STATUS WHAT TYPED
  printf '   %-46s ' "$2"
  local status=0 answer
  answer=$(fobd verify 'acme\alice' <<<"$3") || status=$?
  echo "$answer"
  [ "$status" = "$1" ] || fail "$2: expected exit status $1, got $status"
}

ask_token() { # ask_token LINE: one line to the emulated key, one line back
  local answer
  echo "$1" >&"${token[1]}"
  read -r -t 10 answer <&"${token[0]}" || fail "the emulated key did not answer '$1'"
  echo "$answer"
}

# A press as a person makes it: on the emulated key itself, not through the server.
press() { # press SLOT
  if [ -n "$real" ]; then fobd device calculate "$device" "$1"; else ask_token "press $1"; fi
}

show() { # show SLOT: the TOTP passcode of now
  if [ -n "$real" ]; then fobd device calculate "$device" "$1"; else ask_token "show $1"; fi
}

title "Build"
cargo build --locked --quiet --package fobd --package firmware-fixtures
echo "   $(fobd --version)"

if [ -n "$real" ]; then
  title "A real token"
  echo "   This adds two credentials to the YubiKey that is plugged in and erases them again at the end."
  read -r -p "   Go on? [y/N] " answer
  [ "$answer" = y ] || fail "not confirmed"
else
  title "A private pcscd with a virtual reader, and an emulated YubiKey in it"
  coproc token { exec target/debug/virtual-token --pcscd "$dir/pcsc" 2>&1; }
  # shellcheck disable=SC2154 # coproc sets it
  token_pid=$token_PID
  while read -r -t 20 line <&"${token[0]}"; do
    case $line in
      export\ *) export "${line#export }" ;;
      *' is in') echo "   $line"; break ;;
      *) fail "$line" ;;
    esac
  done
  [ -n "${PCSCLITE_CSOCK_NAME:-}" ] || fail "the virtual reader did not start"
fi

title "A new server: fobd init, fobd serve"
head -c 18 /dev/urandom | base64 >"$dir/password"
chmod 600 "$dir/password"
expect 0 "fobd init" fobd init --data-dir "$dir/data" --admin admin --password-file "$dir/password"
target/debug/fobd serve --data-dir "$dir/data" --listen 127.0.0.1:0 >"$dir/serve.out" 2>"$dir/serve.log" &
server_pid=$!
for _ in $(seq 200); do
  grep -q '^listening on ' "$dir/serve.out" && break
  kill -0 "$server_pid" 2>/dev/null || { cat "$dir/serve.log" >&2; fail "the server ended"; }
  sleep 0.05
done
FOBD_SERVER=$(sed -n 's/^listening on //p' "$dir/serve.out")
[ -n "$FOBD_SERVER" ] || fail "the server does not listen"
export FOBD_SERVER FOBD_USER=admin FOBD_PASSWORD_FILE=$dir/password
echo "   $FOBD_SERVER"

title "A domain, a user, and the products that come with the program"
expect 0 "domain" fobd domain add acme
expect 0 "user" fobd user add 'acme\alice' --first-name Alice
expect 0 "product list" fobd product list

title "What is plugged in"
device=''
for _ in $(seq 50); do # a card just put in is seen within half a second
  device=$(fobd device list --json | sed -n 's/.*"id": *"\([a-z]*:[0-9][^"]*\)".*/\1/p' | head -n 1)
  [ -z "$device" ] || break
  sleep 0.1
done
[ -n "$device" ] || fail "no device with a serial is plugged in"
serial=${device#*:}
expect 0 "device list" fobd device list
hotp="fobd:$serial" totp="fobd:$serial-2"

title "Program an HOTP and a TOTP credential: the secrets are made in the server, the key proves each by a passcode"
expect 0 "program HOTP" fobd device program "$device" --product YK/HOTP --slot "$hotp"
programmed+=("$hotp")
expect 0 "program TOTP" fobd device program "$device" --product YK/TOTP256 --slot "$totp"
programmed+=("$totp")
expect 0 "device slots" fobd device slots "$device"

title "Assign the HOTP token to alice, with the PIN 4711"
echo 4711 >"$dir/pin"
expect 0 "assign" fobd token assign "$serial" 'acme\alice' --pin-file "$dir/pin"

title "Log in"
code=$(press "$hotp")
verify 0 "PIN and passcode $code:" "4711$code"
verify 1 "the same again (replay):" "4711$code"
verify 1 "the next passcode with a wrong PIN:" "0000$(press "$hotp")"

title "Press the key 30 times in a pocket: now it is out of the window"
for _ in $(seq 30); do press "$hotp" >/dev/null; done
verify 1 "PIN and passcode, 31 presses ahead:" "4711$(press "$hotp")"

title "Resync with two consecutive passcodes, read out over the phone"
expect 0 "sync" fobd token sync "$serial" "$(press "$hotp")" "$(press "$hotp")"
verify 0 "PIN and the next passcode:" "4711$(press "$hotp")"

title "The TOTP token logs in as well, without a PIN"
expect 0 "assign" fobd token assign "$serial-2" 'acme\alice'
verify 0 "passcode of this moment:" "$(show "$totp")"

title "Import a PSKC file"
expect 0 "import" fobd token import tests/samples/pskc-totp.xml --product DN/ST

title "The inventory"
expect 0 "token list" fobd token list

printf '\nEvery answer was the expected one.\n'

if [ "${KEEP:-}" = 1 ]; then
  programmed=()
  trap 'exit 0' INT TERM # from here on, that is how it ends well
  cat <<TEXT

Server and token keep running. In another terminal, in this folder:
  export FOBD_SERVER=$FOBD_SERVER FOBD_USER=admin FOBD_PASSWORD_FILE=$dir/password
  target/debug/fobd device list
  target/debug/fobd device calculate $device $hotp
  target/debug/fobd verify 'acme\\alice'          (the PIN is 4711)
  export PCSCLITE_CSOCK_NAME=${PCSCLITE_CSOCK_NAME:-}     (for ykman and the like)
Ctrl-C here ends both and removes $dir.
TEXT
  wait "$server_pid"
fi
