# SPDX-License-Identifier: MIT
"""Bad input of every kind gets a clear answer and disturbs nothing."""
import contextlib
import os
import resource
import shutil
import socket
import time

import harness
from harness import Connection, connect, exchange, fetch, request_bytes, wait_until

SLEEPER = ["/bin/sleep", "1000"]


class Sleeper(harness.Case):
    def setUp(self):
        super().setUp()
        self.program = self.start(SLEEPER)
        self.endpoints = self.program.wait_for_admin()

    def assert_served(self):
        for endpoint in self.endpoints:
            self.assertEqual(fetch(endpoint, "/livez").body, b"ok")
        self.assertIsNone(self.program.process.poll())


class Requests(Sleeper):
    def statuses(self, endpoint, raw):
        return [answer.status for answer in exchange(endpoint, raw)]

    def test_headers_of_64_kib_are_431(self):
        for endpoint in self.endpoints:
            one = request_bytes("/livez", headers={"X-Long": "a" * 65536})
            many = request_bytes("/livez", headers={"X-%d" % n: "a" * 50 for n in range(1000)})
            for raw in (one, many):
                self.assertEqual(self.statuses(endpoint, raw), [431])
        self.assert_served()

    def test_a_request_line_of_64_kib_is_414_or_431(self):
        for endpoint in self.endpoints:
            statuses = self.statuses(endpoint, request_bytes("/" + "a" * 65536))
            self.assertEqual(len(statuses), 1)
            self.assertIn(statuses[0], (414, 431))
        self.assert_served()

    def test_half_a_request_then_silence_holds_up_nobody(self):
        halves = (b"", b"G", b"GET /metr", b"GET /metrics HTTP/1.1\r\n",
                  b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nX-",
                  b"POST /debug/pprof/symbol HTTP/1.1\r\nHost: localhost\r\n"
                  b"Content-Length: 100\r\n\r\nhalf")
        with contextlib.ExitStack() as stack:
            for endpoint in self.endpoints:
                for half in halves * 5:
                    connection = stack.enter_context(Connection(endpoint))
                    connection.send(half)
            for _ in range(20):
                self.assert_served()
            self.assert_routes_answer(self.endpoints)
        self.assert_served()

    def test_a_request_that_comes_byte_by_byte_is_answered(self):
        for endpoint in self.endpoints:
            with Connection(endpoint) as connection:
                for byte in request_bytes("/livez"):
                    connection.sock.sendall(bytes([byte]))
                self.assertEqual(connection.response().body, b"ok")

    def test_a_client_that_never_reads_holds_up_nobody(self):
        with contextlib.ExitStack() as stack:
            for endpoint in self.endpoints:
                sock = stack.enter_context(connect(endpoint))
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
                sock.setblocking(False)
                with contextlib.suppress(BlockingIOError, ConnectionResetError, BrokenPipeError):
                    for _ in range(1000):
                        sock.send(request_bytes("/metrics", keep=True) * 20)
            for _ in range(10):
                self.assert_served()

    def test_a_client_that_hangs_up_early_disturbs_nothing(self):
        for _ in range(100):
            for endpoint in self.endpoints:
                with connect(endpoint) as sock:
                    sock.sendall(request_bytes("/metrics")[:-20 + _ % 21] or b"G")
                with connect(endpoint) as sock:
                    sock.sendall(request_bytes("/metrics"))
        self.assert_served()

    # Each of these could be read in two ways by two servers in a row.
    SMUGGLING = {
        "length and chunked": b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "two lengths": b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
        "two equal lengths in one": b"Content-Length: 5, 5\r\n\r\nhello",
        "signed length": b"Content-Length: +5\r\n\r\nhello",
        "negative length": b"Content-Length: -1\r\n\r\n",
        "hexadecimal length": b"Content-Length: 0x5\r\n\r\nhello",
        "huge length": b"Content-Length: 99999999999999999999999\r\n\r\n",
        "empty length": b"Content-Length:\r\n\r\n",
        "chunked": b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        "almost chunked": b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
        "chunked, identity": b"Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
        "vertical tab": b"Transfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n",
        "space before the colon": b"Content-Length : 5\r\n\r\nhello",
        "folded header": b"X-Folded: a\r\n Content-Length: 5\r\n\r\nhello",
        "header without colon": b"Nonsense\r\n\r\n",
        "header without name": b": value\r\n\r\n",
        "NUL in a header": b"X-Nul: a\x00b\r\n\r\n",
        "bare CR in a header": b"X-Cr: a\rContent-Length: 5\r\n\r\nhello",
        "second Host": b"Host: localhost\r\n\r\n",
    }

    def test_smuggling_shapes_get_one_refusal_and_a_close(self):
        for endpoint in self.endpoints:
            for name, rest in self.SMUGGLING.items():
                for method in (b"GET", b"POST"):
                    raw = (method + b" /livez HTTP/1.1\r\nHost: localhost\r\n" + rest
                           + request_bytes("/version"))
                    statuses = self.statuses(endpoint, raw)
                    self.assertEqual(len(statuses), 1, "%s: %s" % (name, statuses))
                    self.assertIn(statuses[0], (400, 405, 411, 413, 501), name)
                    if statuses[0] == 405:
                        self.assertEqual(method, b"POST", name)
        self.assert_served()

    def test_broken_request_lines_are_refused(self):
        host_line = b"\r\nHost: localhost\r\n\r\n"
        for endpoint in self.endpoints:
            for line in (b"GARBAGE", b"GET", b"GET /livez", b"GET  /livez HTTP/1.1",
                         b"GET /livez  HTTP/1.1", b"GET\t/livez\tHTTP/1.1", b" GET /livez HTTP/1.1",
                         b"GET /livez HTTP/1.1 x", b"GET /li\x00vez HTTP/1.1", b"G\x01T / HTTP/1.1",
                         b"GET livez HTTP/1.1", b"GET /livez http/1.1", b"GET /livez HTTP/9.9",
                         b"GET /livez HTTP/2.0", b"GET /livez HTTP/11", b"GET /livez HTTP/1.x",
                         b"PRI * HTTP/2.0", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"):
                statuses = self.statuses(endpoint, line + host_line)
                self.assertEqual(len(statuses), 1, line)
                self.assertIn(statuses[0], (400, 501, 505), line)
        self.assert_served()

    def test_paths_that_try_to_escape_are_unknown(self):
        for endpoint in self.endpoints:
            for path in ("/debug/pprof/../../etc/passwd", "//livez", "/livez/", "/LIVEZ",
                         "/livez%00", "/%6civez%2f", "/debug/pprof/%2e%2e/x", "/livez;x", "/."):
                answer = fetch(endpoint, path)
                self.assertIn(answer.status, (400, 404), path)
        self.assert_served()

    def test_other_methods_are_405_and_name_the_allowed(self):
        for endpoint in self.endpoints:
            for method in ("PUT", "DELETE", "PATCH", "OPTIONS", "TRACE"):
                for route in ("/metrics", "/debug/runtime/status", "/livez"):
                    answer = fetch(endpoint, route, method)
                    self.assertEqual(answer.status, 405, method)
                    self.assertIn("GET", answer.header("Allow"))
            self.assertEqual(fetch(endpoint, "/metrics", "POST", body=b"").status, 405)

    def test_foreign_hosts_are_refused(self):
        port = self.program.port
        for name in ("localhost", "localhost:1", "127.0.0.1", "127.0.0.1:6060", "[::1]",
                     "[::1]:80", "127.9.9.9"):
            self.assertEqual(fetch(port, "/livez", host_header=name).status, 200, name)
        for name in ("evil.example", "evil.example:6060", "localhost.evil.example",
                     "127.0.0.1.evil.example", "10.0.0.1", "evil@localhost", "localhost:x",
                     "[::2]", ""):
            for route in ("/livez", "/nosuch"):
                answer = fetch(port, route, host_header=name)
                self.assertEqual(answer.status, 403, name)
                self.assertIn("Host", answer.text)
        for endpoint in self.endpoints:
            without = exchange(endpoint, b"GET /livez HTTP/1.1\r\nConnection: close\r\n\r\n")
            self.assertEqual([answer.status for answer in without], [400])
            absolute = fetch(endpoint, "http://evil.example/livez")
            self.assertIn(absolute.status, (400, 403))

    def test_foreign_origins_are_refused(self):
        port = self.program.port
        for origin in ("http://evil.example", "https://localhost.evil.example", "null", "file://",
                       "garbage", "http://localhost:1"):
            answer = fetch(port, "/livez", headers={"Origin": origin})
            self.assertEqual(answer.status, 403, origin)
            self.assertIsNone(answer.header("Access-Control-Allow-Origin"))
        own = {"Origin": "http://localhost:%d" % port}
        self.assertEqual(fetch(port, "/livez", headers=own,
                               host_header="localhost:%d" % port).status, 200)

    def test_bad_parameters_are_clear_errors(self):
        for endpoint in self.endpoints:
            for query in ("?pid=%zz", "?pid=%", "?pid=1%00"):
                answer = fetch(endpoint, "/debug/pprof/cmdline" + query)
                self.assertEqual(answer.status, 400, query)
                self.assertNotEqual(answer.body, b"")

    def test_a_body_that_is_too_long_is_413(self):
        for endpoint in self.endpoints:
            raw = (b"POST /debug/pprof/cmdline HTTP/1.1\r\nHost: localhost\r\n"
                   b"Content-Length: 1073741824\r\n\r\n")
            self.assertEqual(self.statuses(endpoint, raw + b"x" * 1000), [413])

    def test_random_bytes_disturb_nothing(self):
        for _ in range(200):
            for endpoint in self.endpoints:
                with connect(endpoint) as sock, contextlib.suppress(OSError):
                    sock.sendall(os.urandom(1 + os.urandom(1)[0] * 4))
        self.assert_served()


class Load(harness.Case):
    def test_a_thousand_idle_connections_hold_up_nobody(self):  # serial
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        if hard < 4096:
            harness.skip("only %d descriptors are allowed here" % hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, 4096), hard))
        program = self.start(SLEEPER)
        endpoints = program.wait_for_admin()
        with contextlib.ExitStack() as stack:
            for _ in range(1000):
                stack.enter_context(connect(program.port))
            for _ in range(10):
                for endpoint in endpoints:
                    self.assertEqual(fetch(endpoint, "/livez").body, b"ok")
            self.assert_routes_answer(endpoints)
            self.assertEqual(sorted(os.listdir("/proc/%d/fd" % program.pid)), ["0", "1", "2"])
        for endpoint in endpoints:
            self.assertEqual(fetch(endpoint, "/livez").body, b"ok")

    def test_a_thousand_idle_connections_of_a_host_with_few_descriptors(self):  # serial
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        if hard < 4096:
            harness.skip("only %d descriptors are allowed here" % hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, 4096), hard))
        program = self.start(SLEEPER, preexec=lambda: resource.setrlimit(
            resource.RLIMIT_NOFILE, (64, 64)))
        endpoints = program.wait_for_admin()
        with contextlib.ExitStack() as stack:
            for _ in range(1000):
                stack.enter_context(connect(program.port))
            for endpoint in endpoints:
                self.assertEqual(fetch(endpoint, "/livez").body, b"ok")


