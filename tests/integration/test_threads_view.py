# SPDX-License-Identifier: MIT
"""What threads wait for, who holds it and where that thread is, deadlocks, where threads were
created: in dumps, in the list of threads and in `rthooks threads`."""
import json
import os
import re
import subprocess
import threading

import harness
from harness import fetch, wait_until
from profile import Profile
from test_dump import Dump

FINE, BAD_NEWS = 0, 1
ADDRESS = "0x[0-9a-f]+"
SINCE = r" since \d+(\.\d)? s"


class ViewCase(harness.Case):
    def waiting(self, mode, *arguments):
        """lock_waits in that mode."""
        program = self.start([harness.host("lock_waits"), mode, *map(str, arguments)],
                             stdin=subprocess.PIPE)
        program.wait_for_output(b"ready\n")
        program.wait_for_admin()
        return program

    def dump(self, program, name="threads"):
        answer = fetch(program.unix, "/debug/pprof/%s?debug=2" % name)
        self.assertEqual(answer.status, 200, answer)
        return Dump(answer.text)

    def settled(self, program, *names):
        """A dump in which every thread of these names waits in a wrapped call or a futex."""
        def look():
            dump = self.dump(program)
            found = [thread for thread in dump.threads if thread.name in names]
            return found and all(thread.waits_for for thread in found) and dump
        return wait_until("waits of %s" % (names,), look)

    def listed(self, program, query=""):
        answer = fetch(program.unix, "/debug/runtime/threads" + query)
        self.assertEqual(answer.status, 200, answer)
        return answer.json()

    @staticmethod
    def listed_of(endpoint):
        return fetch(endpoint, "/debug/runtime/threads").json()["threads"]

    def rt(self, *arguments):
        result = self.run_rthooks("threads", *map(str, arguments))
        return result.status, result.stdout.decode(), result.stderr.decode()


