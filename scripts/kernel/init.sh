#!/usr/bin/env bash
# Process 1 of the guest (see run.sh). RIG, from the kernel's command line, is the runner's directory on the host.
export PATH=/usr/sbin:/usr/bin:/sbin:/bin
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mountpoint -q /dev || mount -t devtmpfs devtmpfs /dev
mkdir -p /dev/pts /dev/shm
mount -t devpts devpts /dev/pts
mount -t tmpfs shm /dev/shm
mount -t tmpfs run /run
ln -s /proc/self/fd /dev/fd
for tty in /dev/tty0 /dev/tty2; do stty -opost <$tty; done
exec </dev/null >/dev/tty0 2>/dev/tty2

mkdir -p /run/rig /run/lock /run/pcscd /run/home /run/tmp
mount -t hostfs rig /run/rig -o "$RIG"

# A /tmp of its own, in which what the command needs stays where it was.
while read -r dir; do
  case $dir in
    /tmp/*)
      mkdir -p "/run/tmp/${dir#/tmp/}"
      mount -t hostfs -o "$dir" visible "/run/tmp/${dir#/tmp/}"
      mount -o remount,ro "/run/tmp/${dir#/tmp/}"
      ;;
  esac
done </run/rig/visible
mount --rbind /run/tmp /tmp

# shellcheck disable=SC1091 # it is made by run.sh
. /run/rig/environment
export HOME=/run/home XDG_RUNTIME_DIR=/run TMPDIR=/tmp
for dir in ${RIG_RW//:/ }; do
  mkdir -p "$dir"
  mount -t hostfs -o "$dir" writable "$dir"
done

busybox ifconfig lo 127.0.0.1 up
/lib/systemd/systemd-udevd --daemon 2>/run/udevd.log
{ read -r cwd; } </run/rig/visible
cd "$cwd" || exit
# By a pipe: programs need not take the console for somebody's terminal.
bash /run/rig/command | cat
echo "${PIPESTATUS[0]}" >/run/rig/status
sync
busybox poweroff -f
