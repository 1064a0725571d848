# SPDX-License-Identifier: MIT
"""What `go tool pprof` makes of our profiles: made by the runtime's own encoder, read by Google's."""
import os
import re
import shutil
import subprocess

import harness


class Encoded(harness.Case):
    def setUp(self):
        super().setUp()
        self.go = shutil.which("go") or harness.skip("go is not in PATH")
        self.maker = os.path.join(harness.BUILD, "tests", "encode_self")

    def make(self, form, repeat=1):
        path = self.path("%s.%d" % (form, repeat))
        with open(path, "wb") as file:
            subprocess.run([self.maker, form, str(repeat)], stdout=file, check=True)
        return path

    def pprof(self, *arguments):
        """Standard output; complaints of pprof fail the test."""
        run = subprocess.run(
            [self.go, "tool", "pprof", *arguments], capture_output=True, text=True, check=False,
            cwd=self.tmp, env={**os.environ, "GOTOOLCHAIN": "local", "PPROF_TMPDIR": self.tmp})
        self.assertEqual(run.returncode, 0, run.stderr)
        return run.stdout

    def test_raw_shows_every_field(self):  # timeout=300
        raw = self.pprof("-raw", self.make("proto"))
        self.assertIn("PeriodType: cpu nanoseconds\nPeriod: 10000000\n", raw)
        self.assertIn("Time: 2023-11-14", raw)
        self.assertIn("Duration: 1s\n", raw)
        self.assertIn("made up", raw)
        self.assertRegex(raw, r"samples/count cpu/nanoseconds\n\s+3\s+30000000: 1 2 3")
        self.assertRegex(raw, r"\s+1\s+10000000: 4 2 3\s*\n"
                              r"\s+tenant:\[blue\]\s*\n\s+bytes:\[64 bytes\]")
        mappings = re.findall(r"^\d+: (0x\w+)/(0x\w+)/(0x\w+) (\S+) (\S*) (.*)$", raw, re.M)
        self.assertEqual(mappings[0][3], os.path.realpath(self.maker), raw)
        self.assertIn("libc.so.6", mappings[1][3])
        for start, limit, offset, _, build_id, flags in mappings:
            self.assertLess(int(start, 16), int(limit, 16))
            self.assertGreater(int(offset, 16), 0)
            self.assertRegex(build_id, r"^[0-9a-f]{40}$")
            self.assertEqual(flags.strip(), "[FN]")

    def test_top_shows_demangled_names(self):  # timeout=300
        top = self.pprof("-top", self.make("proto"))
        self.assertIn("Type: cpu", top)
        self.assertRegex(top, r"30ms\s+75\.00%\s+75\.00%\s+30ms\s+75\.00%\s+demo::inner")
        self.assertRegex(top, r"10ms\s+25\.00%\s+100%\s+10ms\s+25\.00%\s+_*getpid")
        self.assertRegex(top, r"\s40ms\s+100%\s+demo_outer")
        self.assertRegex(top, r"\s40ms\s+100%\s+main")

    def test_tags_focus_on_their_samples(self):  # timeout=300
        path = self.make("proto")
        for focus, share in (("tenant=blue", "10ms, 25.00% of 40ms"),
                             ("tenant=red", "0, 0% of 40ms"),
                             ("bytes=32b:128b", "10ms, 25.00% of 40ms")):
            self.assertIn("Showing nodes accounting for %s total" % share,
                          self.pprof("-top", "-tagfocus=" + focus, path))

    def shares(self, path):
        """{name: (flat, cumulative)} but of getpid, which has aliases, and no name in a libc
        without debug information; demo::inner is called demo_inner there."""
        rows = re.findall(r"^ *(\S+) +\S+% +\S+% +(\S+) +\S+%  ([\w:]+)$",
                          self.pprof("-top", "-functions", path), re.M)
        return {name.replace("::", "_"): (flat, cumulative) for flat, cumulative, name in rows
                if "getpid" not in name}

    def test_bare_addresses_are_resolved_by_the_reader(self):  # timeout=300
        harness.need("addr2line")
        bare = self.make("bare")
        self.assertNotIn("demo", self.pprof("-raw", "-symbolize=none", bare))
        lines = self.pprof("-list=demo_outer", bare)
        self.assertIn("encode_self.c", lines)
        self.assertRegex(lines, r"\s40ms\s+\d+:\{\n.*return demo_inner")
        theirs = self.shares(bare)
        self.assertEqual(theirs, self.shares(self.make("proto")))
        self.assertEqual(set(theirs), {"demo_inner", "demo_outer", "main"})

    def test_two_runs_are_compared_across_address_randomization(self):  # timeout=300
        base, later = self.make("proto", 1), self.make("proto", 3)
        starts = {re.search(r"^1: (0x\w+)/", self.pprof("-raw", path), re.M).group(1)
                  for path in (base, later)}
        if len(starts) == 1:
            harness.skip("addresses are not randomized here")
        top = self.pprof("-top", "-base=" + base, later)
        self.assertRegex(top, r"\s60ms\s+100%\s+100%\s+60ms\s+100%\s+demo::inner")
        self.assertNotIn("getpid", top)

    def test_text_is_read_as_a_count_profile(self):  # timeout=300
        path = self.make("text")
        text = harness.read_text(path)
        self.assertTrue(text.startswith("goroutine profile: total 4\n# made up\n3 @ 0x"), text)
        self.assertRegex(text, r"#\t0x\w+\tdemo::inner\(int\)\+0x1\t/\S+/encode_self\n")
        raw = self.pprof("-raw", "-symbolize=none", path)
        self.assertRegex(raw, r"goroutine/count\n\s+3: 1 2 3\s*\n\s+1: 4 2 3")


if __name__ == "__main__":
    harness.main()
