# SPDX-License-Identifier: GPL-2.0
"""The files of patches/: one commit each, as a mail.

    From: NAME <MAIL>
    Date: DATE
    Subject: [PATCH] SUBJECT

    MESSAGE
    ---
    Overlay: PATH OF A FILE OF OURS WHICH THIS COMMIT ADDS WHOLE
    diff --git ...            edits of the kernel's own files, may be missing
"""

import os
import re

from .common import TOP, Trouble

DIR = os.path.join(TOP, "patches")


class Patch:
    def __init__(self, name):
        self.name = name
        self.path = os.path.join(DIR, name)
        try:
            with open(self.path, encoding="utf-8", errors="surrogateescape", newline="") as f:
                text = f.read()
        except FileNotFoundError:
            raise Trouble(f"patches/series names {name}, which does not exist") from None
        head, _, rest = text.partition("\n\n")
        self.head = head
        self.fields = dict(re.findall(r"^(From|Date|Subject):\s*(.*)$", head, re.M))
        for field in "From", "Date", "Subject":
            if field not in self.fields:
                raise Trouble(f"patches/{name} has no \"{field}:\" line at its head")
        body, mark, tail = ("\n" + rest).partition("\n---\n")
        if not mark:
            raise Trouble(f"patches/{name} has no \"---\" line between message and contents")
        self.body = body[1:]
        at = re.search(r"^diff --git ", tail, re.M)
        notes = tail[:at.start()] if at else tail
        self.hook = tail[at.start():] if at else ""
        self.overlay = re.findall(r"^Overlay:\s*(\S+)\s*$", notes, re.M)
        self.notes = notes

    @property
    def author(self):
        m = re.fullmatch(r"(.*?)\s*<(.*)>", self.fields["From"])
        if not m:
            raise Trouble(f"patches/{self.name}: From: is not NAME <MAIL>")
        return m[1].strip('"'), m[2]

    @property
    def message(self):
        subject = re.sub(r"^\[PATCH[^]]*\]\s*", "", self.fields["Subject"])
        return f"{subject}\n\n{self.body.strip()}\n"

    def files(self):
        """The kernel's own files which this commit edits."""
        return re.findall(r"^diff --git a/(\S+) b/", self.hook, re.M)

    def write(self, hook):
        """Returns whether the file had to change."""
        if hook == self.hook:
            return False
        self.hook = hook
        text = f"{self.head}\n\n{self.body.rstrip()}\n---\n{self.notes.rstrip()}\n{hook}"
        with open(self.path, "w", encoding="utf-8", errors="surrogateescape", newline="") as f:
            f.write(text.replace("\n---\n\n", "\n---\n"))
        return True


def load():
    """The patches in the order of patches/series."""
    with open(os.path.join(DIR, "series"), encoding="utf-8") as f:
        names = [line.split("#")[0].strip() for line in f]
    return [Patch(name) for name in names if name]


def check_complete(series):
    named = {patch.name for patch in series}
    for name in sorted(os.listdir(DIR)):
        if name.endswith(".patch") and name not in named:
            raise Trouble(f"patches/{name} is not in patches/series")


def hunks(hook):
    """Yields (file, header) for each hunk of a diff."""
    file = None
    for line in hook.splitlines():
        if line.startswith("diff --git "):
            file = line.split(" b/", 1)[1]
        elif line.startswith("@@ "):
            yield file, line