def capability_status(endpoint, name):
    rows = fetch(endpoint, "/debug/runtime/status").json()["capabilities"]
    return next(row for row in rows if row["name"] == name)


class Sockets(harness.Case):
    def test_a_taken_port_leaves_the_unix_socket_alone_and_says_so(self):
        first = self.start(SLEEPER)
        first.wait_for_admin()
        second = harness.Program(self, SLEEPER, port=first.port)
        wait_until("the Unix socket", lambda: fetch(second.unix, "/livez").body == b"ok")
        self.assertEqual(harness.member_pids(first.port), [first.pid])
        self.assertEqual(harness.member_pids(second.unix), [second.pid])
        admin = capability_status(second.unix, "admin")
        self.assertIn("in use", str(admin))
        ours, _ = harness.split_start_line(second.stderr())
        self.assertEqual(len(ours), 1)
        self.assertIn(b"taken", ours[0])

    def squat(self, uid, prepare):
        """Runs as uid with its candidate folders as prepare leaves them."""
        setpriv = harness.need("setpriv")
        return self.start(SLEEPER, launcher=[setpriv, "--reuid=%d" % uid, "--regid=%d" % uid,
                                             "--clear-groups"], rthooks=self.public_rthooks(),
                          env={"XDG_RUNTIME_DIR": prepare})

    def unused_uid(self):
        harness.need_root("runs as another user")
        uid = 1000000 + int.from_bytes(os.urandom(3), "little")
        folder = "/tmp/rthooks-%d" % uid

        def remove():
            for name in self.sockets(folder):
                os.unlink(os.path.join(folder, name))
            with contextlib.suppress(OSError):
                os.unlink(folder)
            with contextlib.suppress(OSError):
                os.rmdir(folder)
        self.addCleanup(remove)
        return uid, folder

    def squatted(self, uid, kind, parent_of_socket_folder):
        """Makes a folder that must not be used."""
        folder = parent_of_socket_folder
        if kind == "owner":
            os.mkdir(folder, 0o700)
        elif kind == "symlink":
            os.mkdir(folder + ".target", 0o700)
            os.chown(folder + ".target", uid, uid)
            os.symlink(folder + ".target", folder)
            os.chown(folder, uid, uid, follow_symlinks=False)
            self.addCleanup(shutil.rmtree, folder + ".target", True)
        elif kind == "mode":
            os.mkdir(folder)
            os.chown(folder, uid, uid)
            os.chmod(folder, 0o755)
        elif kind == "file":
            with open(folder, "wb"):
                pass
            os.chown(folder, uid, uid)

    def runtime_folder(self, uid):
        folder = self.path("xdg")
        os.mkdir(folder, 0o700)
        os.chown(folder, uid, uid)
        return folder

    def next_candidate(self, kind):
        uid, fallback = self.unused_uid()
        runtime = self.runtime_folder(uid)
        self.squatted(uid, kind, os.path.join(runtime, "rthooks"))
        program = self.squat(uid, runtime)
        program.wait_for_admin(unix=False)
        path = os.path.join(fallback, "%d.sock" % program.pid)
        wait_until("the next candidate", lambda: fetch(path, "/livez").body == b"ok")
        self.assertIn(path, str(capability_status(program.port, "admin")))
        if kind in ("owner", "symlink", "mode"):
            self.assertEqual(os.listdir(os.path.join(runtime, "rthooks")), [])

    def no_candidate(self, kind):
        uid, fallback = self.unused_uid()
        runtime = self.runtime_folder(uid)
        self.squatted(uid, kind, os.path.join(runtime, "rthooks"))
        self.squatted(uid, kind, fallback)
        program = self.squat(uid, runtime)
        program.wait_for_admin(unix=False)
        admin = capability_status(program.port, "admin")
        self.assertNotIn("%d.sock" % program.pid, str(admin))
        self.assertIn(fallback, str(admin))
        if kind in ("owner", "symlink", "mode"):
            self.assertEqual(os.listdir(fallback), [])
        self.assertIsNone(program.process.poll())

    def test_a_folder_of_another_owner_is_passed_over(self):
        self.next_candidate("owner")

    def test_a_folder_that_is_a_symlink_is_passed_over(self):
        self.next_candidate("symlink")

    def test_a_folder_that_others_may_read_is_passed_over(self):
        self.next_candidate("mode")

    def test_a_file_in_the_place_of_the_folder_is_passed_over(self):
        self.next_candidate("file")

    def test_without_a_folder_there_is_no_socket_and_the_status_says_so(self):
        for kind in ("owner", "symlink", "mode", "file"):
            self.no_candidate(kind)
            self._remove_xdg()

    def _remove_xdg(self):
        os.rename(self.path("xdg"), self.path("xdg-%d" % self.next_number()))

    def test_another_user_gets_nothing_over_the_unix_socket(self):
        uid, _ = self.unused_uid()
        program = self.start(SLEEPER)
        program.wait_for_admin()
        # Even with the permissions of the files out of the way.
        os.chmod(self.path("run"), 0o755)
        os.chmod(self.path("run", "rthooks"), 0o755)
        os.chmod(program.unix, 0o666)
        reader, writer = os.pipe()
        pid = os.fork()
        if pid == 0:
            got = b"none"
            try:
                os.setgid(uid)
                os.setuid(uid)
                got = fetch(program.unix, "/livez").body
            except (OSError, EOFError):
                got = b"closed"
            finally:
                os.write(writer, got)
                os._exit(0)
        os.close(writer)
        os.waitpid(pid, 0)
        with os.fdopen(reader, "rb") as file:
            self.assertNotIn(b"ok", file.read())
        self.assertEqual(fetch(program.unix, "/livez").body, b"ok")


