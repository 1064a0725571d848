# SPDX-License-Identifier: MIT
"""project.py ROOT: the tree speaks of the project alone.

No path of a developer's machine, no name of a writing assistant, no host of a package registry, no
unfinished mark; every relative link and every `path` in the documents leads to a file.
"""

import os
import re
import sys

import common

# Written in halves so that this file passes its own check.
WORDS = {
    r"(?<![\w}\]*])(?:/wo" + r"rk/|/ro" + r"ot/|/home/[a-z])": "a path of somebody's machine",
    r"\b(?:cla" + r"ude|anthro" + r"pic|chat" + r"gpt|open" + r"ai|co" + r"pilot|gem"
    + r"ini|l" + r"lm)\b": "the tree speaks of the project alone",
    r"deb\.deb" + r"ian\.org|archive\.ub" + r"untu\.com|py" + r"pi\.org|regis" + r"try\.npmjs"
    + r"|proxy\.go" + r"lang\.org|crat" + r"es\.io|artifact-regis" + r"try":
        "the host of a package registry",
    r"\b(?:TO" + r"DO|FIX" + r"ME|X" + r"XX)\b": "unfinished",
}
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")


def check(root):
    complaints = common.Complaints()
    for path in common.project_files(root):
        if path.startswith("ui/vendor/"):
            continue
        text = common.read(os.path.join(root, path))
        # Captured input (a copied /proc, a fuzzing corpus) may hold anything.
        if "/fixtures/" not in path and "/corpus/" not in path:
            for pattern, why in WORDS.items():
                for match in re.finditer(pattern, text, flags=re.I if "cla" in pattern else 0):
                    complaints.add(f"{path}:{common.line_of(text, match.start())}",
                                   f"{match.group(0)}: {why}")
        if path.endswith(".md"):
            for match in LINK.finditer(text):
                target = match.group(1).split("#")[0]
                if not target or re.match(r"[a-z]+:", target):
                    continue
                if not os.path.exists(os.path.join(root, os.path.dirname(path), target)):
                    complaints.add(f"{path}:{common.line_of(text, match.start())}",
                                   f"the link to {target} leads nowhere")
    return complaints


if __name__ == "__main__":
    sys.exit(check(sys.argv[1]).finish("the project speaks of itself"))
