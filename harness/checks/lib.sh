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
	local bad=0 log=$logs/fuzz-$1-$2

	say "the fuzzer: the $1 kernel, $2, $3 seconds"
	export KERNEL=$1 FS=$2 TIME=$3
	result "fuzz, $1 kernel, $2: the run ended" "$harness/fuzz" run || bad=1
	"$harness/tap" "fuzz, $1 kernel, $2: " "$log.output" >&3 || bad=1
	result "fuzz, $1 kernel, $2: the console is clean" "$harness/fuzz" console || bad=1
	return "$bad"
}

# The overlay's own files which enter the kernel proper.
our_kernel_files() {
	(cd "$top" && git ls-files -co --exclude-standard -- fs include)
}
