# SPDX-License-Identifier: MIT
"""Who holds the memory: numbers that are known, through every way to allocate and to free."""
import collections
import os
import re
import shutil
import subprocess
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import harness  # noqa: E402
from harness import fetch, wait_until  # noqa: E402
from profile import Profile  # noqa: E402

COLUMNS = ("alloc_objects", "alloc_space", "inuse_objects", "inuse_space")
ALLOC_OBJECTS, ALLOC_SPACE, INUSE_OBJECTS, INUSE_SPACE = range(4)
EXACT = {"RTHOOKS_HEAP_INTERVAL": "1"}


class HeapCase(harness.Case):
    def begin(self, argv, env=EXACT, **options):
        program = self.start(argv, env=env, stdin=subprocess.PIPE, **options)
        program.wait_for_output(b"ready\n")
        return program

    def tell(self, program, line, answer):
        """Writes a line and waits until the answer came once more."""
        before = program.stdout().count(answer)
        program.process.stdin.write(line.encode() + b"\n")
        program.process.stdin.flush()
        wait_until("%r after %r" % (answer, line),
                   lambda: program.stdout().count(answer) > before)

    def end(self, program):
        program.process.stdin.close()
        self.assertEqual(program.wait(), 0, program.stdout())

    def get(self, program, path="heap"):
        return fetch(program.port, "/debug/pprof/" + path, timeout_s=60)

    def profile(self, program, path="heap"):
        answer = self.get(program, path)
        self.assertEqual(answer.status, 200, answer)
        return Profile(answer.body)

    def values(self, profile, site):
        return [profile.cumulative(site, column) for column in range(4)]

    def run_sites(self, program, answer=b"done\n"):
        """Lets a host begin, once nothing has to wait any more."""
        program.wait_for_admin()
        self.get(program)
        self.tell(program, "", answer)

    def expected_sites(self, program):
        """{name: numbers} of the lines "site NAME NUMBER…"."""
        return {line.split()[1]: [int(number) for number in line.split()[2:]]
                for line in program.stdout().decode().splitlines() if line.startswith("site ")}

    def assert_about(self, value, expected, tolerance, what):
        self.assertLessEqual(abs(value / expected - 1), tolerance,
                             "%s: %d, expected %d" % (what, value, expected))


class Estimates(HeapCase):
    def assert_estimates(self, threads):
        program = self.begin([harness.host("heap_sites"), str(threads)],
                             {"RTHOOKS_HEAP_INTERVAL": "2KiB"})
        self.run_sites(program, b"held\n")
        sites = self.expected_sites(program)
        self.assertEqual(len(sites), 8)
        held = self.profile(program)
        self.assertGreaterEqual(int(re.search(r"\d+", held.comment("blocks sampled so far")).group()),
                                100000)
        self.assertEqual([text for text in held.comments if text.startswith("lost")], [])
        self.assertEqual(held.period, 2048)
        before = {}
        for name, (count, size) in sites.items():
            before[name] = self.values(held, name)
            print(threads, name, ["%.4f" % (value / known) for value, known in
                                  zip(before[name], (count, size, count, size))])
            for column, known in zip(range(4), (count, size, count, size)):
                self.assert_about(before[name][column], known, 0.05, name + " " + COLUMNS[column])
        self.tell(program, "", b"freed\n")
        left, allocs = self.profile(program), self.profile(program, "allocs")
        for name, (count, size) in sites.items():
            for profile in (left, allocs):
                self.assertEqual(self.values(profile, name), before[name][:2] + [0, 0], name)
        self.assert_about(sum(self.values(allocs, name)[ALLOC_SPACE] for name in sites),
                          sum(size for _, size in sites.values()), 0.05, "all bytes")
        self.end(program)

    def test_known_bytes_per_site_on_one_thread(self):
        self.assert_estimates(1)

    def test_known_bytes_per_site_on_four_threads_freed_by_others(self):
        self.assert_estimates(4)


