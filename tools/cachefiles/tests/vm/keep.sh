#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Without a daemon: requests wait for the next one, and caches are kept.
. "$(dirname "$0")/common"

make_image image 10
make_image part 10
ctl=cachefiles-ondemandctl

# run COMMAND...: its words in $said, its exit code in $code
run()
{
	said=$("$@" 2>&1)
	code=$?
}

# says PATTERN: one line that has the pattern, exit code 1
# shellcheck disable=SC2317 # called by ok
says()
{
	is "$code" 1 && contains "$said" "$1" &&
		is "$(printf '%s\n' "$said" | wc -l)" 1
}

# The kernel has forgotten all caches.
# shellcheck disable=SC2317 # called by within
no_cache()
{
	$ctl status | grep -q '^no cache'
}

python3 "$here/../bad_server.py" "$blobs" > "$tap_dir/requests" &
at_end $!
within 60 test -s "$tap_dir/requests"
bad=http://127.0.0.1:$(head -n 1 "$tap_dir/requests")

#
# A daemon that dies and comes again, with --park.
#
start_daemon --source "$bad/hang-2000000" --park 60
mount_image image
read_errno "$mnt/big" 6000000 > "$tap_dir/first" &
reader=$!
ok "a reader waits" within 60 in_flight 1
stop_daemon KILL
read_errno "$mnt/big" 8000000 > "$tap_dir/second" &
second=$!
sleep 1
ok "they wait without a daemon" is "$(cat "$tap_dir/first" "$tap_dir/second")" ""
ok "the status says so" contains "$($ctl status)" 'daemon awaited'
start_daemon --source "$bad/ok" --park 2
wait $reader $second
ok "the next daemon serves them" is \
	"$(cat "$tap_dir/first" "$tap_dir/second" | tr '\n' ' ')" "0 0 "
ok "and all else" diff -r "$tap_dir/image" "$mnt"
umount "$mnt"
mount_image part
stop_daemon KILL
SECONDS=0
ok "no next daemon in time: EIO" is "$(read_errno "$mnt/big" 6000000)" EIO
ok "in time" between $SECONDS 0 20
ok "then at once" is "$(read_errno "$mnt/big" 7000000)" EIO
umount "$mnt"
ok "the cache ends" within 20 no_cache
wipe_cache

#
# Complete images, with --keep and with bind.
#
start_daemon --source "$blobs" --fetch-size 64M --keep
mount_image image
ok "an image is fetched" diff -r "$tap_dir/image" "$mnt"
ok "it is complete" within 20 counted complete 1
umount "$mnt"
run $ctl features
ok "ctl while a daemon runs" says 'another daemon'
stop_daemon TERM
ok "--keep: it is mounted without a daemon" mount_image image
ok "and read" diff -r "$tap_dir/image" "$mnt"
umount "$mnt"
ok "one that is not here: ENOTCONN" is "$(mount_errno part)" ENOTCONN
run $ctl release "$cache"
ok "release" is "$code $said" "0 "
ok "then the cache ends" within 20 no_cache
ok "and nothing is mounted: ENOTCONN" is "$(mount_errno image)" ENOTCONN

run $ctl bind "$cache"
ok "bind" is "$code $said" "0 "
ok "it is mounted without a daemon again" mount_image image
drop_caches
ok "and read" diff -r "$tap_dir/image" "$mnt"
ok "the status has it" contains "$($ctl status)" "^$cache: daemon none"
ok "a daemon can begin" start_daemon --source "$blobs"
umount "$mnt"
stop_daemon TERM
ok "one without --keep takes it along" within 20 no_cache

#
# What ctl says.
#
run $ctl features
ok "features" is "$code $(echo "$said" | grep -c ' yes$')" "0 5"
program=$(command -v $ctl)
run setpriv --reuid 65534 --regid 65534 --clear-groups "$program" bind /
ok "not root" says 'root'
run setpriv --reuid 65534 --regid 65534 --clear-groups "$program" status
ok "status, not root" says 'root'
# shellcheck disable=SC2016 # expanded by the inner shell
run unshare -m sh -c 'mount -t tmpfs none /dev && exec "$@"' sh "$program" features
ok "no device" says 'modprobe cachefiles.*CONFIG_CACHEFILES_ONDEMAND'
run $ctl bind "$cache/missing"
ok "no such directory" says 'missing: No such file'
touch "$cache/file"
run $ctl bind "$cache/file"
ok "not a directory" says 'ot a directory'
mkdir "$cache/empty"
run $ctl release "$cache/empty"
ok "no cache to release" says 'no cache in it'

tap_end
