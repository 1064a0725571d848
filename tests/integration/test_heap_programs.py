# SPDX-License-Identifier: MIT
"""The heap profiles of real programs over each allocator that Debian has."""
import glob
import os
import socket
import subprocess
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import harness  # noqa: E402
from harness import fetch, wait_until  # noqa: E402
from profile import Profile  # noqa: E402

ALLOC_OBJECTS, ALLOC_SPACE, INUSE_OBJECTS, INUSE_SPACE = range(4)
# Seen often enough to be judged, in programs that allocate some megabytes.
INTERVAL = {"RTHOOKS_HEAP_INTERVAL": "16KiB"}


class HeapCase(harness.Case):
    def preload(self, pattern):
        """The environment that puts an allocator behind rthooks; pattern "" for libc's."""
        if not pattern:
            return dict(INTERVAL)
        found = sorted(glob.glob("/usr/lib/*/" + pattern))
        if not found:
            harness.skip("%s is not installed" % pattern)
        return dict(INTERVAL, LD_PRELOAD=found[0])

    def profile(self, program, query="", name="heap"):
        answer = fetch(program.port, "/debug/pprof/%s%s" % (name, query), timeout_s=60)
        self.assertEqual(answer.status, 200, answer)
        return Profile(answer.body)

    def assert_allocator(self, profile, pattern, default="libc.so.6"):
        name = pattern.split("*")[0] if pattern else default
        self.assertIn(name, profile.comment("allocator: "))

    def assert_whole(self, profile):
        """Nearly all of it has a stack that begins where the program or a thread does."""
        rooted = sum(sample.values[ALLOC_SPACE] for sample in profile.samples
                     if len(sample.addresses) > 2)
        self.assertGreaterEqual(rooted / profile.total(ALLOC_SPACE), 0.99,
                                [sample for sample in profile.samples if len(sample.stack) < 3])


class Redis(HeapCase):
    VALUES, BYTES = 40000, 1000

    def check(self, pattern):
        port = harness.free_port()
        program = self.start([harness.need("redis-server"), "--port", str(port), "--bind",
                              "127.0.0.1", "--save", "", "--appendonly", "no", "--dir", self.tmp],
                             env=self.preload(pattern), port=harness.free_port())
        wait_until("redis", lambda: socket.create_connection(("127.0.0.1", port), 5).close()
                   is None)
        program.wait_for_admin()
        with socket.create_connection(("127.0.0.1", port), 30) as sock:
            self.say(sock, [b"SET key:%d %s" % (i, b"v" * self.BYTES)
                            for i in range(self.VALUES)])
            full = self.profile(program)
            self.say(sock, [b"FLUSHALL SYNC"])
            empty = self.profile(program)
        self.assert_allocator(full, pattern, "libjemalloc")
        self.assert_whole(full)
        stored = self.VALUES * self.BYTES
        held = full.cumulative("setCommand", INUSE_SPACE) + full.cumulative(
            "processMultibulkBuffer", INUSE_SPACE) + full.cumulative(
            "processInlineBuffer", INUSE_SPACE)
        self.assertGreater(held, 0.85 * stored)
        self.assertLess(held, 1.6 * stored)
        left = empty.total(INUSE_SPACE)
        self.assertLess(left, 0.25 * full.total(INUSE_SPACE), empty.flat(INUSE_SPACE))

    @staticmethod
    def say(sock, commands):
        file = sock.makefile("rb")
        for start in range(0, len(commands), 500):
            part = commands[start:start + 500]
            sock.sendall(b"".join(command + b"\r\n" for command in part))
            for _ in part:
                assert file.readline().startswith(b"+OK")

    def test_on_the_jemalloc_it_is_linked_with(self):
        self.check("")

    def test_on_tcmalloc(self):
        self.check("libtcmalloc_minimal.so*")

    def test_on_mimalloc(self):
        self.check("libmimalloc.so*")


