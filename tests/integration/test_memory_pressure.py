# SPDX-License-Identifier: MIT
"""Memory that runs short, in real control groups: a cache that inserts more than there is room for
lives on and stays useful; what dies anyway leaves evidence.

Scaled down: `bench/run.py survival` has the long runs.
"""
import contextlib
import json
import os
import shutil
import signal
import sys
import tempfile
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import cgroups  # noqa: E402
import harness  # noqa: E402
from cgroups import MIB  # noqa: E402
from harness import wait_until  # noqa: E402
from limits_case import LimitsCase, soft  # noqa: E402

LIMIT_BYTES = 300 * MIB
SECONDS = 10
PEAK_SHARE, LIVE_SHARE = 0.97, 0.70
TRANSITIONS_PER_MINUTE = 6
RECLAIM_SHARE = 0.25  # of the processors, at SHED; CRITICAL is not to last


def cpu_s(pid, name):
    """CPU time of the threads of that name; 0 when the process is gone."""
    total_ns = 0
    with contextlib.suppress(OSError):
        for tid in harness.tasks(pid):
            task = "/proc/%d/task/%d/" % (pid, tid)
            if harness.read_text(task + "comm") == name:
                total_ns += int(harness.read_text(task + "schedstat").split()[0])
    return total_ns / 1e9


class Survival(LimitsCase):
    """examples/cache, inserting at full speed."""

    def cache(self, group, threads, allocator, seconds=SECONDS, **options):
        path = os.path.join(harness.BUILD, "examples", "cache", "cache")
        if not os.path.exists(path):
            harness.skip("examples/cache is not built")
        env = dict(self.allocator(allocator), **options.pop("env", {}))
        argv = [path, "--threads", str(threads), "--seconds", str(seconds), "--value-min", "4096",
                "--value-max", "65536"]
        return self.inside(group, argv, env=env, wait=False, **options)

    def survives(self, threads, allocator):
        group = self.group(memory=LIMIT_BYTES)
        program = self.cache(group, threads, allocator, log="info")
        start, reclaim_s = time.monotonic(), 0
        with cgroups.Watch(group) as watch:
            program.wait_for_admin(unix=False)
            memory = self.ask(program)
            while program.process.poll() is None:
                self.assertLess(time.monotonic() - start, SECONDS + 60)
                reclaim_s = max(reclaim_s, cpu_s(program.pid, "rth-reclaim"))
                time.sleep(0.05)
        took_s = time.monotonic() - start
        self.assertEqual(program.process.returncode, 0, program.stderr()[-3000:])
        self.assertEqual(group.oom_kills(), 0)
        result = json.loads(program.stdout().splitlines()[-1])
        peak, live = watch.peak_bytes / LIMIT_BYTES, result["live_bytes"] / LIMIT_BYTES
        reclaim = reclaim_s / took_s / len(os.sched_getaffinity(0))
        print("%d threads, %s: inserted %.1f times the limit, %d refused; peak %.1f %% (with page "
              "cache %.1f %%), live %.1f %%, at least %.1f %%; rth-reclaim %.1f %% of the processors"
              % (threads, allocator, result["inserted_bytes"] / LIMIT_BYTES, result["refused"],
                 100 * peak, 100 * group.max_usage() / LIMIT_BYTES, 100 * live,
                 100 * result["live_min_bytes"] / LIMIT_BYTES, 100 * reclaim))
        self.assertEqual(memory["limit_bytes"], soft(LIMIT_BYTES))
        self.assertGreater(result["inserted_bytes"], 2 * LIMIT_BYTES)
        self.assertGreater(watch.samples, 20)
        self.assertLessEqual(peak, PEAK_SHARE)
        self.assertGreaterEqual(live, LIVE_SHARE)
        self.assertLessEqual(reclaim, RECLAIM_SHARE)
        self.assertLessEqual(program.stderr().count(b" event=memory.state "),
                             TRANSITIONS_PER_MINUTE, program.stderr())

    def test_one_thread_on_glibc(self):  # serial
        self.survives(1, "glibc")

    def test_eight_threads_on_glibc(self):  # serial
        self.survives(8, "glibc")

    def test_one_thread_on_jemalloc(self):  # serial
        self.survives(1, "jemalloc")

    def test_eight_threads_on_jemalloc(self):  # serial
        self.survives(8, "jemalloc")

    def test_one_thread_on_tcmalloc(self):  # serial
        self.survives(1, "tcmalloc")

    def test_eight_threads_on_tcmalloc(self):  # serial
        self.survives(8, "tcmalloc")

    def test_reclaiming_stays_under_its_share_of_the_quota(self):  # serial
        quota, seconds = 1.0, 5
        group = self.group(cgroups.MEMORY, cgroups.CPU, memory=LIMIT_BYTES, cpus=quota)
        program = self.cache(group, 8, "jemalloc", seconds=seconds)
        start, reclaim_s = time.monotonic(), 0
        while program.process.poll() is None:
            reclaim_s = max(reclaim_s, cpu_s(program.pid, "rth-reclaim"))
            time.sleep(0.05)
        took_s = time.monotonic() - start
        self.assertEqual(program.process.returncode, 0, program.stderr()[-3000:])
        print("rth-reclaim took %.2f s of %.2f s at %g processors" % (reclaim_s, took_s, quota))
        self.assertGreater(reclaim_s, 0)
        # A quarter at SHED, half at CRITICAL; and a burst.
        self.assertLessEqual(reclaim_s, 0.5 * quota * took_s + 0.1)

    def test_without_rthooks_it_is_killed(self):  # serial
        for threads, allocator in ((1, "glibc"), (8, "glibc"), (8, "jemalloc"), (8, "tcmalloc")):
            group = self.group(memory=LIMIT_BYTES)
            program = self.cache(group, threads, allocator, seconds=60, env={"RTHOOKS": "off"},
                                 hooked=False)
            self.assertEqual(program.wait(), -signal.SIGKILL, (threads, allocator))
            self.assertGreater(group.oom_kills(), 0)


