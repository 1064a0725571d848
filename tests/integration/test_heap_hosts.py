# SPDX-License-Identifier: MIT
"""The heap profiler in hosts that are hard on it: it never hangs, crashes or changes one, and what it
shows of them is true. RTHOOKS_TEST_FULL=1 runs the storms at their full length."""
import collections
import contextlib
import os
import re
import shutil
import socket
import subprocess
import threading
import time

import harness
from harness import fetch, wait_until
from profile import Profile

FULL = os.environ.get("RTHOOKS_TEST_FULL") == "1"
ALLOC_OBJECTS, ALLOC_SPACE, INUSE_OBJECTS, INUSE_SPACE = range(4)

# As the C library lays them out; a test that needs one says so where it is not there.
LIBRARY_FOLDERS = ("/usr/lib/x86_64-linux-gnu", "/usr/lib64", "/usr/lib")
ALLOCATORS = {"jemalloc": "libjemalloc.so.2", "tcmalloc": "libtcmalloc.so.4",
              "tcmalloc_minimal": "libtcmalloc_minimal.so.4", "mimalloc": "libmimalloc.so.2"}
# What each of them does by itself in a bare program: jemalloc has no reallocarray, mimalloc's
# operator new ends the program where it should throw.
KINDS = {"jemalloc": ("c", "cxx", "thrown", "jemalloc"),
         "tcmalloc": ("c", "reallocarray", "cxx", "thrown", "tcmalloc"),
         "tcmalloc_minimal": ("c", "reallocarray", "cxx", "thrown", "tcmalloc"),
         "mimalloc": ("c", "reallocarray", "cxx", "mimalloc")}


def allocator(kind):
    for folder in LIBRARY_FOLDERS:
        path = os.path.join(folder, ALLOCATORS[kind])
        if os.path.exists(path):
            return path
    return harness.skip(ALLOCATORS[kind] + " is not installed")


def scaled(default, full):
    return full if FULL else default


class HeapCase(harness.Case):
    def start_heap(self, argv, interval="1", preload=(), in_front=(), by_hand=False, env=None,
                   **options):
        """A hooked program. preload: libraries behind ours; in_front: before them, for which the
        environment is made by hand. `rthooks run` itself has what is not."""
        environment = {"RTHOOKS_HEAP_INTERVAL": interval}
        port = harness.free_port()
        if in_front or by_hand:
            ours = [os.path.join(harness.BUILD, name)
                    for name in ("librthooks_interpose.so", "librthooks.so")]
            environment.update(LD_PRELOAD=":".join([*in_front, *ours, *preload]),
                               RTHOOKS_AUTOSTART="any", RTHOOKS_RUN_FOLLOW="1",
                               RTHOOKS_ADMIN="127.0.0.1:%d" % port)
            options["hooked"] = False
        elif preload:
            environment["LD_PRELOAD"] = ":".join(preload)
        environment.update(env or {})
        options.setdefault("stdin", subprocess.PIPE)
        return self.start(argv, env=environment, port=port, **options)

    def go_on(self, program):
        program.process.stdin.write(b"\n")
        program.process.stdin.flush()

    def heap(self, program, path="/debug/pprof/heap"):
        answer = fetch(program.port, path, timeout_s=60)
        self.assertEqual(answer.status, 200, answer)
        return Profile(answer.body)

    def status(self, program):
        rows = fetch(program.port, "/debug/runtime/status").json()["capabilities"]
        return next(row for row in rows if row["name"] == "heap")

    def ended_well(self, program, timeout_s=90):
        self.assertEqual(program.wait(timeout_s), 0, (program.stdout()[-2000:],
                                                      program.stderr()[-2000:]))
        return program.stdout().decode()

    def run_storm(self, *arguments, **options):
        """One run of heap_storm to its end; {name: number} of what it did."""
        program = self.start_heap([harness.host("heap_storm"), *map(str, arguments)], **options)
        return self.counts(self.ended_well(program))

    @staticmethod
    def counts(output):
        line = next(line for line in output.splitlines() if line.startswith("done "))
        return {name: int(number) for name, number in
                (word.split("=") for word in line.split()[1:])}


