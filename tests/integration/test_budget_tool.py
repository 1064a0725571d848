# SPDX-License-Identifier: MIT
"""`rthooks budget` and `rthooks doctor --collect`: of copied trees, of real groups, and asked."""
import http.server
import json
import math
import os
import re
import signal
import subprocess
import sys
import threading

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import budget_trees as trees  # noqa: E402
import cgroups  # noqa: E402
import harness  # noqa: E402
from budget_trees import GIB, MIB  # noqa: E402

FINE, BAD_NEWS, USAGE, UNREACHABLE = 0, 1, 2, 3
FIXTURES = os.path.join(harness.SOURCE, "tests", "fixtures", "cgroup")
DOCUMENT = {
    "memory_limit_bytes": 966367641, "memory_source": "cgroup2:/a/memory.max", "memory_ratio": 0.9,
    "memory_hard_limit_bytes": 1073741824, "memory_high_bytes": None, "return": "eager",
    "cpu_limit": 1.5, "cpu_source": "cgroup2:/a/cpu.max", "cpu_affinity": 8, "workers": 2,
    "rss_bytes": 1000000, "service": "check\u00fcout", "version": "1.4.2",
    "expected_rss_terms": {"memory_limit_bytes": 966367641, "headroom_bytes": 1000,
                           "stacks_bytes": 200, "mappings_bytes": 30},
}


class BudgetCase(harness.Case):
    def rt(self, *arguments, status=FINE, **options):
        result = self.run_to_end([self.rthooks, *arguments], hooked=False, **options)
        result.stdout, result.stderr = result.stdout.decode(), result.stderr.decode()
        self.assertEqual(result.status, status, result)
        for line in result.stderr.splitlines():
            self.assertRegex(line, "^rthooks[: ]")
        return result

    def refused(self, status, text, *arguments, **options):
        result = self.rt(*arguments, status=status, **options)
        self.assertEqual(result.stdout, "")
        self.assertIn(text, result.stderr)

    def document(self, *arguments, **options):
        return json.loads(self.rt("budget", *arguments, "--json", **options).stdout)

    def new_root(self):
        root = self.path("root%d" % self.next_number())
        trees.machine(root)
        return root

    def findings(self, document, level=None):
        return {finding["check"]: finding["text"] for finding in document["findings"]
                if level is None or finding["level"] == level}

    def group(self, *controllers, **limits):
        try:
            group = cgroups.Group(controllers or (cgroups.MEMORY,), **limits)
        except cgroups.Unavailable as why:
            harness.skip(str(why))
        self.addCleanup(group.remove)
        return group

    def sleeper(self, **options):
        program = harness.Program(self, ["sleep", "600"], hooked=False, **options)
        harness.wait_until("sleep to be execed", lambda: os.path.basename(
            os.readlink("/proc/%d/exe" % program.pid)) != os.path.basename(sys.executable))
        return program

    def dead_pid(self):
        program = harness.Program(self, ["true"], hooked=False)
        program.wait()
        return str(program.pid)


