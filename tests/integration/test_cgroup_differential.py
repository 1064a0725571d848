# SPDX-License-Identifier: MIT
"""The same cgroups, read by os/cgroup.h, by automemlimit and by Go's runtime.

Every difference is one that was chosen: it stands below with its reason, and in
docs/internals/limits.md. One that is not here fails the test, and so does one that is gone.
"""
import json
import os
import re
import shutil
import subprocess
import tempfile
import unittest

import harness

MODULE = "github.com/KimMachineGun/automemlimit"
VERSION = "v1.0.1"
FIXTURES = os.path.join(harness.SOURCE, "tests", "fixtures", "cgroup")
ORACLE = os.path.join(harness.HERE, "oracle")
ANSWER = os.path.join(harness.BUILD, "tests", "cgroup_answer")
MIB = 1 << 20

# Trees where automemlimit answers otherwise, and why ours is the answer we want.
MEMORY_DIFFERENCES = {
    "controllers_without_memory": "the list of controllers says whether there is one",
    "empty_membership": "no hierarchy at all is no limit, not an error",
    "limit_is_all_of_the_memory": "what allows all of the memory is no limit",
    "malformed_level_beside_a_good_one": "a level that can be read counts",
    "malformed_mount_of_another_kind": "a line of no interest harms nothing",
    "membership_without_its_end": "a text that was cut is not believed",
    "octal_escapes": "any character may be escaped, not four alone",
    "unreadable_leaf": "a level that can be read counts",
    "v1_mount_root_is_elsewhere": "the mount itself is the best there is; a note says so",
    "v1_nearest_folder_above": "a folder above limits as well; a note says so",
    "v1_path_is_not_in_the_mount": "the mount itself is the best there is; a note says so",
    "v1_relative_to_the_mount": "the path may be relative to the mount; a note says so",
    "v1_sentinel_of_64k_pages": "the kernel's pages may be larger than ours",
    "v2_only_a_string_prefix": "the mount itself is the best there is; a note says so",
    "v2_outside_of_the_namespace": "the mount itself is the best there is; a note says so",
    "v2_two_mounts_alike": "the usual place is taken, where they contradict each other",
}
# Trees where Go's runtime takes another CPU limit.
CPU_DIFFERENCES = {
    "malformed_level_beside_a_good_one": "a level that can be read counts",
    "malformed_membership": "the line of this controller is whole",
    "nested_docker": "ancestors count",
    "quarter_of_the_parent": "ancestors count",
    "smaller_share_in_a_longer_period": "ancestors count",
    "unreadable_leaf": "ancestors count, and a level that can be read",
    "v1_limit_of_the_parent_only": "ancestors count",
    "v1_path_is_not_in_the_mount": "the mount itself is the best there is; a note says so",
    "v2_tighter_grandparent": "ancestors count",
}
UNKNOWN = "unknown"

TOP_LIMITS = {
    "memory": ("memory.limit_in_bytes", lambda value: value >= 1 << 62),
    "cpu": ("cpu.cfs_quota_us", lambda value: value < 0),
}


def run_go(go, folder, *arguments):
    environment = dict(os.environ, CGO_ENABLED="0", GOTOOLCHAIN="local", GOFLAGS="-mod=mod")
    environment.setdefault("HOME", folder)
    try:
        return subprocess.run([go, *arguments], cwd=folder, env=environment, capture_output=True,
                              text=True, timeout=90)
    except subprocess.TimeoutExpired:
        harness.skip("go " + arguments[0] + " did not end in time")


def build_oracles(folder):
    """Paths of the programs: what Go finds, and what its runtime reads (None: another Go)."""
    go = shutil.which("go", path=os.environ.get("PATH", "") + ":/usr/local/go/bin")
    if not go:
        harness.skip("go is not installed")
    version = re.search(r"go(\d+)\.(\d+)", run_go(go, folder, "version").stdout)
    if not version or (int(version[1]), int(version[2])) < (1, 25):
        harness.skip("go is older than 1.25, which first read the CPU limit")
    with open(os.path.join(folder, "go.mod"), "w") as file:
        file.write("module oracle\n\ngo 1.25\n")
    for name in ("cgroup_limits", "cgroup_quota"):
        os.mkdir(os.path.join(folder, name))
        shutil.copy(os.path.join(ORACLE, name + ".go"), os.path.join(folder, name, "main.go"))
    # Functions without a body want an assembler file beside them.
    open(os.path.join(folder, "cgroup_quota", "empty.s"), "w").close()
    got = run_go(go, folder, "get", MODULE + "@" + VERSION)
    if got.returncode != 0:
        harness.skip("no module " + MODULE + ": " + got.stderr.strip().splitlines()[-1])
    limits, quota = os.path.join(folder, "limits"), os.path.join(folder, "quota")
    built = run_go(go, folder, "build", "-o", limits, "./cgroup_limits")
    if built.returncode != 0:
        raise AssertionError(built.stderr)
    built = run_go(go, folder, "build", "-ldflags=-checklinkname=0", "-o", quota, "./cgroup_quota")
    if built.returncode != 0 or subprocess.run([quota], capture_output=True).returncode != 0:
        quota = None
    return limits, quota