class Token(harness.Case):
    def token_file(self, text):
        """Written as secrets are rotated: a new file in the place of the old one."""
        self.write("token.new", text, 0o600)
        os.rename(self.path("token.new"), self.path("token"))
        return self.path("token")

    def with_token(self, token):
        return {"Authorization": "Bearer " + token}

    def test_a_token_covers_every_route_and_loopback_too(self):
        program = self.start(SLEEPER, env={
            "RTHOOKS_ADMIN_TOKEN_FILE": self.token_file("first-secret\n")})
        wait_until("the endpoint", lambda: fetch(program.port, "/livez").status)
        for route in harness.ROUTES + ("/nosuch",):
            for headers in ({}, self.with_token("wrong"), self.with_token(""),
                            self.with_token("first-secre"), self.with_token("first-secret2"),
                            {"Authorization": "Basic first-secret"}):
                answer = fetch(program.port, route, headers=headers)
                self.assertEqual(answer.status, 401, (route, headers))
                self.assertIn("Bearer", answer.header("WWW-Authenticate"))
                self.assertNotIn(b"first-secret", answer.body)
        for route in harness.ROUTES:
            self.assertEqual(fetch(program.port, route,
                                   headers=self.with_token("first-secret")).status, 200, route)
        self.assertEqual(fetch(program.port, "/livez?token=first-secret").status, 401)

    def test_a_rotated_token_is_taken_up_and_the_old_one_refused(self):
        program = self.start(SLEEPER, env={
            "RTHOOKS_ADMIN_TOKEN_FILE": self.token_file("old")})
        wait_until("the endpoint", lambda: fetch(
            program.port, "/livez", headers=self.with_token("old")).status == 200)
        self.token_file("new")
        wait_until("the new token", lambda: fetch(
            program.port, "/livez", headers=self.with_token("new")).status == 200)
        wait_until("the end of the old", lambda: fetch(
            program.port, "/livez", headers=self.with_token("old")).status == 401)
        os.unlink(self.path("token"))
        time.sleep(0.2)
        for token in ("", "old", "wrong"):
            self.assertEqual(fetch(program.port, "/livez",
                                   headers=self.with_token(token)).status, 401)

    def test_the_token_is_not_shown(self):
        program = self.start(SLEEPER, env={
            "RTHOOKS_ADMIN_TOKEN_FILE": self.token_file("first-secret")})
        wait_until("the endpoint", lambda: fetch(program.port, "/livez").status)
        for route in harness.ROUTES:
            body = fetch(program.port, route, headers=self.with_token("first-secret")).body
            self.assertNotIn(b"first-secret", body, route)

    def test_an_address_beyond_loopback_needs_a_token(self):
        port = harness.free_port()
        for address in ("0.0.0.0", "[::]", "10.1.2.3"):
            result = self.run_rthooks("run", "--admin", "%s:%d" % (address, port), "--",
                                      "/bin/echo", "started")
            self.assertEqual((result.status, result.stdout), (2, b""), address)
            self.assertIn(b"RTHOOKS_ADMIN_TOKEN_FILE", result.stderr)
        program = harness.Program(self, SLEEPER, options=["--admin", "0.0.0.0:%d" % port], env={
            "RTHOOKS_ADMIN_TOKEN_FILE": self.token_file("s")})
        wait_until("an answer", lambda: fetch(port, "/livez",
                                              headers=self.with_token("s")).status == 200)
        self.assertEqual(fetch(port, "/livez").status, 401)
        self.assertIsNone(program.process.poll())


