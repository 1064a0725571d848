# SPDX-License-Identifier: MIT
"""Thread dumps: every thread, where it is, and nobody disturbed."""
import json
import os
import re
import resource
import signal
import subprocess
import threading
import time

import harness
import profile

NO_CPU_TIME = "it got no CPU time before the deadline"
NOT_SHOWN = "the kernel does not show where it sleeps; interrupt=1 asks it"


class Thread:
    """One block of debug=2."""

    def __init__(self, lines):
        head = re.fullmatch(r'thread (\d+) "(.*)" \[(\w+)(?:, (\S+))?, (\d+) s old\]:', lines[0])
        assert head, lines[0]
        self.tid, self.name = int(head[1]), head[2]
        self.state, self.wchan, self.age_s = head[3], head[4], int(head[5])
        self.created_by = None
        if lines[-2].startswith("created by "):
            self.created_by = lines[-2][len("created by "):]
            lines = lines[:-2]
        notes = [line[2:-1] for line in lines[1:] if line.startswith("\t(")]
        self.waits_for = next((note[len("waits for "):] for note in notes
                               if note.startswith("waits for ")), None)
        self.holder_is = next((note for note in notes if re.match(r"\d+ is at ", note)), None)
        frames = [line for line in lines[1:] if not line.startswith("\t(")]
        assert all(line.startswith("\t") == bool(i % 2) for i, line in enumerate(frames)), lines
        self.stack = [re.sub(r"\+0x[0-9a-f]+$", "", line) for line in frames[::2]]
        self.modules = [line[1:] for line in frames[1::2]]
        self.missing = next((note[len("no stack: "):] for note in notes
                             if note.startswith("no stack: ")), None)
        self.incomplete = any(note.startswith("incomplete") for note in notes)

    def __repr__(self):
        return "%s %r %s in %s: %s" % (self.tid, self.name, self.state, self.wchan,
                                       self.missing or self.stack)


class Dump:
    """A dump in the form of /debug/pprof/threads?debug=2."""

    def __init__(self, text):
        *blocks, last = text.strip("\n").split("\n\n")
        self.sections = [block for block in blocks if block.startswith("# ")]
        blocks = blocks[:len(blocks) - len(self.sections)]
        self.threads = [Thread(block.split("\n")) for block in blocks]
        found = re.fullmatch(r"# (\d+) of (\d+) threads answered", last)
        assert found, last
        self.answered, self.count = int(found[1]), int(found[2])

    def named(self, name):
        return next(thread for thread in self.threads if thread.name == name)


class Case(harness.Case):
    def started(self, name, *arguments, ready=b"ready\n", unix=True, **options):
        program = self.start([harness.host(name), *map(str, arguments)], stdin=subprocess.PIPE,
                             **options)
        program.wait_for_output(ready)
        program.wait_for_admin(unix=unix)
        return program

    def dump(self, endpoint, query=""):
        answer = harness.fetch(endpoint, "/debug/pprof/threads?debug=2" + query)
        self.assertEqual(answer.status, 200, answer)
        dump = Dump(answer.text)
        self.assertEqual(len(dump.threads), dump.count)
        self.assertEqual(sum(thread.missing is None for thread in dump.threads), dump.answered)
        return dump

    def assert_callers(self, thread, *names):
        """The stack is complete and holds these functions one behind the other."""
        self.assertIsNone(thread.missing, thread)
        self.assertFalse(thread.incomplete, thread)
        joined = " ".join([""] + thread.stack + [""])
        self.assertIn(" " + " ".join(names) + " ", joined, thread)


