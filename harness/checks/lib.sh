# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# What the checks share, beyond the harness' own lib.sh.

. "$(dirname "${BASH_SOURCE[0]}")/../lib.sh"

ok() { echo "ok $*" >&3; }
not_ok() { echo "not ok $1 # ${*:2}" >&3; }
skip() { echo "skip $1 # ${*:2}" >&3; }

# result NAME COMMAND...: the command's status is the test's result.
result() {
	local name=$1

	shift
	echo "== $name"
	if "$@"; then
		ok "$name"
	else
		not_ok "$name" "see the log"
		return 1
	fi
}

# fuzz KERNEL FS SECONDS: one run of the fuzzer, and what it has to say.
fuzz() {
	local bad=0 log=$logs/check-fuzz-$1-$2

	say "the fuzzer: the $1 kernel, $2, $3 seconds"
	# A user's "make fuzz" may go on beside it.
	export KERNEL=$1 FS=$2 TIME=$3 FUZZ_LOG=check-fuzz-$1-$2
	result "fuzz, $1 kernel, $2: the run ended" "$harness/fuzz" run || bad=1
	"$harness/tap" "fuzz, $1 kernel, $2: " "$log.output" >&3 || bad=1
	result "fuzz, $1 kernel, $2: the console is clean" "$harness/fuzz" console || bad=1
	return "$bad"
}

# To look for leaks takes a third of the time of all that is done.
with_leaks=(--append kunit.enable=0 --leaks)
without_leaks=(--append 'kunit.enable=0 kmemleak=off')
vm_options=("${with_leaks[@]}")

# kselftest NAME FS TEST...: the kselftests, or those, in the debug VM with the
# cache on that file system, and what is in $vm_options; see harness/guest/kselftest
kselftest() {
	local name=$1 fs=$2 log=kselftest-$1 tests bad=0

	# A caller that looks at our status has turned "set -e" off.
	"$harness/kernel" debug || return
	tests=$("$harness/selftests") || return
	say "kselftests: $name"
	result "kselftest $name: the run ended" "$harness/vm" run --kernel debug --payload "$tests" \
		--log "$log" --timeout 2700 --disk "cache:3G:$fs" "${vm_options[@]}" \
		--command "./run cachefiles ${*:3}" || bad=1
	"$harness/tap" "$fs: " "$logs/$log.output" >&3 || bad=1
	result "kselftest $name: the console is clean" "$harness/console-clean" "$logs/$log.console" || bad=1
	return "$bad"
}

# daemon_in_vm KERNEL: the daemon's tests that need a kernel of ours
daemon_in_vm() {
	local kernel=$1 log=daemon-$1 payload bad=0

	"$harness/kernel" "$kernel" || return
	payload=$("$harness/payload" payload-daemon) || return
	payload=${payload%% *}
	cp -r "$top/tools/cachefiles/tests" "$payload/tests"
	say "the daemon's tests, the $kernel kernel"
	# shellcheck disable=SC2016 # expanded in the VM
	result "daemon, $kernel kernel: the run ended" "$harness/vm" run --kernel "$kernel" \
		--payload "$payload" --log "$log" --timeout 2400 --disk cache:2G:ext4 "${without_leaks[@]}" \
		--command 'PATH=$PATH:/payload bad=0
			for test in tests/vm/*.sh; do
				printf "\n== vm/%s\n" "$(basename "$test")"
				TEST_DIR=/disk/cache timeout -k 10 600 bash "$test" || bad=1
			done
			exit $bad' || bad=1
	"$harness/tap" "daemon: " "$logs/$log.output" >&3 || bad=1
	result "daemon, $kernel kernel: the console is clean" \
		"$harness/console-clean" "$logs/$log.console" || bad=1
	return "$bad"
}

# Those of what fails: one CPU is enough for the machine.
# shellcheck disable=SC2034 # for others
disk_tests="diskfail_test diskdeny_test diskdirect_test diskdrop_test nospace_test damage_test"
disk_tests+=" xattr_test fsfreeze_test signs_disk_test"
# shellcheck disable=SC2034
memory_tests="nomem_test nomem_bind_test nomem_daemon_test nomem_fill_test nomem_flush_test"

# The overlay's own files which enter the kernel proper.
our_kernel_files() {
	(cd "$top" && git ls-files -co --exclude-standard -- fs include)
}
