# SPDX-License-Identifier: MIT
"""Time waited for locks: /debug/pprof/mutex blames the holder, /debug/pprof/block the waiter."""
import difflib
import re
import shutil
import subprocess
import threading

import harness
from harness import fetch, wait_until
from profile import Profile

COLUMNS = [("contentions", "count"), ("delay", "nanoseconds")]
EVERYTHING = {"RTHOOKS_CONTENTION": "1ns"}


class LockCase(harness.Case):
    def hosted(self, env=None, argv=None, **options):
        port = harness.free_port()
        program = self.start(argv or [harness.host("locks")], port=port, stdin=subprocess.PIPE,
                             env=env, **options)
        program.wait_for_output(b"ready")
        program.wait_for_admin()
        # Stacks of a process's first moments are walked when there are rows for its code.
        fetch(port, "/debug/pprof/mutex")
        return program

    def tell(self, program, command, timeout_s=60.0):
        """What the program measured: (ns of all waits, ns of them until the unlock)."""
        count = program.stdout().count(b"done ")
        program.process.stdin.write(command.encode() + b"\n")
        program.process.stdin.flush()
        wait_until("the end of " + command, lambda: program.stdout().count(b"done ") > count,
                   timeout_s)
        line = program.stdout().decode().splitlines()[-1]
        found = re.search(r"waited=(\d+) until_unlock=(\d+)", line)
        return int(found[1]), int(found[2])

    def profile(self, program, name, query=""):
        answer = fetch(program.port, "/debug/pprof/%s%s" % (name, query), timeout_s=60)
        self.assertEqual(answer.status, 200, answer)
        profile = Profile(answer.body)
        self.assertEqual(profile.sample_types, COLUMNS)
        return profile

    def end(self, program):
        program.process.stdin.close()
        self.assertEqual(program.wait(), 0)

    def assert_about(self, value, expected, what):
        print("%s: %d of %d, %+.2f %%" % (what, value, expected, 100 * (value / expected - 1)))
        self.assertLess(abs(value - expected), 0.05 * expected, what)


class Sums(LockCase):
    def assert_scene(self, scene, rounds, holder, waiters, leaf, env=None, held=True):
        """The holder's delay is that of both waiters until the unlock, block has all they waited."""
        program = self.hosted(env)
        waited_ns, until_unlock_ns = self.tell(program, "%s %d" % (scene, rounds))
        mutex, block = self.profile(program, "mutex"), self.profile(program, "block")
        if held:
            self.assert_about(mutex.cumulative(holder), until_unlock_ns, scene + " mutex")
            there = sum(sample.values[-1] for sample in mutex.samples
                        if sample.stack[:2] == [leaf, holder])
            self.assertGreater(there, 0.95 * mutex.cumulative(holder), mutex.samples)
        self.assert_about(sum(block.cumulative(name) for name in set(waiters)), waited_ns,
                          scene + " block")
        for name in waiters:
            self.assertGreater(block.cumulative(name), 0.3 * waited_ns, name)
            self.assertGreaterEqual(block.cumulative(name, 0), rounds, name)
        self.end(program)
        return mutex, block

    def test_a_mutex_blames_its_holder_with_both_delays(self):
        mutex, block = self.assert_scene("mutex", 60, "holder_give", ["first_waits", "second_waits"],
                                         "pthread_mutex_unlock")
        self.assertEqual(mutex.cumulative("holder_give", 0), 120)
        self.assertEqual(mutex.cumulative("first_waits"), 0)
        self.assertEqual(block.cumulative("holder_give"), 0)

    def test_every_wait_recorded_sums_the_same(self):
        self.assert_scene("mutex", 60, "holder_give", ["first_waits", "second_waits"],
                          "pthread_mutex_unlock", env=EVERYTHING)

    def test_a_sample_per_20_ms_sums_the_same(self):
        program = self.hosted({"RTHOOKS_CONTENTION": "20ms"})
        waited_ns, until_unlock_ns = self.tell(program, "mutex 600")
        # About 300 samples of as many waits: four standard deviations of such a sum.
        for name, function, truth_ns in (("mutex", "holder_give", until_unlock_ns),
                                         ("block", "wait_in_rounds", waited_ns)):
            found_ns = self.profile(program, name).cumulative(function)
            print(name, found_ns / truth_ns)
            self.assertLess(abs(found_ns / truth_ns - 1), 4 * (20 / 5 / 1200) ** 0.5)
        self.end(program)

    def test_a_recursive_mutex_blames_the_last_unlock(self):
        mutex, _ = self.assert_scene("recursive", 40, "recursive_outer", ["recursive_waits"] * 2,
                                     "pthread_mutex_unlock")
        self.assertEqual(mutex.cumulative("recursive_inner"), 0)

    def test_c11_mutexes(self):
        self.assert_scene("c11", 40, "c11_give", ["c11_waits", "c11_waits_timed"], "mtx_unlock")

    def test_readers_wait_for_a_writer(self):
        self.assert_scene("readers", 40, "writer_gives", ["reader_waits"] * 2,
                          "pthread_rwlock_unlock")

    def test_writers_wait_for_a_reader(self):
        self.assert_scene("writers", 40, "reader_gives", ["writer_waits"] * 2,
                          "pthread_rwlock_unlock")

    def test_a_holder_that_waits_for_a_condition_is_charged_there(self):
        self.assert_scene("waiting", 40, "holder_gives_by_waiting", ["first_waits"] * 2,
                          "pthread_cond_timedwait")

    def test_conditions_are_waited_for_and_nobody_is_blamed(self):
        mutex, block = self.assert_scene("condition", 40, "",
                                         ["consumer_waits", "consumer_waits_timed"], "", held=False)
        self.assertEqual({sample.stack[0] for sample in block.samples
                          if "consumer_waits" in sample.stack and sample.values[1] > 1e8},
                         {"pthread_cond_wait"})
        self.assertLess(mutex.total(), 0.1 * block.total())

    def test_semaphores_are_waited_for_and_nobody_is_blamed(self):
        mutex, _ = self.assert_scene("semaphore", 40, "", ["semaphore_waits"] * 2, "", held=False)
        self.assertEqual(mutex.total(), 0)


