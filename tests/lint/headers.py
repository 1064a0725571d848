# SPDX-License-Identifier: MIT
"""headers.py ROOT BUILD-INCLUDE CC CXX

Every public header compiles alone, in strict C11 and C++17, with and without RTHOOKS_DISABLE, and
says nothing of the inside (names with two underscores). An adapter does so where its library is,
with what that library's own header needs.
"""

import os
import re
import subprocess
import sys
import tempfile

import common

WARNINGS = ["-pedantic", "-Wall", "-Wextra", "-Werror", "-Wshadow", "-Wundef"]


def condition_of(path):
    """What a source says in front of an adapter's header: that the library's own is here."""
    others = [name for name in re.findall(r"^#include <([^>]+)>", common.read(path), re.M)
              if not name.startswith("rthooks/")]
    return "#ifndef _GNU_SOURCE\n#define _GNU_SOURCE\n#endif\n#if " + " && ".join(f"__has_include(<{name}>)" for name in others)


def compile_alone(compiler, language, standard, define, includes, header, folder):
    source = os.path.join(folder, "alone" + language)
    begin, end = "", ""
    if header.startswith("rthooks/adapters/"):
        begin = condition_of(os.path.join(includes[1], header)) + "\n"
        end = "#endif\n"
    # Twice: the guard is part of the promise.
    with open(source, "w", encoding="utf-8") as file:
        file.write(f"{begin}#include <{header}>\n#include <{header}>\n{end}"
                   "int alone(void);\nint alone(void)\n{\n    return 0;\n}\n")
    command = [compiler, standard, *WARNINGS, *define, *includes, "-c", source, "-o", os.devnull]
    return subprocess.run(command, capture_output=True, text=True, check=False).stderr


def check(root, build_include, cc, cxx):
    complaints = common.Complaints()
    public = os.path.join(root, "include")
    includes = ["-I", public, "-I", build_include]
    headers = sorted(set(common.files_under(public, ["rthooks"], [".h", ".hpp"]))
                     | set(common.files_under(build_include, ["rthooks"], [".h"])))
    with tempfile.TemporaryDirectory() as folder:
        for header in headers:
            for define in ([], ["-DRTHOOKS_DISABLE"]):
                kinds = [(cxx, ".cpp", "-std=c++17")]
                if header.endswith(".h"):
                    kinds.append((cc, ".c", "-std=c11"))
                for compiler, language, standard in kinds:
                    error = compile_alone(compiler, language, standard, define, includes, header,
                                          folder)
                    if error:
                        complaints.add(header, f"{standard} {' '.join(define)}\n{error}")
            path = os.path.join(public, header)
            if os.path.exists(path):
                text = common.strip_c(common.read(path))
                for match in re.finditer(r"\brth__\w+", text):
                    complaints.add(f"{header}:{common.line_of(text, match.start())}",
                                   f"{match.group(0)} is internal")
    if not headers:
        complaints.add(public, "no header found")
    return complaints, len(headers)


if __name__ == "__main__":
    found, count = check(*sys.argv[1:])
    sys.exit(found.finish(f"{count} headers compile alone"))