def run_oracle(program, before=None):
    """Its answer; {} when it crashed."""
    done = subprocess.run([program], preexec_fn=before, capture_output=True, text=True, timeout=30)
    return json.loads(done.stdout) if done.returncode == 0 else {}


def their_number(answer, key):
    value = answer.get(key, UNKNOWN)
    return UNKNOWN if isinstance(value, str) and value != "none" else value


def ours(*arguments, before=None):
    done = subprocess.run([ANSWER, *arguments], preexec_fn=before, capture_output=True, text=True,
                          check=True, timeout=30)
    return dict(line.split("=", 1) for line in done.stdout.splitlines())


def our_memory(answer):
    return {"set": int(answer["max"]), "none": "none"}.get(answer["max_kind"], UNKNOWN)


def our_quota(answer):
    if answer["quota_kind"] != "set":
        return {"none": "none"}.get(answer["quota_kind"], UNKNOWN)
    return int(answer["quota"]) / int(answer["quota_period"])


def as_go_sees_it(quota):
    """Without a limit and not able to tell are one to Go."""
    return "none" if quota == UNKNOWN else quota


class Differential(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.mkdtemp(prefix="rt-")
        cls.addClassCleanup(shutil.rmtree, cls.folder, ignore_errors=True)
        cls.limits, cls.quota = build_oracles(cls.folder)


class Trees(Differential):
    """The fixtures: Go is put into each, as its root."""

    def each_tree(self):
        harness.need_root("chroot")
        for name in sorted(os.listdir(FIXTURES)):
            # Its question is about a process, and Go knows no other than itself.
            if name == "another_process":
                continue
            with tempfile.TemporaryDirectory(dir=self.folder) as folder:
                tree = os.path.join(folder, "tree")
                shutil.copytree(os.path.join(FIXTURES, name), tree)
                yield name, tree

    def differences(self, program, answers):
        found = set()
        for name, tree in self.each_tree():
            our, their = answers(tree, self.ask_inside(program, tree))
            if our != their:
                print("%s: %s here, %s there" % (name, our, their))
                found.add(name)
        return found

    @staticmethod
    def ask_inside(program, tree):
        shutil.copy(program, os.path.join(tree, "oracle"))

        def enter():
            os.chroot(tree)
            os.chdir("/")
        return run_oracle("/oracle", enter)

    def test_memory_differs_from_automemlimit_where_it_was_chosen(self):
        found = self.differences(
            self.limits,
            lambda tree, answer: (our_memory(ours(tree)), their_number(answer, "memory")))
        self.assertEqual(found, set(MEMORY_DIFFERENCES))

    def test_cpu_differs_from_go_where_it_was_chosen(self):
        if not self.quota:
            harness.skip("this Go reads its cgroup with other functions")
        found = self.differences(
            self.quota, lambda tree, answer: (as_go_sees_it(our_quota(ours(tree))),
                                              as_go_sees_it(their_number(answer, "cpu"))))
        self.assertEqual(found, set(CPU_DIFFERENCES))


class Live(Differential):
    """Cgroups of this machine, made and removed again."""

    def group(self, controller, *settings):
        """Nested groups of version 1, outermost first, each (name, {file: value}). Returns what
        puts a child into the innermost."""
        harness.need_root("makes cgroups")
        top = os.path.join("/sys/fs/cgroup", controller)
        if not os.path.exists(os.path.join(top, "cgroup.procs")):
            harness.skip("no version 1 %s controller" % controller)
        file, unlimited = TOP_LIMITS[controller]
        if not unlimited(int(harness.read_text(os.path.join(top, file)))):
            harness.skip("the cgroup that is mounted here is limited itself")
        path = os.path.join(top, "rth-differential-%d" % os.getpid())
        for name, values in (("", {}),) + settings:
            path = os.path.join(path, name) if name else path
            try:
                os.mkdir(path)
            except OSError as error:
                harness.skip("no cgroup can be made: %s" % error)
            self.addCleanup(os.rmdir, path)
            for file, value in values.items():
                with open(os.path.join(path, file), "w") as opened:
                    opened.write(str(value))

        def enter():
            with open(os.path.join(path, "cgroup.procs"), "w") as opened:
                opened.write(str(os.getpid()))
        return enter

    def memory(self, *limits):
        names = ["outer", "middle", "inner"]
        settings = tuple((name, {} if limit is None else {"memory.limit_in_bytes": limit})
                         for name, limit in zip(names, limits))
        enter = self.group("memory", *settings)
        return ours(before=enter), run_oracle(self.limits, enter)

    def both(self, limits, expected, level):
        our, their = self.memory(*limits)
        self.assertEqual(our_memory(our), expected)
        self.assertEqual(their_number(their, "memory"), expected)
        self.assertEqual(int(our["max_level"]), level)
        self.assertEqual(int(our["usage_error"]), 0)
        self.assertLessEqual(int(our["held"]), expected)

    def test_a_limit_of_its_own(self):
        self.both([256 * MIB], 256 * MIB, 0)

    def test_a_limit_of_the_parent_only(self):
        self.both([256 * MIB, None], 256 * MIB, 1)

    def test_a_tighter_grandparent(self):
        self.both([128 * MIB, 512 * MIB, 256 * MIB], 128 * MIB, 2)

    def test_a_limit_that_is_rounded_to_pages(self):
        page = os.sysconf("SC_PAGE_SIZE")
        self.both([200000000], 200000000 // page * page, 0)

    def test_no_limit(self):
        our, their = self.memory(None)
        self.assertEqual((our_memory(our), their_number(their, "memory")), ("none", "none"))
        self.assertEqual(our["max_source"], "")

    def test_a_limit_above_the_memory_is_none_here_and_a_number_there(self):
        limit = (int(ours()["total"]) // MIB + 1024) * MIB
        our, their = self.memory(limit)
        self.assertEqual((our_memory(our), their_number(their, "memory")), ("none", limit))

    def test_names_that_need_care(self):
        for name in ("a:b:c", "with blank", "back\\slash"):
            with self.subTest(name=name):
                enter = self.group("memory", (name, {"memory.limit_in_bytes": 64 * MIB}))
                our = ours(before=enter)
                self.assertEqual(our_memory(our), 64 * MIB)
                self.assertTrue(our["max_source"].endswith("/" + name + "/memory.limit_in_bytes"))
                self.assertEqual(our["memory_note"], "")
                self.doCleanups()

    def cpu(self, *quotas):
        settings = tuple((name, {} if quota is None else {"cpu.cfs_quota_us": quota})
                         for name, quota in zip(("outer", "inner"), quotas))
        enter = self.group("cpu", *settings)
        return ours(before=enter), run_oracle(self.limits, enter), \
            run_oracle(self.quota, enter) if self.quota else {}

    def go_procs(self, limit):
        """Go's rule: rounded up, two at least, and no more than it may run on."""
        affinity = len(os.sched_getaffinity(0))
        return affinity if limit == "none" else min(affinity, max(2, -int(-limit // 1)))

    def check_cpu(self, quotas, here, there):
        our, their, their_quota = self.cpu(*quotas)
        self.assertEqual(our_quota(our), here)
        self.assertEqual(int(our["affinity"]), len(os.sched_getaffinity(0)))
        self.assertEqual(their["procs"], self.go_procs(there))
        if self.quota:
            self.assertEqual(their_number(their_quota, "cpu"), there)
        return our

    def test_a_fractional_quota(self):
        our = self.check_cpu([150000], 1.5, 1.5)
        self.assertEqual(int(our["throttling_error"]), 0)

    def test_less_than_one_processor(self):
        self.check_cpu([25000], 0.25, 0.25)

    def test_no_quota(self):
        self.check_cpu([None], "none", "none")

    def test_a_quota_of_the_parent_is_found_here_and_not_there(self):
        our = self.check_cpu([150000, None], 1.5, "none")
        self.assertEqual(int(our["quota_level"]), 1)


if __name__ == "__main__":
    harness.main()
