# SPDX-License-Identifier: MIT
"""An unmodified redis-server answers: every route, to every kind of reader."""
import json
import os
import re
import signal
import socket
import stat
import subprocess
import time

import harness
from harness import exchange, fetch, request_bytes, wait_until


class RedisCase(harness.Case):
    def setUp(self):
        super().setUp()
        self.redis_server = harness.need("redis-server")
        self.redis_port = harness.free_port()

    def redis_arguments(self, *more):
        os.makedirs(self.path("data"), exist_ok=True)
        return [self.redis_server, "--port", str(self.redis_port), "--bind", "127.0.0.1",
                "--dir", self.path("data"), "--save", "", *more]

    def command(self, *words):
        """One redis command over its own protocol; the first line of the answer."""
        with socket.create_connection(("127.0.0.1", self.redis_port), 10) as sock:
            sock.settimeout(10)
            sock.sendall(b"*%d\r\n" % len(words) + b"".join(
                b"$%d\r\n%s\r\n" % (len(word), word) for word in (w.encode() for w in words)))
            return sock.makefile("rb").readline().strip()

    def wait_for_redis(self):
        wait_until("redis", lambda: self.command("PING") == b"+PONG")

    def start_redis(self, *more, **options):
        program = self.start(self.redis_arguments(*more), **options)
        self.wait_for_redis()
        self.endpoints = program.wait_for_admin()
        return program


class Routes(RedisCase):
    def test_every_route_answers_over_tcp_and_over_the_unix_socket(self):
        self.start_redis()
        self.assert_routes_answer(self.endpoints)

    def test_content_types_are_exact(self):
        self.start_redis()
        for endpoint in self.endpoints:
            for route in harness.JSON_ROUTES:
                answer = fetch(endpoint, route)
                self.assertEqual(answer.header("Content-Type"), "application/json", route)
                answer.json()
            self.assertEqual(fetch(endpoint, "/metrics").header("Content-Type"),
                             harness.PROMETHEUS_TEXT)
            for route in ("/livez", "/readyz", "/startupz", "/healthz"):
                self.assertEqual(fetch(endpoint, route).header("Content-Type"),
                                 harness.PLAIN_TEXT, route)

    def test_version_names_the_build_and_the_start_time(self):
        before = time.time()
        self.start_redis()
        version = fetch(self.endpoints[0], "/version").json()
        for key in ("name", "version", "revision", "build_id", "compiler", "start_time"):
            self.assertIn(key, version)
        self.assertIn("redis", version["name"])
        readable = subprocess.run(["readelf", "-n", self.redis_server], stdout=subprocess.PIPE,
                                  check=True).stdout.decode()
        self.assertEqual(version["build_id"], re.search(r"Build ID: ([0-9a-f]+)", readable)[1])
        self.assertIn(str(time.gmtime(before).tm_year), str(version["start_time"]))

    def test_health_answers_ok_and_lists_checks_on_demand(self):
        self.start_redis()
        for endpoint in self.endpoints:
            for route in ("/livez", "/readyz", "/startupz", "/healthz"):
                self.assertEqual(fetch(endpoint, route).body, b"ok", route)
                verbose = fetch(endpoint, route + "?verbose")
                self.assertEqual(verbose.status, 200)
                self.assertRegex(verbose.text, r"\A(\[\+\][^\n]* ok\n)*[^\n]*check passed\n\Z")
                fetch(endpoint, route + "?format=json").json()

    def test_threads_are_the_tasks_of_the_process(self):
        program = self.start_redis()
        threads = fetch(self.endpoints[0], "/debug/runtime/threads").json()["threads"]
        self.assertEqual(sorted(thread["tid"] for thread in threads),
                         sorted(harness.tasks(program.pid)))
        origins = {thread["name"]: thread["origin"] for thread in threads}
        self.assertEqual(origins["rth-admin"], "rthooks")
        self.assertEqual(origins["bio_close_file"], "pthread_create")
        self.assertEqual(origins["redis-server"], "host")

    def test_config_shows_every_option_with_its_source(self):
        program = self.start_redis(env={"RTHOOKS_SERVICE": "cart"})
        text = fetch(self.endpoints[0], "/debug/runtime/config").text
        config = json.loads(text)
        rows = {row["variable"]: row for row in config["options"]}
        self.assertEqual(rows["RTHOOKS_SERVICE"]["value"], "cart")
        self.assertEqual(rows["RTHOOKS_SERVICE"]["source"], "environment")
        self.assertEqual(rows["RTHOOKS_ADMIN"]["value"], "127.0.0.1:%d" % program.port)
        self.assertEqual(rows["RTHOOKS_FORK"]["value"], "lazy")
        self.assertEqual(rows["RTHOOKS_FORK"]["source"], "default")

    def test_processes_lists_redis_alone(self):
        program = self.start_redis()
        for endpoint in self.endpoints:
            processes = fetch(endpoint, "/debug/processes").json()["processes"]
            self.assertEqual([entry["pid"] for entry in processes], [program.pid])
            self.assertTrue(processes[0]["first"])

    def test_the_socket_is_private_and_named_by_pid(self):
        program = self.start_redis()
        self.assertEqual(self.sockets(), ["%d.sock" % program.pid])
        mode = os.lstat(program.unix).st_mode
        self.assertTrue(stat.S_ISSOCK(mode))
        self.assertEqual(stat.S_IMODE(mode), 0o600)
        self.assertEqual(stat.S_IMODE(os.lstat(self.path("run", "rthooks")).st_mode), 0o700)

    def test_head_answers_like_get_without_a_body(self):
        self.start_redis()
        for endpoint in self.endpoints:
            for route in harness.ROUTES:
                with harness.Connection(endpoint) as connection:
                    connection.send(request_bytes(route, "HEAD"))
                    head = connection.response("HEAD")
                    self.assertEqual(head.status, 200, route)
                    self.assertTrue(connection.closed(), route)
                self.assertEqual(head.header("Content-Type"),
                                 fetch(endpoint, route).header("Content-Type"), route)

    def test_a_connection_is_kept_and_requests_may_be_pipelined(self):
        self.start_redis()
        for endpoint in self.endpoints:
            with harness.Connection(endpoint) as connection:
                connection.send(request_bytes("/version", keep=True) * 5)
                for _ in range(5):
                    self.assertEqual(connection.response().status, 200)
                connection.send(request_bytes("/livez"))
                self.assertEqual(connection.response().body, b"ok")
                self.assertTrue(connection.closed())

    def test_http_1_0_clients_get_an_answer_and_a_close(self):
        self.start_redis()
        answers = exchange(self.endpoints[0], b"GET /livez HTTP/1.0\r\nHost: localhost\r\n\r\n")
        self.assertEqual([(a.status, a.body) for a in answers], [(200, b"ok")])
        self.assertIsNone(answers[0].header("Transfer-Encoding"))


