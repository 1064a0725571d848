# SPDX-License-Identifier: MIT
"""`rthooks pprof` over profiles that the test itself writes, serves and breaks.

Judged by others where there is one: `go tool pprof` for the tables, addr2line for the lines.
"""
import contextlib
import gzip
import os
import random
import re
import shutil
import signal
import socket
import subprocess
import xml.dom.minidom

import harness
from pprof_case import (TICK, PprofCase, Writer, go_pprof, message, number, packed, server, simple,
                        unpacked, varint)


CXX = r"""
#include <cstdio>
#include <cstdlib>
namespace ns {
struct Acc {
    volatile long v;
    template <class T> inline __attribute__((always_inline)) void add(T x)
    {
        v = v + (long)x;
    }
};
static inline __attribute__((always_inline)) long mix(long a, long b)
{
    long r = a * 31 + b;
    r ^= r >> 7;
    return r;
}
template <class T> __attribute__((noinline)) T spin(T n, Acc &acc)
{
    T s = 0;
    for (T i = 0; i < n; i++) {
        s = mix(s, i);
        acc.add(s);
    }
    return s;
}
} // namespace ns
extern "C" __attribute__((noinline)) long plain(long n)
{
    long s = 1;
    for (long i = 0; i < n; i++) {
        s += ns::mix(s, i);
        s = ns::mix(i, s);
    }
    return s;
}
int main(int argc, char **argv)
{
    ns::Acc acc{};
    long n = argc > 1 ? atol(argv[1]) : 0;
    printf("%ld\n", ns::spin<long>(n, acc) + plain(n));
    return 0;
}
"""

ADDR2LINE = ("addr2line", "-i", "-a", "-e")


class Binary:
    """A compiled program and what the binutils know about it."""

    def __init__(self, case, name="cxx", compiler="g++", options=("-O2", "-g")):
        self.path = case.path(name)
        source = case.write(name + ".cc", CXX)
        subprocess.run([harness.need(compiler), *options, "-Wl,--build-id=sha1", source, "-o",
                        self.path], check=True)
        notes = subprocess.run(["readelf", "-nW", self.path], check=True, capture_output=True,
                               text=True).stdout
        self.build_id = re.search(r"Build ID: ([0-9a-f]+)", notes).group(1)
        headers = subprocess.run(["readelf", "-lW", self.path], check=True, capture_output=True,
                                 text=True).stdout
        found = re.search(r"LOAD +0x(\w+) 0x(\w+) 0x\w+ 0x(\w+) 0x\w+ R E", headers)
        self.offset, self.vaddr, size = (int(text, 16) for text in found.groups())
        self.start = 0x555500000000 + self.vaddr
        self.limit = self.start + (size + 4095 & ~4095)

    def addresses(self, *symbols):
        """Of every instruction of the functions."""
        out = []
        for symbol in symbols:
            text = subprocess.run(["objdump", "-d", "--no-show-raw-insn", "--disassemble=" + symbol,
                                   self.path], check=True, capture_output=True, text=True).stdout
            out += [int(match, 16) for match in re.findall(r"^ +([0-9a-f]+):", text, re.M)]
        return out

    def profile(self, vaddrs, build_id=None, path=None):
        writer = Writer()
        mapping = writer.mapping(self.start, self.limit, self.offset, path or self.path,
                                 self.build_id if build_id is None else build_id)
        for vaddr in vaddrs:
            writer.sample([writer.location((), vaddr - self.vaddr + self.start, mapping)],
                          [1, TICK])
        return writer

    def expected(self, vaddrs, judge=ADDR2LINE):
        """Per address the "FILE:LINE"s of the judge, innermost first."""
        text = subprocess.run([*judge, self.path, *("0x%x" % vaddr for vaddr in vaddrs)],
                              check=True, capture_output=True, text=True).stdout
        out = []
        for line in filter(None, text.splitlines()):
            if line.startswith("0x"):
                out.append([])
            else:
                # Line 0 is printed as ?.
                out[-1].append(re.sub(r":\?$", ":0", re.sub(r" \(discriminator.*", "", line)))
        return out


FUNCTIONS = ("_ZN2ns4spinIlEET_S1_RNS_3AccE", "plain", "main")


# ---- tables ------------------------------------------------------------------------------------


