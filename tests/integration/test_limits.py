# SPDX-License-Identifier: MIT
"""Limits of real control groups: found, followed, told; and what happens when they go wrong.

The groups are made below the test's own; where that cannot be done each test says so and is
skipped.
"""
import os
import statistics
import subprocess
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import harness  # noqa: E402
from cgroups import CPU, MEMORY, MIB  # noqa: E402
from harness import fetch, wait_until  # noqa: E402
from limits_case import LimitsCase, named, soft  # noqa: E402

SLEEPER = ["/bin/sleep", "1000"]
FOLLOWED_S = 1.5


def level_of(memory):
    """0: the limit is the process's own group's; 1: the one above it has it."""
    return memory["cgroup"]["max"]["level"]


class Memory(LimitsCase):
    def test_the_limit_is_read_back_with_its_file_and_level(self):
        group = self.group(memory=300 * MIB)
        program = self.inside(group, SLEEPER)
        memory = self.ask(program)
        self.assertEqual(memory["hard_limit_bytes"], 300 * MIB)
        self.assertEqual(memory["limit_bytes"], soft(300 * MIB))
        self.assertEqual(level_of(memory), 0)
        self.assertTrue(memory["source"].startswith("cgroup%d:/" % group.version[MEMORY]), memory)
        self.assertTrue(memory["source"].endswith(named(group.memory_limit_file())), memory)
        self.assertEqual(memory["state"], "ok")
        # What is used there is what the kernel says, page cache left out.
        self.assertLess(abs(memory["usage_bytes"] - group.non_reclaimable()), 8 * MIB)
        line = self.wait_for_line(program, "memory_limit=%d " % soft(300 * MIB))
        self.assertIn("memory_source=%s " % memory["source"], line)
        self.assertIn("cgroup_limit=%d " % (300 * MIB), line)

    def test_a_limit_is_followed_when_it_is_lowered_and_raised(self):
        group = self.group(memory=300 * MIB)
        program = self.inside(group, SLEEPER)
        delays = []
        for mib in (200, 400, 120, 500, 300):
            group.set_memory_limit(mib * MIB)
            start = time.monotonic()
            memory = self.wait_for(program, "memlimit", hard_limit_bytes=mib * MIB, every_s=0.02)
            delays.append(time.monotonic() - start)
            self.assertEqual(memory["limit_bytes"], soft(mib * MIB))
        group.set_memory_limit(None)
        self.wait_for(program, "memlimit", hard_limit_bytes=None)
        print("followed after", ["%.2f s" % delay for delay in delays])
        # One of them may meet a machine that is busy elsewhere.
        self.assertLessEqual(statistics.median(delays), FOLLOWED_S)

    def test_a_limit_of_the_group_above_alone_is_found(self):
        above = self.group(memory=256 * MIB)
        group = self.group(above=above)
        program = self.inside(group, SLEEPER)
        memory = self.ask(program)
        self.assertEqual((memory["hard_limit_bytes"], level_of(memory)), (256 * MIB, 1))
        self.assertTrue(memory["source"].endswith(named(above.memory_limit_file())), memory)
        # A tighter one of its own takes over, and goes again.
        group.set_memory_limit(128 * MIB)
        memory = self.wait_for(program, "memlimit", hard_limit_bytes=128 * MIB)
        self.assertEqual(level_of(memory), 0)
        group.set_memory_limit(None)
        memory = self.wait_for(program, "memlimit", hard_limit_bytes=256 * MIB)
        self.assertEqual(level_of(memory), 1)

    def test_what_others_use_of_the_limit_counts(self):
        above = self.group(memory=300 * MIB)
        program = self.inside(self.group(above=above), SLEEPER)
        other = self.steps(self.group(above=above), env={"RTHOOKS": "off"}, wait=False)
        self.assertEqual(self.ask(program)["state"], "ok")
        self.tell(other, "hold 250")
        memory = self.wait_for_state(program, "elevated")
        self.assertGreater(memory["usage_bytes"], 250 * MIB)
        self.tell(other, "hold 25")
        self.wait_for_state(program, "shed")
        self.assert_serves(program)

    def test_no_limit_is_quiet(self):
        group = self.group()
        if group.is_limited_above():
            harness.skip("a group above the test has a memory limit")
        program = self.inside(group, SLEEPER)
        time.sleep(1.5)  # its limits were read again meanwhile
        memory = self.ask(program)
        self.assertIsNone(memory["hard_limit_bytes"])
        self.assertEqual((memory["state"], memory["source"]), ("ok", "none"))
        ours, rest = harness.split_start_line(program.stderr())
        self.assertEqual((len(ours), rest), (1, b""), program.stderr())
        self.assertIn(b" memory_limit=off ", ours[0])

    def test_an_explicit_limit_is_used_as_it_is(self):
        program = self.inside(self.group(memory=300 * MIB), SLEEPER,
                              env={"RTHOOKS_MEMORY_LIMIT": "200MiB"})
        memory = self.ask(program)
        self.assertEqual((memory["limit_bytes"], memory["hard_limit_bytes"], memory["source"]),
                         (200 * MIB, 300 * MIB, "RTHOOKS_MEMORY_LIMIT"))

    def test_an_explicit_limit_above_the_hard_one_counts_as_that_one(self):
        program = self.inside(self.group(memory=300 * MIB), SLEEPER,
                              env={"RTHOOKS_MEMORY_LIMIT": "1GiB"})
        memory = self.ask(program)
        self.assertEqual((memory["limit_bytes"], memory["hard_limit_bytes"]), (300 * MIB, 300 * MIB))
        line = self.wait_for_line(program, "rthooks warn event=limits.above_hard")
        self.assertIn(str(300 * MIB), line)

    def test_a_limit_below_use_is_critical_at_once(self):
        """A hard limit cannot be set below what is in use in version 1, but it can come as close as
        3 %."""
        group = self.group(memory=400 * MIB)
        program = self.steps(group, log="info")
        self.tell(program, "hold 200")
        self.assertEqual(self.ask(program)["state"], "ok")
        group.set_memory_limit(int(group.non_reclaimable() * 1.03))
        self.wait_for_state(program, "critical", "exhausted")
        self.wait_for_line(program, "rthooks warn event=memory.state from=ok to=critical ")
        self.assert_serves(program)
        # It does what it did before; with room again all is well.
        group.set_memory_limit(600 * MIB)
        self.wait_for_state(program, "ok")
        self.tell(program, "hold 20")
        self.assert_serves(program)

    def test_a_group_removed_under_us_is_said_and_the_next_one_found(self):
        above = self.group(memory=300 * MIB)
        group = self.group(memory=200 * MIB, above=above)
        program = self.inside(group, SLEEPER, log="info")
        self.assertEqual(self.ask(program)["hard_limit_bytes"], 200 * MIB)
        for pid in group.pids():
            above.add(pid)
        group.remove()
        memory = self.wait_for(program, "memlimit", hard_limit_bytes=300 * MIB)
        self.assertEqual(level_of(memory), 0)
        self.wait_for_line(program, "rthooks warn .*cgroup.* gone")
        self.assert_serves(program)
        # And it is followed there.
        above.set_memory_limit(250 * MIB)
        self.wait_for(program, "memlimit", hard_limit_bytes=250 * MIB)

    def test_files_that_may_not_be_read_are_said(self):
        """By another user, in a group whose files are closed to it."""
        harness.need_root("it closes the files of a group to another user")
        group = self.group(memory=300 * MIB)
        for folder in group.folders.values():
            for name in os.listdir(folder):
                os.chmod(os.path.join(folder, name), 0o600)
        program = self.inside(
            group, SLEEPER, wait=False, rthooks=self.public_rthooks(),
            launcher=[harness.need("setpriv"), "--reuid=65534", "--regid=65534", "--clear-groups"])
        program.wait_for_admin(unix=False)
        memory = self.ask(program)
        self.assertEqual(memory["source"], "unreadable", memory)
        self.assertIsNone(memory["hard_limit_bytes"])
        self.wait_for_line(program, "rthooks warn event=limits.unreadable .*RTHOOKS_MEMORY_LIMIT")
        self.assert_serves(program)

    def test_page_cache_at_the_limit_is_no_pressure(self):
        group = self.group(memory=200 * MIB)
        program = self.steps(group, log="info")
        path = self.path("big")
        for line in ("write %s 400" % path, "read %s" % path):
            self.tell(program, line)
            # Looks of its own are at most 250 ms apart.
            for _ in range(5):
                self.assertEqual(self.ask(program)["state"], "ok")
                time.sleep(0.1)
        self.assertGreater(group.usage(), 0.9 * 200 * MIB, "the cache fills the group")
        self.assertGreater(group.refusals(), 0)
        memory = self.ask(program)
        self.assertLess(memory["usage_bytes"], 60 * MIB)
        self.assertEqual(memory["transition_count"], 0, memory)
        self.assertNotRegex(program.stderr().decode(), "elevated|shed|critical")
        self.assertEqual(group.oom_kills(), 0)

    def test_children_see_the_limit_and_the_state(self):
        group = self.group(memory=300 * MIB)
        program = self.inside(group, [harness.host("linger"), "sleep"])
        program.wait_for_output(b"\n")
        child = int(program.stdout().split()[1])
        child_socket = self.path("run", "rthooks", "%d.sock" % child)
        wait_until("the child's socket", lambda: fetch(child_socket, "/version").status == 200)
        for ask in (lambda: self.ask(program, endpoint=child_socket),
                    lambda: self.ask(program, "memlimit?pid=%d" % child)):
            memory = ask()
            self.assertEqual((memory["limit_bytes"], memory["hard_limit_bytes"]),
                             (soft(300 * MIB), 300 * MIB))
        other = self.steps(group, env={"RTHOOKS": "off"}, wait=False)
        self.tell(other, "hold 275")
        for endpoint in (program.port, child_socket):
            wait_until("the state at %s" % endpoint, lambda e=endpoint: self.ask(
                program, endpoint=e)["state"] == "shed")
        status = fetch(child_socket, "/debug/runtime/status").json()
        row = next(row for row in status["capabilities"] if row["name"] == "limits")
        self.assertEqual(row["state"], "running", row)
        self.assertIn("does not reclaim by itself", row["reason"])
        self.assertIn("none", self.ask(program, endpoint=child_socket)["reclaim"]["thread"])