class Tool(RedisCase):
    def test_it_is_found_by_its_pid_though_it_wrote_over_its_environment(self):
        program = self.start_redis()
        with open("/proc/%d/environ" % program.pid, "rb") as file:
            self.assertNotIn(b"XDG_RUNTIME_DIR=" + self.path("run").encode(), file.read())
        result = self.run_to_end([self.rthooks, "version", str(program.pid)], hooked=False)
        self.assertEqual(result.status, 0, result)


class GoShape(RedisCase):
    # method, path, status, content type, x-go-pprof, start of the body: what Go's net/http/pprof
    # answers to the same requests.
    ROWS = (
        ("GET", "/debug/pprof/", 200, "text/html; charset=utf-8", None, b"<html>"),
        ("HEAD", "/debug/pprof/", 200, "text/html; charset=utf-8", None, b""),
        ("GET", "/debug/pprof/cmdline", 200, harness.PLAIN_TEXT, None, None),
        ("GET", "/debug/pprof/nosuch", 404, harness.PLAIN_TEXT, "1", b"Unknown profile\n"),
        ("GET", "/debug/pprof/nosuch?debug=1", 404, harness.PLAIN_TEXT, "1", b"Unknown profile\n"),
        ("GET", "/debug/pprof/heap/", 404, harness.PLAIN_TEXT, "1", b"Unknown profile\n"),
        ("GET", "/nosuch", 404, harness.PLAIN_TEXT, None, b"404 page not found\n"),
        ("GET", "/debug/nosuch", 404, harness.PLAIN_TEXT, None, b"404 page not found\n"),
    )

    def test_answers_are_what_go_answers(self):
        self.start_redis()
        for endpoint in self.endpoints:
            for method, path, status, content_type, go_pprof, body in self.ROWS:
                answer = fetch(endpoint, path, method)
                self.assertEqual(answer.status, status, path)
                self.assertEqual(answer.header("Content-Type"), content_type, path)
                self.assertEqual(answer.header("X-Content-Type-Options"), "nosniff", path)
                self.assertEqual(answer.header("X-Go-Pprof"), go_pprof, path)
                if body is not None:
                    self.assertEqual(answer.body[:len(body)], body, path)
                if status == 404:
                    self.assertEqual(answer.body, body, path)

    def test_the_index_without_its_slash_redirects(self):
        self.start_redis()
        answer = fetch(self.endpoints[0], "/debug/pprof")
        self.assertEqual(answer.status, 301)
        self.assertEqual(answer.header("Location"), "/debug/pprof/")
        self.assertEqual(answer.header("Content-Type"), "text/html; charset=utf-8")

    def test_the_index_has_rows_that_scrapers_read(self):
        self.start_redis()
        text = fetch(self.endpoints[0], "/debug/pprof/").text
        self.assertIn("<title>/debug/pprof/</title>", text)
        self.assertIn("<a href='cmdline?debug=1'>cmdline</a>", text)
        self.assertRegex(
            text, r"<tr><td>\d+</td><td><a href='[a-z]+\?debug=1'>[a-z]+</a></td></tr>")

    def test_cmdline_is_argv_joined_by_nul(self):
        program = self.start_redis()
        with open("/proc/%d/cmdline" % program.pid, "rb") as file:
            argv = file.read().rstrip(b"\0")
        for endpoint in self.endpoints:
            self.assertEqual(fetch(endpoint, "/debug/pprof/cmdline").body, argv)


