#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
# What a user sees before there is a cache: cli_test.sh SRC OUT
src=$1 out=$2
. "$src/tests/tap.sh"

daemon=$out/cachefiles-ondemandd
ctl=$out/cachefiles-ondemandctl
unset JOURNAL_STREAM NOTIFY_SOCKET

# run ARGUMENT...: its output in $said, its exit code in $code
run()
{
	said=$("$daemon" "$@" 2>&1)
	code=$?
}

# says CODE PATTERN: one line that has the pattern
says()
{
	is "$code" "$1" && contains "$said" "$2" &&
		is "$(printf '%s\n' "$said" | wc -l)" 1
}

# run_ctl ARGUMENT...: the same of cachefiles-ondemandctl
run_ctl()
{
	said=$("$ctl" "$@" 2>&1)
	code=$?
}

# shellcheck disable=SC2317 # called by ok
command_lists_agree()
{
	"$ctl" --help | sed -n 's/^  \([a-z-]\{1,\}\)\( [^ ]\{1,\}\)\{0,1\}.*/\1\2/p' \
		> "$tap_dir/help"
	sed -n '/^\.SH COMMANDS/,/^\.SH [^C]/{
		s/\\fI//; s/\\fR//; s/\\-/-/g
		s/^\.B //p
	}' "$out/man/cachefiles-ondemandctl.8" > "$tap_dir/man"
	test -s "$tap_dir/man" && diff "$tap_dir/help" "$tap_dir/man"
}

# shellcheck disable=SC2317 # called by ok
option_lists_agree()
{
	"$daemon" --help | sed -n 's/^  --\([a-z-]*\)\( [^ ]\{1,\}\)\{0,1\}.*/\1\2/p' \
		> "$tap_dir/help"
	sed -n '/^\.SH OPTIONS/,/^\.SH [^O]/{
		s/\\fI//; s/\\fR//; s/\\-/-/g
		s/^\.B --//p
	}' "$out/man/cachefiles-ondemandd.8" > "$tap_dir/man"
	test -s "$tap_dir/man" && diff "$tap_dir/help" "$tap_dir/man"
}

run
ok "no options: exit 2, a hint" contains "$code $said" '^2 .*--cache' "--help"
run --cache /tmp
ok "no source: exit 2" contains "$code $said" '^2 .*--source'
run --cache /tmp --source /tmp --timeout never
ok "a bad value: exit 2, what is wanted" says 2 'wanted: a number of seconds'
run --help
ok "--help: exit 0" contains "$code $said" '^0 Usage:' '--fetch-size SIZE'
ok "--help fits the terminal" is \
	"$(printf '%s\n' "$said" | awk 'length > 79' | wc -l)" 0
ok "--help and the man page have the same options" option_lists_agree
run --version
ok "--version" says 0 '^cachefiles-ondemandd [0-9.]+$'

run --cache /tmp --source "$tap_dir/missing"
ok "no source directory: exit 1, one line" says 1 'missing: No such file.*http'
run --cache /tmp --source http://
ok "no URL: exit 1, one line" says 1 '--source http://: '
run --cache /tmp --source http://host/#part
ok "a URL with a fragment: exit 1, one line" says 1 "'#'"
run --cache /tmp --source https://host/ --ca-file "$tap_dir/missing"
ok "no certificates: exit 1, one line" says 1 'missing: No such file'
run --cache "$tap_dir/missing" --source /tmp
ok "no cache directory: exit 1, one line" says 1 '--cache .*missing: No such file'
if [ -e /dev/cachefiles ]; then
	skip "no device" "there is one"
	skip "the journal's form" "there is a device"
else
	run --cache /tmp --source /tmp
	ok "no device: exit 1, one line, says the option" \
		says 1 'modprobe cachefiles.*CONFIG_CACHEFILES_ONDEMAND'
	said=$(JOURNAL_STREAM=1:2 "$daemon" --cache /tmp --source /tmp 2>&1)
	ok "the journal's form" contains "$said" '^<3>/dev/cachefiles'
