# SPDX-License-Identifier: MIT
"""CPU profiles tell the truth: shares, totals, rates, threads of every kind."""
import os
import resource
import signal
import subprocess
import threading
import time

import harness
from harness import fetch, wait_until
from profile import Profile

NAMES = ("burn_three", "burn_two", "burn_one")


class CpuCase(harness.Case):
    def capture(self, program, seconds=2, query="", timeout_s=60):
        answer = fetch(program.port, "/debug/pprof/profile?seconds=%d%s" % (seconds, query),
                       timeout_s=timeout_s)
        self.assertEqual(answer.status, 200, answer)
        return Profile(answer.body)

    def own_cpu_s(self, program):
        return fetch(program.port, "/debug/runtime/status").json()["cost"]["cpu_seconds"]

    def burn_once(self, threads, cpu_ms, life_ms, hz, seconds):
        """As burn, None when the capture ended before the burning did."""
        program = self.start([harness.host("burn_shares"), str(threads), str(cpu_ms),
                              str(life_ms)], stdin=subprocess.PIPE)
        program.wait_for_output(b"ready")
        program.wait_for_admin()
        before = self.own_cpu_s(program)
        result = {}

        def run():
            result["profile"] = self.capture(program, seconds, "&hz=%d" % hz, seconds + 60)
            result["in_time"] = program.stdout().count(b"\n") == 2

        client = threading.Thread(target=run)
        client.start()
        time.sleep(0.5)
        program.process.stdin.write(b"go\n")
        program.process.stdin.flush()
        client.join()
        if not result["in_time"]:
            return None
        numbers = [int(word) / 1e9 for word in program.stdout().split()[1:]]
        self.assertEqual(len(numbers), 4)
        process_s = numbers[3] - (self.own_cpu_s(program) - before)
        return result["profile"], numbers[:3], process_s

    def burn(self, threads, cpu_ms, life_ms, hz):
        """(profile of a whole run of burn_shares, its own account in seconds)."""
        seconds = 2 + int(1.3 * threads * cpu_ms / 1000 / min(threads, os.cpu_count() or 1))
        for _ in range(4):  # others may use the CPUs too
            result = self.burn_once(threads, cpu_ms, life_ms, hz, seconds)
            if result:
                return result
            seconds *= 2
        raise AssertionError("no CPU time to be had")

    def assert_accurate(self, threads, cpu_ms, life_ms, hz):
        profile, truth_s, process_s = self.burn(threads, cpu_ms, life_ms, hz)
        total_s = profile.total() / 1e9
        kept = sum(sample.values[0] for sample in profile.samples)
        print("threads %d life %d ms hz %d: total %.3f s of %.3f s, %s" % (
            threads, life_ms, hz, total_s, process_s, profile.comment("requested_hz")))
        stacks = int(profile.comment("samples kept=").split("=")[1].split()[0])
        # A share is counted by stacks: four standard deviations of that count, and half as much
        # again because overruns make their weights unequal where CPUs are short.
        bound = 6 * 0.5 / stacks ** 0.5 + 0.005
        for name, own_s in zip(NAMES, truth_s):
            share = profile.cumulative(name) / profile.total()
            expected = own_s / process_s
            self.assertLess(abs(share - expected), bound,
                            "%s: %.3f instead of %.3f" % (name, share, expected))
        self.assertLess(abs(total_s - process_s), max(0.02 * process_s, 4 * 0.01),
                        "%.3f s instead of %.3f s" % (total_s, process_s))
        self.assertEqual(profile.total(0), kept)
        self.assertGreater(profile.complete_share(), 0.99, profile.comments)


