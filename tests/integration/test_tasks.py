# SPDX-License-Identifier: MIT
"""Tasks of programs that link rthooks: who is alive, where it was made, and on whose account."""
import collections
import re
import subprocess
import threading
import time

import harness
from harness import fetch, wait_until
from profile import Profile


class TaskCase(harness.Case):
    def service(self, kind, mode="hold"):
        port = harness.free_port()
        program = self.start([harness.host("tasks_" + kind), mode], hooked=False, port=port,
                             stdin=subprocess.PIPE, cwd=self.fresh_folder(),
                             env={"RTHOOKS_ADMIN": "127.0.0.1:%d" % port})
        program.wait_for_output(b"ready")
        program.wait_for_admin()
        return program

    def tell(self, program, line):
        before = program.stdout().count(b"done")
        program.process.stdin.write(line + b"\n")
        program.process.stdin.flush()
        wait_until("its answer", lambda: program.stdout().count(b"done") > before)

    def end(self, program):
        program.process.stdin.close()
        self.assertEqual(program.wait(), 0, program.stdout())
        self.assertIn(b"fine", program.stdout())

    def get(self, program, query, timeout_s=30):
        answer = fetch(program.port, "/debug/pprof/tasks" + query, timeout_s=timeout_s)
        self.assertEqual(answer.status, 200, answer)
        return answer

    def status(self, program):
        status = fetch(program.port, "/debug/runtime/status").json()
        return next(row for row in status["capabilities"] if row["name"] == "tasks")


def counts_of(profile):
    """{(task, handler): count}"""
    counts = collections.Counter()
    for sample in profile.samples:
        counts[sample.labels.get("task"), sample.labels.get("handler")] += sample.values[0]
    return counts


class Tasks(TaskCase):
    def assert_shown(self, kind):
        program = self.service(kind)
        answer = self.get(program, "")
        self.assertEqual(answer.header("Content-Disposition"), 'attachment; filename="tasks"')
        profile = Profile(answer.body)
        self.assertEqual(profile.sample_types, [("tasks", "count")])
        self.assertEqual(counts_of(profile), {("pay", "/checkout"): 4, ("mail", None): 1})
        for sample in profile.samples:
            if sample.labels["task"] == "pay":
                self.assertEqual(sample.stack[0], "queue_pay")
                self.assertIn("main", sample.stack)
            else:
                self.assertEqual(sample.stack[:2], ["queue_mail", "run_first"])
        self.tell(program, b"all")
        self.assertEqual(Profile(self.get(program, "").body).samples, [])
        status = self.status(program)
        self.assertEqual((status["tasks"], status["made"], status["ended"]), (0, 6, 6))
        # Two were started; one was ended for good without, and at the end three more.
        self.assertEqual((status["cancelled"], status["latency"]["count"]), (4, 2))
        self.assertEqual(sum(status["latency"]["buckets"].values()), 2)
        self.end(program)

    def test_live_tasks_are_shown_by_site_and_labels_in_the_shared_library(self):
        self.assert_shown("shared")

    def test_live_tasks_are_shown_by_site_and_labels_in_the_archive(self):
        self.assert_shown("static")

    def test_live_tasks_are_shown_by_site_and_labels_beside_the_interposer(self):
        self.assert_shown("interposed")

    def test_a_block_per_task_says_where_it_is(self):
        program = self.service("shared")
        text = self.get(program, "?debug=2").text
        blocks = re.findall(r'^task (\d+) "(\w+)" \[(\w+)(?: on thread (\d+))?, \d+\.\d{3} s old, '
                            r'in queue \d+\.\d{3} s(?:, made by task (\d+))?'
                            r'(?:, labels:(\{.*\}))?\]:\n(\w+)\+0x', text, re.M)
        pay = '{"handler":"/checkout"}'
        self.assertEqual([block[1:3] + block[5:] for block in blocks], [
            ("pay", "running", pay, "queue_pay"), ("pay", "paused", pay, "queue_pay"),
            ("pay", "queued", pay, "queue_pay"), ("pay", "queued", pay, "queue_pay"),
            ("mail", "queued", "", "queue_mail")])
        self.assertEqual(blocks[4][4], blocks[0][0])
        self.assertIn("# 5 tasks: 3 queued, 1 running, 1 paused\n", text)
        # The thread that runs it has the task's labels.
        threads = fetch(program.port, "/debug/pprof/threads?debug=2").text
        block = next(block for block in threads.split("\n\n")
                     if block.startswith("thread %s " % blocks[0][3]))
        self.assertIn('labels:{"handler":"/checkout"}', block)
        self.assertIn("run_first", block)
        bare = self.get(program, "?debug=2&symbols=none").text
        self.assertNotIn("queue_pay", bare)
        self.end(program)

    def test_text_is_gos(self):
        program = self.service("shared")
        text = self.get(program, "?debug=1").text
        self.assertTrue(text.startswith("tasks profile: total 5\n"), text)
        self.assertRegex(text, r'(?m)^4 @( 0x[0-9a-f]+)+\n'
                               r'# labels: \{"handler":"/checkout", "task":"pay"\}\n'
                               r'#\t0x[0-9a-f]+\tqueue_pay\+0x[0-9a-f]+\t')
        index = fetch(program.port, "/debug/pprof/").text
        self.assertIn("<tr><td>5</td><td><a href='tasks?debug=1'>tasks</a></td></tr>", index)
        answer = fetch(program.port, "/debug/pprof/tasks?seconds=1&debug=1")
        self.assertEqual((answer.status, answer.text),
                         (400, "seconds and debug params are incompatible\n"))
        self.end(program)

    def test_seconds_is_what_came_and_what_went(self):
        program = self.service("shared")
        answers = []
        client = threading.Thread(
            target=lambda: answers.append(self.get(program, "?seconds=6", timeout_s=60)))
        client.start()
        time.sleep(2)
        self.tell(program, b"more")
        client.join()
        answer = answers[0]
        self.assertEqual(answer.header("Content-Disposition"),
                         'attachment; filename="tasks-delta"')
        profile = Profile(answer.body)
        self.assertEqual(counts_of(profile), {("pay", "/checkout"): 3, ("mail", None): -1})
        self.assertGreaterEqual(profile.duration_ns, 6 * 10**9)
        self.end(program)


class Fork(TaskCase):
    def assert_child(self, kind):
        program = self.service(kind, "fork")
        program.wait_for_output(b"child ready")
        child = int(re.search(rb"child (\d+)", program.stdout()).group(1))
        wait_until("the child's own answer", lambda: fetch(
            program.port, "/version?pid=%d" % child).status == 200)
        profile = Profile(self.get(program, "?pid=%d" % child).body)
        self.assertEqual(counts_of(profile), {("pay", None): 1})
        self.assertTrue(profile.comment("a forked process: tasks that were added before the fork"))
        own = Profile(self.get(program, "").body)
        self.assertEqual(counts_of(own), {("pay", "/checkout"): 4, ("mail", None): 1})
        self.end(program)

    def test_a_child_begins_without_tasks(self):
        self.assert_child("shared")

    def test_a_child_beside_the_interposer_begins_without_tasks(self):
        self.assert_child("interposed")


if __name__ == "__main__":
    harness.main()