class FamilyCase(HeapCase):
    def assert_exact(self, kinds, program_name="heap_family", **options):
        """Every site to the byte, every call once; and nothing is left once it is freed."""
        program = self.start_heap([harness.host(program_name), *kinds], **options)
        program.wait_for_output(b"ready")
        program.wait_for_admin(unix=not options.get("in_front"))
        sites = [line.split() for line in program.stdout().decode().splitlines()
                 if line.startswith("site_")]
        self.assertGreater(len(sites), 8)
        self.assertNotIn("missing", program.stdout().decode())
        profile = self.heap(program)
        for name, size_bytes, allocs in sites:
            got = [profile.cumulative(name, column) for column in range(4)]
            self.assertEqual((got[INUSE_OBJECTS], got[INUSE_SPACE]), (3, int(size_bytes)), name)
            self.assertEqual(got[ALLOC_OBJECTS], int(allocs), name)
        self.go_on(program)
        program.wait_for_output(b"freed")
        after = self.heap(program)
        for name, _, allocs in sites:
            self.assertEqual((after.cumulative(name, INUSE_OBJECTS),
                              after.cumulative(name, INUSE_SPACE)), (0, 0), name)
            self.assertEqual(after.cumulative(name, ALLOC_OBJECTS), int(allocs), name)
        self.go_on(program)
        self.ended_well(program)
        return profile

    def assert_refused(self, file_name, program_name="heap_family", **options):
        program = self.start_heap([harness.host(program_name), "c", "cxx"], **options)
        program.wait_for_output(b"ready")
        program.wait_for_admin(unix=not options.get("in_front"))
        for path in ("/debug/pprof/heap", "/debug/pprof/allocs"):
            answer = fetch(program.port, path)
            self.assertEqual(answer.status, 501, answer)
            self.assertIn(file_name, answer.text)
        self.go_on(program)
        program.wait_for_output(b"freed")
        self.go_on(program)
        self.ended_well(program)


class Family(FamilyCase):
    def test_every_function_of_c_counts_once_and_to_the_byte(self):
        self.assert_exact(["c", "pvalloc", "reallocarray", "realloc0", "sized"])

    def test_every_form_of_new_and_delete_counts_once_and_to_the_byte(self):
        self.assert_exact(["cxx", "thrown"])

    def test_weak_entry_points_of_allocators_that_are_not_there_work(self):
        self.assert_exact(["jemalloc", "tcmalloc", "mimalloc"])

    def test_they_work_while_nothing_is_recorded_too(self):
        for options in ({"interval": "off"}, {"interval": "512KiB"}):
            program = self.start_heap([harness.host("heap_family"), "c", "cxx", "jemalloc",
                                       "tcmalloc", "mimalloc"], **options)
            program.wait_for_output(b"ready")
            self.go_on(program)
            program.wait_for_output(b"freed")
            self.go_on(program)
            self.assertIn("end", self.ended_well(program))


class Allocators(FamilyCase):
    def assert_allocator(self, kind):
        """Preloaded behind ours, and linked into the program."""
        library = allocator(kind)
        profile = self.assert_exact(KINDS[kind], preload=[library])
        self.assertIn("/lib" + kind, profile.comment("allocator: "))
        profile = self.assert_exact(KINDS[kind], program_name="heap_family_" + kind)
        self.assertIn("/lib" + kind, profile.comment("allocator: "))

    def test_jemalloc_preloaded_and_linked(self):
        self.assert_allocator("jemalloc")

    def test_tcmalloc_preloaded_and_linked(self):
        self.assert_allocator("tcmalloc")

    def test_tcmalloc_minimal_preloaded_and_linked(self):
        self.assert_allocator("tcmalloc_minimal")

    def test_mimalloc_preloaded_and_linked(self):
        self.assert_allocator("mimalloc")

    def test_an_allocator_in_front_of_ours_is_named(self):
        for kind in ALLOCATORS:
            self.assert_refused("lib" + kind, in_front=[allocator(kind)])

    def test_a_malloc_in_the_program_itself_is_named(self):
        self.assert_refused("heap_family_own", program_name="heap_family_own")
        self.assert_refused("heap_family_own", program_name="heap_family_own",
                            preload=[harness.host("module_heap_wrapper.so")])