class Tables(PprofCase):
    def test_top_prints_pprofs_columns(self):
        for name, repeated in (("packed", packed), ("unpacked", unpacked)):
            out, err = self.pprof("top", self.save(name, simple(repeated)), env={"TZ": "UTC"})
            self.assertEqual(err, "")
            self.assertEqual(out.splitlines(), [
                "File: demo",
                "Build ID: " + "abcd" * 10,
                "rate: 100 Hz",
                "Type: cpu",
                "Time: 2023-11-14 22:13:20 UTC",
                "Duration: 2s, Total samples = 1000ms (50.00%)",
                "Showing nodes accounting for 1000ms, 100% of 1000ms total",
                "      flat  flat%   sum%        cum   cum%",
                "     500ms 50.00% 50.00%      500ms 50.00%  mix (inline)",
                "     300ms 30.00% 80.00%      300ms 30.00%  wait",
                "     150ms 15.00% 95.00%      950ms 95.00%  work",
                "      50ms  5.00%   100%     1000ms   100%  main",
                "         0     0%   100%      500ms 50.00%  spin",
            ])

    def test_plain_bytes_need_no_gzip(self):
        path = self.save("plain", simple().plain())
        self.assertEqual(self.rows(self.json("top", path)[0])["wait"], (30 * TICK, 30 * TICK))

    def test_the_sample_type_can_be_chosen(self):
        table, _ = self.json("top", "--sample", "samples", self.save("p", simple()))
        self.assertEqual((table["type"], table["unit"], table["total"]), ("samples", "count", 100))
        _, err = self.pprof("top", "--sample", "bytes", self.path("p"), status=2)
        self.assertIn("it has samples, cpu", err)

    def test_cum_limit_focus_and_ignore(self):
        path = self.save("p", simple())
        out, _ = self.pprof("top", "--cum", "--limit", "2", path)
        self.assertEqual([line.split()[-1] for line in out.splitlines()[-2:]], ["main", "work"])
        self.assertIn("Showing top 2 nodes out of 5", out)
        focused, _ = self.json("top", "--focus", "^wa", path)
        self.assertEqual(self.rows(focused), {"wait": (30 * TICK, 30 * TICK),
                                              "work": (0, 30 * TICK), "main": (0, 30 * TICK)})
        by_file, _ = self.json("top", "--focus", "mix[.]h", path)
        self.assertIn("mix", self.rows(by_file))
        ignored, _ = self.json("top", "--ignore", "work", path)
        self.assertEqual(self.rows(ignored), {"main": (5 * TICK, 5 * TICK)})
        self.assertEqual(ignored["total"], 100 * TICK)
        _, err = self.pprof("top", "--focus", "nothing", path, status=1)
        self.assertIn("no sample is selected", err)
        _, err = self.pprof("top", "--focus", "(", path, status=2)
        self.assertIn("regular expression", err)

    def test_lines_are_rows_of_their_own(self):
        out, _ = self.pprof("lines", self.save("p", simple()))
        self.assertIn("mix /src/mix.h:5 (inline)", out)
        self.assertIn("spin /src/work.c:44", out)
        self.assertEqual(self.pprof("top", "--lines", self.path("p"))[0], out)

    def test_several_profiles_are_added(self):
        one, three = self.save("one", simple()), self.save("three", simple(scale=3))
        table, _ = self.json("top", one, three)
        self.assertEqual(self.rows(table)["wait"], (120 * TICK, 120 * TICK))
        heap = Writer(types=(("inuse_space", "bytes"),))
        heap.sample([heap.location([("f", "", 0)])], [1])
        _, err = self.pprof("top", one, self.save("heap", heap), status=2)
        self.assertIn("different kinds", err)

    def test_diff_is_new_minus_base(self):
        base, new = self.save("base", simple()), self.save("new", simple(scale=2))
        table, _ = self.json("diff", base, new)
        self.assertEqual(table["total"], 100 * TICK)
        self.assertEqual(self.rows(table)["wait"], (30 * TICK, 30 * TICK))
        self.assertEqual(self.json("diff", new, base)[0]["rows"][0]["flat"], -50 * TICK)
        self.assertEqual(self.json("diff", "--normalize", base, new)[0]["rows"], [])
        self.pprof("diff", base, status=2)

    def test_drops_what_is_below_half_a_percent(self):
        writer = Writer()
        for name, ticks in (("big", 99700), ("small", 300)):
            writer.sample([writer.location([(name, "", 0)])], [ticks, ticks * TICK])
        out, _ = self.pprof("top", self.save("p", writer))
        self.assertIn("Dropped 1 node (cum <= 5s)", out)
        self.assertNotIn("small", out)

    def test_an_empty_profile_is_bad_news_with_its_reason(self):
        writer = Writer()
        writer.comment("timers are not available: EPERM")
        for verb in ("top", "flame", "raw"):
            _, err = self.pprof(verb, self.save("p", writer), status=1)
            self.assertIn("the profile is empty", err)
            self.assertIn("EPERM", err)

    def test_names_cannot_give_orders_to_the_terminal(self):
        writer = Writer()
        writer.sample([writer.location([("bad\x1b]0;x\x07\x9b", "/a\nb", 1)])], [1, TICK])
        for verb in ("top", "lines", "raw"):
            out, _ = self.pprof(verb, self.save("p", writer))
            self.assertIn("bad?]0;x?", out)
            self.assertNotRegex(out.replace("\n", ""), "[\x00-\x1f]")

    def test_cxx_names_are_shown_without_their_arguments(self):
        names = {
            "_ZN2ns4spinIlEET_S1_RNS_3AccE": "ns::spin",
            "_ZNSt6vectorIiSaIiEE9push_backERKi": "std::vector::push_back",
            "_ZNK3FooclEi": "Foo::operator()",
            "_ZN3FoolsIiEERS_T_": "Foo::operator<<",
            "_ZN12_GLOBAL__N_13runEv": "(anonymous namespace)::run",
            "_ZN3FoocvT_IiEEv": "Foo::operator int",
            "_Z3runv.cold": "run [clone .cold]",
            "_ZnwmSt11align_val_t": "operator new",
            "_Zbroken": "_Zbroken",
            "_start": "_start",
        }
        writer = Writer()
        for name in names:
            writer.sample([writer.location([(name, "", 0)])], [1, TICK])
        table, _ = self.json("top", self.save("p", writer))
        self.assertEqual(sorted(self.rows(table)), sorted(names.values()))

    def test_tables_equal_those_of_go(self):  # timeout=300
        ask = go_pprof(self)
        path = self.save("p", simple())
        rewritten = self.save("rewritten", ask("-proto", path))
        bigger = self.save("bigger", simple(scale=4000))
        for ours, theirs in (
                (["top", path], ["-top", path]),
                (["top", rewritten], ["-top", rewritten]),
                (["top", bigger], ["-top", bigger]),
                (["top", "--sample", "samples", path], ["-top", "-sample_index=samples", path]),
                (["top", "--cum", path], ["-top", "-cum", path]),
                (["top", path, bigger], ["-top", path, bigger]),
                (["lines", path], ["-top", "-lines", path]),
                (["diff", path, bigger], ["-top", "-diff_base=" + path, bigger])):
            out, _ = self.pprof(*ours, env={"TZ": "UTC"})
            expected = ask(*theirs).decode()
            table = [line for line in out.splitlines()]
            want = expected.splitlines()
            start = [index for index, line in enumerate(want) if line.startswith("Showing")][0]
            self.assertEqual([line for line in table if line in want[start:]], want[start:],
                             "%s\n%s\n%s" % (ours, out, expected))


