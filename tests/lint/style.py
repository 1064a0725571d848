# SPDX-License-Identifier: MIT
"""style.py ROOT {text|size|banned}: what clang-format does not say.

text: SPDX line first, no tab, no trailing blank, a newline at the end. size: files of at most 600
lines, functions of at most 60, with the named exceptions of oversize.txt, which only shrink.
banned: calls that have a better form here.
"""

import os
import re
import sys

import common

HERE = os.path.dirname(os.path.abspath(__file__))
FILE_LINES = 600
FUNCTION_LINES = 60
FOLDERS = ["src", "include", "tools", "tests", "bench", "fuzz", "examples"]
C_SUFFIXES = (".c", ".h", ".cc", ".cpp", ".hpp")
SOURCES = C_SUFFIXES + (".py", ".sh", ".cmake", ".map", ".S")

# word -> (why, folders where it counts)
BANNED = {
    r"\b(strcpy|strcat|sprintf|vsprintf|gets|stpcpy)\s*\(": ("unbounded: snprintf", FOLDERS),
    r"\b(atoi|atol|atoll|atof)\s*\(": ("errors cannot be told", FOLDERS),
    r"\bstrtok\s*\(": ("hidden state", FOLDERS),
    r"\b(system|popen)\s*\(": ("a shell in between: fork and exec", FOLDERS),
    r"\b(usleep)\s*\(": ("wait for the event instead", FOLDERS),
    r"(?<![\w.>])signal\s*\(\s*SIG": ("sigaction says what happens", ["src", "tools"]),
    r"(?<![\w.>])(abort|exit)\s*\(": ("the host's end is the host's", ["src"]),
}


def c_files(root):
    return [path for path in common.files_under(root, FOLDERS, C_SUFFIXES)
            if "/fixtures/" not in path and "/corpus/" not in path]


def check_text(root):
    complaints = common.Complaints()
    for path in common.project_files(root):
        base = os.path.basename(path)
        if "/fixtures/" in path or "/corpus/" in path or path.endswith((".json", ".md", ".dict")):
            continue
        if not (path.endswith(SOURCES) or base in ("CMakeLists.txt", "dev")):
            continue
        text = common.read(os.path.join(root, path))
        head = text.splitlines()[:2]
        if not any("SPDX-License-Identifier: MIT" in line for line in head):
            complaints.add(path, "no SPDX line at the top")
        for number, line in enumerate(text.splitlines(), 1):
            if line != line.rstrip():
                complaints.add(f"{path}:{number}", "blank at the end of the line")
            if "\t" in line:
                complaints.add(f"{path}:{number}", "tab")
        if text and not text.endswith("\n"):
            complaints.add(path, "no newline at the end")
    return complaints


def functions(text):
    """(name, first line, lines) of function bodies: a '{' alone in column 0 opens one, a '}' in
    column 0 closes it, which is how the formatter writes them."""
    lines = common.strip_c(text).splitlines()
    opened = None
    for number, line in enumerate(lines, 1):
        if line.rstrip() == "{":
            head = []
            for before in reversed(lines[:number - 1]):
                if not before.strip() or before.startswith(("}", "#")) or before.endswith(";"):
                    break
                head.insert(0, before)
            names = re.findall(r"(\w+)\s*\(", " ".join(head))
            names = [name for name in names if name != "__attribute__"]
            opened = (names[0] if names else "?", number - len(head))
        elif line.startswith("}") and opened:
            yield opened[0], opened[1], number - opened[1] + 1
            opened = None


def check_size(root, rows):
    complaints = common.Complaints()
    limits = {tuple(words[:-1]): int(words[-1]) for words, _ in rows}
    used = set()

    def judge(key, lines, limit, where, what):
        allowed = limits.get(key, limit)
        if lines > limit:
            used.add(key)
        if lines > allowed:
            complaints.add(where, f"{what} has {lines} lines, at most {allowed}")
        elif key in limits and lines < allowed and lines > limit:
            complaints.add(where, f"{what} shrank to {lines} lines: say so in oversize.txt")

    for path in c_files(root):
        text = common.read(os.path.join(root, path))
        judge((path,), text.count("\n"), FILE_LINES, path, "the file")
        for name, first, lines in functions(text):
            judge((path, name), lines, FUNCTION_LINES, f"{path}:{first}", name)
    for key in sorted(limits.keys() - used):
        complaints.add("tests/lint/oversize.txt", f"{' '.join(key)} is no exception any more")
    return complaints


def argument_text(text, offset):
    """What stands between the parenthesis before offset and its match."""
    depth, end = 1, offset
    while end < len(text) and depth:
        depth += {"(": 1, ")": -1}.get(text[end], 0)
        end += 1
    return text[offset:end - 1]


def check_banned(root):
    complaints = common.Complaints()
    for path in c_files(root):
        raw = common.read(os.path.join(root, path))
        text = common.strip_c(raw)
        with_strings = common.strip_c(raw, keep_strings=True)
        folder = path.split("/")[0]
        # What the integration tests hook stands for strangers' programs: it calls what they call.
        is_host = path.startswith("tests/integration/host/")
        for pattern, (why, folders) in BANNED.items():
            if folder not in folders or is_host:
                continue
            for match in re.finditer(pattern, text):
                complaints.add(f"{path}:{common.line_of(text, match.start())}",
                               f"{match.group(0)}…): {why}")
        if folder not in ("src", "tools"):
            continue
        for match in re.finditer(r"(?<![\w.>])(open|openat|open64|openat64)\s*\(", text):
            arguments = argument_text(text, match.end())
            # Declarations and the interposed names themselves have types inside.
            if re.search(r"\b(const|char|int)\b", arguments) or "flags" in arguments:
                continue
            if "O_CLOEXEC" not in arguments:
                complaints.add(f"{path}:{common.line_of(text, match.start())}",
                               f"{match.group(1)} without O_CLOEXEC: children would inherit it")
        for match in re.finditer(r"(?<![\w.>])fopen\s*\(", text):
            arguments = argument_text(with_strings, match.end())
            if not re.search(r'"[^"]*e[^"]*"\s*$', arguments):
                complaints.add(f"{path}:{common.line_of(text, match.start())}",
                               "fopen without \"e\": children would inherit it")
    return complaints


def main(root, mode):
    if mode == "text":
        return check_text(root).finish("sources are tidy")
    if mode == "size":
        rows = common.table(os.path.join(HERE, "oversize.txt"))
        return check_size(root, rows).finish(f"files <= {FILE_LINES} lines, "
                                             f"functions <= {FUNCTION_LINES}")
    return check_banned(root).finish("no banned call")


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
