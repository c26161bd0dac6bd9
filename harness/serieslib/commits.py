# SPDX-License-Identifier: GPL-2.0
"""Turns patches into commits, in an index alone: no file is checked out."""

import os
import re
import tempfile

from . import overlay
from .common import Git, Trouble
from .patches import hunks


def explain(patch, stderr):
    """What git apply said, with the hunk it means."""
    text = [f"patches/{patch.name} does not apply:"]
    for file, line in re.findall(r"^error: patch failed: (\S+):(\d+)$", stderr, re.M):
        for where, header in hunks(patch.hook):
            if where == file and re.match(rf"@@ -{line}\b", header):
                text.append(f"  {file}: hunk {header}")
    return "\n".join(text + ["  " + line for line in stderr.splitlines()])


class Builder:
    """Makes the commits of the series on top of a base."""

    def __init__(self, git, base):
        self.index = tempfile.mktemp(prefix="index.", dir=git.git_dir)
        self.git = Git(git.git_dir, index=self.index)
        self.base = base

    def __enter__(self):
        self.git("read-tree", self.base)
        return self

    def __exit__(self, *args):
        for name in self.index, self.index + ".lock":
            if os.path.exists(name):
                os.unlink(name)

    def put(self, entries):
        """Puts (mode, blob, path) entries into the index, all at once: it is large."""
        info = "".join(f"{mode} {blob}\t{path}\n" for mode, blob, path in entries)
        self.git("update-index", "--add", "--index-info", data=info.encode())

    def add_hook(self, patch):
        if patch.hook:
            done = self.git.try_run("apply", "--cached", "--whitespace=nowarn", "-",
                                    data=patch.hook.encode(errors="surrogateescape"))
            if done.returncode:
                raise Trouble(explain(patch, done.stderr.decode(errors="replace")))
        if overlay.MAINTAINERS in patch.overlay:
            kernels = self.git("cat-file", "blob", ":" + overlay.MAINTAINERS) + "\n"
            text = overlay.insert_maintainers(kernels).encode(errors="surrogateescape")
            blob = self.git("hash-object", "-w", "--stdin", data=text)
            self.put([("100644", blob, overlay.MAINTAINERS)])

    def add_overlay(self, patch):
        paths = [path for path in patch.overlay if path != overlay.MAINTAINERS]
        if not paths:
            return
        there = self.git.lines("ls-files", "--", *paths)
        if there:
            raise Trouble(f"the base has {', '.join(there)} already: patch that in "
                          f"patches/{patch.name}, do not add it whole")
        blobs = overlay.blobs(self.git, paths)
        self.put([(overlay.mode(path), blobs[path], path) for path in paths])

    def commit(self, patch, parent):
        name, mail = patch.author
        who = {"GIT_AUTHOR_NAME": name, "GIT_AUTHOR_EMAIL": mail, "GIT_AUTHOR_DATE": patch.fields["Date"],
               "GIT_COMMITTER_NAME": name, "GIT_COMMITTER_EMAIL": mail,
               "GIT_COMMITTER_DATE": patch.fields["Date"]}
        return self.git("commit-tree", self.git("write-tree"), "-p", parent, "-F", "-",
                        data=patch.message.encode(), env=who)

    def build(self, patches, with_overlay):
        """One commit per patch; without the overlay, of the hooks only."""
        made = [self.base]
        for patch in patches:
            self.add_hook(patch)
            if with_overlay:
                self.add_overlay(patch)
            made.append(self.commit(patch, made[-1]))
        return made


def build(git, base, patches, with_overlay):
    with Builder(git, base) as builder:
        return builder.build(patches, with_overlay)