class Settings(harness.Case):
    MALFORMED = {
        "RTHOOKS_ADMIN": ("127.0.0.1", "127.0.0.1:", "127.0.0.1:65536", "127.0.0.1:x",
                          "localhost:x", ":::", "127.0.0.1:6060 ", "nonsense"),
        "RTHOOKS_PUBLIC": ("0.0.0.0", "0.0.0.0:-1", "nonsense"),
        "RTHOOKS_FORK": ("sometimes", "LAZY?", "0"),
        "RTHOOKS_ADMIN_READONLY": ("maybe", "2"),
        "RTHOOKS_ADMIN_TOKEN_FILE": ("relative/path",),
        "RTHOOKS_LOG": ("loud",),
        "RTHOOKS": ("maybe",),
    }

    def test_malformed_variables_end_run_before_exec(self):
        for variable, values in self.MALFORMED.items():
            for value in values:
                result = self.run_rthooks("run", "--", "/bin/echo", "started",
                                          env={variable: value})
                self.assertEqual((result.status, result.stdout), (2, b""), (variable, value))
                self.assertIn(variable.encode(), result.stderr)
                self.assertIn(value.encode(), result.stderr)
                self.assertNotIn(b"(null)", result.stderr)

    def test_the_refusal_names_the_grammar(self):
        result = self.run_rthooks("run", "--", "/bin/true", env={"RTHOOKS_FORK": "sometimes"})
        for word in (b"lazy", b"now", b"off"):
            self.assertIn(word, result.stderr)

    def test_an_unknown_variable_of_ours_is_named_and_the_program_starts(self):
        # Orchestrators make such names up: RTHOOKS_PORT for a service called rthooks.
        result = self.run_rthooks("run", "--admin", "off", "--", "/bin/echo", "started",
                                  env={"RTHOOKS_ADMNI": "off"})
        self.assertEqual((result.status, result.stdout), (0, b"started\n"))
        self.assertIn(b"RTHOOKS_ADMNI", result.stderr)

    def test_wrong_usage_of_run_is_status_2(self):
        for arguments in (["run"], ["run", "--"], ["run", "--nosuch", "--", "/bin/true"],
                          ["run", "--admin"], ["run", "-e", "novalue", "--", "/bin/true"],
                          ["run", "--admin", "nonsense", "--", "/bin/true"], ["nosuch"]):
            result = self.run_rthooks(*arguments)
            self.assertEqual((result.status, result.stdout), (2, b""), arguments)
            self.assertNotEqual(result.stderr, b"")

    def test_rthooks_off_leaves_the_program_alone(self):
        program = self.start(SLEEPER, env={"RTHOOKS": "off"})
        time.sleep(1)
        self.assertEqual(len(harness.tasks(program.pid)), 1)
        self.assertEqual(self.sockets(), [])
        with self.assertRaises(ConnectionRefusedError):
            connect(program.port)
        self.assertIsNone(program.process.poll())

    def test_rthooks_off_is_the_bare_program(self):
        self.same(["/bin/sh", "-c", "env; ls /proc/self/fd; echo to stderr >&2; exit 6"],
                  env={"RTHOOKS": "off"}, hooked_once=False)

    def test_admin_off_opens_nothing(self):
        program = harness.Program(self, SLEEPER, env={"RTHOOKS_ADMIN": "off"})
        time.sleep(1)
        self.assertEqual(self.sockets(), [])
        self.assertEqual(len(harness.split_start_line(program.stderr())[0]), 1)
        with open("/proc/net/unix", encoding="ascii", errors="replace") as file:
            self.assertNotIn(self.path("run"), file.read())
        self.assertIsNone(program.process.poll())

    def test_readonly_refuses_changes_and_answers_questions(self):
        program = self.start(SLEEPER, env={"RTHOOKS_ADMIN_READONLY": "1"})
        for endpoint in program.wait_for_admin():
            for route in harness.ROUTES:
                self.assertEqual(fetch(endpoint, route).status, 200, route)
                self.assertIn(fetch(endpoint, route, "POST", body=b"").status, (200, 403, 405))
            rows = {row["variable"]: row for row in
                    fetch(endpoint, "/debug/runtime/config").json()["options"]}
            self.assertEqual(rows["RTHOOKS_ADMIN_READONLY"]["value"], "1")

    def test_an_allow_list_leaves_the_rest_out(self):
        program = self.start(SLEEPER, env={"RTHOOKS_ADMIN_ALLOW": "/livez,/version,/debug/pprof/"})
        for endpoint in program.wait_for_admin():
            for route in ("/livez", "/version", "/debug/pprof/"):
                self.assertEqual(fetch(endpoint, route).status, 200, route)
            for route in ("/metrics", "/debug/runtime/status", "/livezz", "/nosuch",
                          "/debug/pprof/cmdline"):
                self.assertEqual(fetch(endpoint, route).status, 403, route)


