# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=sh
# For the test scripts: results in TAP, a directory, and servers that end.
#
# A script sources this, calls ok() and its like, and ends with tap_end.

tap_count=0
tap_failed=0
tap_pids=
tap_dir=$(mktemp -d "${TMPDIR:-/tmp}/cfod-test.XXXXXX") || exit 1

tap_clean()
{
	for tap_pid in $tap_pids; do
		kill "$tap_pid" 2>/dev/null && wait "$tap_pid" 2>/dev/null
	done
	rm -rf "$tap_dir"
}
trap tap_clean EXIT
trap 'exit 1' INT TERM

# ok NAME COMMAND...: the command succeeds
ok()
{
	tap_name=$1
	shift
	tap_count=$((tap_count + 1))
	if "$@" > "$tap_dir/ok.log" 2>&1; then
		echo "ok $tap_count - $tap_name"
	else
		echo "not ok $tap_count - $tap_name"
		tap_failed=$((tap_failed + 1))
		echo "# failed: $*"
		sed 's/^/# /' "$tap_dir/ok.log"
		# What the script left for the reader of a failure.
		[ ! -s "$tap_dir/log" ] || tail -n 20 "$tap_dir/log" |
			sed 's/^/# log: /'
	fi
}

# skip NAME WHY
skip()
{
	tap_count=$((tap_count + 1))
	echo "ok $tap_count - $1 # SKIP $2"
}

tap_end()
{
	echo "1..$tap_count"
	[ "$tap_failed" -eq 0 ]
	exit
}

# at_end PID: a process of ours, to be ended
at_end()
{
	tap_pids="$tap_pids $1"
}

# within SECONDS COMMAND...: succeeds before the time is over
within()
{
	tap_tries=$(($1 * 20))
	shift
	until "$@"; do
		[ "$tap_tries" -gt 0 ] || return 1
		tap_tries=$((tap_tries - 1))
		sleep 0.05
	done
}

# is VALUE WANTED
is()
{
	[ "$1" = "$2" ] || {
		echo "got '$1', wanted '$2'"
		return 1
	}
}

# between VALUE LEAST MOST
between()
{
	if [ "$1" -lt "$2" ] || [ "$1" -gt "$3" ]; then
		echo "got $1, wanted $2 to $3"
		return 1
	fi
}

# contains TEXT PATTERN...: grep -E finds each
contains()
{
	tap_text=$1
	shift
	for tap_pattern; do
		printf '%s\n' "$tap_text" | grep -Eq -- "$tap_pattern" || {
			echo "no '$tap_pattern' in: $tap_text"
			return 1
		}
	done
}

# free_ports N: port numbers that nobody listens on
free_ports()
{
	python3 -c '
import socket, sys
socks = [socket.create_server(("127.0.0.1", 0)) for _ in range(int(sys.argv[1]))]
print(*(s.getsockname()[1] for s in socks))' "$1"
}
