# SPDX-License-Identifier: MIT
"""The question "heap" of run.py: pairs of malloc and free under every allocator that is here, bare,
behind an empty wrapper, hooked with the heap profile off and on, and under the allocator's own
profiler. All configurations of one allocator take turns."""
import glob
import json
import os
import subprocess

from measure import capability, free_port, summary

DEPTH = 32
ON_INTERVAL = "512KiB"
SAMPLE_BYTES = 4096  # at 64 bytes: one pair in 64
INTERVAL_512K_LOG2 = 19
SAMPLE_BYTES_LOG2 = 12

ALLOCATORS = {"glibc": None, "jemalloc": "libjemalloc.so.2", "tcmalloc": "libtcmalloc.so.4",
              "mimalloc": "libmimalloc.so.2"}
WRAPPED = ("wrapper", "off", "on")


def library(name):
    """The allocator's shared library; "" for libc's own, None when it is not here."""
    if ALLOCATORS[name] is None:
        return ""
    found = [path for folder in ("/usr/lib/*-linux-gnu", "/usr/lib64", "/usr/lib")
             for path in sorted(glob.glob(os.path.join(folder, ALLOCATORS[name])))]
    return found[0] if found else None


def jemalloc_environment(log2):
    return {"MALLOC_CONF": "prof:true,prof_active:true,lg_prof_sample:%d" % log2}


def peer_environment(allocator, sample_bytes, log2):
    """Settings of the allocator's own sampling, None where it has none."""
    if allocator == "tcmalloc":
        return {"TCMALLOC_SAMPLE_PARAMETER": str(sample_bytes)}
    if allocator == "jemalloc":
        probe = subprocess.run(["true"], env=dict(os.environ, LD_PRELOAD=library(allocator),
                                                  **jemalloc_environment(log2)),
                               capture_output=True, text=True, check=True)
        return None if "nvalid conf" in probe.stderr else jemalloc_environment(log2)
    return None


class Runner:
    def __init__(self, build, rthooks):
        self.program = os.path.join(build, "bench", "bench_heap")
        self.wrapper = os.path.join(build, "bench", "libbench_empty_wrapper.so")
        self.rthooks = rthooks

    def once(self, preload, arguments, environment=None, interval=None):
        """What bench_heap says, and what the status of a hooked one says of its heap."""
        env = dict(os.environ, LD_PRELOAD=preload, **(environment or {}))
        command, port = [self.program, *arguments], free_port()
        if interval is not None:
            env["RTHOOKS_HEAP_INTERVAL"] = interval
            command = [self.rthooks, "run", "--admin", "127.0.0.1:%d" % port, "--"] + command
        with subprocess.Popen(command, env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                              stderr=subprocess.DEVNULL) as process:
            if interval is not None:
                capability(port, "heap")
            process.stdin.write(b"\n")
            process.stdin.flush()
            answer = json.loads(process.stdout.readline())
            if interval is not None:
                answer["heap"] = capability(port, "heap")
            process.stdin.close()
            if process.wait(timeout=60) != 0:
                raise RuntimeError("%s: exit status %d" % (command, process.returncode))
        return answer

    def kinds(self, allocator, arguments, on_interval, peer):
        """Name of a configuration: how to run it once."""
        preload = library(allocator)
        kinds = {"bare": lambda: self.once(preload, arguments),
                 "off": lambda: self.once(preload, arguments, interval="off"),
                 "on": lambda: self.once(preload, arguments, interval=on_interval)}
        if arguments[0] == "pairs":
            kinds["wrapper"] = lambda: self.once(self.wrapper + ":" + preload, arguments)
        if peer is not None:
            kinds["own_profiler"] = lambda: self.once(preload, arguments, peer)
        return kinds


def take_turns(kinds, repeat):
    answers = {kind: [] for kind in kinds}
    for turn in range(repeat):
        names = sorted(kinds)
        for name in names[turn % len(names):] + names[:turn % len(names)]:
            answers[name].append(kinds[name]())
    return answers


def differences(answers, kind, base, key):
    return [one[key] - other[key] for one, other in zip(answers[kind], answers[base])]


def ratios(answers, kind, base, key):
    return [one[key] / other[key] for one, other in zip(answers[kind], answers[base])]


