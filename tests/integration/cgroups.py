# SPDX-License-Identifier: MIT
"""Real control groups for tests and benchmarks: made below the caller's own, removed whatever
happened.

Version 1 and, where the controllers were handed down to the caller's group, version 2. A program is
put inside before its exec (`preexec=group.enter`), so that all it ever allocates is charged there.
"""
import contextlib
import os
import re
import signal
import threading
import time

MEMORY, CPU = "memory", "cpu"
MIB = 1 << 20
PREFIX = "rthooks-test-"
NONE_V1 = 1 << 62  # above it is "no limit": the kernel rounds to its pages


class Unavailable(Exception):
    """No group can be made here; the text says why."""


def _unescaped(text):
    return re.sub(r"\\([0-7]{3})", lambda found: chr(int(found[1], 8)), text)


def _own_paths():
    """{controller or "": path} of /proc/self/cgroup; "" is version 2."""
    paths = {}
    with open("/proc/self/cgroup", encoding="utf-8") as file:
        for line in file:
            _, controllers, path = line.rstrip("\n").split(":", 2)
            for controller in controllers.split(","):
                paths[controller] = path
    return paths


def _mounts():
    """(type, root, mount point, options) of the mounts of control groups."""
    with open("/proc/self/mountinfo", encoding="utf-8") as file:
        for line in file:
            before, after = line.rstrip("\n").split(" - ", 1)
            before, after = before.split(), after.split()
            if after[0] in ("cgroup", "cgroup2"):
                yield (after[0], _unescaped(before[3]), _unescaped(before[4]),
                       after[2].split(","))


def _folder(root, point, path):
    """Where path is seen below a mount; the mount itself when it is outside of it."""
    inside = os.path.relpath(path, root)
    return point if inside == "." or inside.startswith("..") else os.path.join(point, inside)


def own_folder(controller):
    """(version, folder of the caller's own group) of a controller."""
    paths, mounts = _own_paths(), list(_mounts())
    if controller in paths:
        for kind, root, point, options in mounts:
            if kind == "cgroup" and controller in options:
                return 1, _folder(root, point, paths[controller])
        raise Unavailable("the %s controller of version 1 is not mounted" % controller)
    for kind, root, point, _ in mounts:
        if kind == "cgroup2" and "" in paths:
            folder = _folder(root, point, paths[""])
            with open(os.path.join(folder, "cgroup.controllers"), encoding="utf-8") as file:
                if controller in file.read().split():
                    return 2, folder
    raise Unavailable("no %s controller is to be seen" % controller)


def _write(path, text):
    with open(path, "w", encoding="utf-8") as file:
        file.write(str(text))


def _read(path):
    with open(path, encoding="utf-8") as file:
        return file.read().strip()


def _table(path):
    """A file of "name number" lines."""
    return {name: int(value) for name, value in
            (line.split() for line in _read(path).splitlines())}


def _parent(pid):
    try:
        with open("/proc/%d/stat" % pid, "rb") as file:
            return int(file.read().rsplit(b")", 1)[1].split()[1])
    except OSError:
        return 0


def _sweep(parent):
    """Removes what tests left that were killed before they could: their pid is in the name."""
    for name in os.listdir(parent):
        found = re.fullmatch(PREFIX + r"(\d+)-\d+", name)
        if found and not os.path.exists("/proc/" + found[1]):
            with contextlib.suppress(OSError):
                os.rmdir(os.path.join(parent, name))


def _is_ours(pid):
    while pid > 1:
        pid = _parent(pid)
        if pid == os.getpid():
            return True
    return False


