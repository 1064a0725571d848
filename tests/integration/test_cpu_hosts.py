# SPDX-License-Identifier: MIT
"""The CPU profiler in hosts that are hard on it: nothing about them changes, and what can be told of
them is told."""
import os
import re
import signal
import struct
import subprocess
import sys
import threading
import time

import harness
from harness import fetch, wait_until
from profile import Profile

sys.path.insert(0, os.path.join(harness.HERE, "..", "soak"))
from soak import Soak, timers  # noqa: E402


class HostCase(harness.Case):
    def capture(self, program, seconds=1, hz=1000):
        answer = fetch(program.port, "/debug/pprof/profile?seconds=%d&hz=%d" % (seconds, hz),
                       timeout_s=seconds + 60)
        self.assertEqual(answer.status, 200, answer)
        return Profile(answer.body)

    def capture_until_end(self, program):
        """Captures at 1 kHz, one after the other, until the program ends. Returns how many answered
        and the profiles' total in seconds."""
        count = total_s = 0
        while program.process.poll() is None:
            try:
                total_s += self.capture(program).total() / 1e9
                count += 1
            except (OSError, EOFError):
                time.sleep(0.005)
        return count, total_s

    def start_waiting(self, name, *arguments, **options):
        """A host that says "ready" and waits for a line."""
        program = self.start([harness.host(name), *arguments], stdin=subprocess.PIPE, **options)
        program.wait_for_output(b"ready")
        program.wait_for_admin()
        return program

    def go_on(self, program):
        program.process.stdin.write(b"go\n")
        program.process.stdin.flush()

    def hooked_under_capture(self, argv, **options):
        """The result of a whole run under captures at 1 kHz, without our start line."""
        program = self.start(argv, **options)
        program.wait_for_admin()
        count, total_s = self.capture_until_end(program)
        self.assertGreater(count, 0)
        self.assertGreater(total_s, 0)
        _, stderr = harness.split_start_line(program.stderr())
        return harness.Result(program.process.returncode, program.stdout(), stderr)

    def assert_as_bare(self, *argv, normalise=lambda text: text):
        bare = self.run_to_end([harness.host(argv[0]), *argv[1:]], hooked=False)
        hooked = self.hooked_under_capture([harness.host(argv[0]), *argv[1:]])
        self.assertEqual(normalise(hooked.stdout), normalise(bare.stdout))
        self.assertEqual((hooked.status, hooked.stderr), (bare.status, bare.stderr))
        return bare

    def comment_fields(self, profile, start):
        return dict(word.split("=") for word in profile.comment(start).split() if "=" in word)


class Exits(HostCase):
    def test_threads_that_end_by_every_route_leave_no_timer(self):
        program = self.start([harness.host("thread_exits"), "4000"], stdin=subprocess.PIPE)
        program.wait_for_admin()
        most = 0
        done = threading.Event()

        def watch():
            nonlocal most
            while not done.is_set():
                most = max(most, timers(program.pid))
                time.sleep(0.005)

        watcher = threading.Thread(target=watch)
        watcher.start()
        client = threading.Thread(target=self.capture, args=(program, 6))
        client.start()
        program.wait_for_output(b"ended")
        # The capture goes on; only the main thread is there.
        wait_until("a timer for the main thread alone", lambda: timers(program.pid) <= 1, 3)
        client.join()
        done.set()
        watcher.join()
        self.assertEqual(timers(program.pid), 0)
        ended = int(program.stdout().split()[1])
        print("%d threads ended, at most %d timers" % (ended, most))
        self.assertGreater(ended, 1000)
        self.assertGreater(most, 0)
        # A raw exit is found by the next sweep; the rest say goodbye.
        self.assertLess(most, ended / 4)
        program.process.stdin.close()
        self.assertEqual(program.wait(), 0)

    def test_a_worker_that_ends_the_process_ends_it_with_its_status(self):
        argv = [harness.host("thread_exits"), "1500", "process"]
        program = self.start(argv, stdin=subprocess.PIPE)
        program.wait_for_admin()
        self.capture_until_end(program)
        self.assertEqual(program.process.returncode, 5)


