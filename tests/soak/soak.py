#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""soak.py --minutes N [--build DIR]

The highest rate against the worst of hosts (tests/integration/host/churn.cc), with profiles, thread
dumps and symbol requests in parallel. Fails when a loop of the host stands still, when the host
ends in any way but its own, when an answer is late or wrong, or when timers, descriptors, sockets or
memory are left behind. A short form of it is a test (integration/test_cpu_hosts.py).
"""
import argparse
import os
import random
import sys
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "integration"))

import harness  # noqa: E402
from harness import fetch  # noqa: E402
from profile import Profile  # noqa: E402

STALL_S = 20
# What our own memory may grow by after the first quarter of the run.
GROWTH_KIB = 16 * 1024
DUMPS = ("/debug/pprof/goroutine", "/debug/pprof/goroutine?debug=1",
         "/debug/pprof/goroutine?debug=2", "/debug/pprof/threads?debug=2")


def progress(program):
    """The last line of counters, as {loop: rounds}; {} before the first."""
    lines = [line for line in program.stdout().decode().splitlines() if line.startswith("alive")]
    return {key: int(value) for key, value in
            (word.split("=") for word in lines[-1].split()[1:])} if lines else {}


def timers(pid):
    with open("/proc/%d/timers" % pid, encoding="ascii") as file:
        return sum(line.startswith("ID:") for line in file)


def descriptors(pid):
    return len(os.listdir("/proc/%d/fd" % pid))


def rss_kib(pid):
    return int(harness.status_field(pid, pid, "VmRSS")[0])


class Soak:
    def __init__(self, case, seconds):
        self.case, self.seconds = case, seconds
        self.stop = threading.Event()
        self.errors = []
        self.counts = {}
        self.slowest = {}
        self.addresses = []

    def ask(self, path, timeout_s, **options):
        start = time.monotonic()
        answer = fetch(self.program.port, path, timeout_s=timeout_s, **options)
        kind = path.split("?")[0].rsplit("/", 1)[1]
        self.counts[kind] = self.counts.get(kind, 0) + 1
        self.slowest[kind] = max(self.slowest.get(kind, 0), time.monotonic() - start)
        if answer.status != 200:
            raise AssertionError("%s: %r" % (path, answer))
        return answer

    def profiles(self):
        seconds = random.choice((1, 1, 2, 3))
        hz = random.choice((100, 1000, 1000))
        profile = Profile(self.ask("/debug/pprof/profile?seconds=%d&hz=%d" % (seconds, hz),
                                   90).body)
        if profile.total() <= 0:
            raise AssertionError("an empty profile: %r" % profile.comments)
        self.addresses = [address for sample in profile.samples[:50]
                          for address in sample.addresses[:5]]

    def dumps(self):
        self.ask(random.choice(DUMPS), 60)
        time.sleep(0.05)

    def symbols(self):
        text = "+".join("0x%x" % address for address in self.addresses[:200]) or "0x1"
        self.ask("/debug/pprof/symbol", 60, method="POST", body=text.encode())
        time.sleep(0.1)

    def repeat(self, what):
        while not self.stop.is_set():
            try:
                what()
            except Exception as error:  # noqa: BLE001 - reported by the main thread
                if not self.stop.is_set():
                    self.errors.append("%s: %r" % (what.__name__, error))
                return

    def watch(self):
        """Until the host ends: every loop goes around, and memory does not grow."""
        program = self.program
        seen, moved_at = {}, {}
        start = time.monotonic()
        settled_kib = peak_kib = 0
        while program.process.poll() is None and not self.errors:
            now = time.monotonic()
            if now > start + self.seconds - 3:
                self.stop.set()
            for loop, rounds in progress(program).items():
                if rounds != seen.get(loop):
                    seen[loop], moved_at[loop] = rounds, now
                elif now - moved_at[loop] > STALL_S:
                    self.errors.append("%s stood still at %d" % (loop, rounds))
            if now > start + STALL_S and not seen:
                self.errors.append("no progress at all")
            if now > start + self.seconds + 120:
                self.errors.append("the host did not end: %r" % program.stdout()[-300:])
            try:
                peak_kib = max(peak_kib, rss_kib(program.pid))
                if now < start + self.seconds / 4:
                    settled_kib = peak_kib
            except (OSError, AssertionError):
                pass
            time.sleep(0.2)
        if peak_kib > settled_kib + GROWTH_KIB:
            self.errors.append("memory grew from %d to %d KiB" % (settled_kib, peak_kib))
        return seen, settled_kib, peak_kib

    def leftovers(self):
        """Between the last capture and the end of the host."""
        try:
            harness.wait_until("no timers", lambda: timers(self.program.pid) == 0, 30)
            # The loader opens libraries for moments.
            harness.wait_until("at most %d descriptors" % self.fds,
                               lambda: descriptors(self.program.pid) <= self.fds, 10, 0.01)
        except (AssertionError, OSError) as error:
            self.errors.append("leftovers: %r" % error)

    def run(self):
        """Returns (errors, a line that tells what was done)."""
        self.program = self.case.start([harness.host("churn"), str(self.seconds),
                                        harness.host("module_harmless.so")])
        self.program.wait_for_admin()
        self.fds = min(descriptors(self.program.pid) for _ in range(100))
        clients = [threading.Thread(target=self.repeat, args=(what,), daemon=True)
                   for what in (self.profiles, self.profiles, self.dumps, self.symbols)]
        for client in clients:
            client.start()
        watcher = threading.Thread(target=self.finish, args=(clients,), daemon=True)
        watcher.start()
        seen, settled_kib, peak_kib = self.watch()
        self.stop.set()
        status = self.program.process.poll()
        if status is None:
            self.errors.append("still running when that was found")
        elif status != 0 or b"done\n" not in self.program.stdout():
            self.errors.append("status %r, output %r, errors %r" % (
                status, self.program.stdout()[-200:], self.program.stderr()[-500:]))
        watcher.join(60)
        harness.wait_until("no sockets", lambda: self.case.sockets() == [], 10)
        return self.errors, "%d s; rounds %s; answers %s, slowest %s s; rss %d KiB, at most %d" % (
            self.seconds, seen, self.counts,
            {kind: round(value, 2) for kind, value in self.slowest.items()},
            settled_kib, peak_kib)

    def finish(self, clients):
        self.stop.wait()
        for client in clients:
            client.join(90)
        if self.program.process.poll() is None:
            self.leftovers()


class Alone(harness.Case):
    """A test case that no runner knows: for the folder and the clean-up."""

    def runTest(self):
        pass


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--build", help="build folder; else RTHOOKS_BUILD_DIR or build")
    arguments = parser.parse_args()
    if arguments.build:
        harness.BUILD = os.path.abspath(arguments.build)
        harness.HOSTS = os.path.join(harness.BUILD, "tests", "integration", "host")
    seconds = int(arguments.minutes * 60)
    os.environ["RTHOOKS_TEST_TIMEOUT_S"] = str(seconds + 600)
    case = Alone()
    case.setUpClass()
    case.setUp()
    try:
        errors, line = Soak(case, seconds).run()
    finally:
        case.doCleanups()
    print(line)
    for error in errors:
        print("FAILED: " + error)
    return 1 if errors else 0


if __name__ == "__main__":
    sys.exit(main())