class Exact(HeapCase):
    def test_every_way_to_allocate_and_free_is_exact_to_the_byte(self):
        program = self.begin([harness.host("heap_exact")])
        self.run_sites(program)
        profile = self.profile(program)
        sites = self.expected_sites(program)
        self.assertGreater(len(sites), 30)
        wrong = []
        for name, known in sites.items():
            values = self.values(profile, name)
            if any(number not in (value, -1) for number, value in zip(known, values)):
                wrong.append((name, "expected", known, "found", values))
        self.assertEqual(wrong, [])
        # The site is where the program calls, whatever lies between it and the allocator.
        for sample in profile.samples:
            for name in sample.stack[:1]:
                self.assertNotRegex(name, r"^((malloc|calloc|realloc|free)$|_Zn[wa]|rth_)", sample)
        self.assertEqual([text for text in profile.comments
                          if text.startswith("lost") or "no stack" in text], [])
        self.end(program)

    def assert_totals(self, profile):
        """The sampler saw what the threads counted; returns their bytes."""
        numbers = re.search(r"(\d+) allocations of (\d+) bytes, (\d+) frees",
                            profile.comment("counted, all threads: ")).groups()
        allocs, size, frees = map(int, numbers)
        # What was there before rthooks started is freed by nobody in these programs.
        self.assertEqual(profile.total(ALLOC_OBJECTS), allocs)
        self.assertEqual(profile.total(ALLOC_SPACE), size)
        self.assertEqual(profile.total(INUSE_OBJECTS), allocs - frees)
        return size

    def test_the_totals_are_those_of_the_counters(self):
        program = self.begin([harness.host("heap_exact")])
        self.run_sites(program)
        profile = self.profile(program)
        size = self.assert_totals(profile)
        status = fetch(program.port, "/debug/runtime/status").json()
        self.assertIn('"alloc_bytes": %d' % size, repr(status).replace("'", '"'))
        self.end(program)

    def test_threads_that_free_and_move_each_others_blocks(self):
        program = self.begin([harness.host("heap_churn"), "8", "40000"])
        program.wait_for_admin()
        self.get(program)
        program.process.stdin.write(b"\n")
        program.process.stdin.flush()
        looks = 0
        while b"held" not in program.stdout():
            profile = self.profile(program)
            looks += 1
            for sample in profile.samples:
                self.assertTrue(all(0 <= value for value in sample.values), sample)
                self.assertLessEqual(sample.values[INUSE_SPACE], sample.values[ALLOC_SPACE])
        profile, known = self.profile(program), self.expected_sites(program)["churn"]
        print(looks, "looks", known)
        self.assertEqual(self.values(profile, "churn"), known)
        self.assert_totals(profile)
        self.assertEqual([text for text in profile.comments
                          if text.startswith("lost") or "without a call" in text], [])
        self.tell(program, "", b"freed\n")
        self.assertEqual(self.values(self.profile(program), "churn"), known[:2] + [0, 0])
        self.end(program)

    def test_a_child_frees_for_itself_and_begins_with_nothing(self):
        program = self.begin([harness.host("heap_fork")])
        program.wait_for_admin()
        child = int(re.search(rb"child (\d+)", program.stdout()).group(1))
        parent = self.profile(program)
        self.assertEqual(self.values(parent, "site_of_parent"), [100, 6400, 100, 6400])
        self.assertEqual(self.values(parent, "site_of_young_child"), [0, 0, 0, 0])
        wait_until("the child's endpoint", lambda: fetch(
            program.port, "/debug/pprof/cmdline?pid=%d" % child).status == 200)
        theirs = "heap?pid=%d" % child
        first = self.profile(program, theirs)
        for site in ("site_of_parent", "site_of_young_child", "site_of_child"):
            self.assertEqual(self.values(first, site), [0, 0, 0, 0], site)
        self.assertIn("blocks from before the fork or the last start are not in this profile",
                      first.comments)
        # glibc allocates for the thread that serves this.
        self.assertEqual([sample for sample in first.samples
                          if "rth__service_thread_start" not in sample.stack], [])
        self.tell(program, "", b"again\n")
        again = self.profile(program, theirs)
        self.assertEqual(self.values(again, "site_of_child"), [40, 10240, 24, 24 * 256])
        # What it moved counts where it was moved.
        moved = [sample.values for sample in again.samples
                 if sample.stack[0] == "be_the_child"]
        self.assertEqual(moved, [[1, 1000, 1, 1000]])
        self.assertEqual(self.values(again, "site_of_parent"), [0, 0, 0, 0])
        parent = self.profile(program)
        self.assertEqual(self.values(parent, "site_of_parent"), [100, 6400, 100, 6400])
        self.assertEqual(self.values(parent, "site_of_child"), [0, 0, 0, 0])
        self.end(program)


