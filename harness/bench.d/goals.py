# SPDX-License-Identifier: GPL-2.0
"""What is to be reached, and whether it is."""

WIDTHS = (-52, 10, 16, 10)


class Goals:
    """The limits, judged on medians: {case: {way: numbers}}."""

    def __init__(self, cases, memory):
        self.cases = cases
        self.memory = memory

    def seconds(self, case, way):
        return self.cases[case][way]["seconds"]

    def ratio(self, case, way, what):
        return self.cases[case][way][what] / self.cases[case]["native"][what]

    def limits(self):
        """(what, value, limit); a negative limit is a least value."""
        seq, trace = self.cases["seq1"]["cold 10 ms"], self.cases["trace"]["cold 10 ms"]
        pending, incomplete = self.memory["pending"], self.memory["incomplete"]
        yield "warm sequential, 1 reader: time against native", self.ratio("seq1", "warm", "seconds"), 1.0
        yield "warm sequential, 4 readers: time against native", self.ratio("seq4", "warm", "seconds"), 1.0
        yield "warm random 4 KiB: time against native", self.ratio("random", "warm", "seconds"), 1.1
        yield "cold 4 KiB miss at 0 ms: p50 against native", self.ratio("random", "cold 0 ms", "p50_us"), 2.0
        yield "32 MiB sequential, 10 ms: seconds", seq["seconds"], 0.4
        yield "32 MiB sequential, 10 ms: in flight on average", seq["average_in_flight"], -8
        yield "start-up trace, 10 ms: seconds", trace["seconds"], 8.0
        yield "start-up trace, 10 ms: requests", trace["requests"], 700
        yield "start-up trace, 10 ms, 1 MiB: seconds", self.seconds("trace", "cold 10 ms, 1 MiB"), 1.0
        yield "bytes per pending request", (pending["ours"] + pending["nodes"]) / pending["requests"], 1024
        yield "bits per 4 KiB of an incomplete object", incomplete["ours"] * 8 / incomplete["pages"], 1
        yield "bytes of bitmaps of a complete object", self.memory["complete"]["ours"], 0


def number(value):
    return f"{value:.0f}" if value == int(value) or abs(value) >= 100 else f"{value:.2f}"


def rows(cases, memory):
    yield "", "measured", "limit", ""
    for what, value, limit in Goals(cases, memory).limits():
        value = round(value, 2)
        met = value >= -limit if limit < 0 else value <= limit
        bound = f"at least {-limit}" if limit < 0 else f"at most {number(limit)}"
        yield what, number(value), bound, "met" if met else "NOT MET"
