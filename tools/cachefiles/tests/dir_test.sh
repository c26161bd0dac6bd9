#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
# The source that is a directory: dir_test.sh SRC OUT
src=$1 out=$2
. "$src/tests/tap.sh"

fetch=$out/tests/source_test
blobs=$tap_dir/blobs
mkdir "$blobs"
head -c 300001 /dev/urandom > "$blobs/blob"

# run ARGUMENT...: the result in $said
run()
{
	rm -f "$tap_dir/got"
	said=$("$fetch" "$@" "$blobs" blob "$tap_dir/got" 2> "$tap_dir/log")
}

field()
{
	printf '%s\n' "$said" | sed -n "s/.*\b$1=\([-0-9]*\).*/\1/p"
}

run
ok "a blob is fetched" cmp "$blobs/blob" "$tap_dir/got"
run -f 8192 -l 12288
ok "a range is fetched, where it belongs" \
	cmp -i 8192 -n 12288 "$blobs/blob" "$tap_dir/got"

# What a file system says that has its errors from elsewhere: not one of them
# may be taken for "nobody wants it any more", or "the cache is full".
while read -r number name wanted; do
	run -O "$number"
	ok "opening it fails with $name" is "$(field lookup)" "$wanted"
	run -P "$number"
	ok "reading it fails with $name" is "$(field fetch) $(field bytes)" \
		"$wanted 0"
done << EOL
13 EACCES -13
5 EIO -5
28 ENOSPC -5
116 ESTALE -5
122 EDQUOT -5
125 ECANCELED -5
EOL

tap_end