class Waits(ViewCase):
    def test_a_mutex_has_its_holder_and_where_that_is(self):
        program = self.waiting("mutex", 3)
        dump = self.settled(program, "waiter")
        keeper = dump.named("keeper")
        waiters = [thread for thread in dump.threads if thread.name == "waiter"]
        self.assertEqual(len(waiters), 3)
        for waiter in waiters:
            self.assertRegex(waiter.waits_for, '^mutex %s held by %d "keeper"%s$' % (
                ADDRESS, keeper.tid, SINCE))
            self.assertRegex(waiter.holder_is, "^%d is at .*keep_the_mutex < thread_main$"
                             % keeper.tid)
            self.assertIn("want_the_mutex", waiter.stack)
            self.assertEqual(waiter.created_by, "begin_work in thread %d" % program.pid)
        self.assertEqual([section.split("\n")[0] for section in dump.sections],
                         ["# contended: 1 lock"])
        self.assertRegex(dump.sections[0], '\n#   3 threads wait for mutex %s held by %d "keeper" '
                                           'at ' % (ADDRESS, keeper.tid))

    def test_the_list_of_threads_has_it_too(self):
        program = self.waiting("mutex", 2)
        self.settled(program, "waiter")
        document = self.listed(program)
        threads = {thread["name"]: thread for thread in document["threads"]}
        keeper, waiter = threads["keeper"], threads["waiter"]
        self.assertEqual((waiter["wait"]["for"], waiter["wait"]["holder_tid"],
                          waiter["wait"]["held_by"]),
                         ("mutex", keeper["tid"], '%d "keeper"' % keeper["tid"]))
        self.assertRegex(waiter["wait"]["object"], "^%s$" % ADDRESS)
        self.assertGreaterEqual(waiter["wait"]["seconds"], 0)
        self.assertEqual(waiter["at"], "want_the_mutex")
        self.assertEqual((waiter["creator_tid"], waiter["created_by"][0]),
                         (program.pid, "begin_work"))
        self.assertIn("keep_the_mutex", keeper["stack"])
        self.assertNotIn("stack", threads["lock_waits"])
        self.assertEqual(document["deadlocks"], [])
        self.assertEqual(document["contended"], [
            {"kind": "mutex", "object": waiter["wait"]["object"], "waiters": 2,
             "holder_tid": keeper["tid"]}])
        self.assertIn("rth-admin", threads)
        everywhere = {thread["name"]: thread for thread in
                      self.listed(program, "?stacks=1")["threads"]}
        self.assertIn("main", everywhere["lock_waits"]["stack"])
        self.assertNotIn("stack", everywhere["rth-admin"])

    def test_an_rwlock_has_its_writer_or_the_number_of_its_readers(self):
        program = self.waiting("rwlock")
        dump = self.settled(program, "reader", "writer")
        keeper = dump.named("keeper")
        for name, kind in (("reader", "read"), ("writer", "write")):
            self.assertRegex(dump.named(name).waits_for, '^rwlock %s %s held by %d "keeper"%s$' % (
                kind, ADDRESS, keeper.tid, SINCE))
            self.assertIn("keep_to_write", dump.named(name).holder_is)
        self.assertRegex(dump.sections[0], "\n#   2 threads wait for rwlock ")
        program = self.waiting("readers")
        dump = self.settled(program, "writer")
        self.assertRegex(dump.named("writer").waits_for,
                         "^rwlock write %s held by 2 readers%s$" % (ADDRESS, SINCE))
        self.assertIsNone(dump.named("writer").holder_is)

    def test_conditions_semaphores_and_bare_futexes_have_no_holder(self):
        program = self.waiting("others")
        dump = self.settled(program, "condition", "semaphore", "futex")
        self.assertRegex(dump.named("condition").waits_for, "^condition %s%s$" % (ADDRESS, SINCE))
        self.assertRegex(dump.named("semaphore").waits_for, "^semaphore %s%s$" % (ADDRESS, SINCE))
        # Nobody but the kernel saw it: since when is not known.
        self.assertRegex(dump.named("futex").waits_for, "^futex %s$" % ADDRESS)
        self.assertEqual(dump.sections, [])
        document = self.listed(program)
        self.assertEqual((document["deadlocks"], document["contended"]), ([], []))
        status, out, _ = self.rt(program.pid)
        self.assertEqual(status, FINE)
        self.assertNotIn("deadlock", out)
        self.assertNotIn("WAITERS", out)

    def test_a_thread_that_ended_with_the_lock_is_named(self):
        program = self.waiting("ended")
        dump = self.settled(program, "waiter")
        self.assertRegex(dump.named("waiter").waits_for,
                         r"^mutex %s held by \d+, which has ended%s$" % (ADDRESS, SINCE))
        status, out, _ = self.rt(program.pid)
        self.assertEqual(status, FINE)
        self.assertRegex(out, r"\n +1  mutex %s +\d+, which has ended" % ADDRESS)

    def test_go_readers_get_how_long_it_waits_in_minutes_and_no_seconds(self):
        program = self.waiting("mutex", 1)
        self.settled(program, "waiter")
        text = fetch(program.unix, "/debug/pprof/goroutine?debug=2").text
        self.assertRegex(text, r"goroutine \d+ \[sleeping, \w+, waiter\]:\n\t\(waits for mutex ")
        self.assertRegex(text, r"\ncreated by begin_work in goroutine %d\n\t/" % program.pid)

    def test_labels_of_a_dump_say_it_to_pprof(self):
        program = self.waiting("mutex", 1)
        dump = self.settled(program, "waiter")
        labels = {sample.labels["thread"]: sample.labels for sample in
                  Profile(fetch(program.unix, "/debug/pprof/threads").body).samples}
        waiter, keeper = labels["waiter"], labels["keeper"]
        self.assertEqual((waiter["wait"], waiter["holder"], waiter["held_by"]),
                         ("mutex", keeper["tid"], '%d "keeper"' % keeper["tid"]))
        self.assertEqual(waiter["object"], dump.named("waiter").waits_for.split()[1])
        self.assertGreater(waiter["wait_ns"], 0)
        self.assertEqual((waiter["created_by"], waiter["creator"]), ("begin_work", program.pid))
        self.assertNotIn("holder", keeper)
        self.assertNotIn("creator", labels["lock_waits"])

    def test_a_thousand_waiters_are_counted(self):  # timeout=300
        program = self.waiting("mutex", 1000)
        wait_until("all waiters", lambda: "\n#   1000 threads wait for mutex " in "".join(
            self.dump(program).sections), timeout_s=60)
        document = self.listed(program)
        self.assertEqual([entry["waiters"] for entry in document["contended"]], [1000])
        status, out, err = self.rt(program.pid)
        self.assertEqual(status, FINE, err)
        self.assertRegex(out, r"\n +1000  mutex %s +\d+ \"keeper\" +\S" % ADDRESS)

    def test_threads_that_end_meanwhile_leave_whole_dumps(self):
        program = self.waiting("churn")
        for _ in range(20):
            dump = self.dump(program)
            self.assertGreaterEqual(dump.count, 2)
            self.assertFalse([part for part in dump.sections if part.startswith("# deadlock")])
            self.assertEqual(self.listed(program)["deadlocks"], [])
        self.assertIsNone(program.process.poll())