class Limits(HostCase):
    # Nobody else's, another test's neither: the limit counts a user's signals.
    UID = 100000 + os.getpid()

    def start_limited(self, limit, threads, ms):
        harness.need_root("the limit is per user")
        harness.need("setpriv")
        launcher = ["prlimit", "--sigpending=%d:%d" % (limit, limit), "setpriv",
                    "--reuid=%d" % self.UID, "--regid=%d" % self.UID, "--clear-groups"]
        program = self.start([self.public_host("queue_crowd"), str(threads), str(ms)],
                             launcher=launcher, rthooks=self.public_rthooks(),
                             env={"XDG_RUNTIME_DIR": self.path("tmp")})
        program.wait_for_output(b"ready")
        program.wait_for_admin(unix=False)
        return program

    def test_short_signal_queue_makes_threads_take_turns(self):
        program = self.start_limited(40, 200, 7000)
        profile = self.capture(program, 4)
        reason = profile.comment("not every thread has a timer")
        self.assertIn("RLIMIT_SIGPENDING", reason)
        self.assertIn("take turns", reason)
        fields = self.comment_fields(profile, "threads with_timer")
        print(profile.comment("threads with_timer"), "total %.2f s" % (profile.total() / 1e9))
        self.assertLessEqual(int(fields["with_timer"]), 20)
        self.assertGreater(int(fields["sharing_a_timer"]), 150)
        # The four that run are known to run, and so nearly always have a timer.
        process_s = int(profile.comment("cpu of the process").split()[7]) / 1e9
        self.assertGreater(profile.total() / 1e9, 0.7 * process_s)
        self.assertLess(profile.total() / 1e9, 1.2 * process_s)
        self.assertGreater(profile.cumulative("busy_work") / profile.total(), 0.9)
        self.assertEqual(program.wait(), 0)
        refused, interrupted, sent = map(int, program.stdout().split()[1:])
        self.assertEqual((refused, interrupted), (0, 0))
        self.assertGreater(sent, 1000)

    def test_without_room_for_a_timer_nothing_is_sampled_and_that_is_said(self):
        program = self.start_limited(3, 20, 4000)
        profile = self.capture(program, 1)
        self.assertIn("not every thread has a timer", "\n".join(profile.comments))
        self.assertEqual(program.wait(), 0)
        self.assertEqual(program.stdout().split()[1:3], [b"0", b"0"])