class Wrappers(FamilyCase):
    def wrapper(self):
        return harness.host("module_heap_wrapper.so")

    def assert_wrapped(self, kinds, **options):
        """The wrapper saw it all, and so did we."""
        profile = self.assert_exact(kinds, env={"WRAPPER_SAYS": "1"}, **options)
        output = self.programs[-1].stdout().decode()
        allocs = int(re.search(r"^wrapper (\d+) \d+$", output, re.MULTILINE).group(1))
        self.assertGreater(allocs, 50)
        return profile.comment("allocator: ")

    def test_a_wrapper_behind_ours(self):
        self.assertIn("module_heap_wrapper",
                      self.assert_wrapped(["c", "cxx"], preload=[self.wrapper()]))

    def test_a_wrapper_in_front_that_goes_on_to_ours(self):
        self.assertIn("libc.so", self.assert_wrapped(["c", "cxx"], in_front=[self.wrapper()]))

    def test_wrappers_on_both_sides(self):
        copy = self.path("second_wrapper.so")
        shutil.copyfile(self.wrapper(), copy)
        self.assertIn("second_wrapper", self.assert_wrapped(
            ["c", "cxx"], in_front=[self.wrapper()], preload=[copy]))

    def test_a_wrapper_between_ours_and_each_allocator(self):
        for kind in ALLOCATORS:
            kinds = [name for name in KINDS[kind] if name not in ("reallocarray", "thrown")]
            self.assertIn("module_heap_wrapper", self.assert_wrapped(
                kinds, preload=[self.wrapper(), allocator(kind)]))

    def test_an_allocator_of_the_programs_own_kind_under_a_wrapper(self):
        self.assert_wrapped(["c", "reallocarray", "cxx"],
                            preload=[self.wrapper(), harness.host("module_heap_reentrant.so")])

    def test_programs_of_all_kinds_under_each_allocator(self):
        """Init recursion, dlsym while an allocator begins: every pairing starts and ends."""
        programs = [["/bin/true"], ["/bin/bash", "-c", "echo $((6 * 7))"],
                    [harness.need("python3"), "-c", "print(6 * 7)"]]
        for preload in ([], [self.wrapper()], *([allocator(kind)] for kind in ALLOCATORS)):
            for argv in programs:
                program = self.start_heap(argv, preload=preload)
                output = self.ended_well(program)
                self.assertEqual(output, "" if argv == ["/bin/true"] else "42\n", preload)


class Early(HeapCase):
    def assert_early(self, **options):
        program = self.start_heap(["/bin/true"], **options)
        self.assertEqual(self.ended_well(program), "early: fine\n")

    def test_allocations_from_code_selectors_constructors_and_dlsym_before_we_are_relocated(self):
        self.assert_early(preload=[harness.host("module_heap_early.so")])

    def test_the_same_in_front_of_us(self):
        self.assert_early(in_front=[harness.host("module_heap_early.so")])

    def test_the_same_beside_a_wrapper_that_is_not_relocated_either(self):
        """Without us in front of it that wrapper crashes."""
        pair = [harness.host("module_heap_wrapper.so"), harness.host("module_heap_early.so")]
        for preload in (pair, pair[::-1]):
            self.assert_early(by_hand=True, preload=preload)

    def test_the_interposer_alone_passes_everything_through(self):
        early = harness.host("module_heap_early.so")
        ours = os.path.join(harness.BUILD, "librthooks_interpose.so")
        for order in ((early, ours), (ours, early)):
            program = self.start(["/bin/true"], hooked=False, env={"LD_PRELOAD": ":".join(order)})
            self.assertEqual(self.ended_well(program), "early: fine\n")
        program = self.start([harness.host("heap_family"), "c", "cxx", "thrown"], hooked=False,
                             env={"LD_PRELOAD": ours}, stdin=subprocess.PIPE)
        program.process.stdin.write(b"\n\n")
        program.process.stdin.flush()
        self.assertIn("end", self.ended_well(program))