class Sleepers(Case):
    WAYS = {"read": "wait_read", "condition": "wait_condition", "recv": "wait_recv",
            "join": "wait_join", "sem": "wait_sem", "flock": "wait_flock", "child": "wait_child",
            "poll": "wait_poll", "epoll": "wait_epoll", "select": "wait_select",
            "sleep": "wait_sleep", "alloca": "wait_alloca", "recursed": "wait_recursed"}

    def reach_the_root(self, name):
        program = self.started(name, ready=b"parked\n")
        dump = self.dump(program.unix)
        self.assertEqual(dump.answered, len(self.WAYS) + 1)
        for way, function in self.WAYS.items():
            thread = dump.named(way)
            self.assertEqual(thread.state, "sleeping", thread)
            self.assert_callers(thread, function, "middle", "outer", "thread_main",
                                "rth__thread_run")
        self.assert_callers(dump.named("recursed"), "wait_read", *["recurse"] * 7, "wait_recursed")
        main = next(thread for thread in dump.threads if thread.tid == program.pid)
        self.assert_callers(main, "__libc_start_main", "_start")
        self.assertIn("main", main.stack)

    def test_code_without_optimisation(self):
        self.reach_the_root("park_o0")

    def test_optimised_code_with_frame_pointers(self):
        self.reach_the_root("park_fp")

    def test_optimised_code_without_frame_pointers(self):
        self.reach_the_root("park_nofp")

    def test_code_with_frame_pointers_and_no_unwind_tables(self):
        self.reach_the_root("park_bare")


