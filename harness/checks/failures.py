# SPDX-License-Identifier: GPL-2.0
"""The page of failures, for the checks that read it."""

import re
from pathlib import Path

TOP = Path(__file__).resolve().parents[2]
PAGE = "Documentation/filesystems/caching/ondemand-failures.rst"
DAEMON = TOP / "tools/cachefiles/tests"


def read(path):
    return path.read_text(encoding="utf-8", errors="replace")


def rows():
    """Yields (id, what failed, {clause: text}), for each row of the page's tables."""
    cell = r"     - ((?:.+\n?)+?)"
    row = re.compile(rf"^   \* - ([A-Z]\d.*)\n{cell}{cell}(?=   \* - |\n|\Z)", re.M)
    for name, failed, answer in row.findall(read(TOP / PAGE)):
        parts = re.split(r"(?:^|; )(impossible|test|remains): ", " ".join(answer.split()))
        yield name, failed, dict(zip(parts[1::2], parts[2::2])) if not parts[0] else {}


def tests(clauses):
    """The tests that a row names."""
    return [test.strip() for test in re.findall(r'(?:[^,"]|"[^"]*")+', clauses.get("test", ""))]


def quoted(test):
    """FILE and NAME of a test of the daemon, None of another one."""
    found = re.fullmatch(r'(\S+) "([^"]+)"', test)
    return found and found.groups()