class Usage(BudgetCase):
    def test_mistakes_are_named(self):
        folder = self.path("tmp")
        for text, *arguments in (
                ("which process", "budget"),
                ("'2'", "budget", "1", "2"),
                ("--for", "budget", "--for", "10s", "1"),
                ("'soon'", "budget", "--recommend", "--for", "soon"),
                ("'8d'", "budget", "--recommend", "--for", "8d"),
                ("--dry-run", "budget", "--recommend", "--dry-run"),
                ("--root", "budget", "--recommend", "--root", folder),
                ("--pid", "budget", "--pid", "1"),
                ("--pid", "budget", "--root", folder, "1"),
                ("'-4'", "budget", "--root", folder, "--pid", "-4"),
                ("'sleep'", "budget", "--dry-run", "sleep"),
                ("'0'", "budget", "--dry-run", "0"),
                ("needs a value", "budget", "--root"),
                ("--bogus", "budget", "--bogus"),
                ("one at a time", "doctor", "--collect", folder, "--root", folder),
                ("--pid", "doctor", "--pid", "1"),
                ("process id", "doctor", "--collect", self.path("new"), folder),
                ("'x'", "doctor", "--root", folder, "--pid", "x")):
            with self.subTest(arguments=arguments):
                self.refused(USAGE, text, *arguments)
        self.assertFalse(os.path.exists(self.path("new")))

    def test_a_malformed_variable_is_named_with_value_and_grammar(self):
        for name, value, grammar in (("RTHOOKS_MEMORY_LIMIT", "12x", "GiB"),
                                     ("RTHOOKS_MEMORY_RATIO", "1.5", "up to 1"),
                                     ("RTHOOKS_CPU_LIMIT", "-2", "processors"),
                                     ("RTHOOKS_CPU_ROUND", "up", "floor"),
                                     ("RTHOOKS_RETURN", "never", "lazy")):
            for mode in (("--dry-run",), ("--root", self.path("tmp")), ("--recommend",)):
                with self.subTest(name=name, mode=mode):
                    result = self.rt("budget", *mode, status=USAGE, env={name: value})
                    self.assertEqual(result.stdout, "")
                    self.assertIn('%s: malformed value "%s"; it takes ' % (name, value),
                                  result.stderr)
                    self.assertIn(grammar, result.stderr)

    def test_what_is_out_of_reach_is_status_3(self):
        dead, port = self.dead_pid(), harness.free_port()
        for text, *arguments in (
                ("does not exist", "budget", dead),
                ("does not exist", "budget", "--dry-run", dead),
                ("does not exist", "budget", "--recommend", dead),
                ("does not exist", "doctor", "--collect", self.path("new"), dead),
                (str(port), "budget", "127.0.0.1:%d" % port),
                ("No such file", "budget", "/no/such.sock"),
                ("No such file", "budget", "--root", self.path("nowhere")),
                ("no copied /proc", "budget", "--root", self.path("home")),
                ("proc/7", "budget", "--root", self.path("home"), "--pid", "7"),
                ("No such file", "doctor", "--root", self.path("nowhere")),
                ("No such file", "doctor", "--collect", self.path("nowhere", "below"))):
            with self.subTest(arguments=arguments):
                self.refused(UNREACHABLE, text, *arguments)
        self.assertFalse(os.path.exists(self.path("new")))


