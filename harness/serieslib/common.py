# SPDX-License-Identifier: GPL-2.0
"""Paths, messages, and git run so that the user's settings change nothing."""

import os
import subprocess
import sys

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
HARNESS = os.path.join(TOP, "harness")
OUT = os.path.join(TOP, "out")
LINUX = os.path.join(OUT, "linux")
CACHE = os.environ.get("CACHEFILES_CACHE") or os.path.join(
    os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"), "cachefiles-ondemand")
BASE_REPO = os.path.join(CACHE, "base.git")

SETTINGS = ["core.autocrlf=false", "core.quotePath=false", "core.abbrev=40", "diff.renames=false",
            "diff.noprefix=false", "diff.mnemonicPrefix=false", "diff.algorithm=histogram",
            "gc.auto=0", "advice.detachedHead=false", "init.defaultBranch=main"]


class Trouble(Exception):
    """Something the user has to know; the text says what to do."""


class Git:
    """git on one repository, with or without a work tree."""

    def __init__(self, git_dir, work_tree=None, index=None):
        self.git_dir = git_dir
        self.env = dict(os.environ, GIT_DIR=git_dir, GIT_CONFIG_GLOBAL="/dev/null",
                        GIT_CONFIG_NOSYSTEM="1", TZ="UTC", GIT_TERMINAL_PROMPT="0",
                        GIT_COMMITTER_NAME="harness", GIT_COMMITTER_EMAIL="harness@localhost.invalid",
                        GIT_EDITOR="true")
        self.cwd = work_tree or TOP
        if work_tree:
            self.env["GIT_WORK_TREE"] = work_tree
        if index:
            self.env["GIT_INDEX_FILE"] = index

    def try_run(self, *args, data=None, env=None):
        command = ["git"]
        for setting in SETTINGS:
            command += ["-c", setting]
        return subprocess.run(command + list(args), input=data, env=dict(self.env, **(env or {})),
                              cwd=self.cwd, stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=False)

    def bytes(self, *args, data=None, env=None):
        done = self.try_run(*args, data=data, env=env)
        if done.returncode:
            raise Trouble(f"git {' '.join(args)} failed:\n" + done.stderr.decode(errors="replace"))
        return done.stdout

    def __call__(self, *args, data=None, env=None):
        return self.bytes(*args, data=data, env=env).decode(errors="surrogateescape").rstrip("\n")

    def lines(self, *args):
        return self(*args).splitlines()


def new_repo(git_dir, work_tree=None):
    """A repository that borrows the base's objects."""
    os.makedirs(work_tree or git_dir, exist_ok=True)
    git = Git(git_dir, work_tree)
    if not os.path.exists(os.path.join(git_dir, "HEAD")):
        git("init", "-q")
        alternates = os.path.join(git_dir, "objects", "info", "alternates")
        with open(alternates, "w", encoding="utf-8") as f:
            f.write(os.path.join(BASE_REPO, "objects") + "\n")
    return git


def base():
    """(commit, name) of the kernel the series is made on."""
    done = subprocess.run([os.path.join(HARNESS, "base")], stdout=subprocess.PIPE, check=False)
    if done.returncode:
        sys.exit(done.returncode)
    commit, name = done.stdout.decode().strip().split(" ", 1)
    return commit, name
