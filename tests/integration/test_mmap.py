# SPDX-License-Identifier: MIT
"""Who mapped the memory: /debug/pprof/mmap to the byte, and below an allocator that no hook sees."""
import os
import re
import shutil
import subprocess
import threading

import harness
from harness import fetch, wait_until
from profile import Profile

MIB = 1 << 20
COLUMNS = [("alloc_objects", "count"), ("alloc_space", "bytes"), ("inuse_objects", "count"),
           ("inuse_space", "bytes")]


class MapCase(harness.Case):
    def hosted(self, name, **options):
        port = harness.free_port()
        program = self.start([harness.host(name)], port=port, stdin=subprocess.PIPE, **options)
        program.wait_for_output(b"ready")
        program.wait_for_admin()
        return program

    def tell(self, program, *commands):
        for command in commands:
            count = program.stdout().count(b"done ")
            program.process.stdin.write(command.encode() + b"\n")
            program.process.stdin.flush()
            wait_until("the end of " + command,
                       lambda n=count: program.stdout().count(b"done ") > n)

    def end(self, program):
        program.process.stdin.close()
        self.assertEqual(program.wait(), 0)

    def profile(self, program, query=""):
        answer = fetch(program.port, "/debug/pprof/mmap" + query, timeout_s=60)
        self.assertEqual(answer.status, 200, answer)
        return Profile(answer.body)

    def held(self, profile):
        """{function that called mmap or mremap: (mappings, bytes)}, what is held alone."""
        result = {}
        for sample in profile.samples:
            if sample.values[2] or sample.values[3]:
                name = sample.stack[0] if sample.stack else ""
                before = result.get(name, (0, 0))
                result[name] = (before[0] + sample.values[2], before[1] + sample.values[3])
        return result


class Sites(MapCase):
    def test_every_mapping_is_held_by_its_site_to_the_byte(self):
        program = self.hosted("map_sites")
        before = self.held(self.profile(program))
        self.tell(program, "pool", "to_grow", "shared", "reserve", "break")
        held = self.held(self.profile(program))
        for name, mebibytes in (("map_pool", 8), ("map_to_grow", 1), ("map_shared", 2),
                                ("map_reserve", 1024), ("grow_break", 1)):
            self.assertEqual(held.pop(name), (1, mebibytes * MIB))
        self.assertEqual(held, before, "something else was mapped")
        self.tell(program, "punch", "grow", "churn", "thread churn", "file")
        held = self.held(self.profile(program))
        self.assertEqual(held.pop("map_pool"), (1, 7 * MIB - 4096))
        self.assertEqual(held.pop("grow_region"), (1, 4 * MIB))
        self.assertNotIn("map_to_grow", held)
        self.assertNotIn("map_file", held)
        self.assertNotIn("map_and_unmap", held)
        self.tell(program, "free")
        before["grow_break"] = (1, MIB)
        self.assertEqual(self.held(self.profile(program)), before)
        self.end(program)

    def test_what_was_allocated_stays_counted(self):
        program = self.hosted("map_sites")
        self.tell(program, "churn", "thread churn")
        profile = self.profile(program)
        self.assertEqual(profile.sample_types, COLUMNS)
        self.assertEqual(profile.cumulative("map_and_unmap", 0), 200)
        self.assertEqual(profile.cumulative("map_and_unmap", 1), 200 * MIB)
        self.assertEqual(profile.cumulative("map_and_unmap", 3), 0)
        stacks = [sample.stack for sample in profile.samples if "map_and_unmap" in sample.stack]
        self.assertTrue(any("main" in stack for stack in stacks), stacks)
        self.assertTrue(any("run_in_thread" in stack for stack in stacks), stacks)
        self.end(program)

    def test_seconds_gives_what_was_mapped_meanwhile(self):
        program = self.hosted("map_sites")
        self.tell(program, "churn", "to_grow")
        later = threading.Timer(1, lambda: self.tell(program, "churn", "pool"))
        later.start()
        profile = self.profile(program, "?seconds=3")
        later.join()
        self.assertEqual(profile.cumulative("map_and_unmap", 0), 100)
        self.assertEqual(profile.cumulative("map_pool", 1), 8 * MIB)
        self.assertEqual(profile.cumulative("map_to_grow", 1), 0)
        self.assertGreater(profile.duration_ns, 2.9e9)
        self.end(program)

    def test_text_for_people(self):
        program = self.hosted("map_sites")
        self.tell(program, "pool")
        answer = fetch(program.port, "/debug/pprof/mmap?debug=1")
        self.assertEqual(answer.status, 200, answer)
        self.assertRegex(answer.text, r"(?m)^1: 8388608 \[1: 8388608\] @ 0x")
        self.assertRegex(answer.text, r"(?m)^#\t0x[0-9a-f]+\tmap_pool\+0x")
        self.assertIn("# not seen: ", answer.text)
        self.assertRegex(answer.text, r"(?m)^# mapped now: \d+ bytes in \d+ pieces")
        index = fetch(program.port, "/debug/pprof/").text
        self.assertRegex(index, r"<td>\d+</td><td><a href='mmap\?debug=1'>mmap</a>")
        self.end(program)

    def test_parameters_are_gos(self):
        program = self.hosted("map_sites")
        for query in ("?seconds=0", "?seconds=x", "?seconds=1&debug=1"):
            self.assertEqual(fetch(program.port, "/debug/pprof/mmap" + query).status, 400, query)
        self.end(program)

    def test_no_mapping_of_rthooks_own_is_shown(self):
        program = self.hosted("map_sites")
        self.tell(program, "pool")
        for query in ("heap", "goroutine?debug=2", "profile?seconds=1", "mmap?debug=1"):
            fetch(program.port, "/debug/pprof/" + query, timeout_s=30)
        self.assertEqual(self.held(self.profile(program)), {"map_pool": (1, 8 * MIB)})
        self.end(program)

    def test_a_child_begins_with_nothing_and_shows_its_own(self):
        program = self.hosted("map_sites")
        self.tell(program, "pool", "fork")
        child = int(re.search(rb"child (\d+)\n", program.stdout())[1])
        route = "/debug/pprof/mmap?pid=%d" % child

        def has_mapped():
            answer = fetch(program.port, route)
            return answer.status == 200 and "map_in_child" in self.held(Profile(answer.body))
        wait_until("the child's mapping", has_mapped)
        profile = Profile(fetch(program.port, route).body)
        self.assertEqual(self.held(profile), {"map_in_child": (1, 3 * MIB)})
        self.assertIn("before the fork", profile.comment("not seen: "))
        self.assertEqual(self.held(self.profile(program)), {"map_pool": (1, 8 * MIB)})
        self.end(program)

    def test_without_the_interposer_it_says_why_not(self):
        port = harness.free_port()
        program = self.start([harness.host("labels_shared"), "shares"], hooked=False, port=port,
                             stdin=subprocess.PIPE, env={"RTHOOKS_ADMIN": "127.0.0.1:%d" % port})
        program.wait_for_output(b"ready")
        program.wait_for_admin()
        answer = fetch(port, "/debug/pprof/mmap")
        self.assertIn(answer.status, (501, 503), answer)
        self.assertIn("librthooks_interpose.so is not loaded", answer.text)
        program.process.stdin.close()
        program.wait()

    def test_the_answers_are_the_bare_programs(self):
        port = harness.free_port()
        commands = b"pool\npunch\nto_grow\ngrow\nshared\nreserve\nbreak\nfile\nchurn\nfree\n"
        outputs = [subprocess.run(command, input=commands, capture_output=True, timeout=60,
                                  env=self.environment).stdout
                   for command in ([harness.host("map_sites")],
                                   [self.rthooks, "run", "--admin", "127.0.0.1:%d" % port, "--",
                                    harness.host("map_sites")])]
        self.assertEqual(outputs[0], outputs[1])
        self.assertEqual(outputs[0].count(b"done"), 10)


