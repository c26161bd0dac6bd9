# SPDX-License-Identifier: GPL-2.0
"""The overlay: files which the kernel does not have, whole, at their in-tree path."""

import os
import re
import subprocess

from .common import TOP, Trouble

DIRS = ["fs", "include", "Documentation", "tools"]
MAINTAINERS = "MAINTAINERS"


def files():
    """Every overlay file of the checkout; build products are ignored ones."""
    listed = subprocess.run(["git", "ls-files", "-z", "-co", "--exclude-standard", "--"] + DIRS,
                            cwd=TOP, stdout=subprocess.PIPE, check=True).stdout.decode()
    return sorted(name for name in set(listed.split("\0"))
                  if name and os.path.isfile(os.path.join(TOP, name)))


def expand(patches):
    """An "Overlay:" that ends in a slash means all of our files in that directory."""
    for patch in patches:
        paths = []
        for path in patch.overlay:
            inside = [f for f in files() if f.startswith(path)] if path.endswith("/") else [path]
            if not inside:
                raise Trouble(f"patches/{patch.name}: we have no files in {path}")
            paths += inside
        patch.overlay = paths


def check_owners(patches):
    """Each overlay file is added by exactly one patch."""
    owner = {}
    expand(patches)
    for patch in patches:
        for path in patch.overlay:
            if path in owner:
                raise Trouble(f"{path} is named by two patches, {owner[path]} and {patch.name}")
            if not os.path.isfile(os.path.join(TOP, path)):
                raise Trouble(f"patches/{patch.name} names {path}, which does not exist")
            owner[path] = patch.name
    orphans = [path for path in files() if path not in owner]
    if orphans:
        raise Trouble("no patch adds these files; name each in an \"Overlay:\" line of patches/:\n  " +
                      "\n  ".join(orphans))


def blobs(git, paths):
    """Writes files of the checkout into a repository; their blobs by path."""
    names = "".join(os.path.join(TOP, path) + "\n" for path in paths)
    made = git("hash-object", "-w", "--no-filters", "--stdin-paths", data=names.encode()).splitlines()
    return dict(zip(paths, made))


def mode(path):
    return "100755" if os.access(os.path.join(TOP, path), os.X_OK) else "100644"


def sections(text):
    """The sections of our MAINTAINERS: comments left out."""
    text = "\n".join(line for line in text.splitlines() if not line.startswith("#"))
    return [s.strip("\n") + "\n" for s in re.split(r"\n\s*\n", text) if s.strip()]


def place_of(title, titles):
    """Where a title breaks the alphabet least; the kernel's list is not quite sorted."""
    wrong = sum(t < title for t in titles)      # before them all, the smaller ones come too late
    least, place = wrong, 0
    for i, t in enumerate(titles):
        wrong += -1 if t < title else 1
        if wrong < least:
            least, place = wrong, i + 1
    return place


def insert_maintainers(kernels):
    """The kernel's MAINTAINERS with our sections where the alphabet puts them."""
    with open(os.path.join(TOP, MAINTAINERS), encoding="utf-8") as f:
        ours = sections(f.read())
    for section in ours:
        start = kernels.index("\nMaintainers List\n")
        found = [m for m in re.finditer(r"\n\n(\S[^\n]*)\n(?=[A-Z]:\t)", kernels) if m.start() > start]
        place = place_of(section.split("\n", 1)[0], [m[1] for m in found])
        if place == len(found):
            raise Trouble("the kernel's MAINTAINERS has no section that ours can go before")
        at = found[place].start() + 2
        kernels = kernels[:at] + section + "\n" + kernels[at:]
    return kernels
