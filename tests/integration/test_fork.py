# SPDX-License-Identifier: MIT
"""Children: many, short, long, orphaned; none is disturbed and none leaves anything behind."""
import os
import re
import signal

import harness
from harness import fetch, wait_until


class Storm(harness.Case):
    def storm(self, argv, expected, env=None, timeout_s=280):
        """Runs a storm to its end; nothing is left: no process, no socket file."""
        program = self.start(argv, env=env)
        self.assertEqual(program.wait(timeout_s), 0, program.stderr()[-1000:])
        self.assertEqual(program.stdout(), expected)
        ours, rest = harness.split_start_line(program.stderr())
        self.assertEqual((len(ours), rest), (1, b""))
        self.assertEqual(harness.descendants(os.getpid()), [])
        self.assertEqual(self.sockets(), [])

    def test_ten_thousand_forks_under_load(self):  # serial timeout=300
        self.storm([harness.host("fork_storm"), "10000", "mixed"], b"10000 good\n")

    def test_children_that_exit_at_once(self):  # serial
        self.storm([harness.host("fork_storm"), "1000", "_exit"], b"1000 good\n")

    def test_children_that_run_exit_handlers(self):  # serial
        self.storm([harness.host("fork_storm"), "1000", "exit"], b"1000 good\n")

    def test_children_that_execute(self):  # serial
        self.storm([harness.host("fork_storm"), "1000", "exec"], b"1000 good\n")

    def test_children_adopted_at_once(self):  # serial
        self.storm([harness.host("fork_storm"), "1000", "mixed"], b"1000 good\n",
                   env={"RTHOOKS_FORK": "now"})

    def test_children_never_adopted(self):  # serial
        self.storm([harness.host("fork_storm"), "1000", "mixed"], b"1000 good\n",
                   env={"RTHOOKS_FORK": "off"})

    def test_vfork_in_a_loop(self):
        self.storm([harness.host("spawn_storm"), "1000", "vfork"], b"1000 good\n")

    def test_posix_spawn_in_a_loop(self):
        self.storm([harness.host("spawn_storm"), "1000", "posix_spawn"], b"1000 good\n")

    def test_posix_spawnp_in_a_loop(self):
        self.storm([harness.host("spawn_storm"), "1000", "posix_spawnp"], b"1000 good\n")

    def test_system_in_a_loop(self):
        self.storm([harness.host("spawn_storm"), "300", "system"], b"300 good\n")

    def test_popen_in_a_loop(self):
        self.storm([harness.host("spawn_storm"), "300", "popen"], b"300 good\n")


