# SPDX-License-Identifier: MIT
"""The examples: what they answer, and that labels go where their work goes."""
import collections
import os
import re
import signal
import socket
import threading
import time

import harness
from harness import fetch, wait_until
from profile import Profile

CAPTURE_S = 12
# Within the capture, whose first second and last two are left to slow machines.
LOAD_S = 9
SHARE_DELTA = 0.02


def path_of(name):
    path = os.path.join(harness.BUILD, "examples", name, name)
    if not os.path.exists(path):
        harness.skip("examples/%s is not built: its libraries are missing" % name)
    return path


class ExampleCase(harness.Case):
    def example(self, name, *arguments, hooked=False):
        """A running example with its admin port, and the port it serves in `serves`."""
        port = harness.free_port()
        env = {} if hooked else {"RTHOOKS_ADMIN": "127.0.0.1:%d" % port}
        program = self.start([path_of(name), *arguments], hooked=hooked, port=port, env=env)
        program.wait_for_output(b"\n")
        first = program.stdout().splitlines()[0].decode()
        program.serves = int(re.fullmatch(r"listening on 127\.0\.0\.1:(\d+)", first).group(1))
        program.wait_for_admin()
        return program

    def end(self, program):
        program.signal(signal.SIGTERM)
        self.assertEqual(program.wait(), 0, program.stderr())

    def under_load(self, program, loops):
        """The CPU profile of a program while each of loops is called again and again."""
        captured, failed = [], []
        until = time.monotonic() + 1 + LOAD_S

        def guarded(work):
            try:
                work()
            except Exception as error:  # pylint: disable=broad-except
                failed.append(error)

        def capture():
            captured.append(fetch(program.port, "/debug/pprof/profile?seconds=%d&hz=250" % CAPTURE_S,
                                  timeout_s=60))

        def repeat(loop):
            while time.monotonic() < until:
                loop()

        threads = [threading.Thread(target=guarded, args=(capture,))]
        threads[0].start()
        time.sleep(1)
        for loop in loops:
            threads.append(threading.Thread(target=guarded, args=(lambda l=loop: repeat(l),)))
            threads[-1].start()
        for thread in threads:
            thread.join()
        self.assertEqual(failed, [])
        self.assertEqual(captured[0].status, 200, captured[0])
        return Profile(captured[0].body)

    def assert_shares(self, profile, expected, function):
        """Of the CPU time under these handlers, each has its share; function runs under no other
        labels."""
        by_handler = collections.Counter()
        for sample in profile.samples:
            handler = sample.labels.get("handler", "")
            by_handler[handler] += sample.values[1]
            if function in sample.stack:
                self.assertIn(handler, expected, sample)
        total = sum(by_handler[handler] for handler in expected)
        shares = {handler: by_handler[handler] / total for handler in expected}
        print(shares, "of %.1f s, all: %r" % (total / 1e9, dict(by_handler)))
        for handler, share in expected.items():
            self.assertAlmostEqual(shares[handler], share, delta=SHARE_DELTA)

    def labels_of(self, program, function):
        """Of each thread that is in a function now, without the labels of the dump itself."""
        profile = Profile(fetch(program.port, "/debug/pprof/threads").body)
        return [{key: value for key, value in sample.labels.items() if key == "handler"}
                for sample in profile.samples if function in sample.stack
                for _ in range(sample.values[0])]