class Metrics(RedisCase):
    PROCESS_NAMES = (
        "process_cpu_seconds_total", "process_open_fds", "process_max_fds",
        "process_virtual_memory_bytes", "process_virtual_memory_max_bytes",
        "process_resident_memory_bytes", "process_start_time_seconds",
        "process_network_receive_bytes_total", "process_network_transmit_bytes_total")

    def values(self, endpoint):
        values = {}
        for line in fetch(endpoint, "/metrics").text.splitlines():
            if not line.startswith("#"):
                name, value = line.rsplit(" ", 1)
                self.assertNotIn(name, values, "twice")
                values[name] = float(value)
        return values

    def test_the_process_set_is_complete_and_true(self):
        program = self.start_redis()
        values = self.values(self.endpoints[0])
        for name in self.PROCESS_NAMES:
            self.assertIn(name, values)
        self.assertEqual(values["process_open_fds"],
                         len(os.listdir("/proc/%d/fd" % program.pid)))
        with open("/proc/%d/limits" % program.pid, encoding="ascii") as file:
            limit = re.search(r"Max open files +(\d+)", file.read())[1]
        self.assertEqual(values["process_max_fds"], float(limit))
        self.assertLess(abs(values["process_start_time_seconds"] - time.time()), 100)
        self.assertFalse([name for name in values if name.startswith("go_")])

    def test_threads_of_the_host_are_counted_by_state(self):
        program = self.start_redis()
        values = self.values(self.endpoints[0])
        names = harness.task_names(program.pid)
        self.assertEqual(values["rthooks_sched_threads_threads"],
                         len([name for name in names if not name.startswith("rth-")]))
        self.assertEqual(values["rthooks_sched_threads_threads"], sum(
            values["rthooks_sched_threads_%s_threads" % state]
            for state in ("running", "runnable", "waiting", "blocked_io")))
        self.assertGreaterEqual(values["rthooks_rthooks_cpu_cpu_seconds_total"], 0)

    def test_openmetrics_is_given_when_asked_for(self):
        self.start_redis()
        for endpoint in self.endpoints:
            answer = fetch(endpoint, "/metrics", headers={
                "Accept": "application/openmetrics-text;version=1.0.0,text/plain;q=0.5"})
            self.assertEqual(answer.header("Content-Type"), harness.OPENMETRICS_TEXT)
            self.assertTrue(answer.body.endswith(b"\n# EOF\n"), answer.body[-80:])
            self.assertEqual(answer.body.count(b"# EOF"), 1)
            self.assertIn(b"# TYPE process_cpu_seconds counter\n", answer.body)
            plain = fetch(endpoint, "/metrics", headers={"Accept": "text/plain"})
            self.assertEqual(plain.header("Content-Type"), harness.PROMETHEUS_TEXT)
            self.assertNotIn(b"# EOF", plain.body)

    def test_promtool_finds_nothing_to_complain_about(self):
        promtool = harness.need("promtool")
        self.start_redis()
        for endpoint in self.endpoints:
            checked = subprocess.run([promtool, "check", "metrics"], stdout=subprocess.PIPE,
                                     input=fetch(endpoint, "/metrics").body,
                                     stderr=subprocess.STDOUT, check=False)
            self.assertEqual((checked.returncode, checked.stdout), (0, b""))

    def test_a_real_prometheus_scrapes_it(self):
        prometheus = harness.need("prometheus")
        program = self.start_redis()
        port = harness.free_port()
        config = self.write("prometheus.yml", """
global: {scrape_interval: 1s, scrape_timeout: 1s}
scrape_configs:
  - job_name: redis
    static_configs: [{targets: ["127.0.0.1:%d"]}]
""" % program.port)
        server = harness.Program(self, [
            prometheus, "--config.file=" + config, "--storage.tsdb.path=" + self.path("tsdb"),
            "--web.listen-address=127.0.0.1:%d" % port], hooked=False)

        def query(expression):
            answer = fetch(port, "/api/v1/query?query=" + expression)
            result = answer.json()["data"]["result"] if answer.status == 200 else []
            return float(result[0]["value"][1]) if result else None

        try:
            wait_until("up = 1", lambda: query("up") == 1, 45)
        except AssertionError as error:
            raise AssertionError("%s\n%s" % (error, server.stderr()[-1500:])) from None
        self.assertEqual(query("process_open_fds"), len(os.listdir("/proc/%d/fd" % program.pid)))
        self.assertEqual(query("count({__name__=~%22go_.*%22,job=%22redis%22})"), None)


