# SPDX-License-Identifier: MIT
"""C++ names as c++filt prints them: every name that the C++ runtime library exports."""
import os
import re
import subprocess

import harness

# Where c++filt is wrong or another spelling is as good.
KNOWN_SHARE = 0.002


class Demangle(harness.Case):
    def lines_of(self, command, lines):
        run = subprocess.run(command, input="\n".join(lines) + "\n", capture_output=True,
                             text=True, check=True)
        return run.stdout.splitlines()

    def names_of(self, path):
        """What it exports, or all of it when it is not stripped."""
        names = set()
        for option in ("-D", "-a"):
            run = subprocess.run([harness.need("nm"), option, "--defined-only", path],
                                 capture_output=True, text=True, check=False)
            names.update(re.findall(r" (_Z[^\s@]*)", run.stdout))
        return sorted(names)

    def compare(self, path):
        names = self.names_of(path)
        self.assertGreater(len(names), 3000)
        ours = self.lines_of([os.path.join(harness.BUILD, "tests", "demangle_lines")], names)
        theirs = self.lines_of([harness.need("c++filt"), "-i"], names)
        self.assertEqual(len(ours), len(names))
        # "> >" and ">>" are the same; c++filt's choice depends on what stood there before.
        different = [(name, one, other) for name, one, other in zip(names, ours, theirs)
                     if one.replace("> >", ">>").replace("> >", ">>")
                     != other.replace("> >", ">>").replace("> >", ">>")]
        self.assertLessEqual(len(different), KNOWN_SHARE * len(names), different[:20])

    def test_the_runtime_library(self):
        self.compare(self.library_path("libstdc++.so.6"))

    def test_the_static_runtime_library_with_its_local_names(self):
        self.compare(self.library_path("libstdc++.a"))

    def library_path(self, name):
        """Where the compiler finds it."""
        compiler = harness.need("g++")
        found = subprocess.run([compiler, "-print-file-name=" + name], capture_output=True,
                               text=True, check=True).stdout.strip()
        if not os.path.isabs(found):
            harness.skip(name + " is not installed")
        return found


if __name__ == "__main__":
    harness.main()
