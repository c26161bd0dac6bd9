#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
# The HTTP source against nginx: http_test.sh SRC OUT
src=$1 out=$2
. "$src/tests/tap.sh"

PATH=$PATH:/usr/sbin
fetch=$out/tests/source_test
blobs=$tap_dir/blobs
log=$tap_dir/access.log

if ! command -v nginx > /dev/null; then
	skip "HTTP source against nginx" "no nginx"
	tap_end
fi

mkdir "$blobs"
head -c 33000001 /dev/urandom > "$blobs/big"
head -c 10000 /dev/urandom > "$blobs/a b%2f#?&é"
: > "$blobs/empty"
head -c 10000 /dev/urandom > "$blobs/secret"

# shellcheck disable=SC2046 # one word a port
set -- $(free_ports 3)
port=$1 tls=$2 h2=$3
openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost \
	-addext subjectAltName=IP:127.0.0.1 -keyout "$tap_dir/key" \
	-out "$tap_dir/cert" 2> /dev/null

cat > "$tap_dir/nginx.conf" << CONF
user root;
worker_processes 1;
pid $tap_dir/nginx.pid;
error_log $tap_dir/log;
events { worker_connections 512; }
http {
	log_format short '\$connection \$status \$http_range \$request';
	access_log $log short;
	client_body_temp_path $tap_dir/t1;
	proxy_temp_path $tap_dir/t2;
	fastcgi_temp_path $tap_dir/t3;
	uwsgi_temp_path $tap_dir/t4;
	scgi_temp_path $tap_dir/t5;
	keepalive_requests 100000;
	server {
		listen 127.0.0.1:$port;
		listen 127.0.0.1:$tls ssl;
		listen 127.0.0.1:$h2 ssl http2;
		ssl_certificate $tap_dir/cert;
		ssl_certificate_key $tap_dir/key;
		root $blobs;
		location /slow/ { alias $blobs/; limit_rate 1m; }
		location = /secret { deny all; }
		location /moved/ { rewrite ^/moved/(.*) /\$1 redirect; }
	}
}
CONF
nginx -c "$tap_dir/nginx.conf" -g 'daemon off;' 2> /dev/null &
at_end $!
within 10 test -s "$tap_dir/nginx.pid"
url=http://127.0.0.1:$port

# run ARGUMENT...: the result in $said
run()
{
	said=$("$fetch" "$@" 2> "$tap_dir/fetch.log")
}

# field NAME: of the result
field()
{
	printf '%s\n' "$said" | sed -n "s/.*\b$1=\([-0-9]*\).*/\1/p"
}

connections()
{
	cut -d' ' -f1 "$log" | sort -u | wc -l
}

run "$url" big "$tap_dir/got"
ok "a blob is fetched" cmp "$blobs/big" "$tap_dir/got"
ok "its size is known" is "$(field size)" 33000001
ok "by two requests in one connection" is "$(connections) $(wc -l < "$log")" "1 2"

: > "$log"
run -c 4096 -n 1 -l 2000000 "$url/" big "$tap_dir/got"
ok "500 requests come in one connection" is "$(connections)" 1
ok "the bytes are right" cmp -n 2000000 "$blobs/big" "$tap_dir/got"

: > "$log"
run -c 65536 -n 16 "$url" big "$tap_dir/got"
ok "16 requests at a time" cmp "$blobs/big" "$tap_dir/got"
ok "need 16 connections" between "$(connections)" 2 17

run -f 8192 -l 12288 "$url" big "$tap_dir/got"
ok "a range is fetched, where it belongs" \
	cmp -i 8192 -n 12288 "$blobs/big" "$tap_dir/got"
ok "and nothing else" is "$(stat -c %s "$tap_dir/got") $(field bytes)" "20480 12288"

run "$url" 'a b%2f#?&é' "$tap_dir/got"
ok "a name is quoted" cmp "$blobs/a b%2f#?&é" "$tap_dir/got"
run "$url/?token=x" 'a b%2f#?&é' "$tap_dir/got"
ok "a query stays behind the name" cmp "$blobs/a b%2f#?&é" "$tap_dir/got"
run "$url/moved" big "$tap_dir/got"
ok "a redirect is followed" cmp "$blobs/big" "$tap_dir/got"
run "$url" empty "$tap_dir/got"
ok "an empty blob" is "$said" "$(echo "$said" | grep '^lookup=0 size=0 fetch=0')"
run "$url" missing "$tap_dir/got"
ok "no such blob: ENOENT" is "$(field lookup)" -2
run "$url" secret "$tap_dir/got"
ok "no access: EACCES" is "$(field lookup)" -13

http_proxy=$url run http://blobs.invalid big "$tap_dir/got"
ok "a proxy of the environment is used" cmp "$blobs/big" "$tap_dir/got"

run -A "$tap_dir/cert" -c 65536 -n 16 "https://127.0.0.1:$tls" big "$tap_dir/got"
ok "https" cmp "$blobs/big" "$tap_dir/got"
run "https://127.0.0.1:$tls" big "$tap_dir/got"
ok "https, unknown certificate: EKEYREJECTED at once" \
	is "$(field lookup) $(field retries)" "-129 0"
run -A "$tap_dir/cert" "https://localhost:$tls" big "$tap_dir/got"
ok "https, another host's certificate: EKEYREJECTED" is "$(field lookup)" -129

: > "$log"
run -A "$tap_dir/cert" -c 65536 -n 16 "https://127.0.0.1:$h2" big "$tap_dir/got"
ok "HTTP/2" cmp "$blobs/big" "$tap_dir/got"
ok "HTTP/2: 16 requests at a time share a connection" is "$(connections)" 1

# 64 at a time, each of 512 KiB for half a second.
run -c 524288 -n 64 "$url/slow" big "$tap_dir/got"
ok "64 requests in flight" is "$(field inflight) $(field fetch)" "63 0"
ok "the bytes are right" cmp "$blobs/big" "$tap_dir/got"
ok "in less than 32 MiB" between "$(field rss)" 1 32767
run -A "$tap_dir/cert" -c 500000 -n 64 "https://127.0.0.1:$tls/slow" big \
	"$tap_dir/got"
ok "64 requests in flight, https" is "$(field inflight) $(field fetch)" "64 0"
ok "in less than 32 MiB, https" between "$(field rss)" 1 32767
run -A "$tap_dir/cert" -c 500000 -n 64 "https://127.0.0.1:$h2/slow" big \
	"$tap_dir/got"
ok "64 requests in flight, HTTP/2" is "$(field inflight) $(field fetch)" "64 0"
ok "in less than 32 MiB, HTTP/2" between "$(field rss)" 1 32767

tap_end