class Deadlocks(ViewCase):
    def circle(self, count):
        program = self.waiting("circle", count)
        names = ["worker-a", "worker-b", "worker-c"][:count]
        dump = self.settled(program, "waiter", *names)
        tids = [dump.named(name).tid for name in names]
        return program, dump, names, tids

    def drawn_as_a_circle(self, count):
        program, dump, names, tids = self.circle(count)
        lines = dump.sections[0].split("\n")
        self.assertEqual(lines[0], "# deadlock: %d threads" % count)
        self.assertEqual(len(lines), count + 1)
        for i, line in enumerate(lines[1:]):
            after = (i + 1) % count
            self.assertRegex(line, '^#   %d "%s" waits for mutex %s held by %d "%s"%s at transfer$'
                             % (tids[i], names[i], ADDRESS, tids[after], names[after], SINCE))
        self.assertEqual(self.listed(program)["deadlocks"], [tids])
        for target in (program.pid, program.unix, "127.0.0.1:%d" % program.port):
            status, out, err = self.rt(target)
            self.assertEqual(status, BAD_NEWS, out + err)
            drawn = out.split("\n\n")[1].split("\n")
            self.assertEqual(drawn[0], "deadlock: %d threads" % count)
            for i, line in enumerate(drawn[1:]):
                self.assertRegex(line, r'^  %d "%s" waits for mutex %s held by %d%s   '
                                       r'at transfer \(lock_waits\.c:\d+\)$' % (
                                           tids[i], names[i], ADDRESS, tids[(i + 1) % count],
                                           SINCE))
            self.assertEqual(len(drawn), count + 1)
        return program, tids

    def test_two_threads(self):
        program, tids = self.drawn_as_a_circle(2)
        # The two who wait beside it are not in it; the lock they want comes first below.
        out = self.rt(program.pid)[1]
        table = out.split("\n\n")[2].split("\n")
        self.assertEqual(table[0].split(), ["WAITERS", "LOCK", "HOLDER", "WHERE", "THE", "HOLDER",
                                            "IS"])
        self.assertRegex(table[1], r'^ +3  mutex %s +%d "worker-a" +transfer ' % (ADDRESS, tids[0]))
        self.assertRegex(table[2], r'^ +1  mutex %s +%d "worker-b" +transfer ' % (ADDRESS, tids[1]))

    def test_three_threads(self):
        self.drawn_as_a_circle(3)

    def test_one_thread_that_waits_for_itself(self):
        program, _, _, tids = self.circle(1)
        self.assertEqual(self.listed(program)["deadlocks"], [tids])
        status, out, _ = self.rt(program.pid)
        self.assertEqual(status, BAD_NEWS)
        self.assertRegex(out, r'\ndeadlock: 1 thread\n  %d "worker-a" waits for mutex %s held by '
                              r'%d ' % (tids[0], ADDRESS, tids[0]))

    def test_json_and_saved_answers_say_the_same(self):
        program, _, names, tids = self.circle(2)
        status, out, _ = self.rt("--json", program.pid)
        document = json.loads(out)
        self.assertEqual(status, BAD_NEWS)
        circle, = document["deadlocks"]
        self.assertEqual([(row["tid"], row["name"], row["holder_tid"], row["for"])
                          for row in circle],
                         [(tids[0], names[0], tids[1], "mutex"),
                          (tids[1], names[1], tids[0], "mutex")])
        self.assertRegex(circle[0]["at"], r"^transfer \(lock_waits\.c:\d+\)$")
        self.assertEqual([row["waiters"] for row in document["contended"]], [3, 1])
        path = self.write("saved.json", fetch(program.unix, "/debug/runtime/threads").text)
        status, out, _ = self.rt(path)
        self.assertEqual(status, BAD_NEWS)
        self.assertRegex(out, r'\ndeadlock: 2 threads\n  %d "worker-a" .*   at transfer\n' % tids[0])

    def test_stacks_draw_it_and_say_what_each_group_waits_for(self):
        program, _, _, tids = self.circle(2)
        body = fetch(program.unix, "/debug/pprof/threads").body
        path = self.path("dump.pb.gz")
        with open(path, "wb") as file:
            file.write(body)
        for target in (program.pid, path):
            status, out, err = self.rt("--stacks", target)
            self.assertEqual(status, BAD_NEWS, err)
            self.assertIn("\ndeadlock: 2 threads\n  %d " % tids[0], out)
            self.assertRegex(out, r'\n2 threads: waiter x2 \(sleeping\)\n  waiting for mutex %s held '
                                  r'by %d "worker-a" x2\n  created by begin_work x2\n' % (
                                      ADDRESS, tids[0]))
        status, out, _ = self.rt("--stacks", "--json", path)
        document = json.loads(out)
        self.assertEqual(status, BAD_NEWS)
        self.assertEqual([row["tid"] for row in document["deadlocks"][0]], tids)
        group = next(group for group in document["groups"]
                     if group["threads"][0]["name"] == "waiter")
        self.assertEqual(group["created_by"], [{"function": "begin_work", "count": 2}])
        self.assertEqual(group["waits"][0]["count"], 2)

    def test_locks_that_change_hands_make_no_circle(self):
        program = self.waiting("turns")
        waited = 0
        for _ in range(60):
            dump = self.dump(program)
            self.assertFalse([part for part in dump.sections if part.startswith("# deadlock")],
                             dump.sections)
            self.assertEqual(self.listed(program)["deadlocks"], [])
            waited += any(thread.waits_for and thread.waits_for.startswith("mutex")
                          for thread in dump.threads)
        self.assertGreater(waited, 0)

    def test_a_process_that_no_longer_answers_is_listed_from_proc(self):
        program = self.waiting("mutex", 1)
        program.signal(19)
        wait_until("the stop", lambda: harness.process_stat(program.pid)[0] == "T")
        status, out, err = self.rt(program.pid)
        program.signal(18)
        self.assertEqual(status, FINE, err)
        self.assertIn("the list is from /proc", err)
        self.assertRegex(out, r"\n +\d+ waiter +stopped ")