# ---- files, pictures ---------------------------------------------------------------------------


class Files(PprofCase):
    def test_fetch_saves_the_same_bytes_under_the_next_name(self):
        profile = simple().bytes()
        path = self.save("p", profile)
        for name in ("pprof.demo.samples.cpu.001.pb.gz", "pprof.demo.samples.cpu.002.pb.gz"):
            out, err = self.pprof("fetch", path)
            self.assertEqual((out, err), (name + "\n", "rthooks: rate: 100 Hz\n"))
            with open(self.path(name), "rb") as file:
                self.assertEqual(file.read(), profile)
        answer, _ = self.json("fetch", "-o", self.path("x"), path)
        self.assertEqual((answer["file"], answer["samples"]), (self.path("x"), 4))

    def test_o_takes_the_answer_of_every_verb(self):
        path = self.save("p", simple())
        for verb in ("top", "lines", "raw", "flame"):
            out, _ = self.pprof(verb, path)
            self.pprof(verb, path, "-o", self.path("answer"))
            with open(self.path("answer"), encoding="utf-8") as file:
                self.assertEqual(file.read(), out)
        _, err = self.pprof("top", path, "-o", self.path("no", "such", "folder"), status=3)
        self.assertIn("cannot write", err)

    def test_flame_graph_is_one_sound_svg_and_always_the_same(self):
        writer = simple()
        writer.sample([writer.location([("a<b>&\"c\"", "", 0)])], [20, 20 * TICK])
        path = self.save("p", writer)
        first, _ = self.pprof("flame", path)
        self.assertEqual(self.pprof("flame", path)[0], first)
        document = xml.dom.minidom.parseString(first)
        titles = [node.firstChild.data for node in document.getElementsByTagName("title")]
        self.assertEqual(titles[0], "all (1.20s, 100%)")
        self.assertIn("mix (inline) (500ms, 41.67%)", titles)
        self.assertIn("a<b>&\"c\" (200ms, 16.67%)", titles)
        for group in document.getElementsByTagName("g"):
            box = group.getElementsByTagName("rect")[0]
            self.assertGreater(float(box.getAttribute("width")), 0)
            self.assertLessEqual(
                float(box.getAttribute("x")) + float(box.getAttribute("width")), 1190.1)
        self.assertNotRegex(first, r"(href|src)=")
        self.pprof("flame", "--json", path, status=2)

    def test_raw_shows_everything(self):
        out, _ = self.pprof("raw", self.save("p", simple()))
        for text in ("Comment: rate: 100 Hz", "PeriodType: cpu nanoseconds", "Period: 10000000",
                     "samples/count cpu/nanoseconds", "50  500000000: 21 14 7",
                     "thread=worker", "21: 0x403000 M=7 mix /src/mix.h:5",
                     "             spin /src/work.c:44",
                     "7: 0x400000/0x500000/0x0 /usr/bin/demo " + "abcd" * 10 + " [FN] [FL] [LN]"):
            self.assertIn(text, out)
        table, _ = self.json("raw", self.path("p"))
        self.assertEqual(table["samples"][0]["values"], [50, 50 * TICK])
        self.assertEqual(table["samples"][0]["labels"], [{"key": "thread", "value": "worker"}])

    def test_broken_files_are_named_and_refused(self):
        whole = simple().plain()
        compressed = simple().bytes()
        bad_location = Writer()
        bad_location.sample([999], [1, TICK])
        bad_string = Writer()
        bad_string.body += message(5, number(1, 1) + number(2, 4000))
        few_values = Writer()
        few_values.sample([few_values.location()], [1])
        group = Writer()
        group.body += varint(20 << 3 | 3)
        for name, data, text in (
                ("empty", b"", "it is empty"), ("text", b"heap profile: 1: 2\n", "not a profile"),
                ("cut", compressed[:-20], "cut or broken"),
                ("bomb", gzip.compress(bytes(200 << 20), 9), "larger than 128 MiB"),
                ("no-location", bad_location.plain(), "names location 999, which is not there"),
                ("no-string", bad_string.plain(), "names string 4000 of"),
                ("few-values", few_values.plain(), "values"),
                ("group", group.plain(), "no field at byte")):
            for verb in ("top", "raw", "fetch"):
                _, err = self.pprof(verb, self.save(name, data), status=1)
                self.assertIn(text, err)
        # Wherever it is cut it is refused or read, never worse.
        for length in range(0, len(whole), 7):
            result = self.run_rthooks("pprof", "top", self.save("part", whole[:length]))
            self.assertIn(result.status, (0, 1), result)
            self.assertTrue(result.status == 0 or result.stderr.startswith(b"rthooks: "), result)

    def test_wrong_use_is_status_2(self):
        path = self.save("p", simple())
        for arguments in ([], ["top"], ["peek", path], ["top", "--seconds", "0", path],
                          ["top", "--hz", "x", path], ["raw", path, path],
                          ["top", "--profile", "../x", path], ["top", "--normalize", path],
                          ["top", "--symbolize", "all", path], ["top", "--unknown", path]):
            _, err = self.pprof(*arguments, status=2)
            self.assertIn("--help", err)
        self.pprof("top", self.path("nothing-here"), status=3)