class Checkout(ExampleCase):
    def answer(self, program, path, status=200, method="GET", **options):
        answer = fetch(program.serves, path, method=method, timeout_s=30, **options)
        self.assertEqual(answer.status, status, "%s: %r" % (path, answer))
        return answer

    def assert_every_path_answers(self, program):
        index = self.answer(program, "/").text
        listed = set(re.findall(r"^(/[a-z/-]*)", index, re.M))
        order = self.answer(program, "/checkout?item=mug&quantity=3&cpu_ms=2", method="POST").json()
        self.assertEqual(order, {"order": 1, "item": "mug", "quantity": 3, "cents": 2670})
        order = self.answer(program, "/handover?item=lamp&cpu_ms=2").json()
        self.assertEqual(order, {"order": 2, "item": "lamp", "quantity": 1, "cents": 3400})
        self.assertEqual(self.answer(program, "/checkout").json()["item"], "book")
        orders = self.answer(program, "/orders?limit=2").json()
        self.assertEqual([order["order"] for order in orders], [3, 2])
        self.assertEqual(self.answer(program, "/search?item=mug&cpu_ms=2").json(),
                         {"item": "mug", "cents": 890, "orders": 1, "pieces": 3})
        self.assertEqual(self.answer(program, "/allocate?bytes=1000&count=50").json(),
                         {"allocated": 50, "bytes_each": 1000})
        for _ in range(2):
            self.assertEqual(self.answer(program, "/leak?bytes=1000&count=50").json(),
                             {"leaked": 50, "bytes_each": 1000})
        self.assertEqual(self.answer(program, "/leak/free").json(), {"freed": 100, "bytes": 100000})
        self.assertEqual(self.answer(program, "/leak/free").json(), {"freed": 0, "bytes": 0})
        self.assertEqual(self.answer(program, "/lock?hold_ms=1").json()["held_ms"], 1)
        self.answer(program, "/leak?bytes=64&count=7")
        for _ in range(3):
            self.answer(program, "/leak-thread")
            self.answer(program, "/leak-task")
        self.assertEqual(self.answer(program, "/healthz").text, "ok\n")
        self.assertEqual(self.answer(program, "/healthz", method="HEAD").body, b"")
        self.assertEqual(listed - {"/", "/crash"}, {
            "/checkout", "/handover", "/orders", "/search", "/allocate", "/leak", "/leak/free",
            "/leak-thread", "/leak-task", "/lock", "/healthz"})
        version = fetch(program.port, "/version").json()
        self.assertEqual(version["name"], "checkout")

    def test_every_path_answers_and_the_end_is_clean(self):
        program = self.example("checkout")
        self.assert_every_path_answers(program)
        self.end(program)
        self.assertEqual(program.stderr(), b"")

    def test_the_same_under_run(self):
        program = self.example("checkout", hooked=True)
        self.assert_every_path_answers(program)
        self.end(program)

    def test_bad_requests_are_told_what_is_wrong(self):
        program = self.example("checkout")
        for path, status, said in (
                ("/checkout?item=car", 400, "item takes book, lamp or mug, not 'car'"),
                ("/checkout?quantity=0", 400, "quantity takes a whole number from 1 to 1000"),
                ("/checkout?cpu_ms=-1", 400, "cpu_ms takes a whole number from 0 to 10000"),
                ("/checkout?cpu_ms=1e3", 400, "not '1e3'"),
                ("/checkout?cpu_ms=99999999999999999999999", 400, "cpu_ms takes"),
                ("/checkout?cpu=1", 400, "/checkout has no parameter 'cpu'"),
                ("/handover?item=car", 400, "item takes"),
                ("/orders?limit=", 400, "limit takes"),
                ("/search?cpu_ms=+1", 400, "cpu_ms takes"),
                ("/allocate?bytes=0", 400, "bytes takes"),
                ("/allocate?count=0", 400, "count takes"),
                ("/leak?bytes=7", 400, "bytes takes a whole number from 8"),
                ("/leak?bytes=1000000000&count=2", 400, "bytes times count is at most 1073741824"),
                ("/leak/free?all=1", 400, "no parameter 'all'"),
                ("/lock?hold_ms=10001", 400, "hold_ms takes"),
                ("/crash", 400, "how takes segv, abort or overflow"),
                ("/crash?how=", 400, "how takes"),
                ("/nosuch", 404, "no such path")):
            self.assertIn(said, self.answer(program, path, status).text, path)
        self.answer(program, "/checkout", 405, method="PUT")
        self.answer(program, "/checkout", 400, method="POST", body=b"item=mug")
        self.end(program)

    def test_a_crash_ends_it_by_the_signal_asked_for(self):
        for how, number in (("segv", signal.SIGSEGV), ("abort", signal.SIGABRT),
                            ("overflow", signal.SIGSEGV)):
            program = self.example("checkout")
            self.assertRaises((EOFError, ConnectionResetError), fetch, program.serves,
                              "/crash?how=" + how, timeout_s=60)
            self.assertEqual(program.wait(), -number, how)

    def test_orders_are_there_after_a_restart(self):
        for number in (1, 2):
            program = self.example("checkout", "--database", self.path("kept.db"), "--threads", "1")
            self.assertEqual(self.answer(program, "/checkout?item=lamp").json()["order"], number)
            self.end(program)

    def test_a_wrong_command_line_says_so(self):
        for arguments, status, said in (
                (["--port", "x"], 2, b"--port takes a whole number from 0 to 65535, not 'x'"),
                (["--threads", "0"], 2, b"--threads takes a whole number from 1 to 256"),
                (["surplus"], 2, b"unexpected 'surplus'"),
                (["--database", self.path("no", "such")], 1, b"unable to open database file"),
                (["--database", ":memory:"], 1, b"must be a file that can be in WAL mode"),
                (["--help"], 0, b"")):
            result = self.run_to_end([path_of("checkout"), *arguments], hooked=False,
                                     env={"RTHOOKS_ADMIN": "off"})
            self.assertEqual(result.status, status, result)
            self.assertIn(said, result.stderr)

    def test_a_leaked_task_is_the_top_row_of_a_difference(self):
        program = self.example("checkout")
        files = [self.path("%s.pb.gz" % name) for name in ("before", "after")]
        for path in files:
            for query in ("/checkout", "/handover", "/leak-task", "/leak-task"):
                self.answer(program, query if path == files[1] else "/checkout")
            fetched = self.run_rthooks("pprof", "fetch", "--profile", "tasks", "-o", path,
                                       str(program.pid))
            self.assertEqual(fetched.status, path == files[0], fetched)  # 1: it is empty
        result = self.run_rthooks("pprof", "diff", *files)
        self.assertEqual(result.status, 0, result)
        rows = result.stdout.decode().split("cum%\n", 1)[1].splitlines()
        self.assertRegex(rows[0], r"^ +2 +100% +100% +2 +100%  pool_submit$")
        self.assertTrue(any(row.endswith("  handle_leak_task") for row in rows), rows)
        result = self.run_rthooks("pprof", "diff", "--by-label", "handler", *files)
        self.assertRegex(result.stdout.decode(), r"(?m)^ +0 +2 +2 +100%  /leak-task$")
        self.end(program)

    def test_a_dump_says_whose_threads_wait(self):
        program = self.example("checkout")
        asked = [threading.Thread(target=self.answer, args=(program, "/lock?hold_ms=2000"))
                 for _ in range(2)]
        # One after the other: a worker that takes both connections at once serves one by one.
        asked[0].start()
        wait_until("one at the lock", lambda: self.labels_of(program, "hold_lock_ns"))
        asked[1].start()
        wait_until("both at the lock", lambda: self.labels_of(program, "hold_lock_ns") ==
                   2 * [{"handler": "/lock"}])
        for thread in asked:
            thread.join()
        self.answer(program, "/leak-task")
        wait_until("the task", lambda: self.labels_of(program, "wait_for_event_that_never_comes") ==
                   [{"handler": "/leak-task"}])
        tasks = fetch(program.port, "/debug/pprof/tasks?debug=2").text
        self.assertRegex(tasks, r'(?m)^task \d+ "leaked" \[running on thread \d+, .*'
                                r'labels:\{"handler":"/leak-task"\}\]:\n')
        self.assertIn("\nhandle_leak_task+0x", tasks)
        # Its creator's labels, when the interposer saw the creation.
        interposed = fetch(program.port, "/debug/runtime/status").json()["interposed"]
        self.answer(program, "/leak-thread")
        wait_until("the thread", lambda: self.labels_of(program, "leaked_thread_main") ==
                   [{"handler": "/leak-thread"} if interposed else {}])
        self.end(program)


