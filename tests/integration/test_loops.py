# SPDX-License-Identifier: MIT
"""The adapters for event loops: they wake nobody, and tell what kept a loop."""
import collections
import os
import re
import subprocess

import harness
from harness import fetch, wait_until
from profile import Profile


class LoopCase(harness.Case):
    def program(self, name):
        path = harness.host(name)
        if not os.path.exists(path):
            harness.skip("the library of %s is not installed" % name)
        return path

    def service(self, name, mode):
        port = harness.free_port()
        program = self.start([self.program(name), mode, "watched"], hooked=False, port=port,
                             stdin=subprocess.PIPE, env={"RTHOOKS_ADMIN": "127.0.0.1:%d" % port})
        program.wait_for_output(b"ready")
        program.wait_for_admin()
        return program

    def end(self, program):
        program.process.stdin.close()
        self.assertEqual(program.wait(), 0, program.stdout())

    def row(self, program, name):
        status = fetch(program.port, "/debug/runtime/status").json()
        return next(row for row in status["capabilities"] if row["name"] == name)

    def tasks(self, program, query=""):
        return fetch(program.port, "/debug/pprof/tasks" + query)

    def calls_of(self, name, watched):
        """{system call: count} between two lines of the program's."""
        harness.need("strace")
        log = self.path("calls-%s" % watched)
        result = subprocess.run(["strace", "-f", "-o", log, self.program(name), "count", watched],
                                capture_output=True, timeout=60, check=False)
        if result.returncode != 0 and b"ptrace" in result.stderr.lower():
            harness.skip("strace may not trace here")
        self.assertEqual((result.returncode, result.stdout), (0, b"begin\nend\n"), result.stderr)
        with open(log, encoding="utf-8") as file:
            text = file.read()
        between = text.split('write(1, "begin', 1)[1].split('write(1, "end', 1)[0]
        return collections.Counter(re.findall(r"^\d+ +(\w+)\(", between, re.M))

    def assert_costs_no_call(self, name):
        bare, watched = (self.calls_of(name, kind) for kind in ("bare", "watched"))
        self.assertGreaterEqual(bare["epoll_wait"] + bare["epoll_pwait"], 40)
        self.assertEqual(bare, watched)


class Libuv(LoopCase):
    def over(self, row, kind, ms):
        return sum(count for bound, count in row[kind]["buckets"].items()
                   if bound == "inf" or int(bound) > ms * 10**6)

    def test_a_watched_loop_makes_no_call_more(self):
        self.assert_costs_no_call("uv_loop")

    def test_what_kept_the_loop_is_told(self):
        program = self.service("uv_loop", "lag")
        program.wait_for_output(b"kept")
        # Four naps of 60 ms, each of which made a timer late that was due after 10. What comes
        # before the loop first waits is not known.
        row = wait_until("three of them", lambda: (lambda row: self.over(row, "lag", 50) >= 3 and
                                                   self.over(row, "timer_late", 10) >= 3 and row)(
            self.row(program, "loops")))
        self.assertGreaterEqual(row["lag"]["sum_ns"], 3 * 60 * 10**6)
        self.assertGreaterEqual(row["timer_late"]["sum_ns"], 3 * 50 * 10**6)
        self.assertEqual([loop["name"] for loop in row["loops"]], ["main"])
        self.assertGreaterEqual(row["loops"][0]["busy_max_ns"], 60 * 10**6)
        self.end(program)

    def test_work_for_the_pool_is_a_task_with_its_makers_labels(self):
        program = self.service("uv_loop", "work")
        wait_until("the first to run", lambda: "1 queued, 1 running" in
                   self.tasks(program, "?debug=2").text)
        self.assertIn(b"after 2 cancelled", program.stdout())
        profile = Profile(self.tasks(program).body)
        self.assertEqual([(sample.labels, sample.values, sample.stack[0])
                          for sample in profile.samples],
                         [({"handler": "/checkout", "task": "resize"}, [2], "queue_all")])
        threads = fetch(program.port, "/debug/pprof/threads?debug=2").text
        waiting = [block for block in threads.split("\n\n") if "wait_for_line" in block]
        self.assertEqual(len(waiting), 1, threads)
        self.assertIn('labels:{"handler":"/checkout"}', waiting[0])
        program.process.stdin.write(b"go\n")
        program.process.stdin.flush()
        program.wait_for_output(b"after 1 done")
        wait_until("the end of all", lambda: self.row(program, "tasks")["tasks"] == 0)
        self.assertEqual(self.row(program, "tasks")["ended"], 3)
        self.end(program)


class Libevent(LoopCase):
    def test_a_watched_loop_makes_no_call_more(self):
        self.assert_costs_no_call("event_loop")

    def test_what_kept_the_loop_is_told(self):
        program = self.service("event_loop", "lag")
        program.wait_for_output(b"kept")
        # The event behind the callbacks comes after the last of them.
        row = wait_until("the third", lambda: (lambda row: row["lag"]["count"] >= 3 and row)(
            self.row(program, "loops")))
        self.assertGreaterEqual(row["lag"]["sum_ns"], 3 * 60 * 10**6)
        self.assertEqual(row["timer_late"]["count"], 0)
        self.assertEqual([loop["name"] for loop in row["loops"]], ["main"])
        self.end(program)

    def test_an_event_is_a_task_with_its_makers_labels(self):
        program = self.service("event_loop", "once")
        profile = Profile(self.tasks(program).body)
        self.assertEqual([(sample.labels, sample.values, sample.stack[0])
                          for sample in profile.samples],
                         [({"handler": "/checkout", "task": "line"}, [1], "add_once")])
        program.process.stdin.write(b"go\n")
        program.process.stdin.flush()
        program.wait_for_output(b"called")
        wait_until("its end", lambda: self.row(program, "tasks")["tasks"] == 0)
        self.end(program)


if __name__ == "__main__":
    harness.main()
