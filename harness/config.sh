# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# Kernel configurations and builds, for the scripts which make kernels.

# The same source gives the same kernel, wherever and by whomever it is built.
export KBUILD_BUILD_TIMESTAMP='Thu Jan  1 00:00:00 UTC 2026'
export KBUILD_BUILD_USER=harness KBUILD_BUILD_HOST=localhost KBUILD_BUILD_VERSION=1
export LOCALVERSION=

# The compiler cache works across checkouts: it sees paths as relative ones.
export CCACHE_DIR=${CCACHE_DIR:-$cache/ccache} CCACHE_BASEDIR=$top CCACHE_NOHASHDIR=1
export CCACHE_MAXSIZE=${CCACHE_MAXSIZE:-8G} CCACHE_SLOPPINESS=time_macros
command -v ccache >/dev/null && kernel_cc='ccache gcc' || kernel_cc=gcc

jobs=${JOBS:-$(nproc)}

# kmake SOURCE BUILD-DIR ARGUMENTS...
kmake() {
	local src=$1 build=$2

	shift 2
	make -C "$src" O="$build" CC="$kernel_cc" HOSTCC="$kernel_cc" -j"$jobs" "$@"
}

# configure SOURCE BUILD-DIR FRAGMENT...: allnoconfig plus the fragments; the
# later one wins.  What Kconfig did not take is an error.
configure() {
	local src=$1 build=$2 want lost=''

	shift 2
	mkdir -p "$build"
	want=$build/wanted.config
	awk '/^CONFIG_|^# CONFIG_.* is not set/ {
		name = $0; sub(/^# /, "", name); sub(/[= ].*/, "", name)
		if (!(name in line)) order[++n] = name
		line[name] = $0
	     } END { for (i = 1; i <= n; i++) print line[order[i]] }' "$@" >"$want.new"
	# An unchanged configuration keeps its date, so that nothing is built anew.
	if [ -e "$build/.config" ] && cmp -s "$want.new" "$want" &&
	   ! find "$src" -name 'Kconfig*' -newer "$build/.config" -print -quit | grep -q .; then
		rm "$want.new"
		return
	fi
	kmake "$src" "$build" KCONFIG_ALLCONFIG="$want.new" allnoconfig >"$build/config.log" 2>&1 ||
		{ cat "$build/config.log" >&2; die "allnoconfig failed"; }
	while read -r line; do
		case $line in
		CONFIG_*) grep -qxF "$line" "$build/.config" || lost+="  $line"$'\n' ;;
		*) line=${line#\# }
		   ! grep -q "^${line%% *}=" "$build/.config" || lost+="  # $line"$'\n' ;;
		esac
	done <"$want.new"
	if [ -n "$lost" ]; then
		rm -f "$build/.config"
		die "these options did not survive the merge of $(basename -a "$@" | tr '\n' ' ')(missing in this kernel, or what they depend on is off):"$'\n'"${lost%$'\n'}"
	fi
	mv "$want.new" "$want"
}
