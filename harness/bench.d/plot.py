# SPDX-License-Identifier: GPL-2.0
"""The plot: seconds of each case as bars on a logarithmic scale."""

import math

COLOURS = {
    "native": "#555555",
    "warm": "#3a8a4d",
    "cold 0 ms": "#9ecae1",
    "cold 1 ms": "#4292c6",
    "cold 10 ms": "#08519c",
    "cold 10 ms, 1 MiB": "#e08214",
}

TITLES = {
    "seq1": "32 MiB sequential, 1 reader",
    "seq4": "32 MiB sequential, 4 readers",
    "random": "256 random 4 KiB reads",
    "trace": "start-up trace, 600 files",
}

BAR, GAP = 40, 44
LEFT, TOP, HEIGHT, BOTTOM = 64, 70, 340, 40


class Scale:
    """Seconds to pixels, over whole decades."""

    def __init__(self, values):
        self.low = math.floor(math.log10(min(values)))
        self.high = math.ceil(math.log10(max(values)))

    def y(self, seconds):
        return TOP + HEIGHT * (self.high - math.log10(seconds)) / (self.high - self.low)

    def ticks(self):
        for decade in range(self.low, self.high):
            for step in 1, 2, 5:
                yield step * 10.0 ** decade
        yield 10.0 ** self.high


def text(x, y, words, size=11, anchor="middle", colour="#222222"):
    return (f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" text-anchor="{anchor}" '
            f'fill="{colour}">{words}</text>')


def grid(scale, width):
    for tick in scale.ticks():
        y = scale.y(tick)
        yield f'<line x1="{LEFT}" x2="{width - 10}" y1="{y:.1f}" y2="{y:.1f}" stroke="#e4e4e4"/>'
        yield text(LEFT - 6, y + 4, f"{tick:g} s", anchor="end", colour="#666666")


def bar(x, scale, way, numbers):
    y, low, high = (scale.y(s) for s in (numbers["seconds"], *numbers["range"]))
    middle = x + BAR / 2 - 2
    yield (f'<rect x="{x}" y="{y:.1f}" width="{BAR - 4}" height="{TOP + HEIGHT - y:.1f}" '
           f'fill="{COLOURS[way]}"/>')
    yield f'<line x1="{middle}" x2="{middle}" y1="{low:.1f}" y2="{high:.1f}" stroke="#000000"/>'
    yield text(middle, min(y, high) - 4, f"{numbers['seconds']:.3g}", size=10)


def legend():
    x = LEFT
    for way, colour in COLOURS.items():
        yield f'<rect x="{x}" y="34" width="12" height="12" fill="{colour}"/>'
        yield text(x + 17, 44, way, anchor="start")
        x += 40 + 7 * len(way)


def plot(cases):
    scale = Scale([s for ways in cases.values() for n in ways.values() for s in n["range"]])
    width = LEFT + sum(GAP + BAR * len(ways) for ways in cases.values())
    lines = [f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{TOP + HEIGHT + BOTTOM}" '
             'font-family="sans-serif">',
             f'<rect width="{width}" height="{TOP + HEIGHT + BOTTOM}" fill="#ffffff"/>',
             text(LEFT, 20, "Seconds per case (median; the line is the range), logarithmic", 13, "start"),
             *legend(), *grid(scale, width)]
    x = LEFT + GAP / 2
    for case, ways in cases.items():
        lines.append(text(x + BAR * len(ways) / 2, TOP + HEIGHT + 22, TITLES[case], 12))
        for way, numbers in ways.items():
            lines += bar(x, scale, way, numbers)
            x += BAR
        x += GAP
    return "\n".join(lines + ["</svg>"]) + "\n"
