# SPDX-License-Identifier: MIT
"""Profiles of a program's own, and rth_profile_write, in programs that link rthooks in every way
there is."""
import os
import re
import shutil
import subprocess

import harness
from harness import fetch, wait_until
from profile import Profile

KINDS = ("shared", "static", "interposed")


class ProfileCase(harness.Case):
    def service(self, kind, mode, admin=True):
        port = harness.free_port()
        program = self.start([harness.host("profiles_" + kind), mode], hooked=False, port=port,
                             stdin=subprocess.PIPE, cwd=self.fresh_folder(),
                             env={"RTHOOKS_ADMIN": "127.0.0.1:%d" % port if admin else "off"})
        program.wait_for_output(b"ready")
        if admin:
            program.wait_for_admin()
        return program

    def end(self, program):
        program.process.stdin.close()
        self.assertEqual(program.wait(), 0, program.stdout())
        self.assertIn(b"fine", program.stdout())

    def get(self, program, query):
        answer = fetch(program.port, "/debug/pprof/" + query, timeout_s=30)
        self.assertEqual(answer.status, 200, answer)
        return answer

    def assert_connections(self, profile):
        """What open_all of the program holds."""
        self.assertEqual(profile.sample_types, [("connections", "count")])
        self.assertEqual(profile.period, 1)
        self.assertEqual(profile.duration_ns, 0)
        self.assertGreater(profile.time_ns, 0)
        self.assertEqual(profile.total(), 8)
        labelled = [sample for sample in profile.samples if sample.labels]
        plain = [sample for sample in profile.samples if not sample.labels]
        self.assertEqual([(sample.values, sample.labels) for sample in labelled],
                         [([6], {"handler": "/checkout"})])
        self.assertEqual(sum(sample.values[0] for sample in plain), 2)
        for sample in labelled:
            self.assertEqual(sample.stack[:3], ["open_connection", "open_checkout", "open_all"])
        for sample in plain:
            self.assertEqual(sample.stack[:2], ["open_connection", "open_all"])
        for sample in profile.samples:
            self.assertIn("main", sample.stack)


class Custom(ProfileCase):
    def assert_shown(self, kind):
        program = self.service(kind, "hold")
        answer = self.get(program, "connections")
        self.assertEqual(answer.header("Content-Type"), "application/octet-stream")
        self.assertEqual(answer.header("Content-Disposition"), 'attachment; filename="connections"')
        self.assert_connections(Profile(answer.body))
        # The same values in another profile: none was taken out there.
        self.assertEqual(Profile(self.get(program, "sessions").body).total(), 9)
        self.end(program)

    def test_values_are_shown_by_stack_and_labels_in_the_shared_library(self):
        self.assert_shown("shared")

    def test_values_are_shown_by_stack_and_labels_in_the_archive(self):
        self.assert_shown("static")

    def test_values_are_shown_by_stack_and_labels_beside_the_interposer(self):
        self.assert_shown("interposed")

    def test_the_index_lists_them_among_the_others_with_their_counts(self):
        program = self.service("shared", "hold")
        text = self.get(program, "").text
        rows = re.findall(r"<tr><td>(\d+)</td><td><a href='([^']+)\?debug=1'>([^<]+)</a></td></tr>",
                          text)
        names = [name for _, _, name in rows]
        self.assertEqual(names, sorted(names))
        self.assertIn(("8", "connections", "connections"), rows)
        self.assertIn(("9", "sessions", "sessions"), rows)
        self.assertIn("<li><div class=profile-name>connections: </div> ", text)
        self.assertIn("threads", names)
        status = fetch(program.port, "/debug/runtime/status").json()
        custom = next(row for row in status["capabilities"] if row["name"] == "custom")
        self.assertEqual(custom["profiles"], {"connections": {"values": 8, "refused": 0},
                                              "sessions": {"values": 9, "refused": 0}})
        self.end(program)

    def test_text_is_gos(self):
        program = self.service("shared", "hold")
        answer = self.get(program, "connections?debug=1")
        self.assertEqual(answer.header("Content-Type"), "text/plain; charset=utf-8")
        self.assertIsNone(answer.header("Content-Disposition"))
        text = answer.text
        self.assertTrue(text.startswith("connections profile: total 8\n"), text)
        self.assertRegex(text, r'(?m)^6 @( 0x[0-9a-f]+)+\n# labels: \{"handler":"/checkout"\}\n'
                               r'#\t0x[0-9a-f]+\topen_connection\+0x[0-9a-f]+\t')
        self.assertEqual(self.get(program, "connections?debug=2").text.splitlines()[0],
                         "connections profile: total 8")
        bare = self.get(program, "connections?debug=1&symbols=none").text
        self.assertNotIn("open_connection", bare)
        self.end(program)

    def test_what_it_cannot_do_is_refused_in_gos_words(self):
        program = self.service("shared", "hold")
        for query, status, text in (
                ("connections?seconds=1", 400,
                 '"seconds" parameter is not supported for this profile type\n'),
                ("connections?seconds=0", 400,
                 'invalid value for "seconds" - must be a positive integer\n'),
                ("connection", 404, "Unknown profile\n"),
                ("connections/", 404, "Unknown profile\n")):
            answer = fetch(program.port, "/debug/pprof/" + query)
            self.assertEqual((answer.status, answer.text), (status, text), query)
            self.assertEqual(answer.header("X-Go-Pprof"), "1", query)
        answer = fetch(program.port, "/debug/pprof/connections", method="POST")
        self.assertEqual(answer.status, 405)
        self.end(program)

    def test_without_symbols_there_are_addresses(self):
        program = self.service("shared", "hold")
        profile = Profile(self.get(program, "connections?symbols=none").body)
        self.assertEqual(profile.total(), 8)
        self.assertEqual({name for sample in profile.samples for name in sample.stack}, {""})
        self.assertTrue(all(sample.addresses for sample in profile.samples))
        self.end(program)

    def test_go_tool_pprof_reads_it(self):  # timeout=300
        go = shutil.which("go", path=os.environ.get("PATH", "") + ":/usr/local/go/bin")
        if not go:
            harness.skip("go is not installed")
        program = self.service("shared", "hold")
        path = self.path("connections.pb.gz")
        with open(path, "wb") as file:
            file.write(self.get(program, "connections").body)

        def pprof(*arguments):
            environment = dict(os.environ, PPROF_TMPDIR=self.path("tmp"), GOFLAGS="",
                               GOPROXY="off", GOTOOLCHAIN="local")
            return subprocess.run([go, "tool", "pprof", *arguments, path], check=True, text=True,
                                  capture_output=True, env=environment, cwd=self.tmp).stdout

        raw = pprof("-raw")
        self.assertIn("PeriodType: connections count\nPeriod: 1\n", raw)
        self.assertRegex(raw, r"Samples:\nconnections/count\n")
        self.assertRegex(raw, r"(?m)^ +6: [ \d]+\n +handler:\[/checkout\]")
        top = pprof("-top", "-tagfocus", "handler=/checkout")
        self.assertRegex(top, r"(?m)^ +6 .*open_connection$")
        self.end(program)


