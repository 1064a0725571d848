# SPDX-License-Identifier: MIT
"""The questions "survival", "ablation" and "reaction" of run.py: a program that wants more memory
than its control group has.

"survival" is examples/cache inserting at full speed, for --minutes, with rthooks and, beside it,
with RTHOOKS=off. "ablation" is the same for a short time, with parts of rthooks taken away.
"reaction" is how long after use crossed the soft limit the first shrinker is called; growth that was
seen coming has it called before."""
import contextlib
import json
import math
import os
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request

from heap import library
from measure import HERE, free_port, summary

sys.path.insert(0, os.path.join(os.path.dirname(HERE), "tests", "integration"))
import cgroups  # noqa: E402
from cgroups import MIB  # noqa: E402

ABLATION_BYTES, REACTION_BYTES = 300 * MIB, 300 * MIB
ALLOCATORS = ("glibc", "jemalloc", "tcmalloc")
THREADS = (1, 8)
RUNS = 5
ABLATION_S = 10
UNPROTECTED_S = 60
CROSSINGS = 100
MIB_PER_S = (200, 1000)  # the last is as fast as it can


def group(limit_bytes):
    return cgroups.Group((cgroups.MEMORY,), memory=limit_bytes)


def reclaim_counts(port):
    """What rthooks has counted so far; None when it does not answer."""
    try:
        with urllib.request.urlopen("http://127.0.0.1:%d/debug/runtime/memlimit" % port,
                                    timeout=5) as answer:
            return json.load(answer)["reclaim"]
    except (OSError, ValueError):
        return None


class Run:
    """One run of examples/cache in a group of its own, to its end."""

    def __init__(self, bench, limit_bytes, threads, allocator, seconds, hooked=True, program=None,
                 in_front="", env=None):
        """in_front: a library to preload in front of the allocator."""
        self.limit_bytes, self.port = limit_bytes, free_port()
        command = [program or os.path.join(bench.build, "examples", "cache", "cache"), "--threads",
                   str(threads), "--seconds", str(seconds)]
        # Evidence is no part of the question.
        environment = dict(os.environ, RTHOOKS_CRASH_DIR="off",
                           RTHOOKS_ADMIN="127.0.0.1:%d" % self.port,
                           LD_PRELOAD=":".join(filter(None, (in_front, library(allocator)))))
        environment.update(env or {})
        if hooked:
            command = bench.hooked(command, self.port)
        self.counts = None
        with group(limit_bytes) as self.group, tempfile.TemporaryFile() as out, \
                tempfile.TemporaryFile() as err:
            start = time.monotonic()
            with cgroups.Watch(self.group) as self.watch:
                self.process = subprocess.Popen(command, env=environment, stdout=out, stderr=err,
                                                preexec_fn=self.group.enter)
                try:
                    self._wait(start + seconds + 60)
                finally:
                    if self.process.poll() is None:
                        self.process.kill()
                        self.process.wait()
            self.took_s = time.monotonic() - start
            self.oom_kills, self.max_usage = self.group.oom_kills(), self.group.max_usage()
            out.seek(0)
            lines = out.read().splitlines()
            err.seek(0)
            self.errors = err.read().decode("utf-8", "replace")[-2000:]
        self.said = json.loads(lines[-1]) if self.process.returncode == 0 else {}
        if self.process.returncode not in (0, -signal.SIGKILL):
            raise RuntimeError("examples/cache: %d, %s" % (self.process.returncode, self.errors))

    def _wait(self, until):
        while True:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(timeout=0.5)
                return
            if time.monotonic() > until:
                raise RuntimeError("examples/cache does not end")
            self.counts = reclaim_counts(self.port) or self.counts

    def row(self):
        row = {"killed": self.oom_kills > 0, "seconds": self.took_s,
               "peak_share": self.watch.peak_bytes / self.limit_bytes,
               "peak_with_page_cache_share": self.max_usage / self.limit_bytes}
        for name in ("live", "live_min", "inserted", "evicted"):
            if name + "_bytes" in self.said:
                row[name + "_share"] = self.said[name + "_bytes"] / self.limit_bytes
        if "refused" in self.said:
            row["refused"] = self.said["refused"]
        if self.counts:
            for name in ("purge", "shrink"):
                used_s = self.counts[name + "_cpu_ns"] / 1e9
                row[name + "_cpu_share"] = used_s / self.took_s / os.cpu_count()
        return row


def of_runs(rows):
    """One row of several runs: kills, and medians of what those that lived say."""
    result = {"runs": len(rows), "kills": sum(row["killed"] for row in rows)}
    for name in sorted({name for row in rows for name in row} - {"killed"}):
        values = [row[name] for row in rows if name in row]
        result[name] = summary(values)
    return result


def percent(row, name, which="median"):
    return "%.1f %%" % (100 * row[name][which]) if name in row else "-"