class SignalOwners(HostCase):
    def ticks(self, late, hooked):
        options = {"stdin": subprocess.PIPE, "hooked": hooked}
        program = self.start([harness.host("prof_owner"), "5000", late], **options) if hooked \
            else harness.Program(self, [harness.host("prof_owner"), "5000", late], **options)
        program.wait_for_output(b"ready")
        if hooked:
            program.wait_for_admin()
            if late == "1":
                self.capture(program)  # from now on SIGPROF is in use
        self.go_on(program)
        if hooked:
            self.capture_until_end(program)
        self.assertEqual(program.wait(), 0)
        ticks, used_us, wrong = map(int, program.stdout().split()[1:])
        self.assertEqual(wrong, 0)
        return ticks / (used_us / 10000)

    def assert_own_ticks(self, late):
        bare, hooked = self.ticks(late, False), self.ticks(late, True)
        print("ticks per 10 ms of CPU: bare %.4f, hooked %.4f" % (bare, hooked))
        self.assertLess(abs(hooked - bare), 0.01 * bare + 2 / 500)

    def test_a_program_with_its_own_sigprof_gets_its_own_ticks(self):
        self.assert_own_ticks("0")

    def test_a_program_that_takes_sigprof_after_us_gets_its_own_ticks(self):
        self.assert_own_ticks("1")

    def test_gprof_counts_as_without_us(self):
        source = self.write("gprofed.c", """
            #include <time.h>
            volatile unsigned long sink;
            void work(void) { for (int i = 0; i < 100000; i++) sink = sink * 3 + 1; }
            int main(void)
            {
                while (clock() < 3 * CLOCKS_PER_SEC)
                    work();
                return 0;
            }
        """)
        program = self.path("gprofed")
        subprocess.run([harness.need("gcc"), "-pg", "-O0", source, "-o", program], check=True)
        counts = []
        for hooked in (False, True):
            folder = self.fresh_folder()
            if hooked:
                running = self.start([program], cwd=folder)
                running.wait_for_admin()
                self.capture_until_end(running)
                self.assertEqual(running.wait(), 0)
            else:
                self.run_to_end([program], hooked=False, cwd=folder)
            counts.append(self.gmon_ticks(os.path.join(folder, "gmon.out")))
        print("gmon.out: bare %d ticks, hooked %d" % tuple(counts))
        self.assertGreater(counts[0], 200)
        self.assertLess(abs(counts[1] - counts[0]), 0.05 * counts[0])

    def gmon_ticks(self, path):
        with open(path, "rb") as file:
            data = file.read()
        self.assertEqual(data[:4], b"gmon")
        self.assertEqual(data[20], 0)  # a histogram comes first
        low, high, size = struct.unpack_from("<QQI", data, 21)
        self.assertLess(low, high)
        return sum(struct.unpack_from("<%dH" % size, data, 21 + 20 + 4 + 16))

    def test_every_signal_function_answers_as_without_us(self):
        bare = self.assert_as_bare("signal_table", "3000")
        self.assertIn(b"rounds same, handlers fine", bare.stdout)
        self.assertGreater(bare.stdout.count(b"\n"), 150)

    def test_the_action_is_never_the_default_again(self):
        program = self.start_waiting("watch_action")
        self.capture(program)
        deadline = time.monotonic() + 15
        cycles = 0
        while time.monotonic() < deadline:
            with harness.Connection(program.port) as connection:
                connection.send(harness.request_bytes("/debug/pprof/profile?seconds=60&hz=1000"))
                wait_until("timers", lambda: timers(program.pid) > 0, 10, 0.001)
            wait_until("no timers", lambda: timers(program.pid) == 0, 10, 0.001)
            cycles += 1
        program.process.stdin.close()
        self.assertEqual(program.wait(), 0)
        seen, defaults, asked = map(int, program.stdout().split()[1:])
        print("%d cycles, asked %d times" % (cycles, asked))
        self.assertEqual((seen, defaults), (1, 0))
        self.assertGreater(cycles, 100)

    def tell(self, program, letter):
        """The line that the program answers with."""
        lines = program.stdout().count(b"\n")
        program.process.stdin.write(letter)
        program.process.stdin.flush()
        wait_until("an answer", lambda: program.stdout().count(b"\n") > lines)
        return program.stdout().split(b"\n")[-2].decode()

    def test_after_a_stop_the_program_has_its_own_actions_back(self):
        program = self.start_waiting("stop_again")
        self.assertGreater(self.capture(program).total(), 0)
        self.assertEqual(self.tell(program, b"s"), "stopped 0")
        self.assertEqual(self.tell(program, b"a"), "default 0")
        self.assertEqual(self.tell(program, b"r"), "started 0")
        program.wait_for_admin()
        self.assertGreater(self.capture(program).total(), 0)
        self.assertEqual(self.tell(program, b"h"), "handler 0")
        # In the middle of a capture.
        client = threading.Thread(target=lambda: self.assertRaises(
            (OSError, EOFError, ValueError, AssertionError), self.capture, program, 20))
        client.start()
        wait_until("a timer", lambda: timers(program.pid) > 0)
        self.assertEqual(self.tell(program, b"s"), "stopped 0")
        self.assertEqual(timers(program.pid), 0)
        self.assertEqual(self.tell(program, b"a"), "own 0")
        self.assertEqual(self.tell(program, b"k"), "ticks 1")
        client.join()
        self.assertEqual(self.tell(program, b"r"), "started 0")
        program.wait_for_admin()
        profile = self.capture(program)
        self.assertGreater(profile.total(), 0)
        self.assertIn("SIGPROF belongs to the program", "\n".join(profile.comments))
        self.assertEqual(self.tell(program, b"k"), "ticks 2")
        program.process.stdin.close()
        self.assertEqual(program.wait(), 0)

    def test_children_inherit_what_they_would_without_us(self):
        for disposition in ("default", "ignored", "handled"):
            # Long enough for the first capture, which makes the rows of every library first.
            self.assert_as_bare("spawn_signals", "6000", disposition)