class Accuracy(CpuCase):
    def test_one_thread_at_100_hz(self):  # serial timeout=300
        self.assert_accurate(1, 8000, 0, 100)

    def test_one_thread_at_1000_hz(self):  # serial timeout=300
        self.assert_accurate(1, 5000, 0, 1000)

    def test_four_threads_at_100_hz(self):  # serial timeout=300
        self.assert_accurate(4, 3000, 0, 100)

    def test_sixty_four_threads_at_100_hz(self):  # serial timeout=300
        self.assert_accurate(64, 200, 0, 100)

    def test_sixty_four_threads_at_1000_hz(self):  # serial timeout=300
        self.assert_accurate(64, 150, 0, 1000)

    def test_threads_that_live_less_than_a_period(self):  # serial timeout=300
        self.assert_accurate(2, 5000, 6, 100)


class Rates(CpuCase):
    def start_burner(self):
        program = self.start([harness.host("burn_shares"), "1", "600000", "0"],
                             stdin=subprocess.PIPE)
        program.wait_for_output(b"ready")
        program.wait_for_admin()
        program.process.stdin.write(b"go\n")
        program.process.stdin.flush()
        return program

    def test_captures_of_different_length_and_rate_run_at_once(self):
        program = self.start_burner()
        results = {}

        def run(seconds, hz):
            results[seconds, hz] = self.capture(program, seconds, "&hz=%d" % hz)

        clients = [threading.Thread(target=run, args=pair)
                   for pair in ((1, 100), (2, 250), (3, 50), (2, 100))]
        for client in clients:
            client.start()
        for client in clients:
            client.join()
        self.assertEqual(len(results), 4)
        for (seconds, hz), profile in results.items():
            self.assertEqual(profile.period, 1000000000 // hz)
            self.assertIn("requested_hz=%d " % hz, profile.comment("requested_hz"))
            self.assertGreaterEqual(profile.duration_ns, seconds * 1e9)
            # The sampler ran at the highest rate; what is counted is in periods of one's own.
            self.assertLessEqual(abs(profile.total(0) * profile.period - profile.total()),
                                 profile.period)
            # One busy thread: what it could get of a CPU that others use too.
            self.assertGreater(profile.total() / 1e9, 0.2 * seconds)
            self.assertLess(profile.total() / 1e9, 1.1 * seconds + 0.1)

    def test_requested_and_effective_rate_are_in_the_comments(self):
        program = self.start_burner()

        def rates():
            comment = self.capture(program, 2, "&hz=1000").comment("requested_hz")
            fields = dict(word.split("=") for word in comment.split() if "=" in word)
            self.assertEqual(fields["requested_hz"], "1000")
            self.assertEqual(fields["sampler_hz"], "1000")
            # Some five hundred stacks at most: a few more or less than the ticks. On a busy machine
            # there are few, and what a starved thread is owed comes in addition.
            return float(fields["effective_hz"]) < float(fields["tick_hz"]) * 1.2

        wait_until("a rate of no more than the ticks", rates)

    def test_a_rate_that_is_too_high_is_clamped_and_said(self):
        program = self.start_burner()
        answer = fetch(program.port, "/debug/pprof/profile?seconds=1&hz=100000")
        self.assertEqual(answer.header("X-Rthooks-Clamped"), "hz=1000")

    def test_after_the_last_capture_no_timer_is_left(self):
        program = self.start_burner()
        self.capture(program, 1)
        self.assertEqual(self.queued_signals(program.pid), 0)
        status = fetch(program.port, "/debug/runtime/status").json()
        row = next(row for row in status["capabilities"] if row["name"] == "cpu")
        self.assertEqual((row["hz"], row["threads_with_timer"]), (0, 0))
        with open("/proc/%d/timers" % program.pid, encoding="ascii") as file:
            self.assertEqual(file.read(), "")

    def queued_signals(self, pid):
        with open("/proc/%d/timers" % pid, encoding="ascii") as file:
            return sum(line.startswith("ID:") for line in file)

    def test_a_client_that_hangs_up_ends_its_capture(self):
        program = self.start_burner()
        with harness.Connection(program.port) as connection:
            connection.send(harness.request_bytes("/debug/pprof/profile?seconds=60"))
            wait_until("timers", lambda: self.queued_signals(program.pid) > 0)
        wait_until("no timers", lambda: self.queued_signals(program.pid) == 0)


if __name__ == "__main__":
    harness.main()
