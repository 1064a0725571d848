# SPDX-License-Identifier: MIT
"""The endpoint answers while a thread of the host holds a lock of the C library for ever."""
import contextlib
import os
import subprocess

import harness
from harness import Connection, request_bytes


class Wedge(harness.Case):
    def wedge(self, argv, env=None):
        """Connects before the wedge, wedges, then asks everything on old and new connections."""
        program = self.start(argv, stdin=subprocess.PIPE, env=env)
        program.wait_for_output(b"running\n")
        endpoints = program.wait_for_admin()
        with contextlib.ExitStack() as stack:
            idle = [stack.enter_context(Connection(endpoint)) for endpoint in endpoints]
            used = [stack.enter_context(Connection(endpoint)) for endpoint in endpoints]
            for connection in used:
                connection.send(request_bytes("/livez", keep=True))
                self.assertEqual(connection.response().body, b"ok")
            program.process.stdin.write(b"\n")
            program.process.stdin.flush()
            program.wait_for_output(b"wedged\n", 60)
            for connection in idle + used:
                for route in harness.ROUTES:
                    connection.send(request_bytes(route, keep=True))
                    self.assertEqual(connection.response().status, 200, route)
                connection.send(request_bytes("/nosuch", keep=True))
                self.assertEqual(connection.response().status, 404)
            for _ in range(2):
                self.assert_routes_answer(endpoints)
        self.assertIsNone(program.process.poll(), "the host ended")
        return program

    def test_malloc_of_the_host_blocks_every_caller(self):
        self.wedge([harness.host("wedge_malloc")])

    def test_the_lock_of_mallocs_arena_is_held(self):
        self.wedge([harness.host("wedge"), "arena"],
                   env={"GLIBC_TUNABLES": "glibc.malloc.tcache_count=0"})

    def test_the_time_zone_lock_is_held(self):
        fifo = self.path("zone")
        os.mkfifo(fifo)
        self.wedge([harness.host("wedge"), "zone", ":" + fifo])

    def test_the_time_zone_lock_is_fought_for(self):  # serial
        self.wedge([harness.host("wedge"), "zone-loop"])

    def test_the_lock_of_stderr_is_held(self):
        self.wedge([harness.host("wedge"), "stderr"])

    def test_the_lock_of_the_loader_is_held(self):
        self.wedge([harness.host("wedge"), "loader", harness.host("module_stuck.so")])

    def test_a_wedged_host_still_ends_by_sigterm(self):
        program = self.wedge([harness.host("wedge"), "stderr"])
        program.process.terminate()
        self.assertEqual(program.wait(20), -15)


if __name__ == "__main__":
    harness.main()