class Interruptions(HostCase):
    def test_waits_of_threads_that_also_work_are_not_interrupted(self):
        argv = [harness.host("wait_mix"), "100000"]
        bare = self.run_to_end(argv, hooked=False)
        hooked = self.hooked_under_capture(argv)
        print(hooked.stdout.split()[1:])
        self.assertEqual(hooked.stdout, bare.stdout)
        self.assertEqual(hooked.stdout.count(b" 0\n"), 6)


class OddThreads(HostCase):
    def run_odd(self, kind, warm=False, seconds=3, before_capture=False):
        """(profile, count it told, output) of a host whose odd thread runs under a capture."""
        program = self.start_waiting("odd_threads", kind, str(seconds * 1000))
        if warm:
            self.capture(program)
        result = {}
        client = threading.Thread(
            target=lambda: result.update(profile=self.capture(program, seconds - 1)))
        if before_capture:
            self.go_on(program)
            time.sleep(0.3)
        client.start()
        if not before_capture:
            self.go_on(program)
        client.join()
        self.assertEqual(program.wait(), 0, program.stderr())
        output = program.stdout().decode()
        self.assertIn("done\n", output)
        return result["profile"], int(re.search(r"count (\d+)", output).group(1)), output

    def assert_sampled(self, profile, name):
        self.assertGreater(profile.cumulative(name) / 1e9, 0.2, profile.comments)

    def test_a_raw_clone_is_sampled(self):
        profile, _, _ = self.run_odd("raw_clone")
        self.assert_sampled(profile, "raw_work")

    def test_a_thread_without_a_thread_pointer_lives(self):
        self.run_odd("raw_no_tls")

    def test_a_thread_that_blocks_the_signal_is_counted_and_finds_none_pending(self):
        profile, pending, _ = self.run_odd("masked", before_capture=True)
        fields = self.comment_fields(profile, "threads with_timer")
        self.assertEqual(fields["blocking_the_signal"], "1")
        self.assertEqual(pending, 0)

    def test_a_thread_in_sigwait_is_given_no_signal_of_ours(self):
        _, got, _ = self.run_odd("sigwait")
        self.assertEqual(got, 0)

    def test_the_smallest_stack_is_large_enough(self):
        profile, _, _ = self.run_odd("stack_min")
        self.assert_sampled(profile, "odd_work")

    def test_a_small_alternate_stack_of_the_program_is_large_enough(self):
        profile, foreign, _ = self.run_odd("altstack", warm=True)
        self.assert_sampled(profile, "odd_work")
        self.assertEqual(foreign, 0)

    def test_any_value_of_rbp_is_survived(self):
        profile, _, _ = self.run_odd("registers")
        self.assert_sampled(profile, "registers_work")

    def test_a_storm_of_signals_whose_handler_unwinds_is_survived(self):
        profile, handled, _ = self.run_odd("storm")
        self.assertGreater(handled, 1000)
        self.assert_sampled(profile, "odd_work")

    def test_the_handler_needs_less_than_two_kib_of_stack(self):
        _, _, output = self.run_odd("painted")
        least, most = map(int, re.search(r"bytes (\d+) (\d+)", output).groups())
        print("a signal with an empty handler needs %d bytes, ours %d" % (least, most))
        self.assertGreater(most, least)
        self.assertLess(most - least, 2048)

    def test_threads_are_sampled_after_the_main_thread_ended(self):
        profile, _, _ = self.run_odd("main_exits")
        self.assert_sampled(profile, "odd_work")

    def test_threads_older_than_the_library_are_sampled(self):
        port = harness.free_port()
        program = harness.Program(
            self, [harness.host("late_start"), os.path.join(harness.BUILD, "librthooks.so"),
                   "6000"], hooked=False, port=port,
            env={"RTHOOKS_ADMIN": "127.0.0.1:%d" % port})
        program.wait_for_output(b"started 0\n")
        program.wait_for_admin(unix=False)
        profile = self.capture(program, 2)
        self.assertGreater(profile.cumulative("early_work") / profile.total(), 0.9)
        self.assertEqual(program.wait(), 0)