class Copies(BudgetCase):
    def test_the_tightest_level_decides_and_is_named(self):
        root = self.new_root()
        trees.v2(root, [{}, {"memory.max": "%d\n" % GIB, "memory.high": "max\n",
                             "memory.swap.max": "0\n", "cpu.max": "150000 100000\n"},
                        {"memory.max": "%d\n" % (4 * GIB), "memory.high": "max\n",
                         "memory.swap.max": "max\n", "cpu.max": "max 100000\n"}])
        found = self.document("--root", root)
        self.assertEqual(found["memory_limit_bytes"], int(0.9 * GIB))
        self.assertEqual(found["memory_hard_limit_bytes"], GIB)
        self.assertEqual(found["memory_source"], "cgroup2:/a/memory.max")
        self.assertEqual(found["cpu_limit"], 1.5)
        self.assertEqual(found["cpu_source"], "cgroup2:/a/cpu.max")
        self.assertEqual(found["cpu_affinity"], 8)
        self.assertFalse(found["is_active"])
        memory, cpu = found["cgroups"]["memory"], found["cgroups"]["cpu"]
        self.assertEqual(memory["max"], {"is": "set", "bytes": GIB, "level": 1,
                                         "source": "cgroup2:/a/memory.max"})
        self.assertEqual(memory["swap"]["level"], 1)
        self.assertEqual(cpu["workers"], {"ceil": 2, "floor": 1, "go": 2})
        self.assertEqual(memory["levels"], [
            {"level": 0, "path": "/a/b", "max_bytes": 4 * GIB, "high_bytes": "unlimited",
             "swap_bytes": "unlimited", "oom_group": False},
            {"level": 1, "path": "/a", "max_bytes": GIB, "high_bytes": "unlimited",
             "swap_bytes": 0, "oom_group": False},
            {"level": 2, "path": "/", "max_bytes": None, "high_bytes": None, "swap_bytes": None,
             "oom_group": False}])
        self.assertEqual([level["quota"] for level in cpu["levels"]], ["unlimited", 1.5, None])

        text = self.rt("budget", "--root", root).stdout
        self.assertEqual(text.splitlines()[0], found["line"])
        self.assertIn(" memory_limit=966367641 ", found["line"])
        self.assertIn("0.9 of 1 GiB, decided at level 1 by cgroup2:/a/memory.max", text)
        self.assertIn("1.5 processors, decided at level 1 by cgroup2:/a/cpu.max; affinity 8; "
                      "workers 2 by ceil, 1 by floor, 2 by go", text)
        self.assertRegex(text, r"(?m)^ +0 +4 GiB +unlimited +unlimited +/a/b$")
        self.assertRegex(text, r"(?m)^ +1 +\*1 GiB +unlimited +\*0 B +/a$")
        self.assertRegex(text, r"(?m)^ +2 +- +- +- +/$")
        self.assertRegex(text, r"(?m)^ +1 +\*1.5 \(150000/100000 us\) +/a$")

    def test_version_1_is_read_and_its_largest_number_is_no_limit(self):
        root = self.new_root()
        trees.v1(root, "/docker/x:y", {"memory.limit_in_bytes": "536870912\n",
                                       "memory.memsw.limit_in_bytes": "1073741824\n"},
                 {"cpu.cfs_quota_us": "50000\n"})
        found = self.document("--root", root)
        self.assertEqual(found["memory_hard_limit_bytes"], 512 * MIB)
        self.assertEqual(found["memory_source"], "cgroup1:/docker/x:y/memory.limit_in_bytes")
        self.assertEqual(found["cpu_limit"], 0.5)
        self.assertEqual(found["workers"], 1)
        self.assertEqual([level["max_bytes"] for level in found["cgroups"]["memory"]["levels"]],
                         [512 * MIB, "unlimited", "unlimited"])
        self.assertIn("less than one", self.findings(found, "note")["CPU limit"])
        text = self.rt("budget", "--root", root).stdout
        self.assertNotIn("HIGH", text)
        self.assertIn("MEMSW.LIMIT_IN_BYTES", text)

    def test_unlimited_and_unreadable_are_different_answers(self):
        unlimited, unreadable = self.new_root(), self.new_root()
        trees.v2(unlimited, [{}, {"memory.max": "max\n", "cpu.max": "max 100000\n"}])
        trees.v2(unreadable, [{}, {"memory.max": None, "cpu.max": None}])
        for root, source, kind, level, text in (
                (unlimited, "none", "none", "note", "none"),
                (unreadable, "unreadable", "unreadable", "problem", "cannot be read")):
            found = self.document("--root", root)
            self.assertIsNone(found["memory_limit_bytes"])
            self.assertEqual(found["memory_source"], source)
            self.assertEqual(found["cgroups"]["memory"]["max"]["is"], kind)
            self.assertEqual(found["cgroups"]["cpu"]["quota"]["is"], kind)
            self.assertIn(text, self.findings(found, level)["memory limit"])
        levels = found["cgroups"]["memory"]["levels"]
        self.assertTrue(levels[0]["max_bytes"].startswith("unreadable: "), levels)
        self.assertIn("unreadable: ", self.rt("budget", "--root", unreadable).stdout)
        self.rt("doctor", "--root", unlimited)
        self.rt("doctor", "--root", unreadable, status=BAD_NEWS)

    def test_what_is_worth_knowing_is_said(self):
        root = self.new_root()
        trees.machine(root, memory=8 * GIB, swap=2 * GIB)
        trees.v2(root, [{}, {"memory.max": "%d\n" % (16 * GIB)},
                        {"memory.max": "%d\n" % GIB, "memory.high": "%d\n" % (512 * MIB),
                         "memory.swap.max": "max\n", "memory.oom.group": "1\n",
                         "cpu.max": "250000 100000\n",
                         "memory.current": "1000000\n",
                         "memory.events": "low 0\nhigh 5\nmax 1\noom 1\noom_kill 3\n",
                         "memory.stat": "anon 1\nfile 1\ninactive_file 0\nactive_file 0\n"
                                        "slab_reclaimable 0\n",
                         "cpu.stat": "usage_usec 1\nuser_usec 1\nsystem_usec 0\nnr_periods 100\n"
                                     "nr_throttled 40\nthrottled_usec 1500000\n"}])
        found = self.findings(self.document("--root", root), "note")
        self.assertIn("16 GiB at level 1 (/a) is not below the 8 GiB", found["memory limit"])
        self.assertIn("512 MiB (level 0)", found["memory.high"])
        self.assertIn("level 0 (/a/b)", found["oom group"])
        self.assertIn("2 GiB of swap", found["swap"])
        self.assertIn("3 workers (ceil)", found["CPU limit"])
        self.assertIn("2 (floor)", found["CPU limit"])
        self.assertIn("3 so far", found["OOM kills"])
        self.assertIn("40% of the periods", found["throttling"])
        self.assertIn("1.5 s", found["throttling"])
        explicit = self.document("--root", root, env={"RTHOOKS_MEMORY_LIMIT": "800MiB"})
        self.assertIn("below RTHOOKS_MEMORY_LIMIT",
                      self.findings(explicit, "problem")["memory.high"])
        doctor = json.loads(self.rt("doctor", "--root", root, "--json").stdout)
        self.assertEqual(self.findings(doctor, "note"), found)
        self.assertIn("service (pid 1)", self.findings(doctor)["process"])

    def test_the_settings_of_the_environment_count(self):
        root = self.new_root()
        trees.v2(root, [{}, {"memory.max": "%d\n" % GIB, "cpu.max": "150000 100000\n"}])

        def found(**variables):
            return self.document("--root", root, env={"RTHOOKS_" + name: value
                                                      for name, value in variables.items()})
        explicit = found(MEMORY_LIMIT="300MiB", CPU_LIMIT="3.5", CPU_ROUND="floor")
        self.assertEqual(explicit["memory_limit_bytes"], 300 * MIB)
        self.assertEqual(explicit["memory_source"], "RTHOOKS_MEMORY_LIMIT")
        self.assertEqual((explicit["cpu_limit"], explicit["workers"]), (3.5, 3))
        above = found(MEMORY_LIMIT="2GiB")
        self.assertTrue(above["explicit_is_above_hard"])
        self.assertEqual(above["memory_limit_bytes"], GIB)
        self.assertIn("above the hard limit", self.findings(above, "note")["memory limit"])
        off = found(MEMORY_LIMIT="off", CPU_LIMIT="off", RETURN="lazy")
        self.assertIsNone(off["memory_limit_bytes"])
        self.assertEqual((off["memory_source"], off["cpu_source"], off["return"]),
                         ("off", "off", "lazy"))
        self.assertEqual(found(MEMORY_RATIO="0.5")["memory_limit_bytes"], GIB // 2)
        self.assertEqual(found(CPU_ROUND="floor")["workers"], 1)

    def test_of_several_processes_one_is_named(self):
        root = self.new_root()
        trees.v2(root, [{}, {"memory.max": "%d\n" % GIB}], pid=41, resident_kib=2048)
        found = self.document("--root", root)
        self.assertEqual((found["pid"], found["rss_bytes"]), (41, 2 * MIB))
        trees.process(root, 42, "0::/\n", trees.V2_MOUNT)
        self.refused(UNREACHABLE, "--pid N", "budget", "--root", root)
        for pid, limit in (("41", GIB), ("42", None)):
            found = self.document("--root", root, "--pid", pid)
            self.assertEqual(found["memory_hard_limit_bytes"], limit)

    def test_a_copy_without_its_files_says_what_is_missing(self):
        root = self.new_root()
        os.makedirs(os.path.join(root, "proc", "self"))
        found = self.document("--root", root)
        self.assertIn("cgroups", self.findings(found, "problem"))
        self.assertIsNone(found["memory_limit_bytes"])
        self.rt("budget", "--root", root)
        self.rt("doctor", "--root", root, status=BAD_NEWS)

    def test_names_that_are_orders_to_a_terminal_are_not_passed_on(self):
        root = self.new_root()
        trees.v2(root, [{}, {"memory.max": "%d\n" % GIB}], cgroup="/a\x1b[31m")
        self.assertNotIn("\x1b", self.rt("budget", "--root", root).stdout)

    def test_every_fixture_of_discovery_gets_an_answer(self):
        if not os.path.isdir(FIXTURES):
            harness.skip("there are no fixtures of cgroups")
        asked = 0
        for name in sorted(os.listdir(FIXTURES)):
            root = os.path.join(FIXTURES, name)
            if not os.path.isdir(os.path.join(root, "proc")):
                continue
            with self.subTest(fixture=name):
                found = self.document("--root", root)
                text = self.rt("budget", "--root", root).stdout
                self.assertEqual(text.splitlines()[0], found["line"])
                level = found["cgroups"]["memory"]["max"].get("level")
                levels = found["cgroups"]["memory"].get("levels", [])
                if level is not None and level < len(levels):
                    self.assertEqual(levels[level]["max_bytes"], found["memory_hard_limit_bytes"])
                asked += 1
        self.assertGreater(asked, 0)


class Live(BudgetCase):
    def test_a_group_of_this_system_is_read_and_its_copy_says_the_same(self):
        group = self.group(memory=300 * MIB)
        program = self.sleeper(preexec=group.enter)
        found = self.document("--dry-run", str(program.pid))
        self.assertEqual(found["memory_hard_limit_bytes"], 300 * MIB)
        self.assertEqual(found["memory_limit_bytes"], int(0.9 * 300 * MIB))
        self.assertEqual(found["cgroups"]["memory"]["max"]["level"], 0)
        copy = self.path("copy")
        self.rt("doctor", "--collect", copy, str(program.pid))
        self.assert_same(found, self.document("--root", copy))
        self.rt("doctor", "--root", copy)

    def test_a_quota_gives_workers_by_each_policy(self):
        group = self.group(cgroups.CPU, cpus=1.5)
        if (os.cpu_count() or 1) < 2:
            harness.skip("one processor: every policy gives one worker")
        program = self.sleeper(preexec=group.enter)
        found = self.document("--dry-run", str(program.pid))
        self.assertEqual(found["cpu_limit"], 1.5)
        self.assertEqual(found["cgroups"]["cpu"]["workers"], {"ceil": 2, "floor": 1, "go": 2})
        copy = self.path("copy")
        self.rt("doctor", "--collect", copy, str(program.pid))
        self.assert_same(found, self.document("--root", copy))

    def test_this_container_and_its_copy_say_the_same(self):
        copy = self.path("copy")
        os.mkdir(copy)
        collected = json.loads(self.rt("doctor", "--collect", copy, "--json").stdout)
        self.assertGreater(collected["files"], 5)
        self.assertTrue(os.path.exists(os.path.join(copy, "proc", "self", "cgroup")))
        self.assert_same(self.document("--dry-run"), self.document("--root", copy))

    def assert_same(self, live, copied):
        """All but what changes from one moment to the next."""
        for document in (live, copied):
            for member in ("current_bytes", "reclaimable_bytes", "peak_bytes"):
                document["cgroups"]["memory"].pop(member, None)
            for member in ("periods", "throttled_periods", "throttled_seconds"):
                document["cgroups"]["cpu"].pop(member, None)
            document["findings"] = [finding for finding in document["findings"]
                                    if finding["check"] not in ("throttling", "OOM kills")]
            document.pop("rss_bytes", None)
            document["line"] = re.sub(" rss=[0-9]+ ", " ", document["line"])
        self.assertEqual(live, copied)

    def test_a_copy_has_no_secrets_and_a_list_of_what_is_in_it(self):
        program = harness.Program(
            self, [sys.executable, "-c", "import sys, time; print('up', flush=True); "
                   "time.sleep(600)", "--password=hunter-two"],
            hooked=False, env={"API_TOKEN": "tok-en-of-nobody"})
        program.wait_for_output(b"up\n")
        copy = self.path("copy")
        self.rt("doctor", "--collect", copy, str(program.pid))
        listed = harness.read_text(os.path.join(copy, "MANIFEST.txt"))
        count = 0
        for folder, _, names in os.walk(copy):
            for name in names:
                path = os.path.join(folder, name)
                with open(path, "rb") as file:
                    data = file.read()
                self.assertNotIn(b"hunter-two", data, path)
                self.assertNotIn(b"tok-en-of-nobody", data, path)
                self.assertLessEqual(len(data), MIB)
                if name != "MANIFEST.txt":
                    line = "copied   %s (%d bytes)" % (os.path.relpath(path, copy), len(data))
                    self.assertIn(line, listed)
                    count += 1
        self.assertIn("\n%d files, " % count, listed)
        self.assertIn("missing  rthooks: ", listed)
        for name in ("environ", "cmdline", "maps"):
            self.assertFalse(os.path.exists(os.path.join(copy, "proc", str(program.pid), name)))
        self.assertEqual(os.stat(copy).st_mode & 0o777, 0o700)

    def test_a_folder_with_something_in_it_is_left_alone(self):
        self.refused(USAGE, "something in it", "doctor", "--collect", self.tmp)
        self.assertFalse(os.path.exists(self.path("MANIFEST.txt")))
        self.refused(USAGE, "Not a directory", "doctor", "--collect", self.write("file", ""))


class Asked(BudgetCase):
    def served(self, document, status=200):
        """A server that answers /debug/runtime/budget, and its address."""
        body = json.dumps(document).encode()

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):  # noqa: N802
                self.send_response(status if self.path == "/debug/runtime/budget" else 404)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass
        server = http.server.HTTPServer(("127.0.0.1", harness.free_port()), Handler)
        self.addCleanup(server.server_close)
        self.addCleanup(server.shutdown)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        return "127.0.0.1:%d" % server.server_address[1]

    def test_what_a_process_says_is_shown_as_the_line(self):
        address = self.served(DOCUMENT)
        line = self.rt("budget", address).stdout
        self.assertEqual(line.count("\n"), 1)
        self.assertTrue(line.startswith("rthooks budget memory_limit=966367641 memory_source="
                                        "cgroup2:/a/memory.max ratio=0.9 cgroup_limit=1073741824 "),
                        line)
        for text in ("cpu_limit=1.5 ", "workers=2 ", "expected_max_cpu=150% ", "rss=1000000 ",
                     "expected_rss=966368871 ", "version=1.4.2 ", "build_id=-"):
            self.assertIn(" " + text, line)
        self.assertEqual(self.document(address), DOCUMENT)
        path = self.write("saved.json", json.dumps(DOCUMENT))
        self.assertEqual(self.rt("budget", path).stdout, line)

    def test_no_limit_is_off_in_the_line(self):
        document = dict(DOCUMENT, memory_limit_bytes=None, memory_source="none", cpu_limit=None,
                        memory_hard_limit_bytes=None, cpu_source="affinity", workers=8)
        del document["memory_ratio"]
        line = self.rt("budget", self.served(document)).stdout
        for text in ("memory_limit=off ", "ratio=- ", "cgroup_limit=off ", "cpu_limit=off ",
                     "expected_rss=- "):
            self.assertIn(" " + text, line)

    def test_what_is_no_budget_is_out_of_reach(self):
        self.refused(UNREACHABLE, "no budget", "budget", self.served({"threads": []}))
        self.refused(UNREACHABLE, "404", "budget", self.served({}, 404))
        self.refused(UNREACHABLE, "no budget", "budget",
                     self.write("bad.json", '{"memory_source": 5, "workers": "x"}'))

    def test_of_a_process_without_rthooks_its_container_is_shown(self):
        program = self.sleeper()
        result = self.rt("budget", str(program.pid))
        self.assertIn("rthooks is not inside process %d" % program.pid, result.stderr)
        self.assertTrue(result.stdout.startswith("rthooks budget memory_limit="), result)
        found = self.document(str(program.pid))
        self.assertEqual((found["is_active"], found["pid"]), (False, program.pid))

    def test_a_hooked_process_that_does_not_answer_is_not_guessed_at(self):
        program = harness.Program(self, ["sleep", "600"], options=("--admin", "off"))
        harness.wait_until("rthooks inside", lambda: "/librthooks.so" in harness.read_text(
            "/proc/%d/maps" % program.pid))
        self.refused(UNREACHABLE, "--dry-run", "budget", str(program.pid))
        self.rt("budget", "--dry-run", str(program.pid))

    def test_a_hooked_process_is_asked(self):
        program = self.start(["sleep", "600"], env={"RTHOOKS_MEMORY_LIMIT": "300MiB"},
                             options=("--service", "checkout"))
        program.wait_for_admin()
        for target in (str(program.pid), program.unix, "127.0.0.1:%d" % program.port):
            line = self.rt("budget", target).stdout
            self.assertTrue(line.startswith("rthooks budget memory_limit=%d memory_source="
                                            "RTHOOKS_MEMORY_LIMIT " % (300 * MIB)), line)
            self.assertIn(" service=checkout ", line)
        found = self.document(str(program.pid))
        self.assertEqual(found["memory_limit_bytes"], 300 * MIB)
        self.assertNotIn("is_active", found)

    def test_doctor_compares_the_manifest_of_a_hooked_process_with_the_platform(self):
        group = self.group(memory=300 * MIB)
        for wanted, level, text in (("512Mi", "note", "512 MiB, the platform has 300 MiB"),
                                    ("300Mi", "ok", "those of the platform")):
            program = self.start(["sleep", "600"], preexec=group.enter,
                                 env={"RTHOOKS_MANIFEST_MEMORY_LIMIT": wanted})
            program.wait_for_admin()
            document = json.loads(self.rt("doctor", "--json", str(program.pid)).stdout)
            self.assertIn(text, self.findings(document, level)["manifest"])
            self.assertIn("memory_limit=%d " % int(0.9 * 300 * MIB),
                          self.findings(document, "ok")["budget"])
            copy = self.path("copy-" + wanted)
            self.rt("doctor", "--collect", copy, str(program.pid))
            with open(os.path.join(copy, "rthooks", "budget.json"), encoding="utf-8") as file:
                self.assertEqual(json.load(file)["memory_hard_limit_bytes"], 300 * MIB)
            with open(os.path.join(copy, "rthooks", "status.json"), encoding="utf-8") as file:
                self.assertNotIn("log", json.load(file))


