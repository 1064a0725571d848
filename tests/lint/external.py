# SPDX-License-Identifier: MIT
"""external.py ROOT {format|shell}: what clang-format-14 and shellcheck say; skipped without them.

One version of clang-format, since each lays code out differently.
"""

import os
import shutil
import subprocess
import sys

import common
import style


def shell_scripts(root):
    for path in common.project_files(root):
        if "." in os.path.basename(path) and not path.endswith(".sh"):
            continue
        with open(os.path.join(root, path), "rb") as file:
            first = file.readline(64)
        if path.endswith(".sh") or (first.startswith(b"#!") and first.split()[0].endswith(b"sh")):
            yield path


def ask(root, command, files):
    """Runs command over files; prints what it says and returns its exit status."""
    result = subprocess.run([*command, *files], cwd=root, capture_output=True, text=True,
                            check=False)
    print(result.stdout + result.stderr, end="")
    print(f"{command[0]}: {len(files)} files, exit status {result.returncode}")
    return result.returncode


def main(root, mode):
    files = style.c_files(root) if mode == "format" else list(shell_scripts(root))
    command = ["clang-format-14", "--dry-run", "-Werror"] if mode == "format" else ["shellcheck",
                                                                                    "-x"]
    if not files:
        sys.exit("no file to look at")
    if not shutil.which(command[0]):
        print(f"skipped: no {command[0]} here")
        return 0
    status = ask(root, command, files)
    if mode == "shell" and shutil.which("dash"):
        for path in files:
            with open(os.path.join(root, path), "rb") as file:
                posix = b"bash" not in file.readline()
            if posix and subprocess.run(["dash", "-n", path], cwd=root, check=False).returncode:
                status = 1
    return 1 if status else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