class Early(HeapCase):
    def test_the_first_allocations_have_their_stacks(self):
        program = self.begin([harness.host("heap_early"), harness.host("module_heap_leak.so")])
        program.wait_for_admin()
        profile = self.profile(program)
        for site, count, size in (("leak_in_constructor", 20, 50), ("leak_in_main", 30, 60),
                                  ("leak_in_library_constructor", 10, 70),
                                  ("leak_in_library", 20, 80)):
            self.assertEqual(self.values(profile, site), [count, count * size] * 2, site)
        self.assert_called_from(profile, "leak_in_constructor", "before_main")
        self.assert_called_from(profile, "leak_in_main", "main")
        self.assert_called_from(profile, "leak_in_library_constructor", "at_load")
        self.assert_called_from(profile, "leak_in_library", "run_library", "run", "main")
        self.end(program)

    def assert_called_from(self, profile, *names):
        found = [sample for sample in profile.samples if names[0] in sample.stack]
        self.assertTrue(found, names[0])
        for sample in found:
            self.assertEqual(tuple(sample.stack[:len(names)]), names, sample)

    def test_a_library_loaded_later_has_its_stacks_at_once(self):
        program = self.begin([harness.host("heap_early")])
        program.wait_for_admin()
        self.profile(program)
        for number in range(3):
            copy = self.path("copy%d.so" % number)
            shutil.copyfile(harness.host("module_heap_leak.so"), copy)
            self.tell(program, "more " + copy, b"loaded\n")
            profile = self.profile(program)
            for site, count, size in (("leak_in_library_constructor", 10, 70),
                                      ("leak_in_library", 20, 80)):
                count *= number + 1
                self.assertEqual(self.values(profile, site), [count, count * size] * 2, site)
            self.assert_called_from(profile, "leak_in_library_constructor", "at_load")
            self.assert_called_from(profile, "leak_in_library", "run_library", "run", "main")
        self.end(program)