class OwnAllocator(MapCase):
    def own(self, name):
        if not os.path.exists(harness.host(name)):
            harness.skip("libjemalloc.a (libjemalloc-dev) was not there when this was built")
        program = self.hosted(name)
        self.tell(program, "fill")
        return program

    def test_mappings_show_the_site_that_made_a_linked_in_allocator_grow(self):
        program = self.own("own_jemalloc")
        profile = self.profile(program)
        self.assertGreaterEqual(profile.cumulative("fill_cache", 3), 64 * MIB)
        self.assertGreater(profile.cumulative("fill_cache", 3), 0.9 * profile.total(3))
        self.assertGreaterEqual(profile.cumulative("main", 3), 64 * MIB)
        self.end(program)

    def test_heap_names_the_linked_in_allocator(self):
        for name, evidence in (("own_jemalloc", "je_malloc"),
                               ("own_jemalloc_stripped", "<jemalloc>: ")):
            program = self.own(name)
            for route in ("/debug/pprof/heap", "/debug/pprof/allocs"):
                answer = fetch(program.port, route)
                self.assertEqual(answer.status, 501, answer)
                for part in ("jemalloc is linked into", name, evidence, "/debug/pprof/mmap"):
                    self.assertIn(part, answer.text)
            self.assertEqual(fetch(program.port, "/debug/pprof/mmap").status, 200)
            self.end(program)

    def test_a_program_without_one_has_its_heap_profile(self):
        program = self.hosted("map_sites")
        self.assertEqual(fetch(program.port, "/debug/pprof/heap").status, 200)
        self.end(program)


class Tools(MapCase):
    def test_go_tool_pprof_shows_space_in_use(self):  # timeout=300
        go = shutil.which("go", path=os.environ.get("PATH", "") + ":/usr/local/go/bin")
        if not go:
            harness.skip("go is not installed")
        program = self.hosted("map_sites")
        self.tell(program, "pool", "churn")
        path = self.path("mmap.pb.gz")
        with open(path, "wb") as file:
            file.write(fetch(program.port, "/debug/pprof/mmap").body)
        environment = dict(os.environ, PPROF_TMPDIR=self.path("tmp"), GOFLAGS="", GOPROXY="off",
                           GOTOOLCHAIN="local")
        text = subprocess.run([go, "tool", "pprof", "-top", "-unit=mb", path], check=True,
                              text=True, capture_output=True, env=environment,
                              cwd=self.tmp).stdout
        self.assertIn("Type: inuse_space", text)
        self.assertRegex(text, r"(?m)^ +8MB .*map_pool")
        self.assertNotIn("map_and_unmap", text)
        self.end(program)


if __name__ == "__main__":
    harness.main()
