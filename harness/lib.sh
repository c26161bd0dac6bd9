# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# What every script of the harness shares: where things are, how to speak to
# the user.  Read with: . "$(dirname "$0")/lib.sh"

set -euo pipefail

# Sorting, messages and so the bytes we make do not depend on the user's locale.
export LC_ALL=C
# The makes we run are not parts of the one that the user has run.
unset MAKEFLAGS MFLAGS MAKELEVEL MAKEOVERRIDES

top=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
harness=$top/harness
out=$top/out
logs=$out/logs
# Downloads and what takes long to make: outside the checkout, so that a second
# checkout, or one after "make clean", has them at once.
cache=${CACHEFILES_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/cachefiles-ondemand}

: "${HARNESS_START:=$(date +%s)}"
export HARNESS_START

mkdir -p "$logs" "$cache"

elapsed() {
	echo $(($(date +%s) - HARNESS_START))
}

# One line of progress, with the time since the first script started.  On
# stderr, for several scripts print their result on stdout.  Where stderr goes
# to a log, the user is on descriptor 5.
say() {
	local line

	printf -v line '[%4ds] %s' "$(elapsed)" "$*"
	echo "$line" >&2
	[ -z "${HARNESS_LOGGED:-}" ] || { echo "$line" >&5; } 2>/dev/null || true
}

die() {
	printf '%s: %s\n' "${0##*/}" "$*" >&2
	exit 1
}

# lock NAME: two of us at the same thing would spoil each other's work.
lock() {
	local fd

	exec {fd}>"$out/.$1.lock"
	flock -n "$fd" || {
		say "waiting for another \"make\" that works on $1"
		flock "$fd"
	}
}

# need_space DIR GIB WHAT-FOR
need_space() {
	local free

	free=$(df --output=avail -BM "$1" | tail -n 1 | tr -dc 0-9)
	if [ "$free" -lt $(($2 * 1024)) ]; then
		die "$3 needs about $2 GiB in $1 and only $free MiB are free;" \
			"make room, or choose another place (CACHEFILES_CACHE= for the cache)"
	fi
}

# quietly LOG WHAT COMMAND...: runs a step with its output in a log, says every
# 15 seconds that it is still at it, and shows the log's end when it fails.
quietly() {
	local log=$1 what=$2 pid begin now next=15 state

	shift 2
	say "$what"
	begin=$(date +%s)
	"$@" >"$log" 2>&1 </dev/null &
	pid=$!
	while kill -0 "$pid" 2>/dev/null; do
		sleep 0.2
		now=$(($(date +%s) - begin))
		if [ "$now" -ge "$next" ]; then
			next=$((now + 15))
			state=$(progress "$log" 2>/dev/null || true)
			say "$what: ${state:+$state, }${now} s so far"
		fi
	done
	if ! wait "$pid"; then
		tail -n 25 "$log" >&2
		die "failed: $what (the whole log: $log)"
	fi
}

# What quietly() adds to its line; a script may define a better one.
progress() {
	:
}