# ---- servers -----------------------------------------------------------------------------------


class Servers(PprofCase):
    def test_a_url_is_asked_for_the_profile(self):
        answers = {"/debug/pprof/profile": (200, simple().bytes()),
                   "/debug/pprof/heap": (200, simple().bytes()),
                   "/debug/pprof/mutex": (501, b"no hooks\nsecond line\n")}
        with server(answers) as (port, asked):
            url = "http://127.0.0.1:%d" % port
            for arguments, path in (
                    (["--seconds", "3", "--hz", "250", url], "profile?seconds=3&hz=250"),
                    ([url], "profile?seconds=30"),
                    (["127.0.0.1:%d" % port, "--hz", "9"], "profile?seconds=30&hz=9"),
                    (["--profile", "heap", url + "/"], "heap"),
                    (["--profile", "heap", "--seconds", "2", url + "/debug/pprof/"],
                     "heap?seconds=2"),
                    ([url + "/debug/pprof/profile?seconds=4"], "profile?seconds=4")):
                table, _ = self.json("top", *arguments)
                self.assertEqual(table["total"], 100 * TICK)
                self.assertEqual(asked, ["/debug/pprof/" + path, "/version"])
                asked.clear()
            _, err = self.pprof("top", "--profile", "mutex", url, status=3)
            self.assertIn("status 501: no hooks\n", err)
            _, err = self.pprof("top", "--profile", "odd", url, status=3)
            self.assertIn("status 404", err)
            self.pprof("top", "--hz", "5", url + "/debug/pprof/heap", status=2)
            # Named after the program, or as the service calls itself.
            self.assertEqual(self.pprof("fetch", url)[0], "pprof.demo.samples.cpu.001.pb.gz\n")
            answers["/version"] = (200, b'{"name": "cache/../1"}')
            self.assertEqual(self.pprof("fetch", url)[0],
                             "pprof.cache_.._1.samples.cpu.001.pb.gz\n")
        _, err = self.pprof("top", url, status=3)
        self.assertIn("127.0.0.1", err)

    def test_a_running_process_is_profiled_by_pid_socket_and_url(self):
        program = self.start([Binary(self).path, "20000000000"])
        endpoints = program.wait_for_admin()
        if harness.fetch(endpoints[0], "/debug/pprof/profile?seconds=1").status == 404:
            harness.skip("this build has no /debug/pprof/profile")
        for target in (str(program.pid), program.unix, "127.0.0.1:%d" % program.port):
            table, err = self.json("top", "--seconds", "1", target)
            self.assertEqual(table["type"], "cpu")
            self.assertIn("ns::spin", self.rows(table), (table, err))
        lines, _ = self.json("lines", "--seconds", "1", str(program.pid))
        spots = {(row["function"], os.path.basename(row.get("file", ""))) for row in lines["rows"]}
        self.assertTrue({("ns::mix", "cxx.cc"), ("ns::Acc::add", "cxx.cc")} & spots, spots)


