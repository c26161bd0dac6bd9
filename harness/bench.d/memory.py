# SPDX-License-Identifier: GPL-2.0
"""Kernel memory of pending requests and of objects, in the VM.

Counted from the kernel's own trace of allocations (kmem:*): what was allocated
between two points, with its size as the allocator rounds it, and not freed.
"""

import os
import re
import time

import rig

TRACING = "/sys/kernel/tracing"
EVENTS = ["kmalloc", "kfree", "kmem_cache_alloc", "kmem_cache_free"]
LINE = re.compile(r" (kmalloc|kfree|kmem_cache_alloc|kmem_cache_free): call_site=(\S+?)\+\S+ ptr=(\S+)"
                  r"(?:.* bytes_alloc=(\d+))?")

PAGE = 4096
STRIDE = 2 * PAGE
# An object of this size, and how much of it one bitmap of 4 KiB covers.
LARGE = 16 << 30
BITMAP_COVERS = PAGE * 8 * PAGE


def tracing(name, value):
    with open(f"{TRACING}/{name}", "w", encoding="ascii") as f:
        f.write(str(value))


class Allocations:
    """Collects, for the time of a "with", what is allocated and stays: {site: bytes}."""

    def __init__(self):
        self.live = {}
        self.slab = 0

    def __enter__(self):
        self.slab = -slab_bytes()
        tracing("trace", "")
        tracing("buffer_size_kb", 32768)
        for event in EVENTS:
            tracing(f"events/kmem/{event}/enable", 1)
        return self

    def __exit__(self, *_):
        for event in EVENTS:
            tracing(f"events/kmem/{event}/enable", 0)
        self.slab += slab_bytes()
        lost = 0
        for cpu in os.listdir(f"{TRACING}/per_cpu"):
            with open(f"{TRACING}/per_cpu/{cpu}/stats", encoding="ascii") as f:
                lost += sum(int(line.split()[-1]) for line in f if line.startswith(("overrun", "dropped")))
        if lost:
            rig.die(f"{lost} trace events of allocations were lost")
        self.add_up()
        tracing("trace", "")
        tracing("buffer_size_kb", 1)

    def add_up(self):
        by_address = {}
        with open(f"{TRACING}/trace", encoding="ascii", errors="replace") as f:
            for line in f:
                found = LINE.search(line)
                if not found:
                    continue
                event, site, address, size = found.groups()
                if size:
                    by_address[address] = (site, int(size))
                else:
                    by_address.pop(address, None)
        for site, size in by_address.values():
            count, total = self.live.get(site, (0, 0))
            self.live[site] = (count + 1, total + size)

    def bytes_of(self, prefix):
        return sum(total for site, (_, total) in self.live.items() if site.startswith(prefix))

    def sites(self):
        return {site: {"count": count, "bytes": total} for site, (count, total) in
                sorted(self.live.items(), key=lambda item: -item[1][1])}


def slab_bytes():
    with open("/proc/meminfo", encoding="ascii") as f:
        return next(int(line.split()[1]) * 1024 for line in f if line.startswith("Slab:"))


def pending():
    """Asks for single pages that are no neighbours; nothing is answered."""
    with rig.Daemon("memory") as daemon:
        rig.mount("none", f"fsid={rig.BLOB}")
        fd = os.open(f"{rig.MOUNT}/random", os.O_RDONLY)
        size = os.fstat(fd).st_size
        rig.drop_caches()
        daemon.ask("hold")
        daemon.ask("stats")
        with Allocations() as allocations:
            for offset in range(0, size, STRIDE):
                os.posix_fadvise(fd, offset, PAGE, os.POSIX_FADV_WILLNEED)
            time.sleep(0.5)
        requests = daemon.ask("stats")["requests"]
        os.close(fd)
    rig.unmount()
    return {"requests": requests, "slab": allocations.slab, "sites": allocations.sites(),
            "ours": allocations.bytes_of("cachefiles_"), "nodes": allocations.bytes_of("xas_")}


def incomplete():
    """One page in each part of an object that has a bitmap of its own."""
    with rig.Daemon("large", size=LARGE) as daemon:
        rig.mount("none", f"fsid={rig.BLOB}")
        with Allocations() as allocations:
            daemon.ask(f"sparse {BITMAP_COVERS}")
        rig.unmount()
    return {"pages": LARGE // PAGE, "ours": allocations.bytes_of("cachefiles_"),
            "sites": allocations.sites()}


def record(directory):
    """What the cache file says of itself."""
    for path, _, files in os.walk(f"{rig.DISK}/{directory}/cache"):
        for name in files:
            return os.getxattr(f"{path}/{name}", "user.CacheFiles.cache")
    return rig.die("there is no cache file")


def complete():
    """From nothing to everything: what bitmaps are left when that has been recorded."""
    with rig.Daemon("whole") as daemon:
        rig.mount("none", f"fsid={rig.BLOB}")
        before = record("whole")
        with Allocations() as allocations:
            daemon.ask("fill")
            end = time.monotonic() + 60
            while record("whole") == before:
                if time.monotonic() > end:
                    rig.die("the blob is not recorded as complete")
                time.sleep(0.1)
            # Until the worker that has recorded it is at its end.
            time.sleep(0.5)
        rig.unmount()
    return {"pages": os.path.getsize(rig.STORE) // PAGE, "ours": allocations.bytes_of("cachefiles_"),
            "sites": allocations.sites()}


def measure():
    return {"pending": pending(), "incomplete": incomplete(), "complete": complete()}
