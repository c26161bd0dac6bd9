#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""The measurements, in the VM.  Leaves /out/results.json.

usage: rounds.py [ROUNDS [CASE...]]

Each one has its own mount, a dropped page cache, and, if it is a cold one, a
fresh cache directory.  The ways are interleaved, so that a machine that becomes
slower for a while does so for all of them.
"""

import json
import shutil
import sys
import time

import memory
import rig

CASES = {
    "seq1": "sequential 1",
    "seq4": "sequential 4",
    "random": "random 256",
    "trace": "trace 600",
}

# Of the ways to read: milliseconds per request, bytes per unit.
COLD = {
    "cold 0 ms": (0, 0),
    "cold 1 ms": (1, 0),
    "cold 10 ms": (10, 0),
    "cold 10 ms, 1 MiB": (10, 1 << 20),
}

WARM = "warm"


def measure(case, daemon=None):
    """With the image mounted; unmounts it."""
    rig.drop_caches()
    if daemon:
        daemon.ask("stats")
    result = rig.read(CASES[case])
    if daemon:
        result.update(daemon.ask("stats"))
        if result["failed"]:
            rig.die(f"{case}: {result['failed']} answers failed")
    rig.unmount()
    return result


def native(case):
    rig.mount(rig.LOCAL, "")
    return measure(case)


def warm(case):
    with rig.Daemon(WARM) as daemon:
        rig.mount("none", f"fsid={rig.BLOB}")
        result = measure(case, daemon)
    if result["requests"]:
        rig.die(f"{case}: {result['requests']} requests although everything is cached")
    return result


def cold(case, delay_ms, unit):
    with rig.Daemon("cold", delay_ms, unit) as daemon:
        rig.mount("none", f"fsid={rig.BLOB}")
        result = measure(case, daemon)
    rig.remove_cache("cold")
    return result


def ways(case):
    yield "native", lambda: native(case)
    yield "warm", lambda: warm(case)
    for name, (delay_ms, unit) in COLD.items():
        if not unit or case == "trace":
            yield name, lambda d=delay_ms, u=unit: cold(case, d, u)


def prepare():
    shutil.copyfile(f"{rig.PAYLOAD}/{rig.BLOB}", rig.STORE)
    shutil.copyfile(rig.STORE, rig.LOCAL)
    with rig.Daemon(WARM) as daemon:
        rig.mount("none", f"fsid={rig.BLOB}")
        daemon.ask("fill")
        rig.unmount()
    rig.drop_caches()


def main():
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 3
    cases = sys.argv[2:] or CASES
    begin = time.monotonic()
    prepare()
    results = []
    for number in range(1, rounds + 1):
        for case in cases:
            for way, run in ways(case):
                result = run()
                results.append({"case": case, "way": way, "round": number, **result})
                print(f"{time.monotonic() - begin:5.0f} s  round {number}  {case:7} {way:18} "
                      f"{result['seconds']:8.3f} s", flush=True)
    print(f"{time.monotonic() - begin:5.0f} s  memory", flush=True)
    with open("/out/results.json", "w", encoding="ascii") as f:
        json.dump({"rounds": rounds, "results": results, "memory": memory.measure()}, f, indent=1)


main()