def pairs_result(answers):
    result = {}
    for key in [key for key in answers["bare"][0] if key.endswith("_ns")]:
        row = {"bare_ns": summary([answer[key] for answer in answers["bare"]])}
        for kind in answers:
            if kind != "bare":
                row[kind] = {"above_bare_ns": summary(differences(answers, kind, "bare", key)),
                             "ratio": summary(ratios(answers, kind, "bare", key))}
            if kind in ("off", "on"):
                row[kind]["above_wrapper_ns"] = summary(
                    differences(answers, kind, "wrapper", key))
        result[key[:-len("_ns")]] = row
    for mode in ("small", "mix"):
        if mode + "_two_threads" not in result:
            continue
        scaling = {kind: [answer[mode + "_ns"] / answer[mode + "_two_threads_ns"]
                          for answer in answers[kind]] for kind in answers}
        result[mode + "_scaling_of_bare"] = {
            kind: summary([one / other for one, other in zip(scaling[kind], scaling["bare"])])
            for kind in answers if kind != "bare"}
    result["live_samples"] = summary([answer["heap"]["live_samples"] for answer in answers["on"]])
    return result


def sample_result(answers):
    """Nanoseconds of one sample and of its end; the peers do not say how many they took, but at a
    known probability."""
    def cost(kind, base, samples):
        return summary([difference * one["pairs"] / count for difference, one, count in
                        zip(differences(answers, kind, base, "pair_ns"), answers[kind], samples)])
    counts = [answer["heap"]["samples"] for answer in answers["on"]]
    result = {"depth": answers["on"][0]["depth"],
              "ours_ns": cost("on", "off", counts),
              "pairs_per_sample": summary([answer["pairs"] / count for answer, count in
                                           zip(answers["on"], counts)]),
              "without_stack": max(answer["heap"]["without_stack"] for answer in answers["on"])}
    if "own_profiler" in answers:
        expected = [answer["pairs"] * 64 / SAMPLE_BYTES for answer in answers["own_profiler"]]
        result["own_profiler_ns"] = cost("own_profiler", "bare", expected)
    return result


def report(allocator, result):
    for key in ("small", "mix", "page"):
        row = result["pairs"][key]
        print("heap, %s, %s: bare %.2f ns; %s" % (
            allocator, key, row["bare_ns"]["median"], "; ".join(
                "%s %+.2f [%+.2f, %+.2f]" % (kind, row[kind]["above_bare_ns"]["median"],
                                             *row[kind]["above_bare_ns"]["ci95"])
                for kind in (*WRAPPED, "own_profiler") if kind in row)))
    off = result["pairs"]["small"]["off"]["above_wrapper_ns"]
    print("heap, %s: off is %+.2f ns [%+.2f, %+.2f] above the empty wrapper (target <= +0.1)"
          % (allocator, off["median"], *off["ci95"]))
    for key in ("small_scaling_of_bare", "mix_scaling_of_bare"):
        if key in result["pairs"]:
            print("heap, %s, %s: %s (target >= 0.95)" % (allocator, key, ", ".join(
                "%s %.3f" % (kind, value["median"])
                for kind, value in result["pairs"][key].items())))
    sample = result["sample"]
    print("heap, %s: one sample of %d frames and its end %.0f ns [%.0f, %.0f] (target <= 1000)%s"
          % (allocator, sample["depth"], sample["ours_ns"]["median"], *sample["ours_ns"]["ci95"],
             "; own profiler %.0f" % sample["own_profiler_ns"]["median"]
             if "own_profiler_ns" in sample else ""))


def ask(bench):
    runner = Runner(bench.build, bench.rthooks)
    repeat = max(bench.repeat, 20)
    result = {}
    for allocator in ALLOCATORS:
        if library(allocator) is None:
            print("heap: left out: %s is not here" % ALLOCATORS[allocator])
            continue
        peer = peer_environment(allocator, 1 << INTERVAL_512K_LOG2, INTERVAL_512K_LOG2)
        if allocator in ("jemalloc", "tcmalloc") and peer is None:
            print("heap: left out: this %s has no profiler of its own" % allocator)
        pairs = take_turns(runner.kinds(allocator, ["pairs"], ON_INTERVAL, peer), repeat)
        if peer is not None:
            peer = peer_environment(allocator, SAMPLE_BYTES, SAMPLE_BYTES_LOG2)
        sample = take_turns(runner.kinds(allocator, ["sample", str(DEPTH)],
                                         "%dB" % SAMPLE_BYTES, peer), repeat)
        result[allocator] = {"pairs": pairs_result(pairs), "sample": sample_result(sample)}
        report(allocator, result[allocator])
    bench.save("heap", "Nanoseconds that a pair of malloc and free takes longer than bare",
               "small: off <= wrapper + 0.1, on <= bare + 2.0; one sample of 32 frames <= 1000; "
               "scaling of two threads >= 0.95 of bare", result)
