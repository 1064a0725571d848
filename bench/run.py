#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""run.py [--build DIR] [--repeat N] [--out DIR] [startup] [idle] [fork] [prefork]

Bare and hooked, interleaved in one run, each pair one observation. Prints a line per question and
writes bench/results/NAME.json with what it ran on.
"""
import argparse
import glob
import json
import os
import platform
import random
import re
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request

HERE = os.path.dirname(os.path.abspath(__file__))


def machine():
    cpu = next((line.split(":", 1)[1].strip() for line in open("/proc/cpuinfo")
                if line.startswith("model name")), "unknown")
    commit = subprocess.run(["git", "-C", HERE, "rev-parse", "HEAD"], capture_output=True,
                            text=True).stdout.strip()
    compiler = subprocess.run(["cc", "--version"], capture_output=True,
                              text=True).stdout.split("\n")[0]
    return {"kernel": platform.release(), "cpu": cpu, "cores": os.cpu_count(),
            "compiler": compiler, "commit": commit}


def interval(values, rounds=2000):
    """95 % bootstrap interval of the median, fixed seed."""
    dice = random.Random(1)
    medians = sorted(statistics.median(dice.choices(values, k=len(values)))
                     for _ in range(rounds))
    return medians[int(rounds * 0.025)], medians[int(rounds * 0.975)]


def summary(values):
    low, high = interval(values)
    return {"median": statistics.median(values), "ci95": [low, high], "min": min(values),
            "max": max(values), "n": len(values)}


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Bench:
    def __init__(self, build, repeat, out):
        self.rthooks = os.path.join(build, "tools", "rthooks")
        self.build = build
        self.repeat = repeat
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
        loop = os.path.join(self.build, "bench", "bench_fork_loop")
        result = {}
        for mode, count in (("exit", "300"), ("exec", "150")):
            ratios, bare = [], []
            for _ in range(self.repeat):
                argv = [loop, mode, count]
                pair = [int(subprocess.run(command, capture_output=True, check=True).stdout)
                        for command in (argv, self.hooked(argv))]
                bare.append(pair[0] / 1e3)
                ratios.append(pair[1] / pair[0])
            result[mode] = {"ratio": summary(ratios), "bare_us": summary(bare)}
            print("fork+%s: hooked / bare = %.3f [%.3f, %.3f] (bare %.0f us)"
                  % (mode, result[mode]["ratio"]["median"], *result[mode]["ratio"]["ci95"],
                     result[mode]["bare_us"]["median"]))
        self.save("fork", "What a fork costs in a hooked process", "ratio <= 1.01", result)

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
    parser.add_argument("--out", default=os.path.join(HERE, "results"))
    parser.add_argument("question", nargs="*", choices=[[], "startup", "idle", "fork", "prefork"])
    arguments = parser.parse_args()
    bench = Bench(os.path.abspath(arguments.build), arguments.repeat, arguments.out)
    for question in arguments.question or ["startup", "idle", "fork", "prefork"]:
        getattr(bench, question)()


if __name__ == "__main__":
    sys.exit(main())
