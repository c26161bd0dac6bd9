#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
# The HTTP source against a server that misbehaves: bad_test.sh SRC OUT
src=$1 out=$2
. "$src/tests/tap.sh"

fetch=$out/tests/source_test
blobs=$tap_dir/blobs
log=$tap_dir/requests

mkdir "$blobs"
head -c 300001 /dev/urandom > "$blobs/blob"
python3 "$src/tests/bad_server.py" "$blobs" > "$log" 2> "$tap_dir/log" &
at_end $!
within 10 test -s "$log"
port=$(head -n 1 "$log")
url=http://127.0.0.1:$port

# run HOW [ARGUMENT]...: the result in $said
run()
{
	how=$1
	shift
	rm -f "$tap_dir/got"
	said=$("$fetch" "$@" "$url/$how" blob "$tap_dir/got" \
		2> "$tap_dir/fetch.log")
}

field()
{
	printf '%s\n' "$said" | sed -n "s/.*\b$1=\([-0-9]*\).*/\1/p"
}

# What is there is right: a file that is a beginning of the blob.
# shellcheck disable=SC2317 # called by ok
prefix()
{
	cmp -n "$(stat -c %s "$tap_dir/got")" "$blobs/blob" "$tap_dir/got"
}

# whole HOW NAME: the blob arrives all the same
whole()
{
	run "$1" -r 3
	ok "$2: the blob arrives" cmp "$blobs/blob" "$tap_dir/got"
}

# fails HOW FIELD ERRNO MS NAME: lookup or fetch ends with the errno in time
#
# The times are those of a busy machine: what is told apart is a failure at
# once, or after the retries, from one that waits for the time limit.
fails()
{
	limit=20000
	[ "$3" != -110 ] || limit=1200
	run "$1" -t $limit -r 2 -c 65536
	ok "$5: $3" is "$(field "$2")" "$3"
	ok "$5: in time" between "$(field ms)" 0 "$4"
	ok "$5: nothing wrong is written" prefix
}

whole ok "no trouble"
whole delay-300 "late replies"
whole flaky-2 "500 twice"
ok "500 twice: two retries for each of two requests" is "$(field retries)" 4
whole cut-50000 "connections cut within the body"
ok "connections cut: what came is kept" between "$(field bytes)" 300001 300001
whole partial-50000 "less than asked for"
whole redirect "a redirect"
whole behead-2 "cut within the head, twice"
ok "cut within the head: two retries for each of two requests" \
	is "$(field retries)" 4
whole later-1 "503 with Retry-After: 1"
ok "Retry-After is heeded" between "$(field ms)" 2000 10000
run whole
ok "no ranges: EOPNOTSUPP, at once" is "$(field lookup) $(field retries)" "-95 0"
run whole-late -c 65536 -l 65536
ok "all of it, from the start: what was asked is used" \
	cmp -n 65536 "$blobs/blob" "$tap_dir/got"
ok "all of it, from the start: and no more" is "$(field bytes)" 65536
run whole-late -f 65536
ok "all of it, from the middle: EIO" is "$(field fetch) $(field bytes)" "-5 0"

fails status-404 lookup -2 8000 "404"
fails status-410 lookup -2 8000 "410"
fails status-403 lookup -13 8000 "403"
fails status-416 lookup -5 8000 "416"
fails status-500 lookup -5 8000 "500 for good"
fails reset lookup -5 8000 "cut at once"
fails hang lookup -110 5000 "no reply"
fails loop lookup -5 8000 "redirected in a circle"
fails later-60 lookup -5 8000 "Retry-After beyond the time limit"
fails behead-9 lookup -5 8000 "cut within the head"
fails "away-$(free_ports 1)" lookup -111 8000 "redirected to where nobody listens"
ok "redirected to where nobody listens: it is tried again" is "$(field retries)" 2
fails portal fetch -5 8000 "a page instead of the blob"
ok "a page instead of the blob: nothing is written" is "$(field bytes)" 0
fails fade-3 fetch -2 8000 "404 later on"
fails stall-5000 fetch -110 5000 "a body that stalls"
fails slow-10000 fetch -110 5000 "a body that is too slow"
fails cut-100 fetch -5 8000 "cut within the first block"
fails short fetch -5 8000 "a body shorter than said"
fails long fetch -5 8000 "a body longer than said"
fails partial-100 fetch -5 8000 "less than a block at a time"
fails shift fetch -5 8000 "another range than asked for"
fails none fetch -5 8000 "no Content-Range"
fails grow fetch -5 8000 "a size that changes"
fails etag fetch -5 8000 "content that changes"
fails gzip lookup -5 8000 "compressed"

run hang -t 20000 -x 300
ok "a request that is given up ends at once" between "$(field ms)" 300 8000
ok "and is told apart" is "$(field lookup)" -125
run stall-8192 -t 20000 -x 500
ok "a body that is given up ends at once" between "$(field ms)" 500 8000
ok "and what came is kept" is "$(field fetch) $(field bytes)" "-125 8192"

said=$("$fetch" -t 20000 -r 1 "http://127.0.0.1:$(free_ports 1)" blob \
	"$tap_dir/got" 2> "$tap_dir/fetch.log")
ok "nobody listens: ECONNREFUSED" is "$(field lookup)" -111
said=$("$fetch" -t 3000 -r 0 http://host.invalid blob "$tap_dir/got" \
	2> "$tap_dir/fetch.log")
ok "no such host: EHOSTUNREACH" is "$(field lookup)" -113

ok "the server had no trouble" test ! -s "$tap_dir/log"
tap_end