class Filters(HostCase):
    def run_filtered(self, call, action, scope, ask):
        program = self.start_waiting("filtered", call, action, scope, "3000")
        self.go_on(program)
        program.wait_for_output(b"filtered")
        answer = fetch(program.port, "/debug/pprof/profile?seconds=2&hz=1000", timeout_s=60)
        ask(answer)
        self.assertEqual(program.wait(), 0)
        self.assertIn(b"done\n", program.stdout())

    def test_a_filter_that_refuses_timers_is_named(self):
        def ask(answer):
            self.assertEqual(answer.status, 200)
            text = "\n".join(Profile(answer.body).comments)
            self.assertIn("the kernel refuses timers", text)
            self.assertIn("none is sampled", text)
        self.run_filtered("timer_create", "refuse", "all", ask)

    def ask_of_filtered(self, answer):
        self.assertEqual(answer.status, 200)
        profile = Profile(answer.body)
        fields = self.comment_fields(profile, "threads with_timer")
        print(profile.comment("threads with_timer"))
        # The main thread, the one that lasts, and perhaps a short one; a filter passes on to those
        # that a thread makes.
        self.assertIn(int(fields["under_a_filter"]), (2, 3))
        self.assertEqual(int(fields["with_timer"]), 0)
        self.assertIn("seccomp filter", "\n".join(profile.comments))

    def test_a_filter_of_the_program_that_kills_is_not_met(self):
        self.run_filtered("timer_create", "kill", "main", self.ask_of_filtered)

    def test_a_filter_that_kills_whoever_returns_from_a_handler_is_not_met(self):
        self.run_filtered("rt_sigreturn", "kill", "main", self.ask_of_filtered)

    def test_a_filter_that_refuses_sigaction_means_no_profile(self):
        def ask(answer):
            self.assertEqual(answer.status, 503)
            self.assertIn("Could not enable CPU profiling", answer.text)
        self.run_filtered("rt_sigaction", "refuse", "all", ask)


class Modules(HostCase):
    def test_two_libraries_at_one_address_have_their_own_names(self):
        program = self.start_waiting("swap_modules", harness.host("module_swap_first.so"),
                                     harness.host("module_swap_second.so"), "1500")
        result = {}

        def run():
            result["profile"] = self.capture(program, 5)

        client = threading.Thread(target=run)
        client.start()
        time.sleep(0.5)
        self.go_on(program)
        client.join()
        profile = result["profile"]
        first, second = program.stdout().split()[-2:]
        if first != second:
            self.skipTest("skipped: the loader uses another address")
        share = {name: profile.cumulative("burning_in_" + name) / profile.total()
                 for name in ("first", "second")}
        print(share)
        # A sweep may come 100 ms after the loader's call.
        self.assertGreater(share["second"], 0.35)
        self.assertLess(share["first"], 0.65)
        program.process.stdin.close()
        self.assertEqual(program.wait(), 0)