class Change(LimitsCase):
    """POST /debug/runtime/memlimit?set=…"""

    def post(self, program, value):
        return fetch(program.port, "/debug/runtime/memlimit?set=" + value, "POST", body=b"")

    def test_the_limit_is_changed_while_the_service_runs(self):
        program = self.inside(self.group(memory=300 * MIB), SLEEPER)
        for value, limit_bytes in (("100MiB", 100 * MIB), ("128000000", 128000000),
                                   ("auto", soft(300 * MIB)), ("0.15GiB", None), ("off", "off"),
                                   ("auto", soft(300 * MIB))):
            answer = self.post(program, value)
            if limit_bytes is None:  # Go's grammar has whole numbers only
                self.assertEqual(answer.status, 400, answer)
                continue
            self.assertEqual(answer.status, 200, answer)
            expected = None if limit_bytes == "off" else limit_bytes
            memory = self.wait_for(program, "memlimit", limit_bytes=expected)
            self.assertEqual(memory["hard_limit_bytes"], 300 * MIB)

    def test_bad_input_is_refused_with_the_grammar_and_changes_nothing(self):
        program = self.inside(self.group(memory=300 * MIB), SLEEPER)
        before = self.ask(program)
        for value in ("", "12XB", "-1", "lots", "1.5GiB", "99999999999999999999", "1MiB%20", "0x10",
                      "%00"):
            answer = self.post(program, value)
            self.assertEqual(answer.status, 400, (value, answer))
            self.assertRegex(answer.text, "auto")
            self.assertRegex(answer.text, "off")
            self.assertRegex(answer.text, "MiB")
        self.assertEqual(fetch(program.port, "/debug/runtime/memlimit?set=1MiB").json()[
            "limit_bytes"], before["limit_bytes"], "GET changes nothing")
        self.assertEqual(self.ask(program)["limit_bytes"], before["limit_bytes"])

    def test_a_limit_below_use_is_critical_at_once_and_off_ends_it(self):
        group = self.group()
        if group.is_limited_above():
            harness.skip("a group above the test has a memory limit")
        program = self.steps(group, log="info")
        self.tell(program, "hold 150")
        self.assertEqual(self.post(program, "64MiB").status, 200)
        self.wait_for_state(program, "critical", "exhausted")
        self.wait_for_line(program, "rthooks warn event=memory.state from=ok to=critical ")
        self.tell(program, "hold 10")
        self.assert_serves(program)
        self.assertEqual(self.post(program, "off").status, 200)
        self.wait_for_state(program, "ok")

    def test_a_service_that_is_read_only_refuses(self):
        program = self.inside(self.group(memory=300 * MIB), SLEEPER,
                              env={"RTHOOKS_ADMIN_READONLY": "1"})
        self.assertEqual(self.post(program, "100MiB").status, 403)
        self.assertEqual(self.ask(program)["limit_bytes"], soft(300 * MIB))