class Answers(LockCase):
    def test_seconds_gives_what_was_waited_meanwhile(self):
        program = self.hosted()
        self.tell(program, "mutex 20")
        later = threading.Timer(1, lambda: self.tell(program, "readers 20"))
        later.start()
        block = self.profile(program, "block", "?seconds=3")
        later.join()
        self.assertEqual(block.cumulative("first_waits"), 0)
        self.assertEqual(block.cumulative("reader_waits", 0), 40)
        self.assertGreater(block.duration_ns, 2.9e9)
        self.assertGreater(self.profile(program, "block").cumulative("first_waits"), 0)
        self.end(program)

    def test_text_is_gos(self):
        program = self.hosted()
        self.tell(program, "mutex 20")
        mutex = fetch(program.port, "/debug/pprof/mutex?debug=1").text
        block = fetch(program.port, "/debug/pprof/block?debug=1").text
        self.assertTrue(mutex.startswith("--- mutex:\ncycles/second=1000000000\n"
                                         "sampling period=1\n"), mutex)
        self.assertTrue(block.startswith("--- contention:\ncycles/second=1000000000\n"), block)
        self.assertRegex(mutex, r"(?m)^\d+ 40 @( 0x[0-9a-f]+)+$")
        self.assertRegex(mutex, r"(?m)^#\t0x[0-9a-f]+\tholder_give\+0x")
        delays = [int(line.split()[0]) for line in block.splitlines() if " @ 0x" in line]
        self.assertEqual(delays, sorted(delays, reverse=True))
        for text in (mutex, block):
            self.assertIn("# not seen: locks that a program or library builds on futex", text)
            self.assertRegex(text, r"(?m)^# sampled every \d+ ns of waited time on average")
        index = fetch(program.port, "/debug/pprof/").text
        for name in ("mutex", "block"):
            self.assertIn("<a href='%s?debug=1'>%s</a>" % (name, name), index)
        self.end(program)

    def test_parameters_are_gos(self):
        program = self.hosted()
        for name in ("mutex", "block"):
            for query in ("?seconds=0", "?seconds=x", "?seconds=1&debug=1"):
                self.assertEqual(fetch(program.port, "/debug/pprof/" + name + query).status, 400)
        self.end(program)

    def test_metrics_are_exact(self):
        program = self.hosted({"RTHOOKS_CONTENTION": "10s"})
        waited_ns, _ = self.tell(program, "mutex 40")
        text = fetch(program.port, "/metrics").text
        seconds = float(re.search(r"(?m)^rthooks_sync_mutex_wait_total_seconds_total (\S+)",
                                  text)[1])
        events = int(re.search(r"(?m)^rthooks_sync_contentions_events_total (\d+)", text)[1])
        self.assert_about(seconds * 1e9, waited_ns, "seconds")
        self.assertGreaterEqual(events, 80)
        self.end(program)

    def test_off_is_off_and_says_so(self):
        program = self.hosted({"RTHOOKS_CONTENTION": "off"})
        self.tell(program, "mutex 5")
        self.assertIn(fetch(program.port, "/debug/pprof/mutex").status, (404, 501, 503))
        status = fetch(program.port, "/debug/runtime/status").text
        self.assertIn("RTHOOKS_CONTENTION=off", status)
        self.end(program)

    def test_a_malformed_interval_is_refused_with_its_grammar(self):
        for text in ("5", "us", "-1us", "1.5ms", "0ns", "101s", "9999999999999999999ns", "1us "):
            answer = self.run_rthooks("run", "--", "/bin/true", env={"RTHOOKS_CONTENTION": text})
            self.assertIn(b"RTHOOKS_CONTENTION", answer.stderr, (text, answer))
        answer = self.run_rthooks("run", "--", "/bin/true", env={"RTHOOKS_CONTENTION": "100s"})
        self.assertNotIn(b"RTHOOKS_CONTENTION", answer.stderr, answer)

    def test_a_child_begins_with_nothing_and_shows_its_own(self):
        program = self.hosted()
        self.tell(program, "readers 5")
        self.tell(program, "child 5")
        child = int(re.search(rb"child (\d+)\n", program.stdout())[1])
        route = "/debug/pprof/mutex?pid=%d" % child

        def has_waited():
            answer = fetch(program.port, route)
            return answer.status == 200 and Profile(answer.body).cumulative("holder_give") > 0
        wait_until("the child's waits", has_waited)
        profile = Profile(fetch(program.port, route).body)
        self.assertEqual(profile.cumulative("writer_gives"), 0)
        self.end(program)

    def test_go_tool_pprof_reads_both(self):  # timeout=300
        go = shutil.which("go", path="/usr/local/go/bin:/usr/bin:/usr/local/bin")
        if not go:
            harness.skip("go is not installed")
        program = self.hosted()
        self.tell(program, "mutex 20")
        for name, function in (("mutex", "holder_give"), ("block", "first_waits")):
            for query in ("", "?debug=1"):
                path = self.path("profile")
                with open(path, "wb") as file:
                    file.write(fetch(program.port, "/debug/pprof/" + name + query).body)
                result = subprocess.run([go, "tool", "pprof", "-top", path], timeout=240,
                                        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                        env=dict(self.environment, HOME=self.tmp))
                self.assertEqual(result.returncode, 0, result)
                if not query:
                    self.assertIn(function, result.stdout.decode())
                self.assertIn("delay", result.stdout.decode())
        self.end(program)