class CheckoutShares(ExampleCase):
    def shares_of(self, often, seldom):
        program = self.example("checkout")

        def both():
            for path, cpu_ms in ((often, 45), (seldom, 15)):
                answer = fetch(program.serves, "%s?cpu_ms=%d" % (path, cpu_ms), timeout_s=60)
                self.assertEqual(answer.status, 200, answer)
        profile = self.under_load(program, 3 * [both])
        self.assert_shares(profile, {often: 0.75, seldom: 0.25}, "burn_cpu")
        self.end(program)
        return profile

    def test_handlers_have_the_share_of_cpu_that_was_injected(self):  # serial
        self.shares_of("/checkout", "/search")

    def test_labels_are_handed_over_to_the_pool(self):  # serial
        profile = self.shares_of("/handover", "/search")
        for sample in profile.samples:
            if "worker_main" in sample.stack and "place_order" in sample.stack:
                self.assertEqual(sample.labels.get("handler"), "/handover", sample)
            if sample.labels.get("handler") == "/handover" and "burn_cpu" in sample.stack:
                self.assertIn("worker_main", sample.stack)


class Line:
    """A connection to examples/eventloop."""

    def __init__(self, port):
        self.sock = socket.create_connection(("127.0.0.1", port), 30)
        self.file = self.sock.makefile("rw", newline="\n")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.file.close()
        self.sock.close()

    def send(self, text):
        self.file.write(text)
        self.file.flush()

    def ask(self, line):
        self.send(line + "\n")
        return self.file.readline()