class Recovery(LimitsCase):
    def test_after_the_load_all_is_well_again_and_stays_so(self):  # serial
        group = self.group(memory=LIMIT_BYTES)
        program = self.steps(group, log="info")
        self.tell(program, "hold 275")
        self.wait_for_state(program, "shed", "critical", "exhausted")
        self.tell(program, "drop")
        start = time.monotonic()
        self.wait_for_state(program, "ok", timeout_s=30)
        recovered_s = time.monotonic() - start
        transitions = self.ask(program)["transition_count"]
        time.sleep(5)
        memory = self.ask(program)
        print("ok after %.2f s; %d transitions in all" % (recovered_s, memory["transition_count"]))
        self.assertEqual((memory["state"], memory["transition_count"]), ("ok", transitions))
        # Up, at most once per state, and down again.
        self.assertLessEqual(transitions, TRANSITIONS_PER_MINUTE)
        self.assertLessEqual(recovered_s, 5)

    def test_use_around_a_threshold_does_not_make_it_flap(self):  # serial
        group = self.group(memory=LIMIT_BYTES)
        program = self.steps(group, log="info")
        other = self.steps(group, env={"RTHOOKS": "off"}, wait=False)
        self.tell(program, "hold %d" % (0.9 * soft(LIMIT_BYTES) / MIB - 12))
        for _ in range(12):  # 0.86 to 0.92 of the soft limit: around 0.9, above where it is left
            self.tell(other, "hold 16")
            time.sleep(0.2)
            self.tell(other, "drop")
            time.sleep(0.2)
        memory = self.ask(program)
        print("%d transitions" % memory["transition_count"])
        self.assertGreaterEqual(memory["transition_count"], 1)
        self.assertLessEqual(memory["transition_count"], TRANSITIONS_PER_MINUTE)


class Evidence(LimitsCase):
    """A program that knows nothing of rthooks leaks until the kernel ends it."""

    def test_a_killed_run_names_the_site_that_grew(self):  # serial
        group = self.group(memory=200 * MIB)
        folder = tempfile.mkdtemp(prefix="rthooks-test-", dir="/var/tmp")
        self.addCleanup(shutil.rmtree, folder, True)
        program = self.inside(group, [harness.host("leak_sessions"), "50"], log="info",
                              env={"RTHOOKS_CRASH_DIR": folder})
        self.assertEqual(program.wait(), -signal.SIGKILL)
        self.assertGreater(group.oom_kills(), 0)
        episodes = sorted(name for name in os.listdir(folder) if name.startswith("episode-"))
        self.assertTrue(episodes, "no episode; stderr %r" % program.stderr()[-3000:])
        found = {}
        for episode in episodes:
            self.assertIn("-%d-" % program.pid, episode)
            self.assertEqual(os.stat(os.path.join(folder, episode)).st_mode & 0o077, 0)
            for name in os.listdir(os.path.join(folder, episode)):
                path = os.path.join(folder, episode, name)
                if name.startswith("heap") and os.path.getsize(path) > 0:
                    found[episode] = self.top(path)
        for episode, rows in found.items():
            print(episode, [(row["function"], row["flat"]) for row in rows[:2]])
        self.assertTrue(found, "no heap profile in %r" % episodes)
        for rows in found.values():
            self.assertEqual(rows[0]["function"], "grow_the_session_table", rows[:4])
        # By the last one most of what there is had been allocated there.
        self.assertGreater(found[max(found)][0]["flat"], 80 * MIB)

    def top(self, path):
        result = self.run_rthooks("pprof", "top", "--json", path)
        self.assertEqual(result.status, 0, result)
        return json.loads(result.stdout)["rows"]

    def test_episodes_are_listed_while_the_service_runs(self):
        group = self.group(memory=200 * MIB)
        folder = tempfile.mkdtemp(prefix="rthooks-test-", dir="/var/tmp")
        self.addCleanup(shutil.rmtree, folder, True)
        program = self.steps(group, env={"RTHOOKS_CRASH_DIR": folder})
        self.assertEqual(self.ask_episodes(program)["episodes"], [])
        self.tell(program, "hold 183")
        self.wait_for_state(program, "shed", "critical", "exhausted")
        episodes = wait_until("an episode", lambda: self.ask_episodes(program)["episodes"])
        self.assertTrue(os.path.isdir(os.path.join(folder, episodes[0]["id"])), episodes)
        self.assertIn("memory", episodes[0]["trigger"])
        self.tell(program, "drop")
        self.wait_for_state(program, "ok")

    def ask_episodes(self, program):
        answer = harness.fetch(program.port, "/debug/episodes")
        self.assertEqual(answer.status, 200, answer)
        return answer.json()


if __name__ == "__main__":
    harness.main()