class Late(HeapCase):
    """Libraries that come while the program runs."""

    def assert_plugin(self, plugin):
        argv = [harness.host("heap_plugin"), plugin, "3"]
        self.assertEqual(self.ended_well(self.start(argv, hooked=False)), "plugin 0\n" * 3)
        for interval in ("1", "off"):
            program = self.start_heap(argv, interval=interval)
            self.assertEqual(self.ended_well(program), "plugin 0\n" * 3)

    def test_a_plugin_in_cxx_whose_constructor_waits_for_a_thread_that_allocates(self):
        self.assert_plugin(harness.host("module_heap_cxx.so"))

    def test_a_plugin_keeps_the_allocator_that_it_brings_for_itself(self):
        allocator("mimalloc")
        self.assert_plugin(harness.host("module_heap_own_mimalloc.so"))

    def takers(self):
        """Libraries that take of the static TLS, each a file of its own."""
        copies = []
        for number in range(40):
            copies.append(self.path("taker%d.so" % number))
            shutil.copyfile(harness.host("module_heap_tls.so"), copies[-1])
        return copies

    def load_late(self, library, spare):
        argv = [harness.host("heap_late"), os.path.join(harness.BUILD, library), str(spare),
                *self.takers()]
        result = self.run_to_end(argv, hooked=False)
        self.assertEqual(result.status, 0, result)
        lines = result.stdout.decode().splitlines()
        self.assertEqual(lines[-1], "end")
        taken = int(lines[0].split()[1])
        self.assertGreater(taken, 3)
        self.assertLess(taken, 40)
        return lines[1]

    def test_loading_into_a_process_with_little_static_tls_works_or_is_refused_by_the_loader(self):
        for library in ("librthooks_interpose.so", "librthooks.so"):
            line = self.load_late(library, 0)
            self.assertTrue(line == "loaded" or "static TLS" in line, line)
            # 512 bytes, what glibc itself keeps spare for libraries like ours.
            self.assertEqual(self.load_late(library, 4), "loaded")

    def test_only_thread_local_storage_that_needs_no_call_is_used(self):
        for library in ("librthooks_interpose.so", "librthooks.so"):
            output = subprocess.run(
                [harness.need("readelf"), "-rW", os.path.join(harness.BUILD, library)],
                check=True, stdout=subprocess.PIPE).stdout.decode()
            kinds = set(re.findall(r"R_X86_64_(\w*(?:TPOFF|DTPMOD|DTPOFF|TLSDESC)\w*)", output))
            self.assertEqual(kinds, {"TPOFF64"}, library)
            symbols = subprocess.run(
                [harness.need("readelf"), "--dyn-syms", "-W",
                 os.path.join(harness.BUILD, library)],
                check=True, stdout=subprocess.PIPE).stdout.decode()
            self.assertNotIn("__tls_get_addr", symbols, library)


class Threads(HeapCase):
    def assert_short_threads(self, interval, **options):
        count = scaled(4000, 100000)
        program = self.start_heap([harness.host("heap_storm"), "threads", str(count), "wait"],
                                  interval=interval, **options)
        program.wait_for_output(b"done", timeout_s=scaled(80, 900))
        program.wait_for_admin()
        done = self.counts(program.stdout().decode())
        print(interval, done, self.status(program))
        self.assertEqual((done["threads"], done["keys"], done["objects"]),
                         (count, count * 12, count))
        self.assertLess(done["grown_kib"], 4096)
        profile = self.heap(program)
        for name in ("storm_short_thread", "storm_key_destructor"):
            self.assertEqual(profile.cumulative(name, INUSE_OBJECTS), 0, name)
            self.assertEqual(profile.cumulative(name, INUSE_SPACE), 0, name)
            if interval == "1":
                self.assertGreater(profile.cumulative(name, ALLOC_OBJECTS), count, name)
        self.go_on(program)
        self.ended_well(program)

    def test_short_threads_that_allocate_in_their_destructors_at_interval_1(self):  # timeout=900
        self.assert_short_threads("1")

    def test_the_same_at_the_usual_interval(self):  # timeout=900
        self.assert_short_threads("512KiB")

    def test_the_same_on_each_allocator(self):  # timeout=900
        for kind in ("jemalloc", "tcmalloc", "mimalloc"):
            self.assert_short_threads("1", preload=[allocator(kind)])

    def test_small_stacks_fibers_and_what_was_above_them_once(self):
        copy = self.path("copy.so")
        shutil.copyfile(harness.host("module_heap_site.so"), copy)
        program = self.start_heap([harness.host("heap_stacks"),
                                   harness.host("module_heap_site.so"), copy])
        program.wait_for_output(b"ready")
        profile = self.heap(program)
        for site, body, bytes_each, blocks in (
                ("site_min_stack", "min_body", 101, 80),
                ("site_alternate", "alternate_handler", 102, 10),
                ("site_fiber", "fiber_body", 103, 20),
                ("site_large_fiber", "large_fiber_body", 104, 10),
                ("site_below", "below_body", 105, 10)):
            both = [sample for sample in profile.samples
                    if site in sample.stack and body in sample.stack]
            self.assertEqual(sum(sample.values[INUSE_OBJECTS] for sample in both), blocks, site)
            self.assertEqual(sum(sample.values[INUSE_SPACE] for sample in both),
                             blocks * bytes_each, site)
        self.assertEqual(profile.cumulative("site_stray", INUSE_SPACE), 1080)
        # Code that had just been loaded, on stacks that were copied for later.
        for body, bytes_each in (("small_fiber_body", 106), ("below_body", 107)):
            mine = [sample for sample in profile.samples
                    if "module_site" in sample.stack and body in sample.stack]
            self.assertEqual(sum(sample.values[INUSE_SPACE] for sample in mine),
                             10 * bytes_each, body)
        self.go_on(program)
        self.ended_well(program)