class Adoption(harness.Case):
    def linger(self, *arguments, env=None):
        """Starts the host; returns it and its child's pid."""
        program = self.start([harness.host("linger"), *arguments], env=env)
        program.wait_for_output(b"child ")
        program.wait_for_output(b"\n")
        return program, int(re.search(rb"child (\d+)\n", program.stdout())[1])

    def adopted(self, how, env=None):
        program, child = self.linger(how, env=env)
        wait_until("the child in the list",
                   lambda: set(harness.member_pids(program.port)) == {program.pid, child})
        firsts = {entry["pid"]: entry["first"] for entry in
                  fetch(program.port, "/debug/processes").json()["processes"]}
        self.assertEqual(firsts, {program.pid: True, child: False})
        child_socket = self.path("run", "rthooks", "%d.sock" % child)
        wait_until("the child's socket", lambda: fetch(child_socket, "/version").status == 200)
        own = fetch(program.port, "/debug/pprof/cmdline").body
        theirs = ("/debug/pprof/cmdline?pid=%d" % child)
        self.assertEqual(own.split(b"\0")[1], how.encode())
        for endpoint in (program.port, program.unix):
            self.assertEqual(fetch(endpoint, theirs).body.split(b"\0")[1], b"X" * len(how))
        self.assertEqual(fetch(child_socket, "/debug/pprof/cmdline").body.split(b"\0")[1],
                         b"X" * len(how))
        self.assertTrue(harness.alive(child), "the blocking call of the child came back")
        os.kill(child, signal.SIGKILL)
        wait_until("its burial", lambda: harness.member_pids(program.port) == [program.pid])
        gone = fetch(program.port, theirs)
        self.assertIn(gone.status, (404, 502))
        self.assertIn(str(child), gone.text)

    def test_a_child_in_poll(self):
        self.adopted("poll")

    def test_a_child_in_ppoll(self):
        self.adopted("ppoll")

    def test_a_child_in_select(self):
        self.adopted("select")

    def test_a_child_in_pselect(self):
        self.adopted("pselect")

    def test_a_child_in_epoll_wait(self):
        self.adopted("epoll")

    def test_a_child_in_sleep(self):
        self.adopted("sleep")

    def test_a_child_in_nanosleep(self):
        self.adopted("nanosleep")

    def test_a_child_in_sigsuspend(self):
        self.adopted("sigsuspend")

    def test_a_child_in_accept(self):
        self.adopted("accept")

    def test_fork_now_adopts_a_child_that_never_blocks(self):
        self.adopted("spin", env={"RTHOOKS_FORK": "now"})

    def test_fork_off_never_adopts(self):
        program, child = self.linger("poll", env={"RTHOOKS_FORK": "off"})
        endpoints = program.wait_for_admin()
        deadline = 12
        for _ in range(deadline):
            self.assertEqual(harness.member_pids(endpoints[0]), [program.pid])
            with self.assertRaises(AssertionError):
                wait_until("a thread of ours", lambda: len(harness.tasks(child)) > 1, 0.1)
        self.assertEqual(self.sockets(), ["%d.sock" % program.pid])

    def test_metrics_are_totals_and_can_be_asked_by_process(self):
        program, child = self.linger("poll")
        wait_until("the child", lambda: child in harness.member_pids(program.port))

        def sums_agree():  # a descriptor may come or go between the two looks
            total = re.search(r"^process_open_fds (\d+)$", fetch(program.port, "/metrics").text,
                              re.M)
            return int(total[1]) == sum(len(os.listdir("/proc/%d/fd" % pid))
                                        for pid in (program.pid, child))

        wait_until("the sum of both", sums_agree)
        text = fetch(program.port, "/metrics?by=process").text
        pids = set(re.findall(r'^process_open_fds\{[^}]*\bpid="(\d+)"[^}]*\} ', text, re.M))
        self.assertEqual(pids, {str(program.pid), str(child)})

    def test_an_unknown_pid_is_a_clear_error(self):
        program, _ = self.linger("poll")
        program.wait_for_admin()
        for wrong in ("1", "0", "-1", "x", "99999999999999999999"):
            answer = fetch(program.port, "/debug/pprof/cmdline?pid=" + wrong)
            self.assertIn(answer.status, (400, 404), wrong)
            self.assertNotEqual(answer.body, b"")


class TakeOver(harness.Case):
    def take_over(self, end):
        program = self.start([harness.host("linger"), "poll"] + (["leave"] if not end else []))
        program.wait_for_output(b"\n")
        child = int(re.search(rb"child (\d+)\n", program.stdout())[1])
        socket_of_child = self.path("run", "rthooks", "%d.sock" % child)
        if end:
            wait_until("adoption", lambda: child in harness.member_pids(program.port))
            program.signal(end)
        program.wait()
        wait_until("the child at the port",
                   lambda: harness.member_pids(program.port) == [child])
        self.assert_routes_answer((program.port, socket_of_child))
        self.assertTrue(harness.alive(child))
        wait_until("the sweep", lambda: self.sockets() == ["%d.sock" % child])

    def test_the_child_answers_after_the_parent_left(self):
        self.take_over(None)

    def test_the_child_answers_after_the_parent_was_ended(self):
        self.take_over(signal.SIGTERM)

    def test_the_child_answers_after_the_parent_was_killed(self):
        self.take_over(signal.SIGKILL)


if __name__ == "__main__":
    harness.main()
