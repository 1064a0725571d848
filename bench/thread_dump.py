#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""thread_dump.py [--build DIR] [--repeat N]

Dumps of 1,000 sleeping threads over the Unix socket, and what they cost a thread that runs; beside
gdb and eu-stack where those are installed. Prints one line of JSON.
"""
import argparse
import http.client
import json
import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
SLEEPERS = 1000
PEER_REPEAT = 3


class UnixConnection(http.client.HTTPConnection):
    def __init__(self, path):
        super().__init__("localhost")
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(self.path)


class Crowd:
    def __init__(self, build, runners, folder):
        environment = dict(os.environ, XDG_RUNTIME_DIR=folder)
        self.process = subprocess.Popen(
            [os.path.join(build, "tools", "rthooks"), "run", "--",
             os.path.join(build, "bench", "bench_thread_crowd"), str(SLEEPERS), str(runners)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
            env=environment)
        self.path = os.path.join(folder, "rthooks", "%d.sock" % self.process.pid)

    def __enter__(self):
        if self.process.stdout.readline() != "ready\n":
            raise RuntimeError("the crowd did not start")
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()

    def dump_ms(self):
        before = time.monotonic()
        connection = UnixConnection(self.path)
        connection.request("GET", "/debug/pprof/threads")
        answer = connection.getresponse()
        body = answer.read()
        taken_ms = (time.monotonic() - before) * 1e3
        connection.close()
        if answer.status != 200 or not body:
            raise RuntimeError("no dump: %d" % answer.status)
        return taken_ms

    def lost_us(self):
        """(while it kept its CPU, in any way) since the last call."""
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        return [int(number) / 1e3 for number in self.process.stdout.readline().split()]


def numbers(values):
    return {"median": round(statistics.median(values), 2), "min": round(min(values), 2),
            "max": round(max(values), 2), "n": len(values)}


def timed_ms(command):
    before = time.monotonic()
    subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                   stdin=subprocess.DEVNULL, check=False)
    return (time.monotonic() - before) * 1e3


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", default=os.path.join(HERE, "..", "build", "release"))
    parser.add_argument("--repeat", type=int, default=20)
    arguments = parser.parse_args()
    build = os.path.abspath(arguments.build)
    result = {"threads": SLEEPERS}
    with tempfile.TemporaryDirectory() as folder:
        with Crowd(build, 0, folder) as crowd:
            crowd.dump_ms()
            result["dump_ms"] = numbers([crowd.dump_ms() for _ in range(arguments.repeat)])
        with Crowd(build, 1, folder) as crowd:
            crowd.dump_ms()
            quiet, asked = [], []
            for _ in range(arguments.repeat):
                crowd.lost_us()
                time.sleep(0.03)
                quiet.append(crowd.lost_us())
                crowd.dump_ms()
                asked.append(crowd.lost_us())
            result["runner_lost_us"] = numbers([on_cpu for on_cpu, _ in asked])
            result["runner_lost_without_us"] = numbers([on_cpu for on_cpu, _ in quiet])
            peers = {
                "gdb": ["gdb", "-batch", "-nx", "-ex", "thread apply all bt", "-p"],
                "eu-stack": ["eu-stack", "-p"],
            }
            for name, command in peers.items():
                if shutil.which(name) is None:
                    continue
                taken, stopped = [], []
                for _ in range(min(PEER_REPEAT, arguments.repeat)):
                    crowd.lost_us()
                    taken.append(timed_ms(command + [str(crowd.process.pid)]))
                    stopped.append(crowd.lost_us()[1] / 1e3)
                result[name + "_ms"] = numbers(taken)
                result[name + "_stopped_ms"] = numbers(stopped)
    print(json.dumps(result))


if __name__ == "__main__":
    sys.exit(main())