class Life(RedisCase):
    def test_the_program_gets_one_line_from_us_and_no_more(self):
        program = self.start_redis()
        program.signal(signal.SIGTERM)
        program.wait()
        ours, rest = harness.split_start_line(program.stderr())
        self.assertEqual(len(ours), 1, ours)
        self.assertEqual(rest, b"")
        self.assertIn(b"127.0.0.1:%d" % program.port, ours[0])

    def test_sigterm_stops_it_as_bare(self):
        results = []
        for hooked in (False, True):
            program = harness.Program(self, self.redis_arguments(), hooked=hooked,
                                      port=harness.free_port() if hooked else None)
            self.wait_for_redis()
            if hooked:
                program.wait_for_admin()
            program.signal(signal.SIGTERM)
            status = program.wait(20)
            log = re.sub(rb"^\d+:(\w) .{24,26}? ([*#.-]) ", rb"\1 \2 ", program.stdout(),
                         flags=re.M)
            log = re.sub(rb"pid=\d+|\d+:signal-handler \(\d+\)", b"N", log)
            results.append((status, log))
        self.assertEqual(results[1], results[0])

    def test_the_socket_file_is_gone_after_exit(self):
        program = self.start_redis()
        self.assertEqual(self.sockets(), ["%d.sock" % program.pid])
        program.signal(signal.SIGTERM)
        program.wait(20)
        self.assertEqual(self.sockets(), [])

    def test_the_socket_file_of_a_killed_process_is_swept_by_the_next(self):
        program = self.start_redis()
        program.signal(signal.SIGKILL)
        program.wait(20)
        second = self.start_redis()
        wait_until("the sweep", lambda: self.sockets() == ["%d.sock" % second.pid])

    def test_bgsave_leaves_no_socket_file(self):
        program = self.start_redis()
        self.command("DEBUG", "POPULATE", "100000")
        for _ in range(3):
            wait_until("a BGSAVE",
                       lambda: self.command("BGSAVE") == b"+Background saving started")
            wait_until("the end of BGSAVE", lambda: not harness.children(program.pid))
            wait_until("no socket of the child",
                       lambda: self.sockets() == ["%d.sock" % program.pid])
            self.assertEqual(harness.member_pids(self.endpoints[0]), [program.pid])
        self.assertTrue(os.path.exists(self.path("data", "dump.rdb")))

    def test_daemonize_yes_is_answered_by_the_child(self):
        pidfile = self.path("redis.pid")
        program = self.start(self.redis_arguments("--daemonize", "yes", "--pidfile", pidfile))
        self.assertEqual(program.wait(20), 0)
        self.wait_for_redis()
        daemon = int(wait_until("the pid file", lambda: harness.read_text(pidfile)))
        self.assertNotEqual(daemon, program.pid)
        unix = self.path("run", "rthooks", "%d.sock" % daemon)
        for endpoint in (program.port, unix):
            wait_until("an answer at %s" % endpoint,
                       lambda e=endpoint: fetch(e, "/version").status == 200)
        self.assert_routes_answer((program.port, unix))
        self.assertEqual(harness.member_pids(program.port), [daemon])
        self.assertEqual(self.sockets(), ["%d.sock" % daemon])
        os.kill(daemon, signal.SIGTERM)
        wait_until("its end", lambda: not harness.alive(daemon))
        self.assertEqual(self.sockets(), [])

    def test_answers_come_while_redis_is_under_load(self):  # serial
        benchmark = harness.need("redis-benchmark")
        self.start_redis()
        load = harness.Program(self, [benchmark, "-p", str(self.redis_port), "-q", "-n", "300000",
                                      "-t", "set,get", "-r", "100000"], hooked=False)
        while load.process.poll() is None:
            self.assert_routes_answer(self.endpoints)
        self.assertEqual(load.process.returncode, 0)


if __name__ == "__main__":
    harness.main()