class Signals(HeapCase):
    def test_handlers_that_allocate_at_any_instant(self):
        ms = scaled(3000, 60000)
        done = self.run_storm("signals", ms, preload=[harness.host("module_heap_reentrant.so")])
        print(done)
        self.assertGreater(done["handled"], ms / 4)
        self.assertGreater(done["rounds"], 1000)

    def test_handlers_that_stay_away_from_an_allocator_that_is_busy(self):
        for kind in (None, "jemalloc", "tcmalloc", "mimalloc"):
            done = self.run_storm("flagged", scaled(1500, 30000),
                                  preload=[allocator(kind)] if kind else ())
            print(kind, done)
            self.assertGreater(done["handled"], 0)
            self.assertGreater(done["rounds"], 1000)

    def test_handlers_that_allocate_and_map_while_their_thread_maps(self):
        for kind in (None, "jemalloc", "tcmalloc", "mimalloc"):
            done = self.run_storm("maps", scaled(1500, 30000),
                                  preload=[allocator(kind)] if kind else ())
            print(kind, done)
            self.assertGreater(done["handled"], 100)
            self.assertGreater(done["rounds"], 1000)

    def assert_storm_under_everything(self, mode, ms):
        """CPU captures at 1 kHz, thread dumps and heap profiles, all the time."""
        program = self.start_heap([harness.host("heap_storm"), mode, str(ms)])
        program.wait_for_admin()
        answers = collections.Counter()
        over = threading.Event()

        def ask(path):
            while not over.is_set() and program.process.poll() is None:
                try:
                    answers[path, fetch(program.port, path, timeout_s=60).status] += 1
                except (OSError, EOFError):
                    time.sleep(0.01)

        clients = [threading.Thread(target=ask, args=(path,)) for path in (
            "/debug/pprof/profile?seconds=1&hz=1000", "/debug/pprof/threads?debug=2",
            "/debug/pprof/heap", "/debug/pprof/allocs?debug=1")]
        for client in clients:
            client.start()
        try:
            done = self.counts(self.ended_well(program, ms / 1000 + 60))
        finally:
            over.set()
            for client in clients:
                client.join()
        print(done, dict(answers))
        self.assertGreater(done["rounds"], 1000)
        self.assertEqual({status for _, status in answers}, {200})
        self.assertEqual(len({path for path, _ in answers}), 4)

    def test_cpu_captures_and_thread_dumps_during_a_storm(self):
        self.assert_storm_under_everything("plain", scaled(6000, 60000))

    def test_the_same_on_the_smallest_stacks(self):
        self.assert_storm_under_everything("small", scaled(4000, 60000))