# ---- files and lines ---------------------------------------------------------------------------


class Symbols(PprofCase):
    def lines_of(self, profile, *options, **more):
        """Per location its "FILE:LINE"s, and its function names; what was said."""
        raw, err = self.json("raw", self.save("profile", profile), *options, **more)
        lines = [["%s:%d" % (line["file"], line["line"]) for line in location["lines"]]
                 for location in raw["locations"]]
        names = [[line["function"] for line in location["lines"]]
                 for location in raw["locations"]]
        return lines, names, err

    def check(self, binary, judge=ADDR2LINE):
        vaddrs = binary.addresses(*FUNCTIONS)
        self.assertGreater(len(vaddrs), 30)
        lines, names, err = self.lines_of(binary.profile(vaddrs))
        self.assertEqual(err, "")
        expected = binary.expected(vaddrs, judge)
        self.assertTrue(any(len(stack) > 1 for stack in expected), "nothing is inlined")
        self.assertEqual(lines, expected)
        flat = {name for stack in names for name in stack}
        self.assertEqual(flat & {"ns::spin", "ns::mix", "plain", "main"},
                         {"ns::spin", "ns::mix", "plain", "main"})

    def test_lines_and_inlined_functions_equal_addr2line(self):
        for name, options in (("o2", ["-O2", "-g"]), ("o3", ["-O3", "-g"]),
                              ("v4", ["-O2", "-g", "-gdwarf-4"]),
                              ("packed", ["-O2", "-g", "-gz"]),
                              ("static", ["-O2", "-g", "-static", "-no-pie"])):
            with self.subTest(name):
                self.check(Binary(self, name, options=options))

    def test_lines_and_inlined_functions_equal_llvm_symbolizer(self):
        tools = [next((path for path in map(shutil.which, (name + "-14", name)) if path), None)
                 for name in ("clang++", "llvm-symbolizer")]
        if None in tools:
            harness.skip("clang++ or llvm-symbolizer is not installed")
        judge = (tools[1], "--addresses", "--functions=none", "--output-style=GNU", "--obj")
        # What addr2line does not read, or not all of.
        for name, compiler, options in (("clang", tools[0], ["-O2", "-g"]),
                                        ("clang-split", tools[0], ["-O2", "-g", "-gsplit-dwarf"]),
                                        ("split", "g++", ["-O2", "-g", "-gsplit-dwarf"]),
                                        ("lto", "g++", ["-O2", "-g", "-flto"])):
            with self.subTest(name):
                self.check(Binary(self, name, compiler=compiler, options=options), judge)

    def split(self, binary):
        """Strips the program; returns the file with its debug information."""
        debug = self.path("apart.debug")
        subprocess.run(["objcopy", "--only-keep-debug", binary.path, debug], check=True)
        subprocess.run(["objcopy", "--strip-all", binary.path], check=True)
        return debug

    def test_separate_debug_information_is_found_by_build_id(self):
        binary = Binary(self)
        vaddrs = binary.addresses(*FUNCTIONS)
        expected = binary.expected(vaddrs)
        profile = binary.profile(vaddrs)
        debug = self.split(binary)
        lines, names, err = self.lines_of(profile)
        self.assertEqual(lines, [[":0"]] * len(vaddrs))
        self.assertEqual(names[0], ["[cxx]"])
        self.assertIn("no line information for cxx", err)
        tail = os.path.join(binary.build_id[:2], binary.build_id[2:] + ".debug")
        for index, (folder, options, environment) in enumerate((
                (os.path.join(".build-id", tail), True, None), (tail, True, None),
                (tail, False, "PPROF_BINARY_PATH"),
                (os.path.join(binary.build_id, "anything"), False, "PPROF_BINARY_PATH"))):
            top = self.path("debug%d" % index)
            os.makedirs(os.path.dirname(os.path.join(top, folder)))
            shutil.copy(debug, os.path.join(top, folder))
            found = self.lines_of(profile, *(["--debug-dir", top] if options else []),
                                  env={environment: "/nowhere:" + top} if environment else None)
            self.assertEqual((found[0], found[2]), (expected, ""), folder)
        # The program itself is not needed.
        os.unlink(binary.path)
        found = self.lines_of(profile, "--debug-dir", self.path("debug0"))
        self.assertEqual(found[0], expected)
        _, names, err = self.lines_of(profile)
        self.assertEqual(names[0], ["[cxx]"])
        self.assertIn("no file of build-id " + binary.build_id, err)

    def test_another_build_is_refused(self):
        binary = Binary(self)
        other = Binary(self, "other", options=["-O1", "-g"])
        vaddrs = binary.addresses("main")
        profile = binary.profile(vaddrs)
        shutil.copy(other.path, binary.path)
        lines, names, err = self.lines_of(profile)
        self.assertEqual((lines[0], names[0]), ([":0"], ["[cxx]"]))
        self.assertIn("%s has build-id %s, the profile %s: not used" % (
            binary.path, other.build_id, binary.build_id), err)
        # The right one elsewhere is taken all the same.
        _, _, err = self.lines_of(other.profile(vaddrs, path=binary.path))
        self.assertEqual(err, "")

    def test_only_what_lacks_lines_is_filled(self):
        binary = Binary(self)
        vaddr = binary.addresses("plain")[0]
        writer = binary.profile([vaddr])
        address = vaddr - binary.vaddr + binary.start
        named = writer.location([("given", "/given.c", 7)], address, 7)
        half = writer.location([("half", "", 0)], address, 7)
        writer.sample([named, half], [1, TICK])
        lines, names, _ = self.lines_of(writer)
        self.assertEqual((names[1], lines[1]), (["given"], ["/given.c:7"]))
        self.assertEqual(lines[2], lines[0])
        self.assertEqual(names[2], [name.replace("plain", "half") for name in names[0]])
        # A table by function takes the names that are there.
        table, _ = self.json("top", self.path("profile"))
        self.assertEqual(set(self.rows(table)), {"plain", "given", "half"})
        table, _ = self.json("top", "--symbolize", "none", self.path("profile"))
        self.assertEqual(set(self.rows(table)), {"[cxx]", "given", "half"})

    def test_servers_of_debug_information_are_asked_only_on_request(self):
        binary = Binary(self)
        vaddrs = binary.addresses("plain")
        profile = binary.profile(vaddrs)
        debug = self.split(binary)
        with socket.socket() as hole:
            hole.bind(("127.0.0.1", harness.free_port()))
            hole.listen(8)
            hole.setblocking(False)
            url = "http://127.0.0.1:%d" % hole.getsockname()[1]
            _, names, _ = self.lines_of(profile, env={"DEBUGINFOD_URLS": url})
            self.assertEqual(names[0], ["[cxx]"])
            with self.assertRaises(BlockingIOError):
                hole.accept()
        with open(debug, "rb") as file:
            answers = {"/buildid/%s/debuginfo" % binary.build_id: (200, file.read())}
        with server(answers) as (port, asked):
            _, names, _ = self.lines_of(profile, "--debuginfod", env={
                "DEBUGINFOD_URLS": "http://127.0.0.1:%d" % port,
                "DEBUGINFOD_CACHE_PATH": self.path("cache")})
            if not asked:
                harness.skip("libdebuginfod is not installed")
            self.assertIn("plain", names[0])

    def test_hostile_files_hurt_nobody(self):
        binary = Binary(self)
        vaddrs = binary.addresses(*FUNCTIONS)
        profile = binary.profile(vaddrs)
        headers = subprocess.run(["readelf", "-SW", binary.path], check=True, capture_output=True,
                                 text=True).stdout
        areas = [(int(offset, 16), int(size, 16)) for offset, size in re.findall(
            r"\.(?:debug_\w+|symtab|strtab) +\w+ +\w+ (\w+) (\w+)", headers)]
        self.assertGreater(len(areas), 5)
        with open(binary.path, "rb") as file:
            sound = file.read()
        dice = random.Random(7)
        for round_number in range(25):
            data = bytearray(sound)
            for _ in range(1 + 40 * round_number):
                offset, size = dice.choice(areas)
                data[offset + dice.randrange(size)] = dice.randrange(256)
            if round_number % 5 == 4:
                del data[dice.randrange(len(data) // 2, len(data)):]
            with open(binary.path, "wb") as file:
                file.write(data)
            lines, _, _ = self.lines_of(profile)
            self.assertEqual(len(lines), len(vaddrs))
        for data in (b"", b"\x7fELF", sound[:64], bytes(4096)):
            with open(binary.path, "wb") as file:
                file.write(data)
            lines, names, _ = self.lines_of(profile)
            self.assertEqual((lines[0], names[0]), ([":0"], ["[cxx]"]))

    def stopped(self, number):
        """What rthooks answers when its reader of symbols gets that signal in the middle."""
        binary = Binary(self)
        vaddrs = binary.addresses(*FUNCTIONS) * 1000
        path = self.save("many", binary.profile(vaddrs))
        for _ in range(20):
            program = harness.Program(self, [self.rthooks, "pprof", "top", "--symbolize", "lines",
                                             path], hooked=False)
            children = []
            while not children and program.process.poll() is None:
                children = harness.children(program.pid)
            with contextlib.suppress(ProcessLookupError):
                for child in children:
                    os.kill(child, number)
            self.assertEqual(program.wait(), 0)
            if b"could not be read" in program.stderr():
                self.assertIn(b"[cxx]", program.stdout())
                return program.stderr().decode()
        raise AssertionError("the reader was never met: %r" % program.stderr())

    def test_a_reader_that_hangs_is_given_up(self):
        self.assertIn("it took too long", self.stopped(signal.SIGSTOP))

    def test_a_reader_that_crashes_costs_only_its_answer(self):
        self.assertIn("the reader stopped: Segmentation fault", self.stopped(signal.SIGSEGV))


if __name__ == "__main__":
    harness.main()