class Created(ViewCase):
    def profile(self, endpoint, query=""):
        answer = fetch(endpoint, "/debug/pprof/threadcreate" + query, timeout_s=30)
        self.assertEqual(answer.status, 200, answer)
        return answer

    def test_sites_have_what_was_created_and_what_lives(self):
        program = self.waiting("mutex", 5)
        profile = Profile(self.profile(program.unix).body)
        self.assertEqual(profile.sample_types, [("created", "count"), ("threadcreate", "count")])
        self.assertEqual([profile.cumulative("begin_many", column) for column in (0, 1)], [5, 5])
        self.assertEqual(profile.total(), 6)
        for sample in profile.samples:
            self.assertEqual(sample.stack[0], "begin_work")
            self.assertIn("main", sample.stack)
        text = self.profile(program.unix, "?debug=1").text
        self.assertRegex(text, r"^threadcreate profile: total 6\n")
        self.assertIn("\n# threads created: 6, of which 6 live\n", text)
        index = fetch(program.unix, "/debug/pprof/").text
        self.assertRegex(index, r"(?s)6.{0,60}threadcreate")

    def test_threads_that_ended_count_as_created_alone(self):
        program = self.waiting("churn")
        profile = Profile(self.profile(program.unix, "?seconds=1").body)
        created, living = (profile.cumulative("keep_creating", column) for column in (0, 1))
        self.assertGreater(created, 16)
        self.assertLessEqual(abs(living), 8)
        self.assertGreater(profile.duration_ns, 0)
        whole = Profile(self.profile(program.unix).body)
        self.assertGreaterEqual(whole.cumulative("keep_creating", 0), created)
        self.assertLessEqual(whole.cumulative("keep_creating", 1), 8)

    def test_a_forked_child_counts_its_own_alone(self):
        program = self.start([harness.host("odd_waits"), "fork"], stdin=subprocess.PIPE)
        program.wait_for_output(b"ready\n")
        child = int(re.search(rb"child (\d+)\n", program.stdout())[1])
        unix = os.path.join(os.path.dirname(program.unix), "%d.sock" % child)
        for endpoint in (program.unix, unix):
            profile = wait_until("its thread", lambda e=endpoint: next(
                (found for found in [Profile(self.profile(e).body)] if found.total()), None))
            self.assertEqual([profile.total(0), profile.total(1)], [1, 1])

    def test_without_the_interposer_it_says_why_not(self):
        port = harness.free_port()
        program = harness.Program(self, [harness.host("profiles_shared"), "hold"], hooked=False,
                                  port=port, env={"RTHOOKS_ADMIN": "127.0.0.1:%d" % port},
                                  stdin=subprocess.PIPE)
        program.wait_for_admin(unix=False)
        answer = fetch(port, "/debug/pprof/threadcreate")
        self.assertEqual(answer.status, 501)
        self.assertIn("librthooks_interpose.so is not loaded", answer.text)
        thread, = [thread for thread in self.listed_of(port) if thread["tid"] == program.pid]
        self.assertNotIn("created_by", thread)