class Children(HeapCase):
    def assert_forks(self, kind, **options):
        count = scaled(210, 2000)
        done = self.run_storm("forks", count, kind, **options)
        print(kind, done)
        self.assertEqual(done["forks"], count)
        self.assertGreater(done["rounds"], 100)

    def test_forks_while_eight_threads_allocate(self):
        self.assert_forks("fork")

    def test_forks_under_jemalloc_tcmalloc_and_mimalloc(self):
        for kind in ("jemalloc", "tcmalloc", "mimalloc"):
            done = self.run_storm("forks", scaled(60, 1000), "fork", preload=[allocator(kind)])
            self.assertGreater(done["rounds"], 100)

    def test_forks_without_fork_handlers_while_eight_threads_allocate(self):
        self.assert_forks("_Fork", preload=[harness.host("module_heap_reentrant.so")])

    def test_raw_clones_while_eight_threads_allocate(self):
        self.assert_forks("clone", preload=[harness.host("module_heap_reentrant.so")])

    def test_spawns_and_vforks_while_threads_allocate(self):
        count = scaled(200, 5000)
        for interval in ("1", "512KiB"):
            program = self.start_heap(
                [harness.host("heap_storm"), "spawns", str(count), "wait"], interval=interval)
            program.wait_for_output(b"done", timeout_s=scaled(60, 600))
            done = self.counts(program.stdout().decode())
            self.assertEqual(done["spawns"], count)
            # The parent's counters went through it all: the workers' blocks are gone again.
            profile = self.heap(program)
            self.assertEqual(profile.cumulative("storm_worker", INUSE_SPACE), 0)
            status = self.status(program)
            self.assertGreaterEqual(status["allocs"], done["rounds"])
            self.assertLess(abs(status["allocs"] - status["frees"]), 2000)
            self.go_on(program)
            self.ended_well(program)


class Unwinders(HeapCase):
    def assert_churn(self, **options):
        seconds = scaled(4, 60)
        program = self.start_heap(
            [harness.host("churn"), str(seconds), harness.host("module_harmless.so")], **options)
        program.wait_for_admin()
        captures = 0
        while program.process.poll() is None:
            try:
                captures += fetch(program.port, "/debug/pprof/profile?seconds=1&hz=1000",
                                  timeout_s=60).status == 200
            except (OSError, EOFError):
                time.sleep(0.01)
        self.assertIn("done", self.ended_well(program))
        self.assertGreater(captures, 0)

    def test_tcmalloc_with_its_own_unwinder_beside_us_in_dlopen_and_throw_storms(self):
        self.assert_churn(preload=[allocator("tcmalloc")])

    def test_dlopen_throw_fork_and_fiber_storms_at_interval_1(self):
        self.assert_churn()


class Unchanged(HeapCase):
    def test_addresses_sizes_errors_and_errno_are_those_of_a_bare_program(self):
        argv = [harness.host("heap_trace")]
        bare = self.run_to_end(argv, hooked=False)
        self.assertEqual(bare.status, 0)
        self.assertGreater(len(bare.stdout), 10000)
        for interval in ("off", "1TiB", "512KiB", "1KiB", "1"):
            program = self.start_heap(argv, interval=interval)
            self.assertEqual(self.ended_well(program).encode(), bare.stdout, interval)
            _, rest = harness.split_start_line(program.stderr())
            self.assertEqual(rest, bare.stderr)

    def test_off_records_nothing_and_says_so(self):
        program = self.start_heap([harness.host("heap_family"), "c"], interval="off")
        program.wait_for_output(b"ready")
        program.wait_for_admin()
        answer = fetch(program.port, "/debug/pprof/heap")
        self.assertEqual(answer.status, 503)
        self.assertIn("RTHOOKS_HEAP_INTERVAL=off", answer.text)
        status = self.status(program)
        self.assertEqual((status["samples"], status["live_samples"]), (0, 0))
        self.go_on(program)
        program.wait_for_output(b"freed")
        self.go_on(program)
        self.ended_well(program)

    def test_an_empty_profile_says_why(self):
        program = self.start_heap(["/bin/sleep", "20"], interval="1TiB")
        program.wait_for_admin()
        profile = self.heap(program)
        self.assertEqual(profile.samples, [])
        self.assertTrue(profile.comment("empty: no allocation was sampled yet"))

    def used_memory(self, hooked):
        port = harness.free_port()
        argv = [harness.need("redis-server"), "--port", str(port), "--bind", "127.0.0.1",
                "--save", "", "--appendonly", "no", "--dir", self.path("tmp"),
                "--activedefrag", "no"]
        program = (self.start_heap(argv, interval="512KiB") if hooked
                   else self.start(argv, hooked=False))

        def connect():
            with contextlib.suppress(ConnectionRefusedError):
                return socket.create_connection(("127.0.0.1", port), 10)
            return None

        sock = wait_until("redis", connect)
        with sock, sock.makefile("rb") as answers:
            commands = [b"SET key:%d %s\r\n" % (i, b"v" * (i % 700 + 1)) for i in range(40000)]
            for at in range(0, len(commands), 1000):
                sock.sendall(b"".join(commands[at:at + 1000]))
                for _ in range(1000):
                    self.assertEqual(answers.readline(), b"+OK\r\n")
            sock.sendall(b"INFO memory\r\n")
            size = int(answers.readline()[1:])
            info = answers.read(size + 2).decode()
        program.signal(15)
        self.assertEqual(program.wait(), 0)
        return int(re.search(r"^used_memory:(\d+)", info, re.MULTILINE).group(1))

    def test_redis_counts_the_same_memory(self):
        bare, hooked = self.used_memory(False), self.used_memory(True)
        print("used_memory: bare %d, hooked %d" % (bare, hooked))
        self.assertGreater(bare, 8 << 20)
        self.assertLess(abs(hooked - bare), bare / 1000)


