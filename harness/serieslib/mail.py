# SPDX-License-Identifier: GPL-2.0
"""make series: the series as mails, and the proof that they give the tree we mean."""

import glob
import os
import shutil
import tempfile

from . import commits, overlay, patches
from .common import OUT, Trouble, base, new_repo

SERIES = os.path.join(OUT, "series")


def repo():
    return new_repo(os.path.join(OUT, "series.git"))


def make_commits():
    base_commit, name = base()
    series = patches.load()
    if not series:
        raise Trouble("patches/series is empty")
    patches.check_complete(series)
    overlay.check_owners(series)
    git = repo()
    made = commits.build(git, base_commit, series, with_overlay=True)
    git("update-ref", "refs/heads/base", made[0])
    git("update-ref", "refs/heads/series", made[-1])
    check_tree(git, made, series)
    return git, made, series, name


def check_tree(git, made, series):
    """The last tree is the base, the overlay and the hooks, and nothing else."""
    differing = set(git.lines("diff", "--name-only", made[0], made[-1]))
    wanted = set(overlay.files()) | {f for patch in series for f in patch.files()}
    if any(overlay.MAINTAINERS in patch.overlay for patch in series):
        wanted.add(overlay.MAINTAINERS)
    if differing != wanted:
        raise Trouble("the series' last tree is not base + overlay + hooks; differing:\n  " +
                      "\n  ".join(sorted(differing ^ wanted)))
    ours = overlay.blobs(git, overlay.files())
    for line in git.lines("ls-tree", "-r", made[-1], "--", *ours):
        info, path = line.split("\t")
        if info.split()[2] != ours[path]:
            raise Trouble(f"{path} is not the same in the series as in the checkout")


def cover(name):
    """(subject, text) of the cover letter."""
    with open(os.path.join(patches.DIR, "cover-letter"), encoding="utf-8") as f:
        head, _, text = f.read().partition("\n\n")
    return head.partition("Subject:")[2].strip(), text.replace("@BASE@", name).strip()


def write_mails(git, made, series, name):
    shutil.rmtree(SERIES, ignore_errors=True)
    last = series[-1]
    who, mail = last.author
    env = {"GIT_COMMITTER_NAME": who, "GIT_COMMITTER_EMAIL": mail,
           "GIT_COMMITTER_DATE": last.fields["Date"]}
    git("format-patch", "-q", "--cover-letter", "--zero-commit", "--no-signature", "--full-index",
        "--no-renames", "--encode-email-headers", "-o", SERIES, f"{made[0]}..{made[-1]}", env=env)
    letter, = glob.glob(os.path.join(SERIES, "0000-*"))
    subject, text = cover(name)
    with open(letter, encoding="utf-8") as f:
        full = f.read()
    full = full.replace("*** SUBJECT HERE ***", subject).replace("*** BLURB HERE ***", text)
    with open(letter, "w", encoding="utf-8") as f:
        f.write(full)


def check_am(made, series):
    """git am on the pristine base gives the same tree; only the edited files are checked out."""
    with tempfile.TemporaryDirectory(prefix="am.", dir=OUT) as where:
        git = new_repo(os.path.join(where, ".git"), where)
        with open(os.path.join(git.git_dir, "info", "sparse-checkout"), "w", encoding="utf-8") as f:
            f.write("".join(f"/{name}\n" for patch in series for name in patch.files()) +
                    f"/{overlay.MAINTAINERS}\n")
        git("config", "core.sparseCheckout", "true")
        git("update-ref", "--no-deref", "HEAD", made[0])
        git("read-tree", "-m", "-u", "HEAD")
        done = git.try_run("am", "-q", *sorted(glob.glob(os.path.join(SERIES, "*.patch")))[1:])
        if done.returncode:
            raise Trouble("git am does not take the series:\n" +
                          (done.stdout + done.stderr).decode(errors="replace"))
        theirs = git("rev-parse", "HEAD^{tree}")
    ours = repo()("rev-parse", made[-1] + "^{tree}")
    if theirs != ours:
        raise Trouble(f"git am gives the tree {theirs}, base + overlay + hooks is {ours}")
    return ours


def make():
    """make series"""
    git, made, series, name = make_commits()
    write_mails(git, made, series, name)
    tree = check_am(made, series)
    print(f"{len(series)} patches on {name} in out/series; git am gives the tree {tree}")


def print_commits():
    _, made, series, _ = make_commits()
    print(made[0], "base")
    for commit, patch in zip(made[1:], series):
        print(commit, patch.name)
