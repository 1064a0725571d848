# SPDX-License-Identifier: MIT
"""Each lint is shown a tree that breaks its rule, and must complain about exactly that."""

import os
import subprocess
import sys
import tempfile
import unittest

import common
import exports
import headers
import layers
import objects
import project
import style

CC = os.environ.get("CC", "cc")
CXX = os.environ.get("CXX", "c++")


class Tree(unittest.TestCase):
    def setUp(self):
        holder = tempfile.TemporaryDirectory()
        self.addCleanup(holder.cleanup)
        self.root = holder.name

    def write(self, path, text):
        full = os.path.join(self.root, path)
        os.makedirs(os.path.dirname(full), exist_ok=True)
        with open(full, "w", encoding="utf-8") as file:
            file.write(text)

    def complains(self, found, *parts):
        """One complaint per part, each holding its part."""
        lines = found[0].lines if isinstance(found, tuple) else found.lines
        self.assertEqual(len(lines), len(parts), lines)
        for part in parts:
            self.assertEqual(sum(part in line for line in lines), 1, (part, lines))


class Layers(Tree):
    def test_includes_that_go_up_or_sideways_are_refused(self):
        self.write("src/os/fd.h", "")
        self.write("src/os/fd.c", '#include "os/fd.h"\n#include "core/log.h"\n')
        self.write("src/core/log.h", '#include "os/fd.h"\n#include <rthooks/log.h>\n')
        self.write("src/metrics/metrics.h", '#include "core/log.h"\n')
        self.write("src/health/health.c", '#include "metrics/metrics.h"\n')
        self.write("src/rthooks.c", '#include "metrics/metrics.h"\n#include "interpose/abi.h"\n')
        self.complains(layers.check(self.root), "src/os/fd.c:2", "src/health/health.c:1")

    def test_a_relative_include_is_no_way_around(self):
        self.write("src/core/log.h", "")
        self.write("src/os/fd.c", '#include "../core/log.h"\n')
        self.complains(layers.check(self.root), "core lies above os")

    def test_the_interposer_is_a_leaf(self):
        self.write("src/interpose/abi.h", "")
        self.write("src/interpose/fork.c", '#include "interpose/abi.h"\n#include "os/rawsys.h"\n'
                                           '#include "core/log.h"\n#include <rthooks/log.h>\n')
        self.complains(layers.check(self.root), "fork.c:3", "fork.c:4")

    def test_tools_see_the_base_alone(self):
        self.write("src/os/fd.h", "")
        self.write("src/core/log.h", "")
        self.write("tools/main.c", '#include "os/fd.h"\n#include "core/log.h"\n'
                                   '#include "client/http.h"\n#include <rthooks/rthooks.h>\n')
        self.complains(layers.check(self.root), "tools/main.c:2")

    def test_a_folder_without_a_layer_is_named(self):
        self.write("src/misc/thing.c", '#include "os/fd.h"\n')
        self.complains(layers.check(self.root), "folder without a layer")

    def test_comments_are_not_includes(self):
        self.write("src/os/fd.c", '/*\n#include "core/log.h"\n*/\n')
        self.complains(layers.check(self.root))


class Objects(Tree):
    def test_forbidden_imports_are_told_with_their_reason(self):
        rows = [(["malloc", "free"], "the endpoint answers when malloc is wedged")]
        found = objects.check_host_safe({"src/os/a.c": {"malloc", "memcpy"}}, rows, [])
        self.complains(found, "src/os/a.c: malloc: the endpoint answers")

    def test_an_exception_must_be_in_use(self):
        rows = [(["malloc"], "reason")]
        allowed = [(["src/os/a.c", "malloc"], "why")]
        self.complains(objects.check_host_safe({"src/os/a.c": {"malloc"}}, rows, allowed))
        self.complains(objects.check_host_safe({"src/os/a.c": set()}, rows, allowed),
                       "does not call malloc any more")

    def test_signal_safe_objects_have_an_allow_list(self):
        rows = [(["write"], "why")]
        objects_found = {"src/crash/a_sigsafe.c": {"write", "rth__b_sigsafe", "printf"},
                         "src/crash/b.c": {"printf"}}
        self.complains(objects.check_signal_safe(objects_found, rows), "printf is not known")

    def test_a_compiled_object_is_read(self):
        self.write("src/os/a.c", "#include <stdlib.h>\nvoid *f(void);\n"
                                 "void *f(void)\n{\n    return malloc(3);\n}\n")
        compiled = os.path.join(self.root, "src/os/a.c.o")
        subprocess.run([CC, "-c", os.path.join(self.root, "src/os/a.c"), "-o", compiled],
                       check=True)
        self.assertIn("malloc", objects.imports(compiled))
        self.assertEqual(objects.source_of(compiled), "src/os/a.c")

    def test_a_row_without_a_reason_is_refused(self):
        self.write("table.txt", "malloc free\n")
        with self.assertRaises(SystemExit):
            common.table(os.path.join(self.root, "table.txt"))