class Eventloop(ExampleCase):
    def test_each_line_is_answered(self):
        program = self.example("eventloop")
        with Line(program.serves) as line:
            for asked, said in (
                    ("WORK /a 25", "OK WORK /a 25"),
                    ("ALLOC /b 100000", "OK ALLOC /b 100000"),
                    ("QUEUE /c 25\r", "OK QUEUE /c 25"),
                    ("", "ERROR a line begins with WORK, ALLOC or QUEUE"),
                    ("work /a 1", "ERROR a line begins with WORK, ALLOC or QUEUE"),
                    ("WORK  /a 1", "OK WORK /a 1"),
                    ("WORK", "ERROR a handler has 1 to 64 printable characters"),
                    ("WORK " + 65 * "h" + " 1", "ERROR a handler has 1 to 64 printable characters"),
                    ("WORK /a", "ERROR cpu_ms is a whole number from 0 to 10000"),
                    ("QUEUE /a 10001", "ERROR cpu_ms is a whole number from 0 to 10000"),
                    ("ALLOC /a -1", "ERROR bytes is a whole number from 0 to 1073741824"),
                    ("WORK /a 1 1", "ERROR a line has three words"),
                    (5000 * "x", "ERROR the line is too long"),
                    ("ALLOC /b 0", "OK ALLOC /b 0")):
                self.assertEqual(line.ask(asked), said + "\n", asked[:80])
            # Lines in one piece, and a line in two.
            line.send("QUEUE /a 2\nWORK /b 2\nALL")
            self.assertEqual(line.file.readline(), "OK QUEUE /a 2\n")
            self.assertEqual(line.file.readline(), "OK WORK /b 2\n")
            line.send("OC /c 3\n")
            self.assertEqual(line.file.readline(), "OK ALLOC /c 3\n")
        self.assertEqual(fetch(program.port, "/version").json()["name"], "eventloop")
        self.end(program)

    def test_sigterm_lets_a_request_end_and_closes_the_rest(self):
        for hooked in (False, True):
            program = self.example("eventloop", hooked=hooked)
            with Line(program.serves) as busy, Line(program.serves) as idle:
                self.assertEqual(idle.ask("WORK /a 1"), "OK WORK /a 1\n")
                busy.send("QUEUE /slow 1500\n")
                wait_until("the pool at it", lambda p=program: self.labels_of(p, "burn_cpu") ==
                           [{"handler": "/slow"}])
                self.end(program)
                self.assertEqual(busy.file.readline(), "OK QUEUE /slow 1500\n")
                self.assertEqual(busy.file.readline() + idle.file.readline(), "")

    def test_threads_of_the_pool_wait_without_labels(self):
        program = self.example("eventloop")
        with Line(program.serves) as line:
            self.assertEqual(line.ask("QUEUE /a 1"), "OK QUEUE /a 1\n")
            waiting = wait_until("the pool", lambda: self.labels_of(program, "uv_cond_wait"))
            self.assertEqual([labels for labels in waiting if labels], [])
        self.end(program)

    def shares_of(self, verb, connections):
        program = self.example("eventloop")
        lines = [Line(program.serves) for _ in range(connections)]

        def loop(line):
            for handler, cpu_ms in (("/often", 45), ("/seldom", 15)):
                wanted = "%s %s %d" % (verb, handler, cpu_ms)
                self.assertEqual(line.ask(wanted), "OK " + wanted + "\n")
        profile = self.under_load(program, [lambda l=line: loop(l) for line in lines])
        self.assert_shares(profile, {"/often": 0.75, "/seldom": 0.25}, "burn_cpu")
        for line in lines:
            with line:
                pass
        self.end(program)
        return profile

    def assert_stack(self, profile, function):
        burning = [sample for sample in profile.samples if "burn_cpu" in sample.stack]
        found = sum(sample.values[1] for sample in burning if function in sample.stack)
        self.assertGreater(found, 0.5 * sum(sample.values[1] for sample in burning))

    def test_labels_travel_through_callbacks_of_the_loop(self):  # serial
        self.assert_stack(self.shares_of("WORK", 2), "on_timer")

    def test_labels_travel_to_the_thread_pool(self):  # serial
        self.assert_stack(self.shares_of("QUEUE", 3), "on_pool")


if __name__ == "__main__":
    harness.main()
