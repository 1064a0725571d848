# SPDX-License-Identifier: MIT
"""What the lints share: a list of complaints, printed as FILE:LINE: text, and an exit status."""

import os
import re
import subprocess
import sys


class Complaints:
    def __init__(self):
        self.lines = []

    def add(self, where, text):
        self.lines.append(f"{where}: {text}")

    def finish(self, passed):
        """Prints what was found; returns the exit status."""
        for line in self.lines:
            print(line)
        if self.lines:
            print(f"{len(self.lines)} complaint(s)")
            return 1
        print(passed)
        return 0


def read(path):
    with open(path, encoding="utf-8", errors="replace") as file:
        return file.read()


def files_under(root, folders, suffixes):
    """Paths relative to root, sorted; folders that do not exist are left out."""
    found = []
    for folder in folders:
        for directory, names, files in os.walk(os.path.join(root, folder)):
            names[:] = [name for name in names if name != "__pycache__"]
            for name in files:
                if name.endswith(tuple(suffixes)):
                    found.append(os.path.relpath(os.path.join(directory, name), root))
    return sorted(found)


def project_files(root):
    """Files that belong to the project: what git tracks or would track, else all but build/."""
    listed = subprocess.run(
        ["git", "-c", "safe.directory=*", "-C", root, "ls-files", "-z", "--cached", "--others",
         "--exclude-standard"],
        capture_output=True, check=False)
    if listed.returncode == 0:
        names = [name for name in listed.stdout.decode().split("\0") if name]
        return sorted(name for name in set(names) if os.path.isfile(os.path.join(root, name)))
    names = files_under(root, ["."], [""])
    return [name for name in (os.path.normpath(name) for name in names)
            if not name.startswith(("build/", ".git/"))]


def strip_c(text, keep_strings=False):
    """C text with comments (and the insides of literals) blanked; line numbers stay."""
    def blank(match):
        token = match.group(0)
        if token.startswith("/"):
            return re.sub(r"[^\n]", " ", token)
        return token if keep_strings else token[0] + " " * (len(token) - 2) + token[0]
    return re.sub(r'/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'', blank, text,
                  flags=re.S)


def line_of(text, offset):
    return text.count("\n", 0, offset) + 1


def table(path):
    """Rows of a lint's data file: words up to '#', and the reason after it, which must be there."""
    rows = []
    for number, line in enumerate(read(path).splitlines(), 1):
        if not line.strip() or line.startswith("#"):
            continue
        words, separator, reason = line.partition("#")
        if not separator or not reason.strip():
            sys.exit(f"{path}:{number}: every row needs a reason after '#'")
        rows.append((words.split(), reason.strip()))
    return rows