class Memcached(HeapCase):
    def check(self, pattern):
        port = harness.free_port()
        user = ["-u", "www-data"] if os.geteuid() == 0 else []
        program = self.start([harness.need("memcached"), "-l", "127.0.0.1", "-p", str(port), "-U",
                              "0", "-t", "2", "-m", "64", *user], env=self.preload(pattern),
                             rthooks=self.public_rthooks(), port=harness.free_port())
        wait_until("memcached", lambda: socket.create_connection(
            ("127.0.0.1", port), 5).close() is None)
        program.wait_for_admin(unix=False)
        with socket.create_connection(("127.0.0.1", port), 5) as sock:
            file = sock.makefile("rb")
            for i in range(2000):
                sock.sendall(b"set key%d 0 0 8000\r\n" % i + b"v" * 8000 + b"\r\n")
                self.assertEqual(file.readline(), b"STORED\r\n")
            profile = self.profile(program)
        self.assert_allocator(profile, pattern)
        self.assert_whole(profile)
        # Debian strips it: the sites are told by where they are. Its slabs come by the megabyte.
        path = os.path.realpath(harness.need("memcached"))
        mine = [mapping for mapping in profile.mappings.values() if mapping.file == path]
        self.assertTrue(mine)
        held = sum(sample.values[INUSE_SPACE] for sample in profile.samples
                   if sample.addresses and any(mapping.start <= sample.addresses[0] < mapping.limit
                                               for mapping in mine))
        self.assertGreater(held, 15e6)

    def test_on_glibc(self):
        self.check("")

    def test_on_jemalloc(self):
        self.check("libjemalloc.so*")

    def test_on_tcmalloc(self):
        self.check("libtcmalloc_minimal.so*")

    def test_on_mimalloc(self):
        self.check("libmimalloc.so*")


class Postgres(HeapCase):
    def prepare(self):
        folder = "/usr/lib/postgresql"
        versions = sorted(os.listdir(folder), key=float) if os.path.isdir(folder) else []
        if not versions:
            harness.skip("PostgreSQL is not installed")
        self.tools = os.path.join(folder, versions[-1], "bin")
        self.data, self.sockets_folder, self.launcher = self.path("data"), self.path("pg"), []
        os.mkdir(self.data, 0o700)
        os.mkdir(self.sockets_folder)
        if os.geteuid() == 0:
            uid, gid = harness.user_ids("postgres")
            self.launcher = [harness.need("setpriv"), "--reuid=postgres", "--regid=postgres",
                             "--init-groups"]
            os.chown(self.data, uid, gid)
            os.chown(self.sockets_folder, uid, gid)
        made = self.run_to_end(self.launcher + [
            os.path.join(self.tools, "initdb"), "-D", self.data, "--no-sync", "-A", "trust", "-U",
            "postgres", "--no-instructions"], hooked=False)
        self.assertEqual(made.status, 0, made)

    def psql(self, sql):
        return subprocess.Popen(
            [os.path.join(self.tools, "psql"), "-h", self.sockets_folder, "-U", "postgres",
             "-XAtqc", sql, "postgres"], env=self.environment, stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL, text=True)

    def query(self, sql):
        with self.psql(sql) as process:
            return process.communicate()[0].strip()

    def check(self, pattern):
        self.prepare()
        program = self.start([os.path.join(self.tools, "postgres"), "-D", self.data, "-k",
                              self.sockets_folder, "-c", "listen_addresses=", "-c", "fsync=off"],
                             env=self.preload(pattern), rthooks=self.public_rthooks(),
                             launcher=self.launcher, port=harness.free_port())
        wait_until("PostgreSQL", lambda: self.query("select 1") == "1")
        program.wait_for_admin(unix=False)
        # A backend is adopted while it waits, and sorts in memory after that.
        session = self.psql("set work_mem = '64MB'; select pg_sleep(1.5); "
                            "select count(*) from (select i, md5(i::text) from "
                            "generate_series(1, 200000) i order by 2) x; select pg_sleep(20)")
        try:
            backend = wait_until("a backend that sorts", lambda: self.query(
                "select pid from pg_stat_activity where query like 'set work_mem%' "
                "and backend_type = 'client backend' and state = 'active'"))

            def sorted_memory():
                answer = fetch(program.port, "/debug/pprof/allocs?pid=" + backend)
                profile = Profile(answer.body) if answer.status == 200 else None
                found = profile and profile.cumulative("tuplesort_puttupleslot", ALLOC_SPACE)
                return profile if found and found > 5e6 else None

            profile = wait_until("memory of a sort", sorted_memory, timeout_s=20)
        finally:
            session.kill()
            session.communicate()
        self.assert_allocator(profile, pattern)
        self.assertGreater(profile.cumulative("PostgresMain", ALLOC_SPACE), 5e6)

    def test_a_backend_on_glibc(self):  # timeout=240
        self.check("")

    def test_a_backend_on_jemalloc(self):  # timeout=240
        self.check("libjemalloc.so*")

    def test_a_backend_on_tcmalloc(self):  # timeout=240
        self.check("libtcmalloc_minimal.so*")

    def test_a_backend_on_mimalloc(self):  # timeout=240
        self.check("libmimalloc.so*")


if __name__ == "__main__":
    harness.main()
