#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# How the daemon gets its cache, and says why it does not.
. "$(dirname "$0")/common"

# run COMMAND...: a daemon that should not start; its words in $said
run()
{
	said=$(timeout 20 "$@" 2>&1)
	code=$?
}

# says PATTERN: one line that has the pattern, exit code 1
# shellcheck disable=SC2317 # called by ok
says()
{
	is "$code" 1 && contains "$said" "$1" &&
		is "$(printf '%s\n' "$said" | wc -l)" 1
}

program=$(command -v cachefiles-ondemandd)
args=(--cache "$cache" --source "$blobs")

# In directories that anybody may look into: something else would be wrong first.
run setpriv --reuid 65534 --regid 65534 --clear-groups "$program" --cache / \
	--source /
ok "not root" says 'root'
run setpriv --bounding-set -sys_admin "$program" "${args[@]}"
ok "root without CAP_SYS_ADMIN" says 'CAP_SYS_ADMIN'
# shellcheck disable=SC2016 # expanded by the inner shell
run unshare -m sh -c 'mount -t tmpfs none /dev && exec "$@"' sh "$program" \
	"${args[@]}"
ok "no device" says 'modprobe cachefiles.*CONFIG_CACHEFILES_ONDEMAND'

mkdir "$tap_dir/ram"
mount -t ramfs none "$tap_dir/ram"
run "$program" --cache "$tap_dir/ram" --source "$blobs"
ok "a file system that cannot hold a cache" says 'extended attributes'
umount "$tap_dir/ram"

if mount -o remount,ro "$TEST_DIR" 2> /dev/null; then
	run "$program" "${args[@]}"
	ok "a read-only file system" says 'read-only'
	mount -o remount,rw "$TEST_DIR"
else
	skip "a read-only file system" "$TEST_DIR cannot be made read-only"
fi

touch "$cache/file"
run "$program" --cache "$cache/file" --source "$blobs"
ok "a cache that is a file" says 'not a directory'

ok "it starts, and says when it is ready" start_daemon --source "$blobs"
run "$program" "${args[@]}"
ok "another daemon" says 'another daemon'
ok "the first one is still there" kill -0 "$daemon"
stop_daemon TERM
ok "SIGTERM: exit code 0" is "$code" 0
ok "it starts again" start_daemon --source "$blobs" --tag second --threads 64
stop_daemon INT
ok "SIGINT: exit code 0" is "$code" 0

tap_end
