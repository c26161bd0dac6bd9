#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Readers get the errors of the source; complete blobs need no descriptor.
. "$(dirname "$0")/common"

make_image image 10
start_bad()
{
	python3 "$here/../bad_server.py" "$blobs" > "$tap_dir/requests" &
	bad_pid=$!
	at_end $bad_pid
	within 60 test -s "$tap_dir/requests"
	bad=http://127.0.0.1:$(head -n 1 "$tap_dir/requests")
}

# The middle of a large file: far behind what mounting asks for.
read_middle()
{
	read_errno "$mnt/big" 6000000
}

# with_source HOW: an image is mounted, and the server is like that
with_source()
{
	start_daemon --source "$bad/$1" --timeout 8 --retries 1
	fds=$(daemon_fds)
	mount_image image
}

without()
{
	umount "$mnt"
	stop_daemon TERM
	wipe_cache
}

start_bad
with_source deny-2000000
ok "access denied: EACCES" is "$(read_middle)" EACCES
ok "again, and at once" is "$(read_middle)" EACCES
ok "what is not denied is read" is "$(read_errno "$mnt/big" 4096)" 0
ok "the daemon has counted it" between "$(statistic read_errors)" 1 20
without
with_source hang-2000000
ok "a server that hangs: ETIMEDOUT" is "$(read_middle)" ETIMEDOUT
without
with_source ok
ok "an image that is not complete has descriptors" \
	between "$(daemon_fds)" $((fds + 1)) $((fds + 20))
mv "$blobs/image" "$blobs/away"
ok "a blob that has gone: ENOENT" is "$(read_middle)" ENOENT
mv "$blobs/away" "$blobs/image"
kill "$bad_pid"
wait "$bad_pid" 2> /dev/null
ok "no server: ECONNREFUSED" is "$(read_errno "$mnt/big" 8000000)" ECONNREFUSED
without

# In one unit, for nothing else is sure to read all of an image.
start_daemon --source "$blobs" --fetch-size 64M
fds=$(daemon_fds)
mount_image image
ok "all of it comes right" diff -r "$tap_dir/image" "$mnt"
ok "complete: its descriptors are closed" within 20 has_fds "$fds"
ok "and it is counted" is "$(statistic complete)" 1
drop_caches
ok "it is read without them" diff -r "$tap_dir/image" "$mnt"
umount "$mnt"
mount_image image
ok "mounted again: they are closed again" within 20 has_fds "$fds"
ok "and it is read" diff -r "$tap_dir/image" "$mnt"
umount "$mnt"
stop_daemon TERM
ok "the daemon ends well" is "$code" 0

tap_end