class Public(harness.Case):
    def setUp(self):
        super().setUp()
        self.public = harness.free_port()
        self.program = self.start(SLEEPER, env={"RTHOOKS_PUBLIC": "0.0.0.0:%d" % self.public})
        self.endpoints = self.program.wait_for_admin()
        wait_until("the public listener", lambda: fetch(self.public, "/livez").status == 200)

    def test_exactly_four_routes(self):
        for route in ("/metrics", "/livez", "/readyz", "/startupz"):
            self.assertEqual(fetch(self.public, route).status, 200, route)
        for route in ("/", "/healthz", "/version", "/debug/pprof/", "/debug/pprof/cmdline",
                      "/debug/runtime/status", "/debug/runtime/config", "/debug/processes",
                      "/readyz/admin", "/livez/", "/nosuch", "/debug/pprof"):
            answer = fetch(self.public, route)
            self.assertEqual(answer.status, 404, route)

    def test_get_only(self):
        for method in ("POST", "PUT", "DELETE", "OPTIONS"):
            for route in ("/metrics", "/livez"):
                self.assertEqual(fetch(self.public, route, method, body=b"").status, 405, method)

    def test_any_host_and_no_details_of_checks(self):
        for name in ("evil.example", "10.0.0.1:9090", "pod-7.svc"):
            self.assertEqual(fetch(self.public, "/metrics", host_header=name).status, 200)
        plain = fetch(self.public, "/readyz").body
        for query in ("?verbose", "?verbose=1", "?format=json"):
            self.assertEqual(fetch(self.public, "/readyz" + query).body, plain, query)

    def test_it_needs_no_token_even_when_the_admin_listener_does(self):
        token = self.write("token", "s", 0o600)
        public = harness.free_port()
        self.start(SLEEPER, env={"RTHOOKS_PUBLIC": "0.0.0.0:%d" % public,
                                 "RTHOOKS_ADMIN_TOKEN_FILE": token})
        wait_until("the public listener", lambda: fetch(public, "/livez").status == 200)
        self.assertEqual(fetch(public, "/metrics").header("Content-Type"),
                         harness.PROMETHEUS_TEXT)

    def test_broken_requests_disturb_nothing(self):
        for raw in (b"GARBAGE\r\n\r\n", request_bytes("/livez", headers={"X": "a" * 65536}),
                    b"GET /livez HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n"
                    b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"):
            answers = exchange(self.public, raw)
            self.assertEqual(len(answers), 1)
            self.assertIn(answers[0].status, (400, 431))
        self.assertEqual(fetch(self.public, "/livez").body, b"ok")


if __name__ == "__main__":
    harness.main()