fi

run_ctl
ok "ctl, no command: exit 2, one line" says 2 '--help'
run_ctl fetch
ok "ctl, no such command: exit 2, one line" says 2 'fetch'
run_ctl bind
ok "ctl, no directory: exit 2, one line" says 2 'directory'
run_ctl status now
ok "ctl, too much: exit 2, one line" says 2 'now'
run_ctl --help
ok "ctl --help: exit 0" contains "$code $said" '^0 Usage:' 'release DIR'
ok "ctl --help fits the terminal" is \
	"$(printf '%s\n' "$said" | awk 'length > 79' | wc -l)" 0
ok "ctl --help and the man page have the same commands" command_lists_agree
run_ctl --version
ok "ctl --version" says 0 '^cachefiles-ondemandctl [0-9.]+$'
run_ctl bind "$tap_dir/missing"
ok "ctl, no such directory: exit 1, one line" says 1 'missing: No such file'
if [ -e /dev/cachefiles ]; then
	skip "ctl, no device" "there is one"
	skip "ctl, no on-demand mode" "there is a device"
else
	run_ctl features
	ok "ctl, no device: exit 1, one line" says 1 'modprobe cachefiles'
	run_ctl status
	ok "ctl, no on-demand mode: exit 1, one line" \
		says 1 'CONFIG_CACHEFILES_ONDEMAND'
fi

for page in "$out/man/cachefiles-ondemandd.8" \
	    "$out/man/cachefiles-ondemandctl.8" \
	    "$src/man/libcachefiles-ondemand.3"; do
	name=${page##*/}
	if command -v groff > /dev/null; then
		said=$(groff -man -ww -Tutf8 "$page" 2>&1 > /dev/null)
		ok "$name: groff has nothing to say" is "$said" ""
	else
		skip "$name: groff" "no groff"
	fi
done

inst=$tap_dir/inst
make -s -C "$src" O="$out" DESTDIR="$inst" PREFIX=/usr install \
	> "$tap_dir/log" 2>&1
ok "make install" is "$(cd "$inst/usr" && find . -type f | sort | tr '\n' ' ')" \
	"./include/cachefiles_ondemand.h ./include/cachefiles_ondemand_uapi.h ./lib/libcachefiles-ondemand.a ./lib/systemd/system/cachefiles-ondemandd.service ./sbin/cachefiles-ondemandctl ./sbin/cachefiles-ondemandd ./share/man/man3/libcachefiles-ondemand.3 ./share/man/man8/cachefiles-ondemandctl.8 ./share/man/man8/cachefiles-ondemandd.8 "
cat > "$tap_dir/user.c" << 'EOC'
#include <cachefiles_ondemand.h>
#include <linux/cachefiles.h>
int main(void) { return cfod_open("/nonexistent") >= 0; }
EOC
ok "a program builds with the installed library" \
	"${CC:-cc}" -Wall -Wextra -Wpedantic -Werror -std=c11 \
	-I"$inst/usr/include" "$tap_dir/user.c" -L"$inst/usr/lib" -lcachefiles-ondemand \
	-o "$tap_dir/user"
ok "and runs" "$tap_dir/user"

unit=$inst/usr/lib/systemd/system/cachefiles-ondemandd.service
ok "the unit starts the installed daemon" \
	grep -q '^ExecStart=/usr/sbin/cachefiles-ondemandd ' "$unit"
ok "the unit parks requests where the kernel can" \
	grep -q "^ExecStart=.* --optional --park 30 [$]OPTIONS\$" "$unit"
if command -v systemd-analyze > /dev/null; then
	sed "s|/usr/sbin/cachefiles|$inst&|" "$unit" > "$tap_dir/${unit##*/}"
	said=$(systemd-analyze verify --man=no "$tap_dir/${unit##*/}" 2>&1)
	ok "systemd takes the unit" is "$said" ""
else
	skip "systemd takes the unit" "no systemd-analyze"
fi

tap_end
