#!/bin/sh
# Runs a private pcscd in the foreground, beside any other.
#
# usage: pcscd-private.sh DIR PORT NAME...
#
# DIR   Short (a socket path has at most 107 bytes) and on no tmpfs under /run. Clients find the daemon by
#       PCSCLITE_CSOCK_NAME=DIR/run/pcscd.comm
# PORT  Cards for the first NAME connect to PORT and PORT+1, for the second to PORT+2 and PORT+3, and so on.
# NAME  Reader name without the numbers that pcscd appends, for example "Yubico YubiKey OTP+FIDO+CCID".
#
# pcscd has its socket and its PID file in /run/pcscd, so it gets a mount namespace where that is DIR/run: as
# root right away, otherwise in a user namespace. The process that was started becomes pcscd itself.
set -eu

dir=$1
port=$2
shift 2
driver=/usr/lib/pcsc/drivers/serial/libifdvpcd.so

# A PID file whose number belongs to any living process makes pcscd refuse to start.
rm -rf "$dir/conf" "$dir/drivers" "$dir/run"
mkdir -p "$dir/conf" "$dir/drivers" "$dir/run"

for name in "$@"; do
    # The driver keeps its slots in a static array: two readers with one library share their cards.
    library=$dir/drivers/vpcd-$port.so
    cp -L "$driver" "$library"
    channel=$(printf '0x%X' "$port")
    cat >> "$dir/conf/vpcd" <<END
FRIENDLYNAME "$name"
DEVICENAME /dev/null:$channel
LIBPATH $library
CHANNELID $channel

END
    port=$((port + 2))
done

# Daemons with polkit ask it about every client; in here it has nothing to say.
PATH=$PATH:/usr/sbin:/sbin
options=
if pcscd --help 2>&1 | grep -q -- --disable-polkit; then
    options=--disable-polkit
fi

if [ "$(id -u)" = 0 ]; then user=; else user=--map-root-user; fi
# shellcheck disable=SC2016,SC2086 # the inner shell expands; empty options vanish
exec unshare --mount $user sh -euc '
    if ! [ -d /run/pcscd ]; then
        mkdir -p /run/pcscd 2>/dev/null || { mount -t tmpfs none /run && mkdir /run/pcscd; }
    fi
    mount --bind "$1/run" /run/pcscd
    exec pcscd --foreground --config "$1/conf" $2
' sh "$dir" "$options"