class Group:
    """A group of the same name in the hierarchy of each of its controllers."""

    _number = 0

    def __init__(self, controllers=(MEMORY,), memory=None, cpus=None, above=None):
        """memory: the limit in bytes; cpus: the quota in processors; None: no limit. above: the
        group it is made in, instead of the caller's own."""
        Group._number += 1
        self.name = PREFIX + "%d-%d" % (os.getpid(), Group._number)
        self.version, self.folders, self.below = {}, {}, []
        self._made = []
        try:
            for controller in controllers:
                self._make(controller, above)
            if memory is not None:
                self.set_memory_limit(memory)
            if cpus is not None:
                self.set_cpus(cpus)
        except BaseException:
            self.remove()
            raise
        if above:
            above.below.append(self)

    def _make(self, controller, above):
        if above:
            version, parent = above.version[controller], above.folders[controller]
        else:
            version, parent = own_folder(controller)
            _sweep(parent)
        folder = os.path.join(parent, self.name)
        try:
            if version == 2:
                _write(os.path.join(parent, "cgroup.subtree_control"), "+" + controller)
            if folder not in self._made:
                os.mkdir(folder)
                self._made.append(folder)
        except OSError as error:
            raise Unavailable("no control group can be made: %s" % error) from None
        self.version[controller], self.folders[controller] = version, folder

    def file(self, name, controller=MEMORY):
        return os.path.join(self.folders[controller], name)

    def enter(self):
        """Puts the calling process in: a preexec of what is to run inside."""
        for folder in self._made:
            _write(os.path.join(folder, "cgroup.procs"), 0)

    def add(self, pid):
        for folder in self._made:
            _write(os.path.join(folder, "cgroup.procs"), pid)

    def pids(self):
        found = set()
        for folder in self._made:
            with contextlib.suppress(OSError):
                found |= {int(pid) for pid in _read(os.path.join(folder, "cgroup.procs")).split()}
        return found

    # ---- limits

    def memory_limit_file(self):
        return self.file("memory.limit_in_bytes" if self.version[MEMORY] == 1 else "memory.max")

    def set_memory_limit(self, limit_bytes):
        if limit_bytes is None:
            limit_bytes = -1 if self.version[MEMORY] == 1 else "max"
        _write(self.memory_limit_file(), limit_bytes)

    def set_cpus(self, cpus, period_us=100000):
        quota = None if cpus is None else int(cpus * period_us)
        if self.version[CPU] == 1:
            _write(self.file("cpu.cfs_period_us", CPU), period_us)
            _write(self.file("cpu.cfs_quota_us", CPU), -1 if quota is None else quota)
        else:
            _write(self.file("cpu.max", CPU), "%s %d" % ("max" if quota is None else quota,
                                                         period_us))

    def is_limited_above(self):
        """Whether a group above this one has a memory limit."""
        folder = os.path.dirname(self.folders[MEMORY])
        if self.version[MEMORY] == 1:
            stat = _table(os.path.join(folder, "memory.stat"))
            return stat["hierarchical_memory_limit"] < NONE_V1
        while os.path.exists(os.path.join(folder, "memory.max")):
            if _read(os.path.join(folder, "memory.max")) != "max":
                return True
            folder = os.path.dirname(folder)
        return False

    # ---- use

    def usage(self):
        return int(_read(self.file("memory.usage_in_bytes" if self.version[MEMORY] == 1 else
                                   "memory.current")))

    def non_reclaimable(self):
        """What no page cache is of: what the kernel could not give back at once."""
        prefix = "total_" if self.version[MEMORY] == 1 else ""
        usage, stat = self.usage(), _table(self.file("memory.stat"))
        return max(usage - stat[prefix + "inactive_file"] - stat[prefix + "active_file"]
                   - stat.get("slab_reclaimable", 0), 0)

    def max_usage(self):
        """The kernel's own peak, 0 where it has none. It counts page cache, which fills up what is
        free: of programs that read files it says nothing."""
        path = self.file("memory.max_usage_in_bytes" if self.version[MEMORY] == 1 else
                         "memory.peak")
        return int(_read(path)) if os.path.exists(path) else 0

    def oom_kills(self):
        return _table(self.file("memory.oom_control" if self.version[MEMORY] == 1 else
                                "memory.events"))["oom_kill"]

    def refusals(self):
        """How often the limit was hit."""
        if self.version[MEMORY] == 1:
            return int(_read(self.file("memory.failcnt")))
        return _table(self.file("memory.events"))["max"]

    # ---- end

    def remove(self, timeout_s=8.0):
        """Ends what is inside, if it descends from the caller, and removes the group and those in
        it."""
        for group in list(self.below):
            group.remove(timeout_s)
        self.below = []
        deadline = time.monotonic() + timeout_s
        while self._made:
            for pid in self.pids():
                if _is_ours(pid):
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(pid, signal.SIGKILL)
            try:
                os.rmdir(self._made[-1])
                self._made.pop()
            except FileNotFoundError:
                self._made.pop()
            except OSError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.02)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.remove()


class Watch:
    """Samples the non-reclaimable use of a group, and remembers the highest.

    The kernel's own peak would be exact, but it has page cache in it; between two samples of 2 ms a
    program may have had more, so what max_usage() says is printed beside it."""

    EVERY_S = 0.002

    def __init__(self, group):
        self.group = group
        self.peak_bytes = 0
        self.samples = 0
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)

    def _look(self):
        while not self._end.wait(self.EVERY_S):
            try:
                self.peak_bytes = max(self.peak_bytes, self.group.non_reclaimable())
                self.samples += 1
            except FileNotFoundError:
                return

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._end.set()
        self._thread.join()