class Labels(LockCase):
    def test_both_sides_carry_their_own(self):
        port = harness.free_port()
        program = self.start([harness.host("lock_labels_interposed")], hooked=False, port=port,
                             stdin=subprocess.PIPE, env={"RTHOOKS_ADMIN": "127.0.0.1:%d" % port})
        program.wait_for_output(b"ready")
        program.wait_for_admin()
        for name, function, role, most_ns in (
                ("mutex", "holds", "holder", 4 * 40e6), ("block", "waits", "waiter", 4 * 40e6),
                ("block", "consumes", "consumer", 4 * 40e6)):
            by_role = {}
            for sample in self.profile(program, name).samples:
                if function in sample.stack:
                    key = sample.labels.get("role", "")
                    by_role[key] = by_role.get(key, 0) + sample.values[1]
            print(name, function, by_role)
            self.assertGreater(by_role[role], most_ns)
            self.assertGreater(by_role[role], 0.95 * sum(by_role.values()))
        self.end(program)

    def test_without_the_interposer_it_says_why_not(self):
        port = harness.free_port()
        program = self.start([harness.host("lock_labels_shared")], hooked=False, port=port,
                             stdin=subprocess.PIPE, env={"RTHOOKS_ADMIN": "127.0.0.1:%d" % port})
        program.wait_for_output(b"ready")
        program.wait_for_admin()
        answer = fetch(port, "/debug/pprof/mutex")
        self.assertIn(answer.status, (404, 501, 503))
        self.assertIn("librthooks_interpose.so is not loaded",
                      fetch(port, "/debug/runtime/status").text)
        self.end(program)