class Linked(HeapCase):
    def linked(self, kind="interposed", interval="1"):
        port = harness.free_port()
        program = self.begin([harness.host("heap_" + kind)], hooked=False, port=port,
                             env={"RTHOOKS_ADMIN": "127.0.0.1:%d" % port,
                                  "RTHOOKS_HEAP_INTERVAL": interval})
        program.wait_for_admin()
        return program

    def interval(self, program, interval, result=0):
        self.tell(program, "interval %d" % interval, b"done\n")
        self.assertEqual(program.stdout().decode().splitlines()[-2], "interval %d" % result)

    def test_the_estimate_stays_unbiased_over_changes_of_the_interval(self):
        program = self.linked(interval="64KiB")
        blocks = 0
        for interval in (512, 4096, 1024, 1, 1 << 30, 2048):
            self.interval(program, interval)
            count = {1: 2000, 1 << 30: 0}.get(interval, 250000)
            self.tell(program, "run %d 100" % count, b"done\n")
            blocks += count
            profile = self.profile(program)
            self.assertEqual(profile.period, interval)
        values = self.values(profile, "counted_site")
        print([value / blocks for value in values])
        for column, known in zip(range(4), (blocks, blocks * 100) * 2):
            self.assert_about(values[column], known, 0.05, COLUMNS[column])
        self.tell(program, "free", b"done\n")
        self.assertEqual(self.values(self.profile(program), "counted_site"), values[:2] + [0, 0])
        self.interval(program, -1, -22)
        self.interval(program, (1 << 40) + 1, -22)
        self.end(program)

    def test_zero_switches_off_and_another_number_on_again(self):
        program = self.linked()
        self.tell(program, "run 100 10", b"done\n")
        self.interval(program, 0)
        for path in ("heap", "allocs", "heap?seconds=1", "heap?debug=1"):
            answer = self.get(program, path)
            self.assertEqual(answer.status, 503, answer)
            self.assertEqual(answer.text.strip(),
                             "heap profile is off: rth_heap_interval_set(0)")
        self.tell(program, "run 77 10", b"done\n")
        self.interval(program, 1)
        self.tell(program, "run 10 10", b"done\n")
        self.assertEqual(self.values(self.profile(program), "counted_site"),
                         [110, 1100, 110, 1100])
        self.tell(program, "free", b"done\n")
        self.assertEqual(self.values(self.profile(program), "counted_site"), [110, 1100, 0, 0])
        self.end(program)

    def test_off_at_the_start_it_may_be_switched_on(self):
        program = self.linked(interval="off")
        self.tell(program, "run 100 10", b"done\n")
        self.assertEqual(self.get(program).text.strip(),
                         "heap profile is off: RTHOOKS_HEAP_INTERVAL=off")
        self.interval(program, 1)
        self.tell(program, "run 20 10", b"done\n")
        profile = self.profile(program, "heap?gc=1")
        self.assertEqual(self.values(profile, "counted_site"), [20, 200, 20, 200])
        self.tell(program, "free", b"done\n")
        self.assertEqual(self.values(self.profile(program), "counted_site"), [20, 200, 0, 0])
        self.end(program)

    def test_a_start_after_a_stop_begins_with_nothing(self):
        program = self.linked()
        self.tell(program, "run 100 10", b"done\n")
        self.tell(program, "restart", b"done\n")
        program.wait_for_admin()
        profile = self.profile(program)
        self.assertEqual(self.values(profile, "counted_site"), [0, 0, 0, 0])
        self.assertIn("blocks from before the fork or the last start are not in this profile",
                      profile.comments)
        self.tell(program, "run 20 10", b"done\n")
        self.assertEqual(self.values(self.profile(program), "counted_site"), [20, 200, 20, 200])
        self.tell(program, "free", b"done\n")
        self.assertEqual(self.values(self.profile(program), "counted_site"), [20, 200, 0, 0])
        self.end(program)

    def test_rows_are_by_stack_and_labels(self):
        program = self.linked()
        self.tell(program, "handlers", b"done\n")
        for path in ("heap", "allocs"):
            held = collections.Counter()
            for sample in self.profile(program, path).samples:
                for site in ("checkout_site", "search_site", "shared_site", "bare_site"):
                    if site in sample.stack:
                        held[site, sample.labels.get("handler")] += sample.values[INUSE_SPACE]
                        self.assertEqual(sample.labels["bytes"],
                                         sample.values[INUSE_SPACE] // sample.values[INUSE_OBJECTS])
            self.assertEqual(held, {("checkout_site", "/checkout"): 10000,
                                    ("search_site", "/search"): 15000,
                                    ("shared_site", "/checkout"): 6000,
                                    ("shared_site", "/search"): 8000,
                                    ("bare_site", None): 5000})
        self.end(program)

    def test_without_the_interposer_the_routes_say_why_there_is_nothing(self):
        for kind in ("shared", "static"):
            program = self.linked(kind)
            for path in ("heap", "allocs", "heap?debug=1", "heap?seconds=1"):
                answer = self.get(program, path)
                self.assertEqual(answer.status, 501, answer)
                self.assertIn("librthooks_interpose.so is not loaded", answer.text)
            self.interval(program, 4096, -95)
            self.end(program)


class Requests(HeapCase):
    def linked(self):
        return Linked.linked(self)

    def test_a_difference_has_what_was_allocated_meanwhile_and_what_is_in_use(self):
        program = self.linked()
        self.tell(program, "run 50 100", b"done\n")
        with harness.Connection(program.port, 20) as connection:
            connection.send(harness.request_bytes("/debug/pprof/heap?seconds=2"))
            wait_until("the capture begins", lambda: self.is_begun(program))
            self.tell(program, "run 30 100", b"done\n")
            answer = connection.response()
        self.assertEqual(answer.status, 200, answer)
        self.assertIn("heap-delta", answer.header("Content-Disposition"))
        delta = Profile(answer.body)
        self.assertEqual(self.values(delta, "counted_site"), [30, 3000, 80, 8000])
        self.assertGreaterEqual(delta.duration_ns, 2e9)
        whole = self.profile(program, "allocs?seconds=1")
        self.assertEqual(self.values(whole, "counted_site"), [0, 0, 80, 8000])
        self.assertEqual(self.values(self.profile(program), "counted_site"), [80, 8000] * 2)
        self.assertEqual(self.profile(program).duration_ns, 0)
        self.end(program)

    def is_begun(self, program):
        """Requests are served in order on rth-work: after this one the first has its base."""
        return self.get(program, "heap?debug=1").status == 200

    def test_go_tool_pprof_reads_every_form(self):  # timeout=300
        go = shutil.which("go", path=os.environ.get("PATH", "") + ":/usr/local/go/bin")
        if not go:
            harness.skip("go is not installed")
        program = self.linked()
        self.tell(program, "run 50 1024", b"done\n")
        self.tell(program, "free", b"done\n")
        self.tell(program, "run 100 1024", b"done\n")
        self.tell(program, "handlers", b"done\n")

        def saved(path, name):
            answer = self.get(program, path)
            self.assertEqual(answer.status, 200, answer)
            with open(self.path(name), "wb") as file:
                file.write(answer.body)
            return self.path(name)

        def pprof(*arguments):
            environment = dict(os.environ, PPROF_TMPDIR=self.path("tmp"), GOFLAGS="",
                               GOPROXY="off", GOTOOLCHAIN="local")
            return subprocess.run([go, "tool", "pprof", *arguments], check=True, text=True,
                                  capture_output=True, env=environment, cwd=self.tmp).stdout

        heap, allocs = saved("heap", "heap.pb.gz"), saved("allocs", "allocs.pb.gz")
        delta = saved("heap?seconds=1", "delta.pb.gz")
        text = saved("heap?debug=1", "heap.txt")
        self.assertIn("Type: inuse_space", pprof("-top", heap))
        self.assertIn("Type: alloc_space", pprof("-top", allocs))
        self.assertIn("Type: inuse_space", pprof("-top", delta))
        for index, column in zip(COLUMNS, range(4)):
            total = Profile(self.get(program).body).total(column)
            self.assertRegex(pprof("-top", "-unit=b", "-sample_index=" + index, text),
                             r"accounting for %d[bB], 100%% of %d[bB] total" % (total, total))
        for profile in (heap, allocs):
            for index, shown in (("alloc_objects", "150"), ("alloc_space", "150kB"),
                                 ("inuse_objects", "100"), ("inuse_space", "100kB")):
                out = pprof("-top", "-sample_index=" + index, profile)
                line = next((line for line in out.splitlines()
                             if line.endswith("counted_site")), "")
                self.assertRegex(line, r"^ *%s\b" % shown, (profile, index, out))
        for profile in (heap, allocs):
            out = pprof("-top", "-tagfocus", "handler=/checkout", profile)
            self.assertIn("checkout_site", out)
            self.assertIn("shared_site", out)
            for other in ("search_site", "bare_site", "counted_site"):
                self.assertNotIn(other, out)
            column = INUSE_SPACE if profile == heap else ALLOC_SPACE
            with open(profile, "rb") as file:
                known = sum(sample.values[column] for sample in Profile(file.read()).samples
                            if sample.labels.get("handler") == "/checkout")
            self.assertGreaterEqual(known, 16000)
            self.assertIn("accounting for %.2fkB" % (known / 1024), out)
            tags = pprof("-tags", profile)
            self.assertIn("/search", tags)
            self.assertIn("bytes", tags)
        self.assertIn("checkout_site", pprof("-top", "-tagfocus", "100b", heap))
        out = pprof("-top", "-sample_index=alloc_space", delta)
        self.assertIn("of 0 total", out)
        self.assertIn("counted_site", pprof("-top", delta))
        self.end(program)

    def test_the_text_has_stacks_labels_and_what_it_was_taken_with(self):
        program = self.linked()
        self.tell(program, "handlers", b"done\n")
        answer = self.get(program, "heap?debug=1")
        self.assertEqual(answer.header("Content-Type"), harness.PLAIN_TEXT)
        lines = answer.text.splitlines()
        self.assertRegex(lines[0], r"^heap profile: \d+: \d+ \[\d+: \d+\] @ heap/2$")
        at = next(i for i, line in enumerate(lines)
                  if line.startswith("100: 10000 [100: 10000] @ 0x"))
        self.assertEqual(lines[at + 1], '# labels: {"bytes":100, "handler":"/checkout"}')
        self.assertRegex(lines[at + 2], r"^#\t0x[0-9a-f]+\tcheckout_site\+0x[0-9a-f]+\t/")
        self.assertIn("# sampled every 1 bytes on average, values scaled to stand for all", lines)
        self.end(program)


class Settings(HeapCase):
    def test_a_malformed_interval_is_refused_with_its_grammar(self):
        for value in ("0", "512 KiB", "1KB", "-1", "1.5MiB", "2TiB", "on", "18446744073709551616"):
            result = self.run_rthooks("run", "--", "true", env={"RTHOOKS_HEAP_INTERVAL": value})
            self.assertEqual(result.status, 2, (value, result))
            self.assertIn(b"RTHOOKS_HEAP_INTERVAL", result.stderr)
            self.assertIn(b"bytes with B, KiB, MiB or GiB, 1 to 1TiB, or off", result.stderr)

    def test_switched_off_there_is_no_effect_and_the_route_says_so(self):
        program = self.begin([harness.host("heap_exact")], {"RTHOOKS_HEAP_INTERVAL": "off"})
        self.run_sites(program)
        for path in ("heap", "allocs", "heap?debug=1", "allocs?seconds=1"):
            answer = self.get(program, path)
            self.assertEqual(answer.status, 503, answer)
            self.assertEqual(answer.text.strip(), "heap profile is off: RTHOOKS_HEAP_INTERVAL=off")
        status = repr(fetch(program.port, "/debug/runtime/status").json())
        self.assertIn("'samples': 0", status)
        self.end(program)

    def test_by_default_a_profile_says_how_it_was_sampled(self):
        program = self.begin([harness.host("heap_exact")], {})
        self.run_sites(program)
        heap, allocs = self.profile(program), self.profile(program, "allocs")
        for profile in (heap, allocs):
            self.assertEqual(profile.sample_types,
                             [(name, "bytes" if "space" in name else "count") for name in COLUMNS])
            self.assertEqual(profile.period, 512 * 1024)
            self.assertIn("sampled every 524288 bytes on average, values scaled to stand for all",
                          profile.comments)
            self.assertRegex(profile.comment("allocator: "), r"/libc\.so\.6$")
        self.end(program)


if __name__ == "__main__":
    harness.main()