class Recommend(BudgetCase):
    HOLDER = ("import sys, time\nheld = bytearray(%d)\nfor at in range(0, len(held), 4096):\n"
              "    held[at] = 1\nprint('holding', flush=True)\ntime.sleep(600)\n")

    def holder(self, size, **options):
        program = harness.Program(self, [sys.executable, "-c", self.HOLDER % size], hooked=False,
                                  **options)
        program.wait_for_output(b"holding\n")
        return program

    def quantity(self, text):
        found = re.fullmatch("([0-9]+)(Mi|Gi)", text)
        return int(found[1]) * {"Mi": MIB, "Gi": GIB}[found[2]]

    def check_arithmetic(self, found):
        step = 16 * MIB
        peak = found["memory"]["peak_bytes"]
        limit = self.quantity(found["resources"]["limits"]["memory"])
        self.assertEqual(limit, math.ceil(peak * 5 / 4 / step) * step)
        request = self.quantity(found["resources"]["requests"]["memory"])
        self.assertEqual(request, min(limit, math.ceil(found["memory"]["p95_bytes"] / step) * step))
        self.assertLessEqual(found["memory"]["p50_bytes"], found["memory"]["p95_bytes"])
        self.assertLessEqual(found["memory"]["p95_bytes"], found["memory"]["max_bytes"])

    def test_requests_and_limits_come_from_what_was_seen_in_its_group(self):
        group = self.group()
        program = self.holder(100 * MIB, preexec=group.enter)
        found = self.document("--recommend", "--for", "2s", str(program.pid))
        self.assertEqual(found["memory"]["of"], "cgroup")
        self.assertGreaterEqual(found["memory"]["peak_bytes"], 100 * MIB)
        self.assertLess(found["memory"]["peak_bytes"], 200 * MIB)
        self.assertEqual((found["pid"], found["looks"]), (program.pid, 3))
        self.check_arithmetic(found)
        self.assertRegex(found["resources"]["requests"]["cpu"], "^[0-9]+m?$")
        self.assertIn("short look", " ".join(found["notes"]))

    def test_a_peak_close_to_the_limit_is_said_to_be_held_down_by_it(self):
        group = self.group(memory=110 * MIB)
        program = self.holder(100 * MIB, preexec=group.enter)
        found = self.document("--recommend", "--for", "1s", str(program.pid))
        self.assertIn("close to the limit", " ".join(found["notes"]))
        self.check_arithmetic(found)

    def test_the_text_states_rule_time_and_snippet(self):
        program = self.holder(8 * MIB)
        text = self.rt("budget", "--recommend", "--for", "1s", str(program.pid)).stdout
        self.assertRegex(text, r"looked at 2 times in \d+ s")
        self.assertRegex(text, r"(?m)^memory limit +\d+[MG]i: 1.25 x the peak \(.*\), "
                               r"up to the next 16 MiB$")
        self.assertRegex(text, r"(?m)^resources:\n  requests:\n    memory: \d+[MG]i\n"
                               r"    cpu: \d+m?\n  limits:\n    memory: \d+[MG]i$")
        self.assertIn("weak basis", text)
        self.assertIn("no CPU limit is proposed", text)

    def test_a_peak_from_before_the_look_counts(self):
        group = self.group()
        program = harness.Program(
            self, [sys.executable, "-c", "import time\nheld = b'x' * (120 << 20)\ndel held\n"
                   "print('freed', flush=True)\ntime.sleep(600)\n"], hooked=False,
            preexec=group.enter)
        program.wait_for_output(b"freed\n")
        found = self.document("--recommend", "--for", "1s", str(program.pid))
        # Of pages of files that another group read first only the former counts.
        self.assertIn(found["memory"]["peak_source"], ("VmHWM", "cgroup"))
        self.assertGreaterEqual(found["memory"]["peak_bytes"], 120 * MIB)
        self.assertLess(found["memory"]["max_bytes"], 100 * MIB)
        self.check_arithmetic(found)

    def test_a_process_that_ends_is_reported_on_as_far_as_it_was_seen(self):
        program = harness.Program(self, ["sh", "-c", "read line"], hooked=False,
                                  stdin=subprocess.PIPE)
        watcher = harness.Program(self, [self.rthooks, "budget", "--recommend", "--for", "1h",
                                         "--json", str(program.pid)], hooked=False)
        self.wait_for_handler(watcher)
        harness.wait_until("a look", lambda: self.looks(watcher) > 0)
        program.process.stdin.close()
        program.wait()
        self.assertEqual(watcher.wait(), FINE)
        found = json.loads(watcher.stdout())
        self.assertTrue(any("it ended" in note for note in found["notes"]), found)
        self.check_arithmetic(found)

    def test_an_interrupt_ends_the_look_with_its_result(self):
        program = self.sleeper()
        watcher = harness.Program(self, [self.rthooks, "budget", "--recommend", "--for", "1h",
                                         "--json", str(program.pid)], hooked=False)
        self.wait_for_handler(watcher)
        harness.wait_until("a look", lambda: self.looks(watcher) > 0)
        watcher.signal(signal.SIGINT)
        self.assertEqual(watcher.wait(), FINE)
        self.check_arithmetic(json.loads(watcher.stdout()))

    @staticmethod
    def wait_for_handler(program):
        bit = 1 << (signal.SIGINT - 1)
        harness.wait_until("the handler", lambda: int(harness.status_field(
            program.pid, program.pid, "SigCgt")[0], 16) & bit)

    @staticmethod
    def looks(program):
        """Times it went to sleep: between looks alone, once it has its handler."""
        return int(harness.status_field(program.pid, program.pid, "voluntary_ctxt_switches")[0])


if __name__ == "__main__":
    harness.main()