class Exports(Tree):
    def build(self, code, *options):
        self.write("lib.c", code)
        library = os.path.join(self.root, "lib.so")
        subprocess.run([CC, "-shared", "-fPIC", "-o", library, os.path.join(self.root, "lib.c"),
                        *options], check=True)
        return library

    def test_an_unlisted_and_a_missing_symbol(self):
        found = common.Complaints()
        library = self.build("int rth_a(void);\nint rth_a(void)\n{\n    return 1;\n}\n")
        exports.check_library(found, "lib", library, {"rth_b": ""})
        self.complains(found, "exports rth_a", "does not export rth_b")

    def test_an_extra_needed_library_and_lazy_binding(self):
        library = self.build("#include <math.h>\ndouble rth_a(double x);\n"
                             "double rth_a(double x)\n{\n    return sin(x);\n}\n", "-lm",
                             "-Wl,-z,lazy")
        found = common.Complaints()
        exports.check_dynamic(found, "lib", exports.run("readelf", "-d", "-W", library))
        told = "\n".join(found.lines)
        self.assertIn("needs libm.so.6", told)
        self.assertIn("bound lazily", told)

    def test_names_of_a_map(self):
        text = "X_1 {\nglobal:\n    a; # why\n    /* c; */ b;\nlocal:\n    *;\n};\n"
        self.assertEqual(exports.map_names(text), {"a", "b"})


class Headers(Tree):
    def test_a_header_that_needs_another_and_one_that_is_no_cpp(self):
        self.write("include/rthooks/a.h", "size_t a(void);\n")
        self.write("include/rthooks/b.h", "#ifndef B\n#define B\nint b(int class);\n#endif\n")
        self.write("include/rthooks/c.h", "#ifndef C\n#define C\nint rth__c(void);\n#endif\n")
        found, _ = headers.check(self.root, self.root, CC, CXX)
        names = [line.split(":")[0] for line in found.lines]
        self.assertEqual(sorted(set(names)), ["rthooks/a.h", "rthooks/b.h", "rthooks/c.h"])
        self.assertEqual(names.count("rthooks/b.h"), 2, found.lines)
        self.assertEqual(names.count("rthooks/c.h"), 1, found.lines)


class Style(Tree):
    def test_untidy_text(self):
        self.write("src/a.c", "int a; \n\tint b;")
        self.complains(style.check_text(self.root), "SPDX", "blank", "tab", "newline")

    def test_long_functions_and_files_and_their_exceptions(self):
        body = "    a();\n" * 70
        self.write("src/a.c", "static int\nlong_one(int x)\n{\n" + body + "}\n\nint b(void)\n{\n}\n")
        self.complains(style.check_size(self.root, []), "long_one has 74 lines")
        row = [(["src/a.c", "long_one", "74"], "why")]
        self.complains(style.check_size(self.root, row))
        row = [(["src/a.c", "long_one", "80"], "why")]
        self.complains(style.check_size(self.root, row), "shrank to 74")
        row = [(["src/a.c", "b", "80"], "why"), (["src/a.c", "long_one", "74"], "why")]
        self.complains(style.check_size(self.root, row), "no exception any more")
        self.write("src/a.c", "int a;\n" * 601)
        self.complains(style.check_size(self.root, []), "the file has 601 lines")

    def test_banned_calls_outside_comments_and_strings(self):
        self.write("src/a.c", '/* strcpy(a, b) */ const char *s = "system(";\n'
                              "int f(void)\n{\n    strcpy(a, b);\n    exit(1);\n"
                              "    open(path, O_RDONLY);\n    open(path, O_RDONLY | O_CLOEXEC);\n"
                              '    fopen(path, "r");\n    fopen(path, "re");\n}\n')
        self.write("tools/a.c", "int f(void)\n{\n    exit(1);\n}\n")
        self.complains(style.check_banned(self.root), "strcpy(", "exit(", "open without O_CLOEXEC",
                       'fopen without "e"')


class Project(Tree):
    def test_foreign_words_and_dead_links(self):
        self.write("docs/a.md", "[fine](b.md) [dead](c.md) [web](https://example.org/)\n"
                                "see /ro" + "ot/thing and /proc/1/root/etc\n")
        self.write("docs/b.md", "a TO" + "DO\n")
        self.complains(project.check(self.root), "c.md leads nowhere", "somebody's machine",
                       "unfinished")


if __name__ == "__main__":
    sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
    unittest.main()