class Cpu(LimitsCase):
    def workers(self, group, how):
        return self.ask(self.inside(group, SLEEPER, env={"RTHOOKS_CPU_ROUND": how}), "cpulimit")

    def test_a_quota_of_one_and_a_half_gives_workers_by_policy(self):
        if len(os.sched_getaffinity(0)) < 2:
            harness.skip("needs two processors")
        group = self.group(MEMORY, CPU, cpus=1.5)
        for how, workers in (("ceil", 2), ("floor", 1), ("go", 2)):
            cpu = self.workers(group, how)
            self.assertEqual((cpu["limit"], cpu["workers"]), (1.5, workers), (how, cpu))
            self.assertIn("/%s/" % group.name, cpu["source"])

    def test_a_quota_below_one_never_gives_none(self):
        if len(os.sched_getaffinity(0)) < 2:
            harness.skip("needs two processors")
        group = self.group(CPU, cpus=0.25)
        for how, workers in (("ceil", 1), ("floor", 1), ("go", 2)):
            cpu = self.workers(group, how)
            self.assertEqual((cpu["limit"], cpu["workers"]), (0.25, workers), (how, cpu))

    def test_a_quota_of_the_group_above_is_found_and_followed(self):
        above = self.group(CPU, cpus=0.5)
        program = self.inside(self.group(CPU, above=above), SLEEPER)
        cpu = self.ask(program, "cpulimit")
        self.assertEqual((cpu["limit"], cpu["quota"]["level"]), (0.5, 1))
        above.set_cpus(1.25)
        self.wait_for(program, "cpulimit", limit=1.25)
        above.set_cpus(None)
        cpu = self.wait_for(program, "cpulimit", source="affinity")
        self.assertEqual(cpu["workers"], len(os.sched_getaffinity(program.pid)))

    def test_throttling_is_counted(self):
        group = self.group(CPU, cpus=0.2)
        program = self.inside(group, ["/bin/sh", "-c", "while :; do :; done"])

        def throttled():
            found = self.ask(program, "cpulimit")["throttling"]
            return found if found["throttled_periods"] > 5 else None

        found = wait_until("throttled periods", throttled)
        self.assertGreaterEqual(found["periods"], found["throttled_periods"])
        self.assertGreater(found["throttled_seconds"], 0)