class Leaks(ViewCase):
    """examples/checkout, as its user would look at it."""

    def checkout(self):
        path = os.path.join(harness.BUILD, "examples", "checkout", "checkout")
        if not os.path.exists(path):
            harness.skip("examples/checkout is not built")
        port = harness.free_port()
        program = self.start([path, "--port", str(port)], stdin=subprocess.PIPE)
        program.wait_for_admin()
        wait_until("the service", lambda: fetch(port, "/healthz").status == 200)
        return program, port

    def leak(self, port, count):
        for _ in range(count):
            self.assertEqual(fetch(port, "/leak-thread").status, 200)

    def save(self, program, name):
        path = self.path(name)
        with open(path, "wb") as file:
            file.write(fetch(program.unix, "/debug/pprof/threads").body)
        return path

    def assert_leak_on_top(self, out, count):
        top = out.split("\n\n")[1].split("\n")
        self.assertRegex(top[0], r"^\+%d threads" % count)
        self.assertIn("  created by leak_thread x%d" % count, top)
        self.assertTrue([line for line in top if "leaked_thread_main" in line], top)

    def test_a_leaked_thread_is_the_top_row_of_a_difference_with_where_it_was_created(self):
        program, port = self.checkout()
        self.leak(port, 1)
        before = self.save(program, "before.pb.gz")
        self.leak(port, 3)
        after = self.save(program, "after.pb.gz")
        status, out, err = self.rt("--diff", before, after)
        self.assertEqual(status, FINE, err)
        self.assert_leak_on_top(out, 3)
        document = json.loads(self.rt("--diff", "--json", before, after)[1])
        self.assertEqual(document["groups"][0]["count"], 3)
        self.assertEqual(document["groups"][0]["created_by"],
                         [{"function": "leak_thread", "count": 3}])
        self.assertNotIn("deadlocks", document)

    def test_the_list_and_the_groups_have_labels_and_the_lock_that_requests_wait_for(self):
        program, port = self.checkout()

        def ask():
            thread = threading.Thread(target=fetch, args=(port, "/lock?hold_ms=3000"),
                                      kwargs={"timeout_s": 60})
            thread.start()
            self.addCleanup(thread.join)

        ask()
        # One of the service's threads is busy now: the next request is for another.
        wait_until("a request with the lock", lambda: [
            thread for thread in self.listed(program)["threads"]
            if thread.get("at") == "hold_lock_ns"])
        ask()
        wait_until("requests at the lock", lambda: self.listed(program)["contended"])
        status, out, err = self.rt(program.pid)
        self.assertEqual(status, FINE, err)
        row = next(line for line in out.split("\n") if "  mutex 0x" in line)
        self.assertRegex(row, r"  mutex %s held by \d+ \"MHD-worker\"%s  \{handler=/lock\}$" % (
            ADDRESS, SINCE))
        self.assertRegex(out, r"\n +\d  mutex %s +\d+ \"MHD-worker\" +hold_lock_ns" % ADDRESS)
        out = self.rt("--stacks", program.pid)[1]
        self.assertRegex(out, r"\n  waiting for mutex %s held by \d+ \"MHD-worker\"( x\d)?\n"
                              r"  labelled handler=/lock( x\d)?\n  created by \S+( x\d)?\n"
                         % ADDRESS)

    def test_a_difference_over_seconds_has_it_too(self):
        program, port = self.checkout()
        timer = threading.Timer(1.0, self.leak, (port, 3))
        timer.start()
        self.addCleanup(timer.join)
        status, out, err = self.rt("--diff", "--seconds", 4, program.pid)
        self.assertEqual(status, FINE, err)
        self.assert_leak_on_top(out, 3)


if __name__ == "__main__":
    harness.main()
