# SPDX-License-Identifier: MIT
"""Labels: whose CPU time it was, in programs that link rthooks in every way there is."""
import collections
import os
import re
import shutil
import subprocess

import harness
from harness import fetch, wait_until
from profile import Profile

KINDS = ("shared", "static", "interposed")


class LabelCase(harness.Case):
    def labelled(self, kind, mode):
        port = harness.free_port()
        program = self.start([harness.host("labels_" + kind), mode], hooked=False, port=port,
                             stdin=subprocess.PIPE,
                             env={"RTHOOKS_ADMIN": "127.0.0.1:%d" % port})
        program.wait_for_output(b"ready")
        program.wait_for_admin()
        return program

    def end(self, program):
        program.process.stdin.close()
        self.assertEqual(program.wait(), 0, program.stdout())
        self.assertIn(b"fine", program.stdout())

    def capture(self, program, seconds=3, query=""):
        answer = fetch(program.port, "/debug/pprof/profile?seconds=%d%s" % (seconds, query),
                       timeout_s=60)
        self.assertEqual(answer.status, 200, answer)
        return Profile(answer.body)


class Shares(LabelCase):
    def assert_shares(self, kind):
        """3 : 1 : 1 by what really ran, each under its own label and no other."""
        program = self.labelled(kind, "shares")
        profile = self.capture(program, 4, "&hz=500")
        by_handler, stacks = collections.Counter(), 0
        for sample in profile.samples:
            handler = sample.labels.get("handler", "")
            stacks += sample.values[0]
            for function, own in (("burn_checkout", "/checkout"), ("burn_search", "/search"),
                                  ("burn_unlabelled", "")):
                if function in sample.stack:
                    self.assertEqual(sample.labels, {"handler": own} if own else {}, sample)
                    by_handler[handler] += sample.values[1]
        kept = int(profile.comment("samples kept=").split("=")[1].split()[0])
        total = sum(by_handler.values())
        self.assertGreater(total, 0.9 * profile.total())
        # A share is counted by stacks: four standard deviations of that count.
        bound = 4 * 0.5 / kept ** 0.5 + 0.01
        shares = {name: value / total for name, value in by_handler.items()}
        print(kind, shares, "bound", bound)
        for name, expected in (("/checkout", 0.6), ("/search", 0.2), ("", 0.2)):
            self.assertLess(abs(shares[name] - expected), bound, shares)
        self.assertEqual(stacks, profile.total(0))
        self.end(program)

    def test_shares_by_label_are_what_ran_in_the_shared_library(self):  # serial
        self.assert_shares("shared")

    def test_shares_by_label_are_what_ran_in_the_archive(self):  # serial
        self.assert_shares("static")

    def test_shares_by_label_are_what_ran_beside_the_interposer(self):  # serial
        self.assert_shares("interposed")

    def test_tagfocus_of_go_tool_pprof_selects_one_handler(self):  # timeout=300
        go = shutil.which("go", path=os.environ.get("PATH", "") + ":/usr/local/go/bin")
        if not go:
            harness.skip("go is not installed")
        program = self.labelled("shared", "shares")
        answer = fetch(program.port, "/debug/pprof/profile?seconds=3", timeout_s=60)
        path = self.path("cpu.pb.gz")
        with open(path, "wb") as file:
            file.write(answer.body)
        profile = Profile(answer.body)

        def pprof(*arguments):
            environment = dict(os.environ, PPROF_TMPDIR=self.path("tmp"), GOFLAGS="",
                               GOPROXY="off", GOTOOLCHAIN="local")
            return subprocess.run([go, "tool", "pprof", *arguments, path], check=True, text=True,
                                  capture_output=True, env=environment, cwd=self.tmp).stdout

        text = pprof("-top", "-unit=ms", "-tagfocus", "handler=/checkout")
        self.assertIn("burn_checkout", text)
        self.assertNotIn("burn_search", text)
        self.assertNotIn("burn_unlabelled", text)
        share = float(re.search(r"accounting for [\d.]+ms, ([\d.]+)%", text).group(1)) / 100
        expected = sum(sample.values[1] for sample in profile.samples
                       if sample.labels.get("handler") == "/checkout") / profile.total()
        self.assertAlmostEqual(share, expected, delta=0.01)
        self.assertIn("/search", pprof("-tags"))
        self.end(program)