class Bounds(HeapCase):
    OWN_KIB = 32 << 10

    def fill(self, count, hooked=True, **options):
        """A program that holds so many blocks, and what it has resident, in KiB."""
        argv = [harness.host("heap_fill"), str(count), "32"]
        program = (self.start_heap(argv, **options) if hooked
                   else self.start(argv, hooked=False, stdin=subprocess.PIPE))
        program.wait_for_output(b"begin")
        if hooked:
            program.wait_for_admin()
            self.heap(program)  # the code that runs is known from here on
        self.go_on(program)
        program.wait_for_output(b"ready", timeout_s=120)
        return program, int(harness.status_field(program.pid, program.pid, "VmRSS")[0])

    def bare_kib(self, count):
        program, resident_kib = self.fill(count, hooked=False)
        self.end(program, hooked=False)
        return resident_kib

    def end(self, program, hooked=True):
        self.go_on(program)
        program.wait_for_output(b"freed", timeout_s=60)
        if hooked:
            self.assertEqual(self.heap(program).cumulative("fill_site", INUSE_SPACE), 0)
        self.go_on(program)
        self.ended_well(program)

    def test_ten_million_live_blocks_at_the_usual_interval(self):  # timeout=300
        count = scaled(2000000, 10000000)
        bare_kib = self.bare_kib(count)
        program, resident_kib = self.fill(count, interval="512KiB")
        profile, status = self.heap(program), self.status(program)
        print(status, "resident %d KiB, bare %d" % (resident_kib, bare_kib))
        expected = count * 32
        deviation = 5 * expected / max(status["live_samples"], 1) ** 0.5
        self.assertLess(abs(profile.cumulative("fill_site", INUSE_SPACE) - expected), deviation)
        self.assertEqual(status["lost_live"], 0)
        self.assertLess(resident_kib - bare_kib, self.OWN_KIB)
        self.end(program)

    def test_a_million_live_blocks_at_interval_1_are_dropped_counted_and_told_of(self):  # timeout=300
        count = 1000000
        bare_kib = self.bare_kib(count)
        program, resident_kib = self.fill(count)
        profile, status = self.heap(program), self.status(program)
        print(status, "resident %d KiB, bare %d" % (resident_kib, bare_kib))
        self.assertGreater(status["lost_live"], 0)
        self.assertGreater(status["live_samples"], 100000)
        self.assertIn(str(status["lost_live"]), profile.comment("lost: "))
        self.assertEqual(profile.cumulative("fill_site", ALLOC_OBJECTS), count)
        self.assertLess(profile.cumulative("fill_site", INUSE_OBJECTS), count)
        self.assertLess(status["live_table_bytes"], self.OWN_KIB << 10)
        self.assertLess(resident_kib - bare_kib, self.OWN_KIB)
        self.end(program)


if __name__ == "__main__":
    harness.main()
