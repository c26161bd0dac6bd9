#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# The daemon serves mounts: from a directory and over HTTP, and when it fails.
. "$(dirname "$0")/common"

make_image image 10
head -c 20000 /dev/urandom > "$blobs/junk"

#
# From a directory.
#
start_daemon --source "$blobs"
fds=$(daemon_fds)
ok "an image is mounted" mount_image image
ok "a file comes right" cmp "$tap_dir/image/big" "$mnt/big"
ok "all files come right" diff -r "$tap_dir/image" "$mnt"
reads=$(statistic reads)
drop_caches
ok "and again, from the cache" diff -r "$tap_dir/image" "$mnt"
ok "without the daemon" is "$(statistic reads)" "$reads"
umount "$mnt"
ok "the object is closed" within 10 has_fds "$fds"
ok "no such blob: ENOENT" is "$(mount_errno missing)" ENOENT
ok "not an image: an error of EROFS" contains "$(mount_errno junk)" 'E[A-Z]+'
ok "the daemon goes on" mount_image image

stop_daemon KILL
ok "a dead daemon: what is there is read" diff -r "$tap_dir/image" "$mnt"
umount "$mnt"
wipe_cache

start_daemon --source "$blobs" --threads 1 --fetch-size 1M
mount_image image
ok "in units of 1 MiB, one thread" diff -r "$tap_dir/image" "$mnt"
ok "not more requests than units, and a few" between "$(statistic fetches)" 1 14
umount "$mnt"
stop_daemon TERM
wipe_cache

#
# From a truncated file.
#
cp "$blobs/image" "$blobs/cut"
start_daemon --source "$blobs"
mount_image cut
truncate -s 4M "$blobs/cut"
ok "a file cut short: EIO, no zeros" is "$(read_errno "$mnt/big" 6000000)" EIO
ok "the daemon goes on" cmp -n 1000000 "$mnt/big" "$tap_dir/image/big"
umount "$mnt"
stop_daemon TERM

#
# Over HTTP, from a server that dies.
#
read -r port < <(free_ports 1)
mkdir "$tap_dir/nginx"
cat > "$tap_dir/nginx/conf" << CONF
user root;
worker_processes 1;
pid $tap_dir/nginx/pid;
error_log $tap_dir/nginx/error;
events { }
http {
	access_log off;
	client_body_temp_path $tap_dir/nginx/1;
	proxy_temp_path $tap_dir/nginx/2;
	fastcgi_temp_path $tap_dir/nginx/3;
	uwsgi_temp_path $tap_dir/nginx/4;
	scgi_temp_path $tap_dir/nginx/5;
	server {
		listen 127.0.0.1:$port;
		root $blobs;
		location = /secret { deny all; }
	}
}
CONF
: > "$blobs/secret"
chmod -R a+rX "$tap_dir"
nginx -c "$tap_dir/nginx/conf" -g 'daemon off;' &
nginx=$!
at_end $nginx
within 60 test -s "$tap_dir/nginx/pid"
worker=$(pgrep -P $nginx)
wipe_cache

# The limit must be long for a debug kernel on a busy machine; less than twice
# the limit shows that the kernel's second READ did not wait as long again.
start_daemon --source "http://127.0.0.1:$port" --timeout 12 --retries 1
ok "http: no such blob: ENOENT" is "$(mount_errno missing)" ENOENT
ok "http: no access: EACCES" is "$(mount_errno secret)" EACCES
ok "http: an image is mounted" mount_image image
ok "http: the begin of a file comes right" \
	cmp -n 1000000 "$tap_dir/image/big" "$mnt/big"

kill -STOP "$worker"
SECONDS=0
ok "the server hangs: ETIMEDOUT" is "$(read_errno "$mnt/big" 6000000)" ETIMEDOUT
ok "within the time limit" between $SECONDS 5 20
ok "what is there is read" cmp -n 100000 "$tap_dir/image/big" "$mnt/big"
SECONDS=0
ok "the server hangs: ETIMEDOUT for a mount" is "$(mount_errno other)" ETIMEDOUT
ok "within the time limit" between $SECONDS 5 20
kill -CONT "$worker"
# Failures of readahead are remembered for two seconds.
ok "the server is back: all files come right" \
	within 60 diff -r "$tap_dir/image" "$mnt"
umount "$mnt"

kill "$nginx"
wait "$nginx"
ok "no server: ECONNREFUSED for a mount" is "$(mount_errno new)" ECONNREFUSED
ok "no server: the daemon runs" kill -0 "$daemon"
stop_daemon TERM
ok "and ends well" is "$code" 0
wipe_cache

#
# The daemon dies, and another one goes on.
#
python3 "$here/../bad_server.py" "$blobs" > "$tap_dir/requests" &
at_end $!
within 60 test -s "$tap_dir/requests"
bad=http://127.0.0.1:$(head -n 1 "$tap_dir/requests")

# Enough to mount, and no more.
start_daemon --source "$bad/hang-2000000"
mount_image image
read_errno "$mnt/big" 6000000 > "$tap_dir/first" &
reader=$!
ok "a reader waits" within 60 in_flight 1
SECONDS=0
stop_daemon KILL
wait $reader
ok "a reader whose daemon is killed: EIO" is "$(cat "$tap_dir/first")" EIO
ok "at once" between $SECONDS 0 20
ok "with no daemon: EIO" is "$(read_errno "$mnt/big" 7000000)" EIO
start_daemon --source "$bad/ok"
ok "the next daemon goes on with the mount" diff -r "$tap_dir/image" "$mnt"
umount "$mnt"
stop_daemon TERM
ok "and ends well" is "$code" 0
wipe_cache

#
# 64 requests in flight.
#
# pread_all: 64 readers, each of another place of the big file
pread_all()
{
	python3 - "$mnt/big" "$tap_dir/image/big" << 'EOP'
import os, sys, threading
fds = [os.open(name, os.O_RDONLY) for name in sys.argv[1:]]
os.posix_fadvise(fds[0], 0, 0, os.POSIX_FADV_RANDOM)
bad = []

def read(off):
    if os.pread(fds[0], 4096, off) != os.pread(fds[1], 4096, off):
        bad.append(off)

threads = [threading.Thread(target=read, args=((i + 12) * 131072,)) for i in range(64)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
sys.exit(bool(bad))
EOP
}

# The server keeps them until there are so many, or for 50 seconds.
for unit in 0 128K; do
	start_daemon --source "$bad/gather-6${#unit}" --fetch-size $unit
	mount_image image
	ok "64 readers, --fetch-size $unit: all bytes are right" pread_all
	ok "64 readers, --fetch-size $unit: all in flight at once" \
		between "$(statistic max_in_flight)" 61 70
	ok "64 readers, --fetch-size $unit: less than 32 MiB" between \
		"$(sed -n 's/^VmHWM:[^0-9]*\([0-9]*\) kB/\1/p' \
			"/proc/$daemon/status")" 1 32767
	umount "$mnt"
	stop_daemon TERM
	wipe_cache
done

tap_end