class Fork(ProfileCase):
    def assert_child(self, kind):
        program = self.service(kind, "fork")
        program.wait_for_output(b"child ready")
        child = int(re.search(rb"child (\d+)", program.stdout()).group(1))
        wait_until("the child's own answer", lambda: fetch(
            program.port, "/version?pid=%d" % child).status == 200)
        profile = Profile(self.get(program, "connections?pid=%d" % child).body)
        self.assertEqual(profile.total(), 3)
        self.assertEqual(profile.comment("a forked process: "),
                         "a forked process: values that were added before the fork are in its "
                         "parent's profile alone")
        labelled = [sample for sample in profile.samples if sample.labels]
        self.assertEqual(sum(sample.values[0] for sample in labelled), 2)
        for sample in labelled:
            self.assertEqual(sample.stack[:2], ["open_connection", "open_checkout"])
        # The parent's are as they were.
        own = Profile(self.get(program, "connections").body)
        self.assert_connections(own)
        self.assertFalse([text for text in own.comments if text.startswith("a forked process")])
        self.end(program)

    def test_a_child_begins_empty_with_the_same_profiles(self):
        self.assert_child("shared")

    def test_a_child_beside_the_interposer_begins_empty_with_the_same_profiles(self):
        self.assert_child("interposed")


class Write(ProfileCase):
    def read(self, name):
        with open(self.path("work", name), "rb") as file:
            return file.read()

    def assert_files(self):
        self.assert_connections(Profile(self.read("connections.pb.gz")))
        text = self.read("connections.txt").decode()
        self.assertTrue(text.startswith("connections profile: total 8\n"), text)
        threads = Profile(self.read("threads.pb.gz"))
        self.assertEqual(threads.sample_types, [("threads", "count")])
        writers = [sample for sample in threads.samples if "write_all" in sample.stack]
        self.assertEqual(len(writers), 1)
        cpu = Profile(self.read("cpu.pb.gz"))
        self.assertEqual(cpu.sample_types, [("samples", "count"), ("cpu", "nanoseconds")])
        self.assertGreaterEqual(cpu.duration_ns, 900000000)
        self.assertEqual(cpu.period, 4000000)
        self.assertIn("requested_hz=250 ", cpu.comment("requested_hz="))

    def assert_written(self, kind, mode, admin):
        program = self.service(kind, mode, admin)
        self.assert_files()
        if not admin:
            # The thread that made them was there for the calls alone.
            self.assertNotIn("rth-work", harness.task_names(program.pid))
        self.end(program)

    def test_the_program_writes_what_the_endpoint_answers(self):
        for kind in KINDS:
            self.assert_written(kind, "write", True)

    def test_it_does_so_without_an_endpoint_too(self):
        for kind in KINDS:
            self.assert_written(kind, "write", False)

    def test_a_forked_child_does_so_too(self):
        for kind in KINDS:
            for admin in (True, False):
                self.assert_written(kind, "child", admin)

    def test_stopping_ends_a_write_and_forgets_the_values(self):
        for kind in ("shared", "interposed"):
            for admin in (True, False):
                program = self.service(kind, "stop", admin)
                again = Profile(self.read("again.pb.gz"))
                self.assertEqual(again.total(), 1)
                self.end(program)


if __name__ == "__main__":
    harness.main()
