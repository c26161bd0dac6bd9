#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Prints the list of files in the image, always the same: NUMBER SIZE PATH.

The first is read sequentially, the second at random.  The others are what a
start-up reads, in this order: 600 files of 1 KiB to 768 KiB, as many between
1 and 2 KiB as between 384 and 768, spread over directories.
"""

import math
import random

KIB = 1024
TRACE_FILES = 600
TRACE_DIRECTORIES = 40


def trace():
    rng = random.Random(1)
    files = []
    for i in range(TRACE_FILES):
        size = int(math.exp(rng.uniform(math.log(KIB), math.log(768 * KIB))))
        directory = rng.randrange(TRACE_DIRECTORIES)
        files.append((size, f"trace/{directory % 8}/{directory}/file{i}"))
    rng.shuffle(files)
    return files


def main():
    files = [(32 * KIB * KIB, "sequential"), (64 * KIB * KIB, "random"), *trace()]
    for number, (size, path) in enumerate(files):
        print(number, size, path)


main()
