# SPDX-License-Identifier: MIT
"""layers.py ROOT: #include "…" goes one way only.

os -> formats -> core -> record -> {unwind, symbols} -> thread -> episode -> capability folders ->
admin -> rthooks.c. A capability never includes another one's headers; src/interpose sees its own
folder and os/rawsys.h; tools see include/, os and formats (built once as rth_base) and their own
files.
"""

import os
import re
import sys

import common

LAYERS = [["os"], ["formats"], ["core"], ["record"], ["unwind", "symbols"], ["thread"],
          ["episode"],
          ["limits", "metrics", "profile", "trace", "span", "crash", "shutdown", "health",
           "processes", "runtime"],
          ["admin"]]
RANK = {name: rank for rank, names in enumerate(LAYERS) for name in names}
TOOLS_SEE = {"os", "formats"}
# The only thing the interposer takes from outside its folder, and what others take from it.
INTERPOSE_SEES = {"os/rawsys.h"}
INTERPOSE_SHOWS = {"interpose/abi.h"}
# interpose/abi.h is an interface, seen by the runtime alone.
ABI_USERS = {"rthooks.c", "note.c"}
ABI_FOLDERS = {"core", "record", "thread", "profile"}

INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*(["<])([^">]+)[">]', re.M)


def included(root, path):
    """(line, header as src/ or include/ names it), for headers of the project."""
    text = common.strip_c(common.read(os.path.join(root, path)), keep_strings=True)
    for match in INCLUDE.finditer(text):
        name = match.group(2)
        beside = os.path.normpath(os.path.join(os.path.dirname(path), name))
        if match.group(1) == "<" and not name.startswith("rthooks/"):
            continue
        if (match.group(1) == '"' and not os.path.exists(os.path.join(root, "src", name))
                and os.path.exists(os.path.join(root, beside)) and beside.startswith("src/")):
            name = beside[len("src/"):]
        yield common.line_of(text, match.start()), name


def refusal(path, header):
    """Why src/PATH may not include header, None when it may."""
    if header.startswith("rthooks/"):
        return "the interposer knows nothing of the library" if path.startswith("interpose/") \
            else None
    folder = path.split("/")[0] if "/" in path else None
    target = header.split("/")[0] if "/" in header else None
    if folder == "interpose":
        if target == "interpose" or header in INTERPOSE_SEES:
            return None
        return "src/interpose is a leaf: its own folder and os/rawsys.h"
    if target == "interpose":
        if header in INTERPOSE_SHOWS and (path in ABI_USERS or folder in ABI_FOLDERS):
            return None
        return "only interpose/abi.h is for others, and for the runtime's own files"
    if target is None or target not in RANK:
        return "not a header of a layer; add the folder to tests/lint/layers.py"
    if folder is None:
        return None
    if folder not in RANK:
        return "folder without a layer; add it to tests/lint/layers.py"
    if folder == target or RANK[target] < RANK[folder]:
        return None
    if RANK[target] == RANK[folder]:
        return f"{folder} and {target} are side by side and may not know each other"
    return f"{target} lies above {folder}"


def check(root):
    complaints = common.Complaints()
    for path in common.files_under(root, ["src"], [".c", ".h", ".S"]):
        for line, header in included(root, path):
            why = refusal(path[len("src/"):], header)
            if why:
                complaints.add(f"{path}:{line}", f'"{header}": {why}')
    for path in common.files_under(root, ["tools"], [".c", ".h", ".cc", ".cpp"]):
        for line, header in included(root, path):
            if header.startswith("rthooks/") or not os.path.exists(
                    os.path.join(root, "src", header)):
                continue
            if header.split("/")[0] not in TOOLS_SEE and header not in INTERPOSE_SHOWS:
                complaints.add(f"{path}:{line}", f'"{header}": tools see include/, os and formats')
    for path in common.files_under(root, ["include"], [".h", ".hpp"]):
        for line, header in included(root, path):
            if not header.startswith("rthooks/"):
                complaints.add(f"{path}:{line}", f'"{header}": not installed')
    return complaints


if __name__ == "__main__":
    sys.exit(check(sys.argv[1]).finish("every #include goes down"))
