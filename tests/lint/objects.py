# SPDX-License-Identifier: MIT
"""objects.py ROOT OBJECT-LIST {host_safe|signal_safe}: what compiled code imports.

host_safe: code that runs inside the host imports no call of forbidden-calls.txt, but for the named
exceptions of allowed-calls.txt, which must all be in use. signal_safe: an object of a *_sigsafe.c
imports only sigsafe-calls.txt and names ending in _sigsafe.
OBJECT-LIST is a file, one object a line; `…/src/os/fd.c.o` stands for src/os/fd.c.
"""

import os
import re
import subprocess
import sys

import common

HERE = os.path.dirname(os.path.abspath(__file__))


def imports(path):
    text = subprocess.run(["nm", "-u", path], capture_output=True, text=True, check=True).stdout
    return {line.split()[-1].split("@")[0] for line in text.splitlines() if line.strip()}


def source_of(path):
    match = re.search(r"(src/[\w/.-]+\.c)\.o(?:bj)?$", path)
    return match.group(1) if match else os.path.basename(path)


def check_host_safe(objects, forbidden_rows, allowed_rows):
    """objects: {source: set of imported names}."""
    complaints = common.Complaints()
    reasons = {name: reason for names, reason in forbidden_rows for name in names}
    allowed = {(words[0], call) for words, _ in allowed_rows for call in words[1:]}
    used = set()
    for source, names in sorted(objects.items()):
        for name in sorted(names & reasons.keys()):
            if (source, name) in allowed:
                used.add((source, name))
            else:
                complaints.add(source, f"{name}: {reasons[name]}")
    for source, name in sorted(allowed - used):
        complaints.add("tests/lint/allowed-calls.txt", f"{source} does not call {name} any more: "
                                                       "remove the exception")
    return complaints


def check_signal_safe(objects, rows):
    complaints = common.Complaints()
    fine = {name for names, _ in rows for name in names}
    for source, names in sorted(objects.items()):
        if not source.endswith("_sigsafe.c"):
            continue
        for name in sorted(names - fine):
            if not name.endswith("_sigsafe"):
                complaints.add(source, f"{name} is not known to be signal-safe")
    return complaints


def main(list_path, mode):
    paths = [line for line in common.read(list_path).splitlines() if line]
    objects = {source_of(path): imports(path) for path in paths}
    if not objects:
        sys.exit("no object to look at")
    if mode == "host_safe":
        found = check_host_safe(objects, common.table(os.path.join(HERE, "forbidden-calls.txt")),
                                common.table(os.path.join(HERE, "allowed-calls.txt")))
    else:
        found = check_signal_safe(objects, common.table(os.path.join(HERE, "sigsafe-calls.txt")))
    return found.finish(f"{len(objects)} objects")


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
