#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""run.py [--build DIR] [--repeat N] [--minutes N] [--group-mib N] [--out DIR] [QUESTION…]

Bare and hooked, interleaved in one run, each pair one observation. Prints a line per question and
writes bench/results/NAME.json with what it ran on.
"""
import argparse
import glob
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request

import heap
import locks
import memory
import services
from measure import free_port, machine, summary

HERE = os.path.dirname(os.path.abspath(__file__))

QUESTIONS = ["startup", "idle", "fork", "prefork", "footprint", "unwind", "symbols",
             "cpu_sampler", "thread_dump", "labels", "wall", "heap",
             "locks", "services", "redis_memory", "reaction", "ablation", "survival"]

# What `rthooks run` adds to a process: rth-admin and rth-work.
SERVICE_THREADS = 2


def own_cpu_s(pid):
    """CPU time of the threads that rthooks added to a process."""
    total_ns = 0
    for task in glob.glob("/proc/%d/task/*" % pid):
        with open(task + "/comm", encoding="utf-8") as file:
            if not file.read().startswith("rth-"):
                continue
        with open(task + "/schedstat", encoding="utf-8") as file:
            total_ns += int(file.read().split()[0])
    return total_ns / 1e9


def private_kib(pid):
    with open("/proc/%d/smaps_rollup" % pid, encoding="utf-8") as file:
        return sum(int(line.split()[1]) for line in file if line.startswith("Private_"))


class Bench:
    def __init__(self, build, repeat, minutes, group_mib, out):
        self.rthooks = os.path.join(build, "tools", "rthooks")
        self.build = build
        self.repeat = repeat
        self.minutes = minutes
        self.group_mib = group_mib
        self.out = out

    def hooked(self, argv, port=None):
        return [self.rthooks, "run", "--admin", "127.0.0.1:%d" % (port or free_port()), "--"] + argv

    def save(self, name, question, target, result):
        os.makedirs(self.out, exist_ok=True)
        document = {"question": question, "target": target, "machine": machine(), **result}
        with open(os.path.join(self.out, name + ".json"), "w", encoding="utf-8") as file:
            json.dump(document, file, indent=1, sort_keys=True)
            file.write("\n")

    def preloaded(self, argv):
        """The program as `rthooks run` would exec it, without the tool's own start."""
        shell = ('set -- $(cut -d" " -f22 /proc/$$/stat) "$@"; '
                 'export RTHOOKS_AUTOSTART=$$:$1; shift; '
                 'export LD_PRELOAD="$INTERPOSE:$RUNTIME"; exec "$@"')
        return ["sh", "-c", shell, "sh"] + argv

    def startup(self):
        def once(argv, env):
            start = time.perf_counter_ns()
            subprocess.run(argv, env=env, check=True, stderr=subprocess.DEVNULL)
            return (time.perf_counter_ns() - start) / 1e6
        plain = dict(os.environ, RTHOOKS_ADMIN="127.0.0.1:%d" % free_port())
        libs = dict(plain, INTERPOSE=os.path.join(self.build, "librthooks_interpose.so"),
                    RUNTIME=os.path.join(self.build, "librthooks.so"))
        # The same shell runs in both, so its cost cancels out.
        bare_shell = ["sh", "-c", 'set -- $(cut -d" " -f22 /proc/$$/stat) "$@"; shift; exec "$@"',
                      "sh", "true"]
        bare, added = [], []
        for _ in range(self.repeat):
            base = once(bare_shell, plain)
            bare.append(base)
            added.append(once(self.preloaded(["true"]), libs) - base)
        result = {"bare_ms": summary(bare), "added_ms": summary(added)}
        self.save("startup", "What the preload adds to the start of a program (true)",
                  "added_ms <= 5", result)
        print("startup: +%.2f ms (bare %.2f ms); target <= 5 ms"
              % (result["added_ms"]["median"], result["bare_ms"]["median"]))

    def idle(self, seconds=20):
        port, service = free_port(), free_port()
        with tempfile.TemporaryDirectory() as folder:
            redis = subprocess.Popen(
                self.hooked(["redis-server", "--port", str(service), "--save", "", "--dir", folder],
                            port), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            try:
                def own_cpu_s():
                    url = "http://127.0.0.1:%d/metrics" % port
                    text = urllib.request.urlopen(url, timeout=5).read().decode()
                    return float(next(line.split()[1] for line in text.split("\n") if
                                      line.startswith("rthooks_rthooks_cpu_cpu_seconds_total ")))
                time.sleep(2)
                own_cpu_s()
                before = own_cpu_s()
                scrape = own_cpu_s() - before  # what looking costs, taken off
                start = time.monotonic()
                before = own_cpu_s()
                time.sleep(seconds)
                used = max(own_cpu_s() - before - scrape, 0)
                share = used / (time.monotonic() - start)
            finally:
                redis.send_signal(signal.SIGTERM)
                redis.wait()
        self.save("idle", "CPU used by the threads of rthooks in an idle redis-server",
                  "share_of_one_cpu <= 0.001", {"share_of_one_cpu": share, "seconds": seconds,
                                                "scrape_cpu_s": scrape})
        print("idle: %.4f %% of one CPU over %d s; target <= 0.1 %%" % (share * 100, seconds))

    def fork(self):
        """Beside the bare program, one that has as many idle threads as rthooks adds."""
        loop = os.path.join(self.build, "bench", "bench_fork_loop")
        result = {}
        for mode, count in (("exit", "300"), ("exec", "150")):
            bare, threaded, hooked = [], [], []
            for _ in range(self.repeat):
                for values, command in (
                        (bare, [loop, mode, count, "0"]),
                        (threaded, [loop, mode, count, str(SERVICE_THREADS)]),
                        (hooked, self.hooked([loop, mode, count, "0"]))):
                    output = subprocess.run(command, capture_output=True, check=True).stdout
                    values.append(int(output) / 1e3)
            result[mode] = {
                "bare_us": summary(bare),
                "ratio": summary([one / other for one, other in zip(hooked, bare)]),
                "ratio_of_idle_threads": summary(
                    [one / other for one, other in zip(threaded, bare)])}
            print("fork+%s: hooked / bare = %.3f [%.3f, %.3f] (bare %.0f us); "
                  "with %d idle threads of its own / bare = %.3f [%.3f, %.3f]; target <= 1.01"
                  % (mode, result[mode]["ratio"]["median"], *result[mode]["ratio"]["ci95"],
                     result[mode]["bare_us"]["median"], SERVICE_THREADS,
                     result[mode]["ratio_of_idle_threads"]["median"],
                     *result[mode]["ratio_of_idle_threads"]["ci95"]))
        self.save("fork", "What a fork costs in a hooked process", "ratio <= 1.01", result)

    def child_memory(self, command, wait_s):
        """Memory that a forked child has for itself, in KiB, wait_s after the fork."""
        parent = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                  stderr=subprocess.DEVNULL)
        try:
            pid = int(parent.stdout.readline())
            time.sleep(wait_s)
            return private_kib(pid)
        finally:
            parent.stdin.close()
            parent.wait()

    def footprint(self):
        """Differences to the bare program, in memory that no other process shares."""
        loop = [os.path.join(self.build, "bench", "bench_fork_loop"), "child"]
        young, adopted, redis = [], [], []
        for _ in range(max(self.repeat // 4, 3)):
            for values, wait_s in ((young, 0.05), (adopted, 1.5)):
                values.append(self.child_memory(self.hooked(loop), wait_s)
                              - self.child_memory(loop, wait_s))
            pair = []
            for hook in (self.hooked, list):
                with tempfile.TemporaryDirectory() as folder:
                    server = subprocess.Popen(
                        hook(["redis-server", "--port", str(free_port()), "--save", "",
                              "--dir", folder]),
                        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
                    time.sleep(1.5)
                    pair.append(private_kib(server.pid))
                    server.send_signal(signal.SIGTERM)
                    server.wait()
            redis.append(pair[0] - pair[1])
        result = {"child_before_adoption_kib": summary(young),
                  "child_after_adoption_kib": summary(adopted), "idle_redis_kib": summary(redis)}
        self.save("footprint", "Private memory that rthooks adds",
                  "child <= 64 KiB before adoption, <= 1024 KiB after; process <= 8192 KiB", result)
        print("footprint: child +%.0f KiB before adoption (target <= 64), +%.0f KiB after "
              "(<= 1024); idle redis-server +%.0f KiB (<= 8192)"
              % tuple(result[name]["median"] for name in (
                  "child_before_adoption_kib", "child_after_adoption_kib", "idle_redis_kib")))

    def inner(self, program, *arguments):
        """What a program of bench/ prints: one JSON object."""
        path = os.path.join(self.build, "bench", "bench_" + program)
        output = subprocess.run([path, *arguments], capture_output=True, text=True, check=True)
        return json.loads(output.stdout.splitlines()[-1])

    def unwind(self):
        """A stack without frame pointers, beside the unwinders that programs have."""
        result = self.inner("unwind", str(max(self.repeat, 20)))
        lines = []
        for name, values in result.items():
            if isinstance(values, dict):
                values["ns_per_frame"] = summary(values["ns_per_frame"])
                lines.append("%s %.1f" % (name, values["ns_per_frame"]["median"]))
        self.save("unwind", "Nanoseconds per frame of one unwind", "warm <= 5, cold <= 40; rows <= "
                  "60 % of .eh_frame", result)
        print("unwind, ns per frame: %s; rows %.0f %% of .eh_frame; target warm <= 5, cold <= 40"
              % (", ".join(lines), 100.0 * result["row_bytes"] / result["eh_frame_bytes"]))

    def symbols(self):
        """Names of 10,000 addresses of libc and the largest library at hand."""
        libraries = sorted(glob.glob("/usr/lib/x86_64-linux-gnu/*.so*"), key=os.path.getsize)
        files = [path for path in ("/usr/lib/x86_64-linux-gnu/libc.so.6",) if os.path.exists(path)]
        result = self.inner("symbols", *files, os.path.realpath(libraries[-1]))
        self.save("symbols", "Names of 10,000 addresses", "<= 50 ms, <= 8 MiB", result)
        print("symbols: %s; target <= 50 ms, <= 8192 KiB" % ", ".join(
            "%s %s" % pair for pair in result.items() if not isinstance(pair[1], (dict, list))))

    def cpu_sampler(self):
        result = self.inner("cpu_sampler", str(max(self.repeat, 20)))
        self.save("cpu_sampler", "What a CPU capture costs a busy thread, and how true it is",
                  "<= 0.05 % at 100 Hz, <= 0.2 % at the tick; total within 1 % of the time used",
                  result)
        for rate in result["rates"]:
            print("cpu_sampler: %s" % json.dumps(rate))

    def labels(self):
        """A labelled block, beside pprof.Do of Go where Go is."""
        repeat = str(max(self.repeat, 20))
        result = {"ours": self.inner("labels", repeat)}
        go = shutil.which("go", path=os.environ.get("PATH", "") + ":/usr/local/go/bin")
        if go:
            output = subprocess.run([go, "run", os.path.join(HERE, "peer_labels.go"), repeat],
                                    capture_output=True, text=True, check=True).stdout
            result["go"] = json.loads(output)
        for kind in result.values():
            for name, values in kind.items():
                if isinstance(values, list):
                    kind[name] = summary(values)
        self.save("labels", "Nanoseconds per labelled block, above a bare call",
                  "literals_ns <= 3, malloc_calls = 0", result)
        for kind, values in result.items():
            print("labels, %s: %s" % (kind, ", ".join(
                "%s %.2f" % (name, value["median"] if isinstance(value, dict) else value)
                for name, value in values.items())))

    def heap(self):
        heap.ask(self)

    def locks(self):
        locks.ask(self)

    def services(self):
        services.ask(self)

    def redis_memory(self):
        services.ask_redis_memory(self)

    def reaction(self):
        memory.ask_reaction(self)

    def ablation(self):
        memory.ask_ablation(self)

    def survival(self):
        memory.ask_survival(self)

    def thread_dump(self):
        """1,000 sleeping threads."""
        script = os.path.join(HERE, "thread_dump.py")
        output = subprocess.run([sys.executable, script, "--build", self.build, "--repeat",
                                 str(max(self.repeat, 20))],
                                capture_output=True, text=True, check=True).stdout
        result = json.loads(output)
        self.save("thread_dump", "A dump of 1,000 threads",
                  "<= 50 ms, nobody stopped for more than 10 us", result)
        print("thread_dump: %s" % json.dumps(result)[:400])

    def wall(self, threads=1000, seconds=30, hz=20):
        """A wall-clock profile of threads that sleep, one half in poll, the other for a condition.
        Whole captures, and the middle of each without its begin and end."""
        port = free_port()
        crowd = subprocess.Popen(
            self.hooked([os.path.join(self.build, "bench", "bench_thread_crowd"), str(threads),
                         "0"], port),
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        whole, middle = [], []
        url = "http://127.0.0.1:%d/debug/pprof/wall?seconds=%d&hz=%d" % (port, seconds, hz)
        try:
            crowd.stdout.readline()
            for _ in range(max(self.repeat // 4, 3)):
                before, start = own_cpu_s(crowd.pid), time.monotonic()
                fetch = subprocess.Popen([sys.executable, "-c", "import sys, urllib.request; "
                                          "urllib.request.urlopen(sys.argv[1]).read()", url])
                time.sleep(seconds / 3)
                early, early_at = own_cpu_s(crowd.pid), time.monotonic()
                time.sleep(seconds / 3)
                late, late_at = own_cpu_s(crowd.pid), time.monotonic()
                fetch.wait()
                middle.append((late - early) / (late_at - early_at))
                whole.append((own_cpu_s(crowd.pid) - before) / (time.monotonic() - start))
        finally:
            crowd.stdin.close()
            crowd.kill()
            crowd.wait()
        result = {"threads": threads, "hz": hz, "seconds": seconds,
                  "share_of_one_cpu": summary(whole), "share_in_the_middle": summary(middle)}
        self.save("wall", "CPU of rthooks during a wall-clock profile of 1,000 sleeping threads",
                  "share_of_one_cpu <= 0.005", result)
        print("wall: %.2f %% of one CPU, %.2f %% between begin and end; target <= 0.5 %%"
              % (100 * result["share_of_one_cpu"]["median"],
                 100 * result["share_in_the_middle"]["median"]))

    def prefork(self, transactions=300):
        """A PostgreSQL backend per connection, two servers side by side, asked in turn."""
        found = sorted(glob.glob("/usr/lib/postgresql/*/bin"))
        if not found or os.geteuid() != 0:
            print("prefork: skipped: needs PostgreSQL and root (it runs the servers as postgres)")
            return
        programs = found[-1]
        user = ["setpriv", "--reuid=postgres", "--regid=postgres", "--init-groups"]
        tps = {"bare": [], "hooked": []}
        servers = []
        with tempfile.TemporaryDirectory() as folder:
            os.chmod(folder, 0o755)
            query = os.path.join(folder, "query.sql")
            with open(query, "w", encoding="utf-8") as file:
                file.write("select 1;\n")
            try:
                ports = {}
                for kind in tps:
                    data = os.path.join(folder, kind)
                    os.mkdir(data, 0o700)
                    shutil.chown(data, "postgres", "postgres")
                    ports[kind] = str(free_port())
                    subprocess.run(user + [programs + "/initdb", "-D", data, "-A", "trust"],
                                   check=True, stdout=subprocess.DEVNULL, cwd="/")
                    server = [programs + "/postgres", "-D", data, "-p", ports[kind],
                              "-c", "fsync=off", "-c", "unix_socket_directories=" + data,
                              "-c", "listen_addresses="]
                    if kind == "hooked":
                        server = self.hooked(server)
                    servers.append(subprocess.Popen(user + server, cwd="/",
                                                    stderr=subprocess.DEVNULL))
                time.sleep(3)
                for _ in range(self.repeat):
                    for kind, values in tps.items():
                        text = subprocess.run(
                            ["pgbench", "-h", os.path.join(folder, kind), "-p", ports[kind],
                             "-U", "postgres", "-n", "-C", "-f", query, "-t", str(transactions),
                             "postgres"], capture_output=True, text=True, check=True).stdout
                        values.append(float(re.search(r"tps = ([0-9.]+)", text).group(1)))
            finally:
                for server in servers:
                    server.send_signal(signal.SIGINT)
                    server.wait()
        ratios = [hooked / bare for hooked, bare in zip(tps["hooked"], tps["bare"])]
        result = {"ratio": summary(ratios), "bare_tps": summary(tps["bare"])}
        self.save("prefork", "pgbench -C: a PostgreSQL backend per connection", "ratio >= 0.99",
                  result)
        print("prefork: hooked / bare = %.3f [%.3f, %.3f] (bare %.0f connections/s); "
              "target >= 0.99" % (result["ratio"]["median"], *result["ratio"]["ci95"],
                                  result["bare_tps"]["median"]))


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", default=os.path.join(HERE, "..", "build", "release"))
    parser.add_argument("--repeat", type=int, default=20)
    parser.add_argument("--group-mib", type=int, default=900,
                        help="the memory limit of the group of \"survival\"")
    parser.add_argument("--minutes", type=float, default=1,
                        help="of each run of \"survival\"")
    parser.add_argument("--out", default=os.path.join(HERE, "results"))
    parser.add_argument("question", nargs="*", choices=[[]] + QUESTIONS)
    arguments = parser.parse_args()
    bench = Bench(os.path.abspath(arguments.build), arguments.repeat, arguments.minutes,
                  arguments.group_mib, arguments.out)
    for question in arguments.question or QUESTIONS:
        getattr(bench, question)()


if __name__ == "__main__":
    sys.exit(main())
