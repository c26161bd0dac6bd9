# SPDX-License-Identifier: GPL-2.0
"""out/linux: the kernel with the hooks as commits and the overlay as links."""

import os

from . import commits, overlay, patches
from .common import LINUX, TOP, Git, Trouble, base, new_repo

BASE_REF = "refs/harness/base"


def repo():
    return Git(os.path.join(LINUX, ".git"), LINUX)


def link_overlay(git):
    """Links what is new, unlinks what is gone; leaves the rest, and so its dates, alone."""
    notes = os.path.join(git.git_dir, "overlay")
    before = []
    if os.path.exists(notes):
        with open(notes, encoding="utf-8") as f:
            before = f.read().splitlines()
    now = overlay.files()
    tracked = set(git.lines("ls-files", "--", *now)) if now else set()
    if tracked:
        raise Trouble("the base has these files already: edit them in out/linux, "
                      "and \"make refresh\"\n  " + "\n  ".join(sorted(tracked)))
    for path in set(before) - set(now):
        link = os.path.join(LINUX, path)
        if os.path.islink(link):
            os.unlink(link)
    for path in now:
        link = os.path.join(LINUX, path)
        target = os.path.relpath(os.path.join(TOP, path), os.path.dirname(link))
        if os.path.islink(link) and os.readlink(link) == target:
            continue
        if os.path.lexists(link):
            raise Trouble(f"out/linux/{path} is a file of its own; move it to {path} in the checkout")
        os.makedirs(os.path.dirname(link), exist_ok=True)
        os.symlink(target, link)
    with open(notes, "w", encoding="utf-8") as f:
        f.write("".join(path + "\n" for path in now))


def unfinished_rebase(git):
    return any(os.path.exists(os.path.join(git.git_dir, d)) for d in ("rebase-merge", "rebase-apply"))


def move_to(git, head):
    """Brings the work tree to a commit; edits made there stay, or the move is refused."""
    done = git.try_run("reset", "-q", "--keep", head)
    if done.returncode:
        raise Trouble("out/linux has edits of hooks which patches/ has changed too; "
                      "run \"make refresh\", or drop them with "
                      "\"git -C out/linux checkout -f\"\n" + done.stderr.decode(errors="replace"))


def update():
    """make linux"""
    base_commit, name = base()
    git = new_repo(os.path.join(LINUX, ".git"), LINUX)
    fresh = bool(git.try_run("rev-parse", "-q", "--verify", "HEAD").returncode)
    if not fresh and unfinished_rebase(git):
        raise Trouble("a rebase is under way in out/linux; finish it there, then \"make refresh\"")
    made = commits.build(git, base_commit, patches.load(), with_overlay=False)
    if fresh:
        git("update-ref", "--no-deref", "HEAD", made[-1])
        git("reset", "-q", "--hard", made[-1])
    elif git("rev-parse", "HEAD") != made[-1]:
        move_to(git, made[-1])
    git("update-ref", BASE_REF, base_commit)
    link_overlay(git)
    return git, made, name