class Crowd(Case):
    def interruptions(self, program):
        program.process.stdin.write(b"\n")
        program.process.stdin.flush()
        program.wait_for_output(b"eintr ")
        return int(program.stdout().split(b"eintr ")[1])

    def test_a_thousand_threads_answer_and_no_sleeper_is_interrupted(self):  # serial timeout=300
        program = self.started("crowd", 1000, 2)
        complete = 0
        for i in range(50):
            form = i % 3
            answer = harness.fetch(program.unix, "/debug/pprof/threads?debug=%d" % form)
            self.assertEqual(answer.status, 200)
            if form == 2:
                dump = Dump(answer.text)
                self.assertEqual(dump.count, 1003)
                for thread in dump.threads:
                    if thread.name == "sleeper":
                        self.assert_callers(thread, "sleeper", "rth__thread_run")
                    elif thread.name == "runner" and thread.missing:
                        self.assertEqual(thread.missing, NO_CPU_TIME)
                complete += dump.answered == 1003
            elif form == 1:
                head = re.match(r"threads profile: total (\d+)\n", answer.text)
                self.assertGreaterEqual(int(head[1]), 1001)
                self.assertIn(" of 1003 threads answered; 0 stacks are incomplete\n", answer.text)
            else:
                taken = profile.Profile(answer.body)
                self.assertGreaterEqual(taken.total(), 1001)
                self.assertEqual(taken.cumulative("sleeper"), 1000)
                self.assertIn(" of 1003 threads answered; 0 stacks are incomplete",
                              "\n".join(taken.comments))
        self.assertGreater(complete, 0, "not one complete dump")
        self.assertEqual(self.interruptions(program), 0)
        # The exception: interrupt=1 does not interrupt those either whose place is known.
        self.assertGreaterEqual(self.dump(program.unix, "&interrupt=1").answered, 1001)
        self.assertEqual(self.interruptions(program), 0)

    def test_timers_are_half_of_what_is_left_at_most(self):  # serial
        harness.need_root("takes a user of its own")
        user = 1900000000 + os.getpid()
        os.chown(self.path("run"), user, user)
        executable = self.public_host("crowd")
        limit = 8

        def become():
            resource.setrlimit(resource.RLIMIT_SIGPENDING, (limit, limit))
            os.setgroups([])
            os.setresgid(user, user, user)
            os.setresuid(user, user, user)

        program = self.start([executable, "20", "12"], stdin=subprocess.PIPE, preexec=become,
                             rthooks=self.public_rthooks(), cwd="/")
        program.wait_for_output(b"ready\n")
        program.wait_for_admin(unix=False)
        most, stop = [0], threading.Event()

        def watch():
            while not stop.is_set():
                queued = harness.status_field(program.pid, program.pid, "SigQ")[0].split("/")[0]
                most[0] = max(most[0], int(queued))

        watcher = threading.Thread(target=watch)
        watcher.start()
        reasons = set()
        try:
            for _ in range(10):
                dump = self.dump(program.port)
                self.assertEqual(dump.count, 33)
                reasons.update(thread.missing for thread in dump.threads if thread.missing)
                for thread in dump.threads:
                    if thread.name != "runner":
                        self.assertIsNone(thread.missing, thread)
        finally:
            stop.set()
            watcher.join()
        self.assertGreater(most[0], 0)
        self.assertLessEqual(most[0], limit // 2)
        self.assertLessEqual(reasons, {"no timer is left to ask it: RLIMIT_SIGPENDING",
                                       NO_CPU_TIME})
        self.assertIn("no timer is left to ask it: RLIMIT_SIGPENDING", reasons)


class Odd(Case):
    """Waits where a careless reader would give the wrong stack."""

    def test_a_wait_that_was_left_is_not_shown(self):
        dump = self.dump(self.started("odd_waits", "left").unix)
        self.assert_callers(dump.named("same"), "sem_for_ever", "left_same", "rth__thread_run")
        self.assert_callers(dump.named("above"), "sem_for_ever", "left_above", "rth__thread_run")
        self.assert_callers(dump.named("cancelled"), "sem_for_ever", "wait_in_cleanup",
                            "left_cancelled", "rth__thread_run")

    def test_a_signal_handler_that_waits(self):
        dump = self.dump(self.started("odd_waits", "handler").unix)
        for name, leaf, function in (("polls", "poll_for_ever", "on_signal_poll"),
                                     ("sems", "sem_for_ever", "on_signal_sem")):
            self.assert_callers(dump.named(name), leaf, function)
            self.assert_callers(dump.named(name), "interrupted_sleep", "rth__thread_run")

    def test_names_of_threads(self):
        program = self.started("odd_waits", "names")
        dump = self.dump(program.unix)
        for name in ("by prctl", "by pthread", "two?lines]:", "caf\u00e9 ??"):
            self.assert_callers(dump.named(name), "poll_for_ever", "waits")
        text = harness.fetch(program.unix, "/debug/pprof/goroutine?debug=2").text
        heads = [line for line in text.split("\n") if line.startswith("goroutine ")]
        self.assertEqual(len(heads), 5)
        for line in heads:
            self.assertRegex(line, r"^goroutine \d+ \[.*\]:$")
        taken = profile.Profile(harness.fetch(program.unix, "/debug/pprof/threads").body)
        self.assertEqual({sample.labels["thread"] for sample in taken.samples},
                         {thread.name for thread in dump.threads})
        self.assertEqual({sample.labels["state"] for sample in taken.samples}, {"sleeping"})

    def test_the_parent_of_a_vfork(self):
        thread = self.dump(self.started("odd_waits", "vfork").unix).named("vforks")
        self.assertEqual(thread.state, "disk")
        self.assertTrue(thread.wchan, thread)
        self.assert_callers(thread, "vforks", "rth__thread_run")

    def test_a_running_thread_that_blocks_signals_is_named(self):
        program = self.started("odd_waits", "masked")
        for query in ("", "&interrupt=1"):
            dump = self.dump(program.unix, query)
            self.assertEqual((dump.answered, dump.count), (1, 2))
            self.assertEqual(dump.named("masked").missing, "it blocks the signal that asks")
        taken = profile.Profile(harness.fetch(program.unix, "/debug/pprof/threads").body)
        self.assertRegex(taken.comment("missing: "), r'thread \d+ "masked" \(running in .*\): it '
                                                     r'blocks the signal that asks$')

    def test_a_starved_thread_is_named_within_the_deadline(self):  # serial
        program = self.started("crowd", 7, 5)
        runners = [thread.tid for thread in self.dump(program.unix).threads
                   if thread.name == "runner"]
        self.assertEqual(len(runners), 5)
        cpu = min(os.sched_getaffinity(0))
        for tid in runners:
            os.sched_setaffinity(tid, {cpu})
        os.sched_setscheduler(runners[0], os.SCHED_IDLE, os.sched_param(0))
        reasons = []
        for _ in range(30):
            before = time.monotonic()
            dump = self.dump(program.unix)
            self.assertLess(time.monotonic() - before, 10)
            self.assertEqual(dump.count, 13)
            starved = next(thread for thread in dump.threads if thread.tid == runners[0])
            if starved.missing:
                reasons.append(starved.missing)
            else:
                self.assert_callers(starved, "runner", "rth__thread_run")
        self.assertEqual(set(reasons), {NO_CPU_TIME})

    def test_threads_that_libc_does_not_know(self):
        program = self.started("odd_waits", "clone")
        running = 0
        for _ in range(20):
            dump = self.dump(program.unix)
            self.assertEqual(dump.count, 3)
            for thread in dump.threads:
                if thread.missing:
                    self.assertEqual((thread.state, thread.missing), ("running", NO_CPU_TIME))
                else:
                    self.assertFalse(thread.incomplete, thread)
            stacks = [thread.stack for thread in dump.threads]
            self.assertEqual(sum("raw_sleeps" in stack for stack in stacks), 1)
            running += sum("raw_runs" in stack for stack in stacks)
        self.assertGreater(running, 0)
        self.assertIsNone(program.process.poll(), "the host ended")

    def test_threads_that_end_meanwhile(self):
        program = self.started("odd_waits", "churn")
        for i in range(50):
            form = i % 3
            if form == 2:
                dump = self.dump(program.unix)
                self.assertGreaterEqual(dump.count, 5)
                self.assertLessEqual(
                    {thread.missing for thread in dump.threads},
                    {None, "it has ended", NO_CPU_TIME, "it blocks the signal that asks"})
            else:
                path = "/debug/pprof/threads?debug=%d" % form
                self.assertEqual(harness.fetch(program.unix, path).status, 200)
        self.assertIsNone(program.process.poll())

    def test_a_forked_child_has_its_own_threads(self):
        program = self.started("odd_waits", "fork")
        child = int(re.search(rb"child (\d+)\n", program.stdout())[1])
        unix = os.path.join(os.path.dirname(program.unix), "%d.sock" % child)
        dump = harness.wait_until("the child's thread", lambda: next(
            (dump for dump in [self.dump(unix)] if dump.count == 2), None))
        self.assert_callers(dump.named("of the child"), "poll_for_ever", "waits",
                            "rth__thread_run")
        self.assert_callers(dump.named("child"), "poll_for_ever", "child_main", "forks", "main")
        self.assertIn("poll", dump.named("child").stack[0])
        parent = self.dump(program.unix)
        self.assertEqual(parent.count, 2)
        self.assert_callers(parent.named("of the parent"), "poll_for_ever", "waits")

    def test_a_process_that_changed_its_user(self):
        harness.need_root("changes its user")
        program = self.started("odd_waits", "drop", 1900000000 + os.getpid(), unix=False)
        dump = self.dump(program.port)
        self.assert_callers(dump.named("polls"), "poll_for_ever", "waits", "rth__thread_run")
        self.assertEqual(dump.named("reads").missing, NOT_SHOWN)
        self.assertRegex(dump.named("reads").wchan, "read")
        dump = self.dump(program.port, "&interrupt=1")
        self.assertEqual((dump.answered, dump.count), (3, 3))
        self.assert_callers(dump.named("reads"), "read_for_ever", "reads", "rth__thread_run")
        self.assertIsNone(program.process.poll(), "the host ended")


class Forms(Case):
    def test_the_difference_over_a_second(self):
        program = self.started("odd_waits", "move")

        def leave_places():
            time.sleep(0.5)
            program.signal(signal.SIGUSR1)

        mover = threading.Thread(target=leave_places)
        mover.start()
        answer = harness.fetch(program.unix, "/debug/pprof/threads?seconds=1")
        mover.join()
        taken = profile.Profile(answer.body)
        values = {}
        for sample in taken.samples:
            for place in ("first_place", "second_place", "last_place", "poll_for_ever"):
                if place in sample.stack:
                    values[place] = values.get(place, 0) + sample.values[0]
        self.assertEqual(values, {"first_place": -1, "second_place": 1, "last_place": -1})
        self.assertEqual(taken.sample_types, [("threads", "count")])
        self.assertGreater(taken.duration_ns, 900000000)

    def test_each_block_says_how_old_its_thread_is(self):
        def born_ticks(tid):
            with open("/proc/%d/task/%d/stat" % (program.pid, tid)) as file:
                return int(file.read().rpartition(") ")[2].split()[19])

        def age_s(tid):
            return (time.clock_gettime(time.CLOCK_BOOTTIME)
                    - born_ticks(tid) / os.sysconf("SC_CLK_TCK"))

        program = self.started("crowd", 3)
        time.sleep(2.5)
        tids = [thread.tid for thread in self.dump(program.unix).threads]
        least = {tid: age_s(tid) for tid in tids}
        dump = self.dump(program.unix)
        self.assertEqual(dump.count, 4)
        for thread in dump.threads:
            self.assertGreaterEqual(thread.age_s, 2)
            # The kernel's second of birth, and the moment between, round by one each.
            self.assertGreaterEqual(thread.age_s, int(least[thread.tid]) - 1)
            self.assertLessEqual(thread.age_s, int(age_s(thread.tid)) + 1)
        text = harness.fetch(program.unix, "/debug/pprof/goroutine?debug=2").text
        self.assertNotIn(" old", text)

    def test_more_threads_than_one_step_takes(self):
        program = self.started("crowd", 700)
        dump = self.dump(program.unix)
        self.assertEqual((dump.answered, dump.count), (701, 701))
        self.assertEqual(len({thread.tid for thread in dump.threads}), 701)
        for thread in dump.threads:
            self.assertTrue(thread.wchan, thread)

    def test_threads_with_the_same_stack_are_one_group_as_text(self):
        program = self.started("crowd", 70)
        text = harness.fetch(program.unix, "/debug/pprof/goroutine?debug=1").text
        self.assertRegex(text, r"^goroutine profile: total 71\n")
        counts = [int(number) for number in re.findall(r"^(\d+) @", text, re.M)]
        self.assertEqual(counts, sorted(counts, reverse=True))
        self.assertEqual(counts, [10] * 7 + [1])

    def test_bad_parameters_are_answered_as_go_does(self):
        program = self.started("crowd", 1)
        for name in ("goroutine", "threads"):
            for query, text in (
                    ("seconds=0", 'invalid value for "seconds" - must be a positive integer'),
                    ("seconds=x", 'invalid value for "seconds" - must be a positive integer'),
                    ("seconds=1&debug=1", "seconds and debug params are incompatible")):
                answer = harness.fetch(program.unix, "/debug/pprof/%s?%s" % (name, query))
                self.assertEqual((answer.status, answer.text.strip()), (400, text), query)

    def test_a_wedged_allocator_shows_where_it_is_stuck(self):
        program = self.start([harness.host("wedge"), "arena"], stdin=subprocess.PIPE,
                             env={"GLIBC_TUNABLES": "glibc.malloc.tcache_count=0"})
        program.wait_for_output(b"running\n")
        program.wait_for_admin()
        program.process.stdin.write(b"\n")
        program.process.stdin.flush()
        program.wait_for_output(b"wedged\n", 60)
        dump = self.dump(program.unix)
        self.assertEqual((dump.answered, dump.count), (3, 3))
        stuck = next(thread for thread in dump.threads if "probe" in thread.stack)
        self.assertRegex(stuck.wchan, "futex")
        # The thread that waits for the lock, below the allocator that takes it.
        self.assertRegex(" ".join(stuck.stack), r"lll_lock_wait\S* .*\b(malloc|free)\b.* probe ")
        # The thread that holds it, inside the allocator.
        holder = next(thread for thread in dump.threads if "stop_here" in thread.stack)
        for thread in stuck, holder:
            self.assert_callers(thread, "rth__thread_run")
        self.assertRegex(" ".join(holder.stack),
                         r"stop_here .*\b(malloc|free)\b.* allocate_all_the_time ")


class Tool(Case):
    """rthooks threads --stacks and --diff."""

    def groups(self, *arguments):
        result = self.run_rthooks("threads", "--json", *arguments)
        self.assertEqual(result.status, 0, result)
        document = json.loads(result.stdout)
        self.assertIn("comments", document)
        return [(group["count"], [frame["function"] for frame in group["stack"]],
                 {thread["name"]: thread["count"] for thread in group["threads"]})
                for group in document["groups"]]

    def saved(self, program, name):
        path = self.path(name)
        with open(path, "wb") as file:
            file.write(harness.fetch(program.unix, "/debug/pprof/threads").body)
        return path

    def test_stacks_are_grouped_the_largest_first(self):
        program = self.started("crowd", 70)
        groups = self.groups("--stacks", str(program.pid))
        self.assertEqual([count for count, _, _ in groups], [10] * 7 + [1])
        for _, stack, threads in groups[:7]:
            self.assertIn("sleeper", stack)
            self.assertEqual(threads, {"sleeper": 10})
        result = self.run_rthooks("threads", "--stacks", self.saved(program, "dump"))
        self.assertEqual(result.status, 0, result)
        text = result.stdout.decode()
        self.assertRegex(text, r"\Acrowd: 71 threads, 8 different stacks\n")
        self.assertEqual(text.count("\n10 threads: sleeper x10 (sleeping)\n  "), 7)
        self.assertIn("\n1 thread: crowd (sleeping)\n  ", text)

    def test_the_difference_of_two_files_and_of_a_process(self):
        program = self.started("odd_waits", "move")
        old = self.saved(program, "old")
        tool = subprocess.Popen(
            [self.rthooks, "threads", "--json", "--diff", "--seconds", "2", str(program.pid)],
            env=self.environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        time.sleep(1)
        program.signal(signal.SIGUSR1)
        live = json.loads(tool.communicate(timeout=60)[0])
        self.assertEqual(tool.returncode, 0)
        groups = self.groups("--diff", old, self.saved(program, "new"))
        for found in (groups, [(group["count"], [frame["function"] for frame in group["stack"]],
                                None) for group in live["groups"]]):
            self.assertEqual(
                sorted((count, place) for count, stack, _ in found
                       for place in ("first_place", "second_place", "last_place")
                       if place in stack),
                [(-1, "first_place"), (-1, "last_place"), (1, "second_place")])
            self.assertEqual(len(found), 3)
        self.assertEqual([threads for _, _, threads in groups][0], {"moves": 1})
        result = self.run_rthooks("threads", "--diff", old, old)
        self.assertEqual((result.status, result.stdout),
                         (0, b"odd_waits: no thread is elsewhere than before\n"))

    def test_mistakes_are_named(self):
        for arguments, text in (
                (("--diff", "1"), "--diff takes two targets, or --seconds and one"),
                (("--diff", "--seconds", "1", "1", "2"), "one target at a time"),
                (("--diff", "1", "2", "3"), "two targets at a time"),
                (("--stacks", "--diff", "1", "2"), "--stacks or --diff, not both"),
                (("--stacks", "--sort", "age", "1"), "--sort is for the list of threads"),
                (("--seconds", "1", "1"), "--seconds is for --diff"),
                (("--diff", "--seconds", "301", "1"), "--seconds takes a number from 1 to 300"),
                (("--stacks",), "which process?")):
            result = self.run_rthooks("threads", *arguments)
            self.assertEqual(result.status, 2, arguments)
            self.assertIn(text, result.stderr.decode())

    def test_another_kind_of_profile_is_refused(self):
        program = self.started("crowd", 1)
        path = self.path("cpu")
        with open(path, "wb") as file:
            file.write(harness.fetch(program.unix, "/debug/pprof/profile?seconds=1").body)
        result = self.run_rthooks("threads", "--stacks", path)
        self.assertEqual(result.status, 2, result)
        self.assertIn(b"is no thread dump", result.stderr)


if __name__ == "__main__":
    harness.main()
