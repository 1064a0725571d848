# SPDX-License-Identifier: MIT
"""What run.py and the questions in files of their own share."""
import json
import os
import platform
import random
import socket
import statistics
import subprocess
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


def status(port, timeout_s=10):
    """/debug/runtime/status, as soon as the process answers."""
    deadline = time.monotonic() + timeout_s
    url = "http://127.0.0.1:%d/debug/runtime/status" % port
    while True:
        try:
            with urllib.request.urlopen(url, timeout=timeout_s) as answer:
                return json.load(answer)
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.01)


def capability(port, name):
    return next(row for row in status(port)["capabilities"] if row["name"] == name)
