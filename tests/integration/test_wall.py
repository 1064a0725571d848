# SPDX-License-Identifier: MIT
"""Wall-clock profiles: every thread has its whole life in them, and nobody was woken for it."""
import collections
import re
import subprocess
import threading

import harness
from harness import fetch
from profile import Profile

KINDS = ("poll_main", "futex_main", "burn_main", "half_main", "turns_main", "spawn_main")


class WallCase(harness.Case):
    def wall(self, program, query, timeout_s=90):
        answer = fetch(program.port, "/debug/pprof/wall?" + query, timeout_s=timeout_s)
        self.assertEqual(answer.status, 200, answer)
        return answer

    def states_of(self, profile, function):
        """{state: nanoseconds} of the stacks that hold the function."""
        states = collections.Counter()
        for sample in profile.samples:
            if function in sample.stack:
                states[sample.labels["state"]] += sample.values[1]
        return states

    def assert_life(self, profile, functions, share=0.05):
        for function in functions:
            self.assertAlmostEqual(
                sum(self.states_of(profile, function).values()) / profile.duration_ns, 1,
                delta=share, msg=(function, self.states_of(profile, function), profile.comments))


class Wall(WallCase):
    def mix(self):
        program = self.start([harness.host("wall_mix")], stdin=subprocess.PIPE)
        program.wait_for_output(b"ready")
        program.wait_for_admin()
        return program

    def end(self, program):
        program.process.stdin.close()
        self.assertEqual(program.wait(), 0)
        self.assertIn(b"\ninterrupted 0\n", program.stdout())

    def cpu_of(self, program):
        """{thread: nanoseconds of CPU so far}"""
        before = len(re.findall(rb"life ", program.stdout()))
        program.process.stdin.write(b"\n")
        program.process.stdin.flush()
        lines = harness.wait_until("the threads' clocks", lambda: re.findall(
            rb"life (\w+) \d+ (\d+)\n", program.stdout())[before + len(KINDS) - 1:] and
            re.findall(rb"life (\w+) \d+ (\d+)\n", program.stdout()))
        return {name.decode(): int(ns) for name, ns in lines[-len(KINDS):]}

    def test_each_thread_has_its_life_and_nobody_is_interrupted(self):  # serial
        program = self.mix()
        before = self.cpu_of(program)
        profile = Profile(self.wall(program, "seconds=8").body)
        after = self.cpu_of(program)
        self.assertEqual(profile.sample_types, [("samples", "count"), ("wall", "nanoseconds")])
        self.assertEqual(profile.period, 50 * 10**6)
        self.assert_life(profile, KINDS + ("main",))
        # One of them at any time, but for the moments between two.
        self.assert_life(profile, ["brief_main"], share=0.2)
        for function in ("poll_main", "futex_main"):
            self.assertEqual(set(self.states_of(profile, function)), {"waiting"}, function)
        for function in ("burn_main", "half_main"):
            running_ns = self.states_of(profile, function)["running"]
            used_ns = after[function] - before[function]
            self.assertLess(running_ns, 1.05 * used_ns + 10**8, function)
            self.assertGreater(running_ns, 0.75 * used_ns - 10**8, function)
        short, long = (profile.cumulative(name) for name in ("short_turn", "long_turn"))
        self.assertGreater(long, 1.5 * short)
        self.assertGreater(short, 0)
        # Counts are of the period.
        self.assertAlmostEqual(profile.total(0) * profile.period / profile.total(), 1, delta=0.05)
        self.end(program)

    def test_captures_side_by_side_each_have_the_whole(self):  # serial
        program = self.mix()
        profiles = {}

        def capture(name, query):
            profiles[name] = Profile(self.wall(program, query).body)
        clients = [threading.Thread(target=capture, args=pair) for pair in (
            ("long", "seconds=7"), ("short", "seconds=3&hz=50"), ("other", "seconds=5&hz=5"))]
        for client in clients:
            client.start()
        for client in clients:
            client.join()
        for name, profile in profiles.items():
            self.assert_life(profile, KINDS + ("main",), share=0.07)
            self.assertEqual(profile.period, {"long": 50, "short": 20, "other": 200}[name] * 10**6)
        self.end(program)

    def test_parameters_are_bounded_and_names_may_stay_out(self):
        program = self.mix()
        answer = self.wall(program, "seconds=1&hz=100000&symbols=none")
        self.assertEqual(answer.header("X-Rthooks-Clamped"), "hz=100")
        self.assertEqual(answer.header("Content-Disposition"), 'attachment; filename="wall"')
        profile = Profile(answer.body)
        self.assertEqual(profile.period, 10**7)
        self.assertEqual({name for sample in profile.samples for name in sample.stack}, {""})
        self.end(program)

    def test_a_client_that_goes_leaves_nothing_behind(self):
        program = self.mix()
        with harness.Connection(program.port) as connection:
            connection.send(harness.request_bytes("/debug/pprof/wall?seconds=60"))
            harness.wait_until("the capture", lambda: self.watched(program) > 0)
        harness.wait_until("its end", lambda: self.watched(program) == 0)
        self.end(program)

    def watched(self, program):
        status = fetch(program.port, "/debug/runtime/status").json()
        return next(row for row in status["capabilities"] if row["name"] == "wall")["threads"]


class Labels(WallCase):
    def assert_waits_under_its_labels(self, kind):
        """A thread that waits while it runs a task."""
        port = harness.free_port()
        program = self.start([harness.host("tasks_" + kind), "hold"], hooked=False, port=port,
                             stdin=subprocess.PIPE, env={"RTHOOKS_ADMIN": "127.0.0.1:%d" % port})
        program.wait_for_output(b"ready")
        program.wait_for_admin()
        profile = Profile(self.wall(program, "seconds=2").body)
        self.assert_life(profile, ("run_first", "main"))
        for sample in profile.samples:
            wanted = {"state": "waiting"}
            if "run_first" in sample.stack:
                wanted["handler"] = "/checkout"
            self.assertEqual(sample.labels, wanted, sample)
        program.process.stdin.close()
        self.assertEqual(program.wait(), 0)

    def test_waits_have_the_labels_of_the_program(self):
        self.assert_waits_under_its_labels("shared")

    def test_waits_in_wrapped_calls_have_the_labels_of_the_program(self):
        self.assert_waits_under_its_labels("interposed")


if __name__ == "__main__":
    harness.main()
