#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
# All tests that need no kernel, as one TAP stream: run.sh SRC OUT
src=$1 out=$2
results=$(mktemp "${TMPDIR:-/tmp}/cfod-results.XXXXXX") || exit 1
trap 'rm -f "$results"' EXIT
trap 'exit 1' INT TERM

count=0
failed=0

# group NAME COMMAND...: run it, pass its results on, with its name in front
group()
{
	name=$1
	shift
	"$@" > "$results"
	code=$?
	plan=$(sed -n 's/^1\.\.\([0-9]*\)$/\1/p' "$results")
	while IFS= read -r line; do
		case $line in
		"ok "*|"not ok "*)
			count=$((count + 1))
			case $line in not*)
				failed=$((failed + 1)) ;;
			esac
			printf '%s\n' "$line" |
				sed "s/ok [0-9]* - /ok $count - $name: /"
			;;
		1..*) ;;
		*) printf '%s\n' "$line" ;;
		esac
	done < "$results"
	# A program that died has not printed its plan.
	if [ "$plan" != "$(grep -Ec '^(not )?ok ' "$results")" ]; then
		count=$((count + 1))
		failed=$((failed + 1))
		echo "not ok $count - $name: ended early, exit code $code"
	fi
}

group library "$out/tests/lib_test"
group reply "$out/tests/reply_test"
group parts "$out/tests/misc_test"
group binding "$out/tests/cache_test"
group server "$out/tests/server_test"
group answers "$out/tests/answer_test"
group eviction "$out/tests/evict_test"
group ctl "$out/tests/ctl_test"
group cli "$src/tests/cli_test.sh" "$src" "$out"
group directory "$src/tests/dir_test.sh" "$src" "$out"
group http "$src/tests/http_test.sh" "$src" "$out"
group bad-server "$src/tests/bad_test.sh" "$src" "$out"

echo "1..$count"
[ "$failed" -eq 0 ]