class Settings(LimitsCase):
    MALFORMED = {
        "RTHOOKS_MEMORY_LIMIT": ("12XB", "-5", "lots", "1.5GiB", "1e9", "99999999999999999999"),
        "RTHOOKS_MEMORY_RATIO": ("0", "1.5", "-0.1", "most", "nan", "inf"),
        "RTHOOKS_CPU_LIMIT": ("-1", "0", "many", "nan", "inf"),
        "RTHOOKS_CPU_ROUND": ("up", "CEIL?"),
        "RTHOOKS_RETURN": ("sometimes",),
        "RTHOOKS_CRASH_DIR": ("relative/path",),
        "RTHOOKS_MANIFEST_MEMORY_LIMIT": ("lots", "-1"),
        "RTHOOKS_MANIFEST_CPU_LIMIT": ("many",),
    }

    def test_malformed_ones_end_run_with_variable_value_and_grammar(self):
        for variable, values in self.MALFORMED.items():
            for value in values:
                result = self.run_rthooks("run", "--", "/bin/echo", "started",
                                          env={variable: value})
                self.assertEqual((result.status, result.stdout), (2, b""),
                                 (variable, value, result))
                line = result.stderr.decode()
                for part in (variable, '"%s"' % value, "it takes "):
                    self.assertIn(part, line, (variable, value))
                self.assertEqual(line.count("\n"), 1, line)

    def test_of_a_copied_tree_what_cannot_be_read_and_what_is_not_there_differ(self):
        for name, make, source in (("gone", None, "none"), ("closed", os.mkdir, "unreadable")):
            root = self.tree(name)
            path = os.path.join(root, "sys/fs/cgroup/memory.max")
            if make:
                make(path)
            line = self.dry_run(root)
            self.assertIn(" memory_limit=off memory_source=%s " % source, line)

    def test_of_a_copied_tree_the_limit_is_what_the_container_would_get(self):
        root = self.tree("set")
        with open(os.path.join(root, "sys/fs/cgroup/memory.max"), "w", encoding="ascii") as file:
            file.write("1073741824\n")
        with open(os.path.join(root, "sys/fs/cgroup/cpu.max"), "w", encoding="ascii") as file:
            file.write("150000 100000\n")
        line = self.dry_run(root)
        self.assertIn(" memory_limit=966367641 memory_source=cgroup2:/memory.max ", line)
        self.assertIn(" cpu_limit=1.5 ", line)
        self.assertIn(" workers=2 ", line)

    def tree(self, name):
        """A /proc and a /sys of a container with version 2."""
        root = self.path(name)
        for folder in ("proc/self", "sys/fs/cgroup"):
            os.makedirs(os.path.join(root, folder))
        for path, text in (
                ("proc/self/cgroup", "0::/\n"),
                ("proc/self/mountinfo", "31 23 0:28 / /sys/fs/cgroup ro - cgroup2 cgroup ro\n"),
                ("proc/self/status", "Name:\tservice\nCpus_allowed:\tf\nCpus_allowed_list:\t0-3\n"),
                ("proc/meminfo", "MemTotal:       16000000 kB\n"),
                ("sys/fs/cgroup/cgroup.controllers", "cpuset cpu memory\n"),
                ("sys/fs/cgroup/memory.current", "1000000\n")):
            with open(os.path.join(root, path), "w", encoding="ascii") as file:
                file.write(text)
        return root

    def dry_run(self, root):
        result = self.run_rthooks("budget", "--dry-run", "--root", root)
        self.assertEqual((result.status, result.stderr), (0, b""), result)
        return result.stdout.decode()


if __name__ == "__main__":
    harness.main()
