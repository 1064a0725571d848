# SPDX-License-Identifier: MIT
"""What the tests of limits share: programs in real control groups, and what is said of them."""
import glob
import os
import re
import subprocess

import cgroups
import harness
from cgroups import MIB
from harness import fetch, wait_until

STATES = ("ok", "elevated", "shed", "critical", "exhausted")


class LimitsCase(harness.Case):
    def setUp(self):
        super().setUp()
        # Evidence of one test is none of another's.
        os.mkdir(self.path("episodes"), 0o700)
        self.environment["RTHOOKS_CRASH_DIR"] = self.path("episodes")

    def group(self, *controllers, **limits):
        """A control group of this test alone; a skip where none can be made."""
        try:
            group = cgroups.Group(controllers or (cgroups.MEMORY,), **limits)
        except cgroups.Unavailable as why:
            harness.skip(str(why))
        self.addCleanup(group.remove)
        return group

    def inside(self, group, argv, log="warn", env=None, wait=True, **options):
        """A hooked program in a group, with its own log on standard error."""
        env = dict({"RTHOOKS_LOG": "stderr:" + log}, **(env or {}))
        program = self.start(argv, preexec=group.enter, env=env, **options)
        if wait:
            program.wait_for_admin(unix=False)
        return program

    def steps(self, group, **options):
        """memory_steps in a group, ready."""
        program = self.inside(group, [harness.host("memory_steps")], stdin=subprocess.PIPE,
                              **options)
        program.wait_for_output(b"ready\n")
        return program

    def tell(self, program, line):
        """Has memory_steps do something, to its end."""
        before = program.stdout().count(b"done %s\n" % line.encode())
        program.process.stdin.write(line.encode() + b"\n")
        program.process.stdin.flush()
        wait_until("done " + line, lambda: program.stdout().count(
            b"done %s\n" % line.encode()) > before or self.assertIsNone(program.process.poll()), 60)

    def ask(self, program, what="memlimit", endpoint=None):
        answer = fetch(endpoint or program.port, "/debug/runtime/" + what)
        self.assertEqual(answer.status, 200, answer)
        return answer.json()

    def wait_for(self, program, what, timeout_s=20.0, every_s=0.05, **members):
        """Waits until these members have these values; returns the whole answer."""
        def there():
            answer = self.ask(program, what)
            self.last = {name: answer.get(name) for name in members}
            return answer if self.last == members else None
        try:
            return wait_until("%r" % members, there, timeout_s, every_s)
        except AssertionError as error:
            raise AssertionError("%s; it is %r; stderr %r" % (
                error, self.last, program.stderr()[-2000:])) from None

    def wait_for_state(self, program, *states, timeout_s=20.0):
        def there():
            answer = self.ask(program)
            return answer if answer["state"] in states else None
        return wait_until("state %s" % " or ".join(states), there, timeout_s, 0.02)

    def wait_for_line(self, program, pattern, timeout_s=20.0):
        """A line of rthooks on standard error that has the pattern; returns it."""
        def there():
            for line in program.stderr().decode("utf-8", "replace").splitlines():
                if line.startswith("rthooks ") and re.search(pattern, line, re.IGNORECASE):
                    return line
            return None
        try:
            return wait_until("a line with " + pattern, there, timeout_s)
        except AssertionError as error:
            raise AssertionError("%s; stderr %r" % (error, program.stderr()[-3000:])) from None

    def assert_serves(self, program):
        """It runs, and answers."""
        self.assertIsNone(program.process.poll(), program.stderr()[-2000:])
        self.assertEqual(fetch(program.port, "/livez").status, 200)

    def allocator(self, name):
        """The environment that puts Debian's build of an allocator behind rthooks."""
        if name == "glibc":
            return {}
        found = sorted(glob.glob("/usr/lib/*/lib%s.so.*" % name))
        if not found:
            harness.skip("lib%s is not installed" % name)
        return {"LD_PRELOAD": found[0]}


def soft(limit_bytes, ratio=0.9):
    return int(limit_bytes * ratio)


def total_memory():
    with open("/proc/meminfo", encoding="ascii") as file:
        return int(re.search(r"MemTotal:\s+(\d+) kB", file.read())[1]) * 1024


def named(path):
    """What a source ends with, when it is a file of a group."""
    return os.path.join(os.path.basename(os.path.dirname(path)), os.path.basename(path))


__all__ = ["LimitsCase", "MIB", "STATES", "named", "soft", "total_memory"]
