# SPDX-License-Identifier: GPL-2.0
"""make refresh: takes edits of hooks made in out/linux back into patches/.

An edit belongs to the last patch that touches its file, so that no later patch
has to be looked at.  PATCH=NAME says which when no patch touches the file yet.
When the base has changed, the commits are rebased onto it first.
"""

import os

from . import linux, overlay, patches
from .commits import build
from .common import LINUX, Git, Trouble, base


def owner(series, path, wanted):
    """The patch an edit of a file goes to."""
    touching = [i for i, patch in enumerate(series) if path in patch.files()]
    if wanted is not None:
        if touching and touching[-1] > wanted:
            raise Trouble(f"{series[touching[-1]].name} edits {path} after {series[wanted].name}; "
                          "edits of that file go to the later one")
        return wanted
    if not touching:
        raise Trouble(f"no patch edits {path} yet; say which one shall: make refresh PATCH=NAME")
    return touching[-1]


def find(series, name):
    if not name:
        return None
    fits = [i for i, patch in enumerate(series) if name in patch.name]
    if len(fits) != 1:
        raise Trouble(f"PATCH={name} fits {len(fits)} patches of patches/series")
    return fits[0]


def new_trees(git, made, edits):
    """The trees of the series with each edit in its patch and all after it."""
    index = os.path.join(git.git_dir, "index.refresh")
    side = Git(git.git_dir, LINUX, index)
    trees = [git("rev-parse", made[0] + "^{tree}")]
    for i, commit in enumerate(made[1:]):
        side("read-tree", commit)
        mine = [path for path, patch in edits.items() if patch <= i]
        if mine:
            side("add", "--force", "--all", "--", *mine)
        trees.append(side("write-tree"))
    os.unlink(index)
    return trees


def rewrite(git, series, trees):
    """Writes the patches whose edits differ; lists what moved."""
    for patch, before, after in zip(series, trees, trees[1:]):
        was = list(patches.hunks(patch.hook))
        hook = git.bytes("diff-tree", "-p", "--full-index", "--no-renames", before, after, "--", ".",
                         f":(exclude){overlay.MAINTAINERS}").decode(errors="surrogateescape")
        if not patch.write(hook):
            continue
        print(f"patches/{patch.name}: rewritten")
        now = list(patches.hunks(hook))
        for (file, old), (_, new) in zip(was, now):
            if len(was) == len(now) and old != new:
                print(f"  {file}: {old.split(' @@')[0]} @@ is now {new.split(' @@')[0]} @@")


def misplaced():
    """New files in out/linux, in our directories, which are not links to the overlay."""
    git = linux.repo()
    return [path for path in git.lines("ls-files", "-o", "--", "fs", "include/uapi", "include/trace",
                                       "Documentation", "tools/cachefiles", "tools/testing")
            if not os.path.islink(os.path.join(LINUX, path))]


def rebase(git, made, old_base, new_base, name):
    print(f"rebasing onto {name}")
    git("update-ref", linux.BASE_REF, new_base)
    git("reset", "-q", "--hard", made[-1])
    done = git.try_run("rebase", "-q", "--keep-empty", "--empty=keep", "--onto", new_base, old_base)
    if done.returncode:
        raise Trouble("a hook does not fit the new base; solve it in out/linux "
                      "(git status, git add, git rebase --continue), then \"make refresh\" again\n" +
                      (done.stdout + done.stderr).decode(errors="replace"))


def absorb(git, series, old_base, wanted):
    """Takes the edits of the work tree into the patches; returns the new commits."""
    made = build(git, old_base, series, with_overlay=False)
    changed = [path for path in git.lines("diff", "--name-only", "HEAD") if path != overlay.MAINTAINERS]
    edits = {path: owner(series, path, wanted) for path in changed}
    if git("rev-parse", made[-1] + "^{tree}") != git("rev-parse", "HEAD^{tree}"):
        linux.move_to(git, made[-1])
    rewrite(git, series, new_trees(git, made, edits))
    made = build(git, old_base, series, with_overlay=False)
    git("reset", "-q", made[-1])
    return made


def refresh(name=""):
    git = linux.repo()
    if not os.path.exists(git.git_dir):
        raise Trouble("there is no out/linux to take edits from; run \"make linux\"")
    if linux.unfinished_rebase(git):
        raise Trouble("a rebase is under way in out/linux; finish it there first")
    series = patches.load()
    old_base = git("rev-parse", linux.BASE_REF)
    new_base, base_name = base()
    ours = git.lines("rev-list", "--reverse", f"{old_base}..HEAD")
    if os.path.exists(os.path.join(git.git_dir, "rebased")):
        made = [old_base] + ours
    else:
        made = absorb(git, series, old_base, find(series, name))
        if new_base != old_base:
            with open(os.path.join(git.git_dir, "rebased"), "w", encoding="utf-8"):
                pass
            rebase(git, made, old_base, new_base, base_name)
            made = [new_base] + git.lines("rev-list", "--reverse", f"{new_base}..HEAD")
    if len(made) != len(series) + 1:
        raise Trouble(f"out/linux has {len(made) - 1} commits on its base, patches/series "
                      f"{len(series)} patches")
    rewrite(git, series, [git("rev-parse", commit + "^{tree}") for commit in made])
    if os.path.exists(os.path.join(git.git_dir, "rebased")):
        os.unlink(os.path.join(git.git_dir, "rebased"))
    linux.update()
    for path in misplaced():
        print(f"out/linux/{path} is new there: if it is ours, move it to {path} in the checkout")
