# SPDX-License-Identifier: GPL-2.0
"""What a measurement in the VM needs: mounts, a cold page cache, the daemon."""

import ctypes
import json
import os
import shutil
import subprocess
import sys
import time

PAYLOAD = "/payload"
BLOB = "image.erofs"
# The daemon has it in memory, where dropping the page cache leaves it.
STORE = "/tmp/" + BLOB
# The native case has it on the disk that the cache is on.
DISK = "/disk/cache"
LOCAL = f"{DISK}/{BLOB}"
MOUNT = "/mnt/image"

LIBC = ctypes.CDLL(None, use_errno=True)


def die(text):
    sys.exit(f"bench: {text}")


def mount(source, options):
    """mount(2) itself, for mount(8) makes a loop device of a file."""
    if LIBC.mount(source.encode(), MOUNT.encode(), b"erofs", 0, options.encode()):
        die(f"mount of {source} with \"{options}\": {os.strerror(ctypes.get_errno())}")


def unmount():
    if LIBC.umount2(MOUNT.encode(), 0):
        die(f"umount: {os.strerror(ctypes.get_errno())}")


def drop_caches():
    os.sync()
    with open("/proc/sys/vm/drop_caches", "w", encoding="ascii") as f:
        f.write("3")


def remove_cache(directory, limit=30):
    """The kernel lets go of a cache directory some time after the daemon's end."""
    end = time.monotonic() + limit
    while True:
        try:
            shutil.rmtree(f"{DISK}/{directory}")
            return
        except OSError:
            if time.monotonic() > end:
                raise
            time.sleep(0.05)


class Daemon:
    """The bench daemon on a cache directory of DISK, for the time of a "with"."""

    def __init__(self, directory, delay_ms=0, unit=0, size=None):
        self.path = f"{DISK}/{directory}"
        os.makedirs(self.path, exist_ok=True)
        words = [f"{PAYLOAD}/daemon", self.path, delay_ms * 1000, unit, BLOB, STORE]
        self.process = subprocess.Popen([str(w) for w in words + ([size] if size else [])],
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.answer()

    def answer(self):
        line = self.process.stdout.readline()
        if not line:
            die(f"the daemon ended with status {self.process.wait()}")
        return json.loads(line)

    def ask(self, command):
        self.process.stdin.write(command + "\n")
        self.process.stdin.flush()
        return self.answer()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.stdin.close()
        self.process.wait()


def read(case, limit=120):
    """Runs the reader, which ends with an error if a byte is wrong; its numbers."""
    done = subprocess.run([f"{PAYLOAD}/reader", *case.split(), f"{PAYLOAD}/plan", MOUNT],
                          stdout=subprocess.PIPE, timeout=limit, check=False)
    if done.returncode:
        die(f"reading ({case}) ended with status {done.returncode}")
    return json.loads(done.stdout)