class Dump(LabelCase):
    def dump(self, program, query):
        answer = fetch(program.port, "/debug/pprof/" + query, timeout_s=30)
        self.assertEqual(answer.status, 200, answer)
        return answer

    def test_a_dump_has_the_labels_of_sleepers_and_of_running_threads(self):
        for kind in KINDS:
            program = self.labelled(kind, "shares")
            seen = set()

            def both(program=program, seen=seen):
                for sample in Profile(self.dump(program, "threads").body).samples:
                    self.assertIn("state", sample.labels)
                    handler = sample.labels.get("handler")
                    if "burn_checkout" in sample.stack:
                        self.assertEqual(handler, "/checkout")
                    if "burn_search" in sample.stack:
                        self.assertEqual(handler, "/search")
                    seen.update(sample.labels.get(key) for key in ("handler", "role"))
                return {"/checkout", "standby"} <= seen
            wait_until("both kinds", both)
            self.end(program)

    def test_text_shows_labels_as_go_does_and_no_secret(self):
        program = self.labelled("shared", "shares")
        wanted = '# labels: {"api_token":"***", "role":"standby"}\n'
        text = self.dump(program, "goroutine?debug=1").text
        self.assertRegex(text, r"1 @[ 0-9a-fx]+\n" + re.escape(wanted))
        text = self.dump(program, "threads?debug=2").text
        self.assertRegex(text, r'thread \d+ "[^"]+" \[sleeping[^\]]* '
                               r'labels:\{"api_token":"\*\*\*", "role":"standby"\}\]:\n')
        for path in ("threads", "threads?debug=1", "threads?debug=2", "goroutine"):
            self.assertNotIn(b"s3cret", self.dump(program, path).body)
        self.end(program)

    def test_a_thread_begins_with_its_creators_labels_beside_the_interposer_alone(self):
        for kind, expected in (("shared", None), ("static", None), ("interposed", "/creator")):
            program = self.labelled(kind, "threads")
            profile = Profile(self.dump(program, "threads").body)
            standing = [sample.labels for sample in profile.samples if "stand_by" in sample.stack]
            self.assertEqual([labels.get("handler") for labels in standing], [expected], kind)
            self.end(program)


class Fork(LabelCase):
    def assert_child(self, kind):
        program = self.labelled(kind, "fork")
        program.wait_for_output(b"child ")
        child = int(re.search(rb"child (\d+)", program.stdout()).group(1))
        wait_until("the child's own answer", lambda: fetch(
            program.port, "/version?pid=%d" % child).status == 200)
        samples = self.capture(program, 2, "&pid=%d" % child).samples
        burning = [sample for sample in samples if "burn_search" in sample.stack]
        self.assertTrue(burning)
        for sample in burning:
            self.assertEqual(sample.labels, {"handler": "/parent", "step": "child"})
        for sample in self.capture(program, 1).samples:
            self.assertEqual(sample.labels, {})
        self.end(program)

    def test_a_child_keeps_the_labels_of_the_fork_and_adds_its_own(self):
        self.assert_child("shared")

    def test_a_child_does_so_beside_the_interposer(self):
        self.assert_child("interposed")


class Bounds(LabelCase):
    def test_too_many_sets_become_one_that_says_so(self):
        program = self.labelled("shared", "crowd")
        profile = self.capture(program, 2)
        for function, labels in (("burn_search", {"rthooks": "label sets overflowed"}),
                                 ("burn_checkout", {"kept": "before"})):
            found = [sample.labels for sample in profile.samples if function in sample.stack]
            self.assertTrue(found)
            for seen in found:
                self.assertEqual(seen, labels)
        self.assertTrue(profile.comment("label sets overflowed: "))
        status = fetch(program.port, "/debug/runtime/status").json()
        row = next(row for row in status["capabilities"] if row["name"] == "labels")
        self.assertGreater(row["lost_sets_full"] + row["lost_strings_full"], 50000)
        self.assertGreater(row["sets"], 10000)
        self.end(program)


class Cpp(harness.Case):
    def test_exceptions_and_callbacks_put_back_what_was_there(self):
        for kind in KINDS:
            result = self.run_to_end([harness.host("labels_leave_" + kind)], hooked=False)
            self.assertEqual((result.status, result.stdout), (0, b"fine\n"), kind)


if __name__ == "__main__":
    harness.main()
