# SPDX-License-Identifier: MIT
"""Copied /proc and /sys trees, as small as `rthooks budget --root` needs them."""
import os

KIB, MIB, GIB = 1 << 10, 1 << 20, 1 << 30
V2_MOUNT = ("30 22 0:26 / /sys/fs/cgroup rw,nosuid,nodev,noexec,relatime shared:4 - cgroup2 cgroup2 "
            "rw,nsdelegate\n")
V1_MOUNTS = (
    "31 22 0:27 / /sys/fs/cgroup/memory rw,nosuid - cgroup cgroup rw,memory\n"
    "32 22 0:28 / /sys/fs/cgroup/cpu,cpuacct rw,nosuid - cgroup cgroup rw,cpu,cpuacct\n")
MEMINFO = ("MemTotal:       %8d kB\nMemFree:        1000000 kB\nSwapTotal:      %8d kB\n"
           "SwapFree:       %8d kB\n")


def write(root, path, text):
    """A file below root; None: a folder in its place, which nobody can read as a file."""
    path = os.path.join(root, path)
    os.makedirs(path if text is None else os.path.dirname(path), exist_ok=True)
    if text is not None:
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)


def status(name="service", pid=1, processors=8, resident_kib=40960):
    mask = "%x" % ((1 << processors) - 1)
    return ("Name:\t%s\nUmask:\t0022\nState:\tS (sleeping)\nTgid:\t%d\nNgid:\t0\nPid:\t%d\n"
            "PPid:\t0\nTracerPid:\t0\nUid:\t1000\t1000\t1000\t1000\nGid:\t1000\t1000\t1000\t1000\n"
            "FDSize:\t64\nGroups:\t1000 \nNStgid:\t%d\nNSpid:\t%d\nNSpgid:\t%d\nNSsid:\t%d\n"
            "VmPeak:\t  400000 kB\nVmSize:\t  300000 kB\nVmHWM:\t   50000 kB\n"
            "VmRSS:\t %7d kB\nRssAnon:\t   30000 kB\nRssFile:\t   10960 kB\nRssShmem:\t       0 kB\n"
            "VmData:\t   40000 kB\nThreads:\t4\nSigQ:\t0/31180\nSigPnd:\t0000000000000000\n"
            "ShdPnd:\t0000000000000000\nSigBlk:\t0000000000000000\nSigIgn:\t0000000000000000\n"
            "SigCgt:\t0000000000000000\nCapInh:\t0000000000000000\nCapPrm:\t0000000000000000\n"
            "CapEff:\t0000000000000000\nCapBnd:\t000001ffffffffff\nCapAmb:\t0000000000000000\n"
            "NoNewPrivs:\t0\nSeccomp:\t0\nSeccomp_filters:\t0\nCpus_allowed:\t%s\n"
            "Cpus_allowed_list:\t0-%d\n" % (name, pid, pid, pid, pid, pid, pid, resident_kib, mask,
                                            processors - 1))


def process(root, pid, cgroup, mounts, **details):
    """proc/PID, or proc/self for pid 0."""
    folder = "proc/%s" % (pid or "self")
    write(root, folder + "/cgroup", cgroup)
    write(root, folder + "/mountinfo", mounts)
    write(root, folder + "/status", status(pid=pid or 1, **details))


def machine(root, memory=64 * GIB, swap=0):
    write(root, "proc/meminfo", MEMINFO % (memory // KIB, swap // KIB, swap // KIB))
    write(root, "proc/version", "Linux version 6.1.0 (someone@somewhere) #1 SMP\n")


def v2(root, levels, pid=0, cgroup=None, **details):
    """levels: from the top to the process's own, each a dict of file name and text; the top one is
    the mount. Names of levels are a, b, c…; pid 0: self."""
    path = ""
    for number, files in enumerate(levels):
        folder = "sys/fs/cgroup" + path
        write(root, folder + "/cgroup.controllers", "cpuset cpu io memory pids\n")
        for name, text in files.items():
            write(root, folder + "/" + name, text)
        if number + 1 < len(levels):
            path += "/" + "abcdefgh"[number]
    process(root, pid, "0::%s\n" % (cgroup or path or "/"), V2_MOUNT, **details)
    return path or "/"


def v1(root, path, memory, cpu, pid=0, **details):
    """memory, cpu: dicts of the own cgroup's files; the levels above have no limit."""
    for mount, files, empty in (
            ("memory", memory, {"memory.limit_in_bytes": "9223372036854771712\n",
                                "memory.use_hierarchy": "1\n"}),
            ("cpu,cpuacct", cpu, {"cpu.cfs_quota_us": "-1\n", "cpu.cfs_period_us": "100000\n"})):
        above = ""
        for component in path.split("/")[1:]:
            for name, text in empty.items():
                write(root, "sys/fs/cgroup/%s%s/%s" % (mount, above, name), text)
            above += "/" + component
        for name, text in dict(empty, **files).items():
            write(root, "sys/fs/cgroup/%s%s/%s" % (mount, above, name), text)
    process(root, pid, "5:cpu,cpuacct:%s\n4:memory:%s\n0::/\n" % (path, path), V1_MOUNTS, **details)
