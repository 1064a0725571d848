# SPDX-License-Identifier: MIT
"""The question "locks" of run.py: pairs of calls on locks that nobody else wants, and one mutex that
all threads want. Bare, hooked with RTHOOKS_CONTENTION=off and hooked with everything at its default
take turns; the control is a second bare program, whose difference says what differences mean.

Programs of the contended part are started anew every few bursts, so that one lucky layout of memory
decides nothing."""
import json
import os
import random
import statistics
import subprocess

from measure import capability, free_port, summary

BURST_MS = 250
PAIRS_PER_START = 5
THREADS = (2, 4)
SECTIONS_US = (0.2, 1, 10, 100)
CALLS = ("mutex", "rwlock_read", "rwlock_write", "cond_signal", "semaphore")
SETTINGS = {"bare": None, "control": None, "off": "off", "on": ""}  # "": the default


class Program:
    def __init__(self, bench, setting, *arguments):
        """setting: of RTHOOKS_CONTENTION; None for a bare one."""
        command, port = [os.path.join(bench.build, "bench", "bench_locks"), *arguments], free_port()
        env = {name: value for name, value in os.environ.items() if name != "RTHOOKS_CONTENTION"}
        if setting is not None:
            command = bench.hooked(command, port)
            if setting:
                env["RTHOOKS_CONTENTION"] = setting
        self.process = subprocess.Popen(command, env=env, stdin=subprocess.PIPE, text=True,
                                        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        if setting is not None:
            state = capability(port, "contention")["state"]
            if (state == "running") != (setting != "off"):
                raise RuntimeError("contention is " + state)

    def ask(self, line):
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline()
        if not answer:
            raise RuntimeError("bench_locks ended")
        return answer

    def end(self):
        self.process.stdin.close()
        try:
            self.process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.process.stdout.close()


def rotated(names, turn):
    return names[turn % len(names):] + names[:turn % len(names)]


# ---- locks that nobody else wants ------------------------------------------------------------------


def pairs_once(bench, setting):
    program = Program(bench, setting, "pairs")
    try:
        return json.loads(program.ask(""))
    finally:
        program.end()


def ask_pairs(bench):
    answers = {name: [] for name in SETTINGS}
    for turn in range(max(bench.repeat, 20)):
        for name in rotated(sorted(SETTINGS), turn):
            answers[name].append(pairs_once(bench, SETTINGS[name]))
    result = {}
    for call in CALLS:
        values = {name: [answer[call + "_ns"] for answer in answers[name]] for name in answers}
        result[call] = {"bare_ns": summary(values["bare"]), **{
            name + "_above_bare_ns": summary([one - other for one, other in
                                              zip(values[name], values["bare"])])
            for name in SETTINGS if name != "bare"}}
        print("locks, %s: bare %.2f ns; %s%s" % (
            call, result[call]["bare_ns"]["median"], "; ".join(
                "%s %+.2f [%+.2f, %+.2f]" % (
                    name, result[call][name + "_above_bare_ns"]["median"],
                    *result[call][name + "_above_bare_ns"]["ci95"])
                for name in SETTINGS if name != "bare"),
            " (target on <= +2.0)" if call == "mutex" else ""), flush=True)
    return result


# ---- one mutex for all -----------------------------------------------------------------------------


def ratio_of_medians(pairs, rounds=2000):
    """Of the second of each pair to the first, with a bootstrap interval, fixed seed."""
    def ratio(chosen):
        return (statistics.median(pair[1] for pair in chosen)
                / statistics.median(pair[0] for pair in chosen))
    dice = random.Random(1)
    ratios = sorted(ratio(dice.choices(pairs, k=len(pairs))) for _ in range(rounds))
    return {"ratio": ratio(pairs),
            "ci95": [ratios[int(rounds * 0.025)], ratios[int(rounds * 0.975)]], "n": len(pairs)}


def burst(program):
    operations, elapsed_ns, hold_ns, longest_ns = (
        int(word) for word in program.ask(str(BURST_MS)).split())
    return {"per_s": operations * 1e9 / elapsed_ns, "hold_p999_ns": hold_ns,
            "hold_max_ns": longest_ns}


def ask_contended_once(bench, threads, steps):
    names = ("bare", "control", "on")
    answers = {name: [] for name in names}
    for _ in range(max(2 * bench.repeat, 40) // PAIRS_PER_START):
        programs = {}
        try:
            for name in names:
                programs[name] = Program(bench, SETTINGS[name], "contended", str(threads),
                                         str(steps))
            for program in programs.values():
                burst(program)
            for turn in range(PAIRS_PER_START):
                for name in rotated(names, turn):
                    answers[name].append(burst(programs[name]))
        finally:
            for program in programs.values():
                program.end()
    result = {"threads": threads, "steps": steps}
    for name in names:
        result[name] = {key: summary([answer[key] for answer in answers[name]])
                        for key in answers[name][0]}
        if name != "bare":
            for key in answers[name][0]:
                result[name][key + "_of_bare"] = ratio_of_medians(
                    [(bare[key], answer[key]) for bare, answer in
                     zip(answers["bare"], answers[name])])
    return result


def report_contended(section_us, result):
    def words(name, key):
        row = result[name][key + "_of_bare"]
        return "%.4f [%.4f, %.4f]" % (row["ratio"], *row["ci95"])
    print("locks, %d threads, %g us with the mutex: hooked / bare %s (target >= 0.99), control %s "
          "(bare %.0f/s)" % (result["threads"], section_us, words("on", "per_s"),
                             words("control", "per_s"), result["bare"]["per_s"]["median"]))
    print("locks, %d threads, %g us with the mutex: held, p99.9 %.1f us bare, %.1f us hooked; the "
          "longest of a burst %.0f us bare, %.0f us hooked" % (
              result["threads"], section_us,
              *(result[name][key]["median"] / 1e3
                for key in ("hold_p999_ns", "hold_max_ns") for name in ("bare", "on"))),
          flush=True)


def ask_contended(bench):
    output = subprocess.run([os.path.join(bench.build, "bench", "bench_locks"), "calibrate"],
                            capture_output=True, text=True, check=True).stdout
    steps_per_us = float(output)
    rows = []
    for threads in THREADS:
        for section_us in SECTIONS_US:
            row = ask_contended_once(bench, threads, max(round(section_us * steps_per_us), 1))
            row["section_us"] = section_us
            report_contended(section_us, row)
            rows.append(row)
    return {"steps_per_us": steps_per_us, "burst_ms": BURST_MS, "rows": rows}


def ask(bench):
    result = {"pairs": ask_pairs(bench)}
    if os.cpu_count() < 2:
        print("locks: contended part left out: needs two processors")
    else:
        result["contended"] = ask_contended(bench)
    bench.save("locks", "What locks cost, wanted by one thread and by several",
               "mutex: on <= bare + 2.0 ns; contended: per_s_of_bare >= 0.99", result)