class NewImages(HostCase):
    def test_a_hundred_images_of_one_pid_survive_a_capture(self):
        program = self.start([harness.host("exec_self"), "100"])
        captures = broken = 0
        while program.process.poll() is None:
            try:
                fetch(program.port, "/debug/pprof/profile?seconds=30&hz=1000", timeout_s=40)
                captures += 1
            except (OSError, EOFError):
                broken += 1
                time.sleep(0.002)
        self.assertEqual(program.process.returncode, 0, program.stderr())
        self.assertEqual(program.stdout(), b"done\n")
        print("%d captures were cut short by an exec" % broken)

    def test_a_forked_child_is_quiet_and_an_adopted_one_can_be_profiled(self):
        program = self.start(["/usr/bin/env", "python3", "-c", FORKER], stdin=subprocess.PIPE)
        program.wait_for_admin()
        client = threading.Thread(target=self.capture, args=(program, 3))
        client.start()
        wait_until("timers", lambda: timers(program.pid) > 0)
        self.go_on(program)
        program.wait_for_output(b"\n")
        child = int(program.stdout())
        self.assertEqual(timers(child), 0)
        wait_until("adoption", lambda: child in harness.member_pids(program.port))
        client.join()
        answer = fetch(program.port, "/debug/pprof/profile?seconds=1&hz=1000&pid=%d" % child,
                       timeout_s=60)
        self.assertEqual(answer.status, 200, answer)
        self.assertGreater(Profile(answer.body).total(), 0)
        self.assertEqual(timers(child), 0)
        os.kill(child, signal.SIGTERM)
        self.assertEqual(program.wait(), 0)
        self.assertIn(b"-15\n", program.stdout())


FORKER = """
import os, sys, time
sys.stdin.readline()
pid = os.fork()
if pid == 0:
    while True:
        sum(range(100000))
        time.sleep(0.001)
print(pid, flush=True)
_, status = os.waitpid(pid, 0)
print(-os.WTERMSIG(status), flush=True)
"""


class Calls(HostCase):
    def test_the_handler_makes_no_system_call_in_a_known_stack(self):
        strace = harness.need("strace")
        program = self.start([harness.host("burn_shares"), "1", "8000", "0"],
                             stdin=subprocess.PIPE)
        program.wait_for_output(b"ready")
        program.wait_for_admin()
        self.go_on(program)
        wait_until("the burning thread", lambda: len(self.host_tasks(program.pid)) == 2)
        client = threading.Thread(target=self.capture, args=(program, 5))
        client.start()
        time.sleep(1)  # the limits of its stack are known by then
        tid = max(self.host_tasks(program.pid))
        log = self.path("strace")
        tracer = subprocess.Popen([strace, "-p", str(tid), "-o", log], stderr=subprocess.DEVNULL)
        time.sleep(2)
        tracer.send_signal(signal.SIGINT)
        tracer.wait()
        client.join()
        lines = harness.read_text(log).splitlines()
        delivered = sum(line.startswith("--- SIGPROF") for line in lines)
        returned = sum(line.startswith("rt_sigreturn") for line in lines)
        if delivered == 0:
            harness.skip("this kernel does not let strace attach")
        print("%d signals, %d lines" % (delivered, len(lines)))
        self.assertGreater(delivered, 50)
        # The thread's own reading of its clock lies outside of the handler.
        inside = [line for before, line in zip(lines, lines[1:]) if before.startswith("--- SIGPROF")]
        self.assertEqual([line for line in inside if not line.startswith("rt_sigreturn")], [])
        self.assertLessEqual(abs(delivered - returned), 1)

    def host_tasks(self, pid):
        return [tid for tid in harness.tasks(pid)
                if not harness.read_text("/proc/%d/task/%d/comm" % (pid, tid)).startswith("rth-")]


class LongRun(HostCase):
    def test_everything_at_once_for_twenty_seconds(self):  # serial
        errors, line = Soak(self, 20).run()
        print(line)
        self.assertEqual(errors, [])


if __name__ == "__main__":
    harness.main()
