#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Eviction on a disk that is too small for all images, and when it is full.
# The images and the disk itself need room.
TMPDIR=${TEST_DIR:?a directory for the cache}
. "$(dirname "$0")/common"

images=6
small=$tap_dir/small
loop=
cache=$small/images
mkdir "$small"
for n in $(seq "$images"); do
	make_image "image$n" 9
	mkdir -p "$mnt/$n"
done

end_disk()
{
	[ -z "$loop" ] || {
		within 30 umount "$small" 2> /dev/null
		losetup -d "$loop"
	}
	loop=
}

evict_clean()
{
	for n in $(seq "$images"); do
		umount "$mnt/$n" 2> /dev/null
	done
	stop_daemon TERM
	end_disk
	vm_clean
}
trap evict_clean EXIT

# small_disk FS MIB: what it has over 60 MiB is taken by a file
small_disk()
{
	rm -f "$tap_dir/disk"
	truncate -s "$2M" "$tap_dir/disk"
	"mkfs.$1" -q "$tap_dir/disk" > "$tap_dir/mkfs.log" 2>&1
	# Not "mount -o loop": a kernel that guards mounted devices from writers
	# takes mount(8) itself for one.
	loop=$(losetup -f --show "$tap_dir/disk")
	mount "$loop" "$small" || return
	free=$(free_mib)
	[ "$free" -le 60 ] || fallocate -l $((free - 60))M "$small/rest"
	mkdir "$cache"
}

free_mib()
{
	stat -f -c '%a %S' "$small" | awk '{ print int($1 * $2 / 1048576) }'
}

# cached N: is blob N in the cache?
# shellcheck disable=SC2317 # called by ok
cached()
{
	test -e "$cache/cache/Ierofs,image$1"
}

# shellcheck disable=SC2317 # called by ok
not()
{
	! "$@"
}

mount_nr()
{
	mount -t erofs none -o "fsid=image$1" "$mnt/$1"
}

# use N: mount image N, read all of it, unmount it; true if all came right
# shellcheck disable=SC2317 # called by ok
use()
{
	mount_nr "$1" && diff -r "$tap_dir/image$1" "$mnt/$1"
	used=$?
	umount "$mnt/$1"
	return "$used"
}

# fill_up MIB: leave this much of the disk
fill_up()
{
	fallocate -l $(($(free_mib) - $1))M "$small/full"
}

# What was removed may become free a while later (xfs).
all_is_free()
{
	was=-1
	while free=$(free_mib) && [ "$free" -gt "$was" ]; do
		was=$free
		sync -f "$small"
		sleep 2
	done
}

# In percent of the disk, about 17, 12 and 3 MiB.
for disk in "ext4 68 25,18,5" "xfs 320 7,5,1"; do
	# shellcheck disable=SC2086 # three words
	set -- $disk
	ok "$1: a small disk" small_disk "$1" "$2"
	start_daemon --source "$blobs" --limits "$3"

	# 55 MiB in images, of which 44 can stay.
	for n in $(seq "$images"); do
		ok "$1: image $n comes right" use "$n"
		# The order is that of the access times.
		sleep 0.1
	done
	ok "$1: blobs were evicted" within 20 counted evicted 1
	ok "$1: the first ones" not cached 1
	ok "$1: and not the last one" cached "$images"
	ok "$1: there is space" between "$(free_mib)" 11 40
	ok "$1: an evicted image is fetched again" use 1
	ok "$1: for which the next one was evicted" within 20 not cached 2

	mount_nr 2
	mount_nr 6
	fill_up 1
	said=$(read_errno "$mnt/2/big" 1000000 4000000)
	ok "$1: a full disk: a read makes room" is "$said" 0
	ok "$1: fills were tried again" between "$(statistic refills)" 1 100
	ok "$1: what is mounted stays" cached 6
	rm "$small/full"
	rm -rf "$cache"/cache/Ierofs,image[1345]
	all_is_free
	fill_up 1
	said=$(read_errno "$mnt/2/big" 6000000 3000000)
	ok "$1: a full disk, and all is in use: ENOSPC" is "$said" ENOSPC
	ok "$1: what is here can be read" diff -r "$tap_dir/image6" "$mnt/6"
	ok "$1: the log says so" grep -q 'no blob is left' "$log"
	rm "$small/full"
	ok "$1: space again: all comes right" within 30 \
		diff -r "$tap_dir/image2" "$mnt/2"
	umount "$mnt/2" "$mnt/6"
	stop_daemon TERM
	ok "$1: the daemon ends well" is "$code" 0
	end_disk
	: > "$log"
done

tap_end