def report(question, name, row):
    print("%s, %s: killed in %d of %d, peak %s, live at the end %s, at least %s, inserted %s times "
          "the limit, purging %s and shrinking %s of the processors" % (
              question, name, row["kills"], row["runs"], percent(row, "peak_share", "max"),
              percent(row, "live_share", "min"), percent(row, "live_min_share", "min"),
              "%.0f" % row["inserted_share"]["median"] if "inserted_share" in row else "-",
              percent(row, "purge_cpu_share"), percent(row, "shrink_cpu_share")), flush=True)


def skipped(question):
    try:
        group(ABLATION_BYTES).remove()
        return False
    except cgroups.Unavailable as why:
        print("%s: skipped: %s" % (question, why))
        return True


def here():
    return [name for name in ALLOCATORS if library(name) is not None]


def ask_survival(bench):
    if skipped("survival"):
        return
    limit_bytes = bench.group_mib * MIB
    result = {"limit_bytes": limit_bytes, "minutes": bench.minutes}
    for allocator in here():
        for threads in THREADS:
            name = "%s, %d thread%s" % (allocator, threads, "s" if threads > 1 else "")
            for how, seconds, options in (
                    ("off", UNPROTECTED_S, {"hooked": False, "env": {"RTHOOKS": "off"}}),
                    ("on", int(bench.minutes * 60), {})):
                rows = [Run(bench, limit_bytes, threads, allocator, seconds, **options).row()
                        for _ in range(min(bench.repeat, RUNS))]
                result.setdefault(name, {})[how] = of_runs(rows)
                report("survival", "%s, %s" % (name, how), result[name][how])
                save_survival(bench, result)


def save_survival(bench, result):
    bench.save("survival", "A cache that inserts at full speed in a control group of a fixed size",
               "on: no kill, peak_share <= 0.97, live_share >= 0.70; "
               "off: killed every time", result)


def ablations(bench):
    """{name: what Run takes}"""
    built = os.path.join(bench.build, "bench")
    unasked = os.path.join(built, "bench_cache_unasked")
    no_purge = os.path.join(built, "libbench_no_purge.so")
    return {
        "everything": {},
        "no purge": {"in_front": no_purge},
        "no admission": {"program": unasked},
        "no purge, no admission": {"program": unasked, "in_front": no_purge},
        "polling alone": {"program": os.path.join(built, "bench_cache_polled"), "hooked": False},
        "nothing": {"hooked": False, "env": {"RTHOOKS": "off"}},
    }


def ask_ablation(bench):
    if skipped("ablation"):
        return
    result = {"limit_bytes": ABLATION_BYTES, "seconds": ABLATION_S}
    for allocator in here():
        for threads in THREADS:
            for name, options in ablations(bench).items():
                rows = [Run(bench, ABLATION_BYTES, threads, allocator, ABLATION_S, **options).row()
                        for _ in range(min(bench.repeat, RUNS))]
                key = "%s, %d, %s" % (allocator, threads, name)
                result[key] = of_runs(rows)
                report("ablation", key, result[key])
    bench.save("ablation", "The same in 300 MiB, with parts of rthooks taken away",
               "everything: no kill, live_share >= 0.70", result)


def p99(values):
    return sorted(values)[math.ceil(0.99 * len(values)) - 1]


def ask_reaction(bench):
    if skipped("reaction"):
        return
    result = {"limit_bytes": REACTION_BYTES}
    for how, target_ms in (("sampled", 20), ("hooked", 5)):
        for rate in MIB_PER_S:
            with group(REACTION_BYTES) as place:
                folder = place.folders[cgroups.MEMORY]
                command = [os.path.join(bench.build, "bench", "bench_reaction"), str(CROSSINGS),
                           str(rate), folder]
                env = dict(os.environ, RTHOOKS_CRASH_DIR="off",
                           RTHOOKS_ADMIN="127.0.0.1:%d" % free_port())
                if how == "hooked":
                    command = bench.hooked(command)
                output = subprocess.run(command, env=env, preexec_fn=place.enter, check=True,
                                        stdout=subprocess.PIPE, text=True).stdout
            said = json.loads(output.splitlines()[-1])
            values = [us / 1000 for us in said["microseconds"]]
            row = {"ms": summary(values), "p99_ms": p99(values), "missed": said["missed"],
                   "crossings": said["crossings"],
                   "called_before_share": sum(value < 0 for value in values) / len(values)}
            result["%s, %d MiB/s" % (how, rate)] = row
            print("reaction, %s, %d MiB/s: median %.2f ms, p99 %.2f ms, max %.2f ms of %d, %d "
                  "missed; target p99 <= %d ms" % (how, rate, row["ms"]["median"], row["p99_ms"],
                                           row["ms"]["max"], len(values), row["missed"], target_ms),
                  flush=True)
    bench.save("reaction", "From the crossing of the soft limit to the first call of a shrinker",
               "p99_ms <= 20 sampled, <= 5 hooked; missed = 0", result)