class Behaviour(LockCase):
    """Every kind of lock through every form of its calls, as without us."""

    def assert_same(self, env):
        for name, lines in (("lock_results", 1800), ("event_results", 200)):
            bare = self.run_to_end([harness.host(name)], hooked=False)
            hooked = self.run_to_end([harness.host(name)], env=env)
            self.assertEqual(bare.status, 0, bare.stderr)
            self.assertEqual(hooked.status, 0, hooked.stderr)
            self.assertGreater(bare.stdout.count(b"\n"), lines)
            difference = list(difflib.unified_diff(
                bare.stdout.decode().splitlines(), hooked.stdout.decode().splitlines(),
                lineterm=""))
            self.assertEqual(difference, [])

    def test_every_call_returns_what_it_returns_without_us(self):
        self.assert_same(None)

    def test_the_same_with_every_wait_recorded(self):
        self.assert_same(EVERYTHING)

    def test_the_same_when_it_is_off(self):
        self.assert_same({"RTHOOKS_CONTENTION": "off"})


class Company(LockCase):
    def storm(self, program):
        """Contention while everything else looks at the program."""
        done = threading.Event()
        failed = []

        def look():
            routes = ("profile?seconds=1", "goroutine?debug=2", "heap", "mutex", "block?debug=1")
            while not done.is_set():
                for route in routes:
                    answer = fetch(program.port, "/debug/pprof/" + route, timeout_s=60)
                    if answer.status != 200:
                        failed.append((route, answer))
        looker = threading.Thread(target=look)
        looker.start()
        try:
            for _ in range(2):
                self.tell(program, "storm 2")
            self.tell(program, "mutex 10")
        finally:
            done.set()
            looker.join()
        self.assertEqual(failed, [])

    def test_dumps_and_cpu_profiles_come_at_the_same_time(self):  # timeout=300
        program = self.hosted(EVERYTHING)
        self.storm(program)
        block = self.profile(program, "block")
        self.assertGreater(block.cumulative("storm", 0), 0)
        self.end(program)

    def test_an_allocator_on_pthread_locks(self):  # timeout=300
        program = self.hosted(dict(EVERYTHING, RTHOOKS_HEAP_INTERVAL="1",
                                   LD_PRELOAD=harness.host("module_lock_malloc.so")))
        self.storm(program)
        block = self.profile(program, "block")
        print([sample.stack[:4] for sample in block.samples])
        self.assertTrue(any("malloc" in sample.stack or "free" in sample.stack
                            for sample in block.samples), "its locks are not seen")
        self.end(program)

    def test_another_wrapper_of_mutexes_behind_ours(self):
        program = self.hosted(dict(EVERYTHING,
                                   LD_PRELOAD=harness.host("module_own_locks.so")))
        self.tell(program, "recursive 20")
        self.assertGreater(self.profile(program, "mutex").cumulative("recursive_outer"), 0)
        self.end(program)
        found = re.search(rb"own locks: (\d+) (\d+)", program.stdout())
        self.assertGreaterEqual(int(found[1]), 80)
        self.assertEqual(found[1], found[2])

    def test_another_wrapper_in_front_is_named(self):
        port = harness.free_port()
        program = self.start([harness.host("lock_labels_interposed")], hooked=False, port=port,
                             stdin=subprocess.PIPE,
                             env={"RTHOOKS_ADMIN": "127.0.0.1:%d" % port,
                                  "LD_PRELOAD": harness.host("module_own_locks.so")})
        program.wait_for_output(b"ready")
        program.wait_for_admin()
        answer = fetch(port, "/debug/pprof/mutex")
        self.assertEqual(answer.status, 501, answer)
        self.assertIn("module_own_locks.so comes before", answer.text)
        self.end(program)

    def test_a_thread_that_waits_shows_the_lock(self):
        program = self.hosted()
        self.tell(program, "stuck 1")
        text = fetch(program.port, "/debug/pprof/goroutine?debug=2", timeout_s=30).text
        self.assertIn("first_waits", text)
        self.assertIn("pthread_mutex_lock", text)
        program.signal(9)


if __name__ == "__main__":
    harness.main()
