# SPDX-License-Identifier: MIT
"""exports.py ROOT LIBRTHOOKS.SO LIBRTHOOKS_INTERPOSE.SO [LIBRTHOOKS.A]

The library exports exactly what abi/symbols.txt lists, under the version that introduced it; the
interposer exactly what its map lists, with the versions of versions.map; both need libc alone and
have no text relocation; the archive is one object whose only global definitions are the public
names, with our ELF note.
"""

import os
import re
import subprocess
import sys

import common

# Names that ld adds by itself.
VERSION_NODE = re.compile(r"^(RTHOOKS|GLIBC)_\d+(\.\d+)+$")


def run(*command):
    return subprocess.run(command, capture_output=True, text=True, check=True,
                          env={**os.environ, "LC_ALL": "C"}).stdout


def exported(library):
    """{name: version} of defined dynamic symbols; version "" where there is none."""
    symbols = {}
    for line in run("nm", "-D", "--defined-only", library).splitlines():
        name = line.split()[-1]
        base, _, version = name.partition("@")
        version = version.lstrip("@")
        if line.split()[-2] == "A" and VERSION_NODE.match(base):
            continue
        symbols[base] = version
    return symbols


def map_names(text):
    """Names between "global:" and "local:" of a linker map."""
    names = set()
    text = re.sub(r"/\*.*?\*/|#[^\n]*", "", text, flags=re.S)
    for section in re.findall(r"global:(.*?)(?:local:|\})", text, flags=re.S):
        names.update(name.strip().strip('"') for name in section.replace("\n", " ").split(";")
                     if name.strip())
    return names


def check_library(complaints, name, library, expected):
    found = exported(library)
    for symbol in sorted(found.keys() - expected.keys()):
        complaints.add(name, f"exports {symbol}, which is not listed")
    for symbol in sorted(expected.keys() - found.keys()):
        complaints.add(name, f"does not export {symbol}")
    for symbol in sorted(found.keys() & expected.keys()):
        if found[symbol] != expected[symbol]:
            complaints.add(name, f"{symbol} has version '{found[symbol]}', not "
                                 f"'{expected[symbol]}'")
    return found


def check_dynamic(complaints, name, text):
    """text: what `readelf -d -W` prints."""
    needed = re.findall(r"\(NEEDED\).*\[(.*)\]", text)
    for library in needed:
        if library != "libc.so.6" and not library.startswith("ld-linux"):
            complaints.add(name, f"needs {library}: only libc.so.6 is allowed")
    if "libc.so.6" not in needed:
        complaints.add(name, "does not need libc.so.6: not the library we meant?")
    if "TEXTREL" in text:
        complaints.add(name, "has text relocations")
    if not re.search(r"\bNOW\b", text):
        complaints.add(name, "is bound lazily")


def check_archive(complaints, archive, public):
    listing = run("nm", "--defined-only", "--extern-only", archive)
    objects = [line for line in listing.splitlines() if line.endswith(":")]
    if len(objects) != 1:
        complaints.add(archive, f"holds {len(objects)} objects, not one")
    names = {line.split()[-1] for line in listing.splitlines() if len(line.split()) == 3}
    if names != public:
        complaints.add(archive, f"global names differ: {sorted(names ^ public)}")
    if "rthooks" not in run("readelf", "-n", "-W", archive):
        complaints.add(archive, "has no ELF note of ours")


def main(root, library, interposer, archive=None):
    complaints = common.Complaints()
    listed = {}
    for line in common.read(os.path.join(root, "abi/symbols.txt")).splitlines():
        if line and not line.startswith("#"):
            symbol, version = line.split()
            listed[symbol] = f"RTHOOKS_{version}"
    for symbol in listed:
        if not re.fullmatch(r"rth_[a-z0-9_]+", symbol) or symbol.startswith("rth__"):
            complaints.add("abi/symbols.txt", f"{symbol} is not a public name")
    found = check_library(complaints, "librthooks.so", library, listed)
    check_dynamic(complaints, "librthooks.so", run("readelf", "-d", "-W", library))

    names = map_names(common.read(os.path.join(root, "src/interpose/interpose.map")))
    interposed = exported(interposer)
    for symbol in sorted(interposed.keys() - names):
        complaints.add("librthooks_interpose.so", f"exports {symbol}, not in interpose.map")
    for symbol in sorted(names - interposed.keys()):
        complaints.add("librthooks_interpose.so", f"does not export {symbol} of interpose.map")
    # An older definition of the same name must not find ours: these have a version, others none.
    versions = common.read(os.path.join(root, "src/interpose/versions.map"))
    versioned = map_names(versions) if any(interposed.values()) else set()
    node = re.search(r"(?m)^(GLIBC_[0-9.]+) \{", versions)[1]
    for symbol, version in sorted(interposed.items()):
        expected = node if symbol in versioned else ""
        if version != expected:
            complaints.add("librthooks_interpose.so",
                           f"{symbol} has version '{version}', not '{expected}'")
    check_dynamic(complaints, "librthooks_interpose.so", run("readelf", "-d", "-W", interposer))
    if archive:
        check_archive(complaints, archive, set(listed))
    return complaints.finish(f"{len(found)} symbols exported, {len(interposed)} interposed")


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
