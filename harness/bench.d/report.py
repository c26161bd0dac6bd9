#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""usage: report.py RESULTS.json TABLE.txt PLOT.svg REMARK"""

import json
import statistics
import sys

import goals
import plot

CASES = {
    "seq1": "32 MiB sequential, 1 reader (128 KiB a read)",
    "seq4": "32 MiB sequential, 4 readers of 8 MiB of one file each (128 KiB a read)",
    "random": "256 random 4 KiB reads of a 64 MiB file",
    "trace": "start-up trace, 600 files of 1 to 768 KiB, 1 reader (latency: per file)",
}

INTRO = """\
native: EROFS file-backed on the local image.  warm: on demand, everything cached.
cold: on demand, nothing cached, the daemon takes so long per request, for any
number of requests at once, and fetches just what is asked, or units of 1 MiB.
The page cache is dropped before each.  Medians of {rounds}; the range is that of the
seconds.  In flight: fetches, averaged over the time from the first to the last.
Every byte that was read has been compared.  {remark}.
"""


def medians(results):
    """{case: {way: {what: median}}}, in the order of the measurements."""
    groups = {}
    for result in results:
        groups.setdefault(result["case"], {}).setdefault(result["way"], []).append(result)
    return {case: {way: median(rounds) for way, rounds in ways.items()} for case, ways in groups.items()}


def median(rounds):
    numbers = {key: statistics.median(r[key] for r in rounds)
               for key, value in rounds[0].items() if isinstance(value, (int, float))}
    seconds = [r["seconds"] for r in rounds]
    return {**numbers, "range": (min(seconds), max(seconds))}


def ms(us):
    return f"{us / 1000:.2f}"


def rows(ways):
    yield ("", "seconds", "range", "x native", "p50 ms", "p99 ms", "requests", "of 4 KiB", "fetches",
           "MiB fetched", "in flight", "most")
    for way, r in ways.items():
        low, high = r["range"]
        row = [way, f"{r['seconds']:.3f}", f"{low:.3f}-{high:.3f}",
               f"{r['seconds'] / ways['native']['seconds']:.2f}", ms(r["p50_us"]), ms(r["p99_us"])]
        if way.startswith("cold"):
            row += [f"{r['requests']:.0f}", f"{r['one_page']:.0f}", f"{r['fetches']:.0f}",
                    f"{r['fetched_bytes'] / 1048576:.1f}", f"{r['average_in_flight']:.1f}",
                    f"{r['max_in_flight']:.0f}"]
        yield tuple(row)


WIDTHS = (-18, 9, 15, 10, 8, 8, 10, 10, 9, 13, 11, 6)


def aligned(row, widths):
    return "".join(f"{text:<{-w}}" if w < 0 else f"{text:>{w}}" for text, w in zip(row, widths)).rstrip()


def memory_lines(memory):
    pending, incomplete, complete = memory["pending"], memory["incomplete"], memory["complete"]
    nr = pending["requests"]

    yield (f"{nr} pending READs of 4 KiB: {(pending['ours'] + pending['nodes']) / nr:.0f} bytes each, "
           f"by fs/cachefiles and trees; {pending['slab'] / nr:.0f} is all slab memory, EROFS' own included")
    for site, found in pending["sites"].items():
        if found["count"] * 100 >= nr:
            yield f"    {site:40} {found['count']:>8} x {found['bytes'] / found['count']:.0f}"
    yield (f"an incomplete object of {incomplete['pages'] >> 18} GiB, a page in each bitmap: "
           f"{incomplete['ours']} bytes, {incomplete['ours'] * 8 / incomplete['pages']:.3f} bits per 4 KiB")
    yield f"a complete object of {complete['pages'] >> 8} MiB: {complete['ours']} bytes"


def report(data, remark):
    cases = medians(data["results"])
    yield INTRO.format(rounds=data["rounds"], remark=remark[:1].upper() + remark[1:])
    for case, ways in cases.items():
        yield CASES[case]
        for row in rows(ways):
            yield "  " + aligned(row, WIDTHS)
        yield ""
    yield "Kernel memory, from the kernel's trace of allocations (kmem:*): what was allocated and not freed"
    for line in memory_lines(data["memory"]):
        yield "  " + line
    yield ""
    yield "To reach"
    for row in goals.rows(cases, data["memory"]):
        yield "  " + aligned(row, goals.WIDTHS)


def main():
    with open(sys.argv[1], encoding="ascii") as f:
        data = json.load(f)
    with open(sys.argv[2], "w", encoding="ascii") as f:
        f.writelines(line + "\n" for line in report(data, sys.argv[4]))
    with open(sys.argv[3], "w", encoding="ascii") as f:
        f.write(plot.plot(medians(data["results"])))


main()
