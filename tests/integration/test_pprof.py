# SPDX-License-Identifier: MIT
"""The pprof routes, judged by what people use: go tool pprof, scrapers, and real servers."""
import collections
import os
import re
import shutil
import socket
import struct
import subprocess
import sys
import threading
import time

import harness
from harness import fetch, wait_until
from profile import Profile

PROFILE = "/debug/pprof/profile?seconds=%d"
GOROUTINE = "/debug/pprof/goroutine"

# Sends the same requests again and again over a connection and reads their answers; a server that
# closes gets a new connection.
LOAD = """
import socket, sys
port, expected = int(sys.argv[1]), int(sys.argv[2])
payload = sys.stdin.buffer.read()
while True:
    with socket.create_connection(("127.0.0.1", port)) as sock:
        closed = False
        while not closed:
            try:
                sock.sendall(payload)
                left = expected
                while left > 0 and not closed:
                    got = len(sock.recv(1 << 20))
                    left -= got
                    closed = got == 0
            except OSError:
                closed = True
"""


def read_profile(endpoint, path, timeout_s=60):
    answer = fetch(endpoint, path, timeout_s=timeout_s)
    if answer.status != 200:
        raise AssertionError("%s: %r" % (path, answer))
    return Profile(answer.body)


def build_id_of(path):
    """The build-id as binutils reads it, "" where there is none."""
    notes = subprocess.run([harness.need("readelf"), "-n", path], capture_output=True, text=True,
                           check=True).stdout
    found = re.search(r"Build ID: ([0-9a-f]+)", notes)
    return found[1] if found else ""


def executable_maps(pid):
    """{path without " (deleted)": [(start, limit, offset)]} of the executable mappings."""
    result = collections.defaultdict(list)
    for line in harness.read_text("/proc/%d/maps" % pid).splitlines():
        words = line.split(None, 5)
        if "x" in words[1] and len(words) == 6:
            start, limit = (int(part, 16) for part in words[0].split("-"))
            path = words[5][:-10] if words[5].endswith(" (deleted)") else words[5]
            result[path].append((start, limit, int(words[2], 16)))
    return result


def entry_of(pid):
    """Where the program begins, as the kernel told it."""
    with open("/proc/%d/auxv" % pid, "rb") as file:
        words = struct.iter_unpack("QQ", file.read())
    return dict(words)[9]  # AT_ENTRY


class PprofCase(harness.Case):
    def background(self, argv, stdin=b"", env=None):
        """An ordinary program that ends with the test."""
        with open(self.path("input.%d" % self.next_number()), "w+b") as file:
            file.write(stdin)
            file.seek(0)
            return harness.Program(self, argv, hooked=False, stdin=file, env=env)

    def start_burn(self, *arguments, program=None, launcher=(), options=(), env=None):
        burn = self.start([*launcher, program or harness.host("pprof_burn"), *arguments],
                          stdin=subprocess.PIPE, options=options, env=env)
        burn.wait_for_output(b"ready\n")
        burn.wait_for_admin()
        return burn

    def start_redis(self):
        server = harness.need("redis-server")
        port = harness.free_port()
        program = self.start([server, "--port", str(port), "--bind", "127.0.0.1", "--save", "",
                              "--dir", self.tmp])
        wait_until("redis", lambda: socket.create_connection(
            ("127.0.0.1", port), 5).close() is None)
        program.wait_for_admin()
        self.background([harness.need("redis-benchmark"), "-p", str(port), "-q", "-n", "1000000000",
                         "-t", "set,get", "-c", "20", "-P", "4"])
        return program

    def compile_burn(self, *options):
        """pprof_burn with debug information: (program, its build-id)."""
        compiler = shutil.which("cc") or harness.need("gcc")
        program = self.path("burn_with_lines")
        source = os.path.join(harness.HERE, "host", "pprof_burn.c")
        subprocess.run([compiler, "-g", "-D_GNU_SOURCE", "-Wl,--build-id", *options, "-o", program,
                        source, "-ldl"], check=True)
        return program

    def save(self, name, body):
        with open(self.path(name), "wb") as file:
            file.write(body)
        return self.path(name)

    def capture(self, program, name, path=PROFILE % 2):
        """(path of the saved profile, the profile)."""
        answer = fetch(program.port, path, timeout_s=60)
        self.assertEqual(answer.status, 200, answer)
        return self.save(name, answer.body), Profile(answer.body)


# ---- go tool pprof -----------------------------------------------------------------------------


class GoTool(PprofCase):
    def setUp(self):
        super().setUp()
        self.go = shutil.which("go", path=os.environ.get("PATH", "") + ":/usr/local/go/bin")
        if not self.go:
            harness.skip("go is not installed")

    def pprof(self, *arguments):
        """What go tool pprof prints."""
        environment = dict(os.environ, PPROF_TMPDIR=self.path("tmp"), GOFLAGS="", GOPROXY="off",
                           GOTOOLCHAIN="local")
        done = subprocess.run([self.go, "tool", "pprof", *arguments], env=environment, check=False,
                              capture_output=True, cwd=self.tmp, timeout=100)
        if done.returncode != 0:
            raise AssertionError("go tool pprof %s: %s" % (" ".join(arguments), done.stderr))
        return done.stdout

    def text(self, *arguments):
        return self.pprof(*arguments).decode()

    def proto(self, *arguments):
        output = self.path("proto.%d" % self.next_number())
        self.pprof("-proto", "-output", output, *arguments)
        with open(output, "rb") as file:
            return Profile(file.read())

    def top(self, *arguments):
        """{name: (flat, cum)} of -top as printed, in milliseconds or counts."""
        rows = {}
        text = self.text("-top", "-nodecount=0", "-nodefraction=0", *arguments)
        lines = text.split("flat%", 1)[1].splitlines()[1:]
        for line in lines:
            flat, _, _, cum, _, name = line.split(None, 5)
            rows[name] = (flat, cum)
        return rows, text

    def test_top_of_a_url_names_functions_of_redis_and_of_libc(self):  # timeout=240
        program = self.start_redis()
        rows, text = self.top("-seconds=4", "http://127.0.0.1:%d/debug/pprof/profile?hz=250"
                              % program.port)
        for name in ("aeMain", "processCommand", "readQueryFromClient", "main"):
            self.assertIn(name, rows, text)
        libc = {"read", "write", "epoll_wait", "__read", "__write", "__libc_start_main"}
        self.assertTrue(libc & set(rows), text)
        self.assertRegex(text, r"(?m)^Type: cpu$")
        self.assertIn("Build ID: " + build_id_of(harness.need("redis-server")), text)
        self.assertRegex(text, r"Duration: 4(\.\d+)?s, Total samples = ")

    def test_top_of_the_symbols_none_url_is_named_by_the_symbol_route(self):
        program = self.start_burn("plain")
        rows, text = self.top("-symbolize=remote", "http://127.0.0.1:%d%s&symbols=none" % (
            program.port, PROFILE % 2))
        self.assertTrue({"burn_leaf", "burn_outer", "main"} <= set(rows), text)

    def test_raw_and_comments_and_traces_show_what_the_profile_holds(self):
        program = self.start_burn("plain")
        path, profile = self.capture(program, "one")
        raw = self.text("-raw", "-symbolize=none", path)
        self.assertIn("PeriodType: cpu nanoseconds\nPeriod: 10000000\n", raw)
        self.assertIn("samples/count cpu/nanoseconds\n", raw)
        for mapping in profile.mappings.values():
            self.assertIn("%#x/%#x/%#x %s %s" % mapping[:5], raw)
        self.assertEqual(self.text("-comments", path).rstrip("\n").split("\n"), profile.comments)
        traces = self.text("-traces", "-symbolize=none", path)
        self.assertRegex(traces, r"\n +\d+ms +burn_leaf\n +burn_outer\n +main\n")

    def test_a_program_that_sleeps_gives_an_empty_profile_that_says_so(self):
        program = self.start(["sleep", "60"])
        program.wait_for_admin()
        text = self.text("-top", "http://127.0.0.1:%d%s" % (program.port, PROFILE % 1))
        self.assertRegex(text, r"Duration: 1(\.\d+)?s, Total samples = 0")
        self.assertIn("empty: no thread used a period of CPU time", text)

    def test_goroutines_of_a_url_are_named(self):
        program = self.start_redis()
        rows, text = self.top("http://127.0.0.1:%d%s" % (program.port, GOROUTINE))
        self.assertRegex(text, r"(?m)^Type: goroutine$")
        self.assertEqual(rows["bioProcessBackgroundJobs"][1], "3", text)

    def test_list_shows_the_lines_that_burn(self):
        program = self.start_burn("plain", program=self.compile_burn())
        for query, mode in (("&symbols=none", "local"), ("", "force")):
            path, _ = self.capture(program, "one", PROFILE % 2 + query)
            listing = self.text("-list=^burn_leaf$", "-symbolize=" + mode, path)
            self.assertIn("ROUTINE ======================== burn_leaf in ", listing)
            self.assertRegex(listing,
                             r"\dm?s +[0-9.]+m?s +\d+: +burn_sink = burn_sink \* 6364136223")

    def test_proto_keeps_every_sample(self):
        program = self.start_burn("plain")
        path, profile = self.capture(program, "one")
        copy = self.proto("-symbolize=none", path)
        self.assertEqual(copy.sample_types, profile.sample_types)
        for column in (0, 1):
            self.assertEqual(copy.total(column), profile.total(column))
        self.assertEqual(copy.flat(), profile.flat())
        self.assertEqual(copy.comments, profile.comments)
        self.assertEqual(sorted(copy.mappings.values()), sorted(profile.mappings.values()))

    def assert_difference(self, before, after):
        """Each a (path, profile): stacks of both are matched, whatever addresses they had."""
        (base, base_profile), (new, new_profile) = before, after
        for option in ("-base", "-diff_base"):
            merged = self.proto("-symbolize=none", option, base, new)
            self.assertEqual(merged.total(), new_profile.total() - base_profile.total(), option)
            for name in ("burn_leaf", "burn_outer", "main"):
                self.assertEqual(merged.cumulative(name), new_profile.cumulative(name)
                                 - base_profile.cumulative(name), (option, name))
            paths = [mapping.file for mapping in merged.mappings.values()]
            self.assertEqual(len(paths), len(set(paths)), merged.mappings)
            # The hottest place is one place: what cancels out is not listed twice.
            spots = [values for stack, _, values, _ in merged.samples if stack[0] == "burn_leaf"]
            separate = sum(len([1 for sample in profile.samples if sample.stack[0] == "burn_leaf"])
                           for profile in (base_profile, new_profile))
            if option == "-base":
                self.assertLess(len(spots), separate)
            self.text("-top", option, base, new)

    def test_base_of_two_captures_subtracts_like_stacks(self):
        program = self.start_burn("plain")
        self.assert_difference(self.capture(program, "one"),
                               self.capture(program, "two", PROFILE % 3))

    def test_base_of_two_runs_subtracts_like_stacks_at_other_addresses(self):
        captures, starts = [], set()
        for name in ("one", "two"):
            program = self.start_burn("plain")
            captures.append(self.capture(program, name))
            starts.add(captures[-1][1].mappings[1].start)
        self.assertEqual(len(starts), 2, "the program was loaded at one address twice")
        self.assert_difference(*captures)

    def test_tagfocus_selects_one_thread(self):
        program = self.start_redis()
        path, profile = self.capture(program, "threads", GOROUTINE)
        names = collections.Counter(sample.labels["thread"] for sample in profile.samples)
        self.assertEqual(names["bio_lazy_free"], 1, names)
        focused = self.proto("-tagfocus=thread=bio_lazy_free", path)
        self.assertEqual([sample.labels["thread"] for sample in focused.samples], ["bio_lazy_free"])
        self.assertEqual(focused.total(), 1)
        self.assertIn("bioProcessBackgroundJobs", focused.samples[0].stack)
        self.assertIn("bio_lazy_free", self.text("-tags", path))

    def resymbolized(self, *options):
        """symbols=none, named by pprof from the program with its debug information."""
        burn = self.compile_burn(*options)
        program = self.start_burn("plain", program=burn)
        path, bare = self.capture(program, "bare", PROFILE % 3 + "&symbols=none")
        self.assertEqual({name for sample in bare.samples for name in sample.stack}, {""})
        for mapping in bare.mappings.values():
            self.assertEqual(mapping[5:], (False, False, False, False))
        named = self.proto("-symbolize=local", path)
        mapping = named.mappings[1]
        self.assertEqual(mapping.file, burn)
        self.assertTrue(mapping.has_functions and mapping.has_filenames and mapping.has_lines)
        raw = self.text("-raw", "-symbolize=local", path)
        return program, bare, named, raw

    def assert_same_functions(self, *options):
        program, bare, named, raw = self.resymbolized(*options)
        addresses = sorted({address for name, address, mapping in bare.locations.values()
                            if mapping == 1})
        self.assertGreater(len(addresses), 3)
        body = "+".join("%#x" % address for address in addresses).encode()
        ours = dict(re.findall(r"^(0x[0-9a-f]+) (\S+)$", fetch(
            program.port, "/debug/pprof/symbol", "POST", body=body).text, re.M))
        theirs = {address: names[-1] for names, address, mapping in named.locations.values()
                  if mapping == 1 and names[-1]}  # none for _start, which has no lines
        start = named.mappings[1].start - bare.mappings[1].start
        theirs = {"%#x" % (address - start): name for address, name in theirs.items()}
        self.assertEqual(theirs, {address: ours[address] for address in theirs})
        self.assertTrue({"burn_leaf", "burn_outer", "main"} <= set(theirs.values()), theirs)
        self.assertTrue({"burn_leaf", "burn_outer", "main", "_start"} <= set(ours.values()), ours)
        self.assertRegex(raw, r"burn_leaf \S*pprof_burn\.c:\d+")

    def test_local_names_of_bare_addresses_are_ours_plus_lines(self):
        self.assert_same_functions("-pie", "-fPIE")

    def test_local_names_in_a_program_at_a_fixed_address_are_ours_plus_lines(self):
        self.assert_same_functions("-no-pie", "-fno-pie")


# ---- stacks reach the thread's root ------------------------------------------------------------


class Roots(PprofCase):
    """Programs as distributions build them, most without frame pointers and symbols."""

    def load(self, port, request, answer_bytes, repeats=50):
        self.background([sys.executable, "-B", "-c", LOAD, str(port), str(answer_bytes * repeats)],
                        request * repeats)

    @staticmethod
    def place_of(profile, address):
        for mapping in profile.mappings.values():
            if mapping.start <= address < mapping.limit:
                return "%s+%#x" % (mapping.file, address - mapping.start + mapping.offset)
        return "%#x" % address

    def assert_complete(self, endpoint, pid=None, stacks=300):
        """At least 3 s at 250 Hz and so many stacks; returns the last profile."""
        query = "&hz=250" + ("&pid=%d" % pid if pid else "")
        entry = entry_of(pid or self.programs[0].pid)
        ends, outermost, total = collections.Counter(), collections.Counter(), 0
        at_entry = 0
        for _ in range(6):
            profile = read_profile(endpoint, PROFILE % 4 + query)
            for comment in profile.comments:
                found = re.fullmatch(r"stacks that ended at (.*): (\d+)", comment)
                if found:
                    ends[found[1]] += int(found[2])
            for sample in profile.samples:
                if sample.addresses and 0 <= sample.addresses[-1] - entry < 64:
                    at_entry += sample.values[0]
                    continue
                place = self.place_of(profile, sample.addresses[-1]) if sample.addresses else "-"
                outermost[place, sample.stack[-1] if sample.stack else ""] += sample.values[0]
            total = sum(ends.values())
            if total >= stacks:
                break
        self.assertGreaterEqual(total, stacks, "too little load")
        share = ends["root"] / total
        print("%d stacks, %.2f %% to the root: %s" % (total, 100 * share, dict(ends)))
        self.assertGreaterEqual(share, 0.99, "%s\n%s" % (ends, outermost.most_common(20)))
        # By the stacks themselves: all start where the program does, or where the C library's
        # threads do, which is one place.
        threads = sum(count for (place, _), count in outermost.items() if "/libc.so.6+" in place)
        places = {place for place, _ in outermost if "/libc.so.6+" in place}
        self.assertLessEqual(len(places), 1, outermost)
        self.assertGreaterEqual((at_entry + threads) / (at_entry + sum(outermost.values())), 0.99,
                                outermost)
        return profile

    def test_redis(self):  # serial timeout=240
        profile = self.assert_complete(self.start_redis().port)
        self.assertGreater(profile.cumulative("main"), 0)

    def start_memcached(self):
        port = harness.free_port()
        user = ["-u", "www-data"] if os.geteuid() == 0 else []
        program = self.start([harness.need("memcached"), "-l", "127.0.0.1", "-p", str(port), "-U",
                              "0", "-t", "2", *user], rthooks=self.public_rthooks())
        wait_until("memcached", lambda: socket.create_connection(
            ("127.0.0.1", port), 5).close() is None)
        program.wait_for_admin(unix=False)
        with socket.create_connection(("127.0.0.1", port), 5) as sock:
            sock.sendall(b"set key 0 0 100\r\n" + b"v" * 100 + b"\r\n")
            self.assertEqual(sock.recv(100), b"STORED\r\n")
        self.load(port, b"get key\r\n", len(b"VALUE key 0 100\r\n\r\nEND\r\n") + 100)
        return program

    def test_memcached_which_is_stripped_shows_its_build_id_and_offsets(self):  # serial timeout=240
        program = self.start_memcached()
        profile = self.assert_complete(program.port)
        path = os.path.realpath(harness.need("memcached"))
        mapping = profile.mappings[1]
        self.assertEqual((mapping.file, mapping.build_id), (path, build_id_of(path)))
        if "no symbols" in subprocess.run([harness.need("nm"), path], capture_output=True,
                                          text=True, check=False).stderr:
            self.assertFalse(mapping.has_functions)
        inside = [(names, address) for names, address, number in profile.locations.values()
                  if number == 1]
        self.assertGreater(len(inside), 3)
        for _, address in inside:
            self.assertTrue(mapping.start <= address < mapping.limit)

    def test_a_worker_of_nginx(self):  # serial timeout=240
        nginx = harness.need("nginx")
        port = harness.free_port()
        for name in ("body", "proxy", "fastcgi", "uwsgi", "scgi"):
            os.mkdir(self.path(name))
        config = self.write("nginx.conf", """
daemon off; worker_processes 1; %s pid %s; error_log %s notice;
events { worker_connections 64; }
http {
  access_log off; client_body_temp_path body; proxy_temp_path proxy; fastcgi_temp_path fastcgi;
  uwsgi_temp_path uwsgi; scgi_temp_path scgi; keepalive_requests 1000000; root %s;
  server { listen 127.0.0.1:%d; location / { gzip on; gzip_types text/plain; } }
}
""" % ("user www-data;" if os.geteuid() == 0 else "", self.path("nginx.pid"),
       self.path("error.log"), self.tmp, port))
        self.write("page.txt", "some words, again and again. " * 200)
        program = self.start([nginx, "-p", self.tmp, "-e", self.path("error.log"), "-c", config],
                             rthooks=self.public_rthooks())
        request = harness.request_bytes("/page.txt", keep=True, headers={"Accept-Encoding": "gzip"})
        wait_until("nginx", lambda: fetch(port, "/page.txt").status == 200)
        program.wait_for_admin(unix=False)
        with harness.Connection(port) as connection:
            connection.send(request)
            answer = connection.response()
        self.assertEqual(answer.status, 200)
        worker = wait_until("the worker", lambda: harness.children(program.pid))[0]
        wait_until("its answer", lambda: fetch(
            program.port, "/debug/pprof/cmdline?pid=%d" % worker).status == 200)
        self.load(port, request, 100, repeats=20)
        profile = self.assert_complete(program.port, worker)
        self.assertGreater(len(profile.mappings), 2)

    def test_python_in_a_pure_loop_and_in_json(self):  # serial timeout=240
        python = os.path.realpath(sys.executable)
        script = self.write("loop.py", """
import json
def fib(n):
    return n if n < 2 else fib(n - 1) + fib(n - 2)
data = {"list": list(range(500)), "text": "word " * 200, "nested": [{"a": 1.5}] * 100}
print("ready", flush=True)
while True:
    fib(15)
    json.loads(json.dumps(data))
    json.dumps(data, indent=1)
""")
        program = self.start([python, "-B", script])
        program.wait_for_output(b"ready")
        program.wait_for_admin()
        self.assert_complete(program.port)

    def test_a_backend_of_postgresql(self):  # serial timeout=300
        folder = "/usr/lib/postgresql"
        versions = sorted(os.listdir(folder), key=float) if os.path.isdir(folder) else []
        if not versions:
            harness.skip("PostgreSQL is not installed")
        tools = os.path.join(folder, versions[-1], "bin")
        data, sockets, launcher = self.path("data"), self.path("pg"), []
        os.mkdir(data, 0o700)
        os.mkdir(sockets)
        if os.geteuid() == 0:
            uid, gid = harness.user_ids("postgres")
            launcher = [harness.need("setpriv"), "--reuid=postgres", "--regid=postgres",
                        "--init-groups"]
            os.chown(data, uid, gid)
            os.chown(sockets, uid, gid)
        made = self.run_to_end(launcher + [
            os.path.join(tools, "initdb"), "-D", data, "--no-sync", "-A", "trust", "-U", "postgres",
            "--no-instructions"], hooked=False)
        self.assertEqual(made.status, 0, made)
        program = self.start([os.path.join(tools, "postgres"), "-D", data, "-k", sockets, "-c",
                              "listen_addresses=", "-c", "fsync=off"],
                             rthooks=self.public_rthooks(), launcher=launcher)
        common = ["-h", sockets, "-U", "postgres"]

        def query(sql):
            return subprocess.run([os.path.join(tools, "psql"), *common, "-XAtqc", sql, "postgres"],
                                  env=self.environment, capture_output=True, text=True,
                                  check=False).stdout.strip()

        wait_until("PostgreSQL", lambda: query("select 1") == "1")
        program.wait_for_admin(unix=False)
        pgbench = os.path.join(tools, "pgbench")
        made = self.run_to_end([pgbench, "-i", "-q", "-s", "1", *common, "postgres"], hooked=False)
        self.assertEqual(made.status, 0, made)
        self.background([pgbench, "-n", "-c", "1", "-T", "200", *common, "postgres"])

        def backend_that_answers():
            # pgbench looks around with a first connection that ends before the load begins.
            pid = query("select pid from pg_stat_activity where application_name = 'pgbench' "
                        "and state <> 'idle' limit 1")
            answer = pid and fetch(program.port, "/debug/pprof/cmdline?pid=" + pid)
            return int(pid) if answer and answer.status == 200 else None

        backend = wait_until("a backend that answers", backend_that_answers)
        profile = self.assert_complete(program.port, backend)
        self.assertGreater(profile.cumulative("PostgresMain"), 0)


# ---- HTTP --------------------------------------------------------------------------------------


class Http(PprofCase):
    def rows(self):
        with open(os.path.join(harness.HERE, "pprof_http.tsv"), encoding="utf-8") as file:
            lines = [line.rstrip("\n") for line in file if not line.startswith("#")]
        names = lines[0].split("\t")
        return [dict(zip(names, line.split("\t"), strict=True)) for line in lines[1:]]

    def assert_body(self, program, row, body):
        expected = row["first line"]
        if row["method"] == "HEAD":
            self.assertEqual((expected, body), ("", b""), row)
        elif expected == "(gzip)":
            Profile(body)
            self.assertEqual(body[:2], b"\x1f\x8b", row)
        elif expected == "(argv)":
            with open("/proc/%d/cmdline" % program.pid, "rb") as file:
                self.assertEqual(body, file.read().rstrip(b"\0"), row)
        else:
            line = body.decode().split("\n")[0]
            pattern = re.escape(expected.rstrip("…")).replace("N", r"\d+")
            pattern += ".*" if expected.endswith("…") else ""
            self.assertRegex(line, r"\A%s\Z" % pattern, row)

    def test_every_row_of_the_table_holds(self):
        program = self.start_burn("plain")
        rows = self.rows()
        self.assertGreater(len(rows), 25)
        for endpoint in (program.port, program.unix):
            for row in rows:
                answer = fetch(endpoint, row["path"], row["method"],
                               body=b"0x400000" if row["method"] == "POST" else None)
                self.assertEqual(answer.status, int(row["status"]), row)
                for name in ("content-type", "content-disposition", "x-content-type-options",
                             "x-go-pprof", "content-encoding"):
                    self.assertEqual(answer.header(name) or "", row[name], (name, row))
                self.assert_body(program, row, answer.body)

    def test_other_methods_are_refused_with_those_that_work(self):
        program = self.start_burn("plain")
        for path in ("/debug/pprof/", PROFILE % 1, GOROUTINE, "/debug/pprof/threads",
                     "/debug/pprof/cmdline", "/debug/pprof/symbol"):
            allowed = {"GET", "HEAD"} | ({"POST"} if path.endswith("symbol") else set())
            for method in ("POST", "PUT", "DELETE", "PATCH", "OPTIONS"):
                if method in allowed:
                    continue
                answer = fetch(program.port, path, method, body=b"")
                self.assertEqual(answer.status, 405, (method, path))
                offered = set(answer.header("Allow").split(", "))
                self.assertNotIn(method, offered, path)
                self.assertTrue({"GET", "HEAD"} <= offered, path)

    def test_the_index_has_gos_rows_with_counts(self):
        program = self.start_redis()
        text = fetch(program.port, "/debug/pprof/").text
        rows = re.findall(
            r"^<tr><td>(\d+)</td><td><a href='(\w+)\?debug=1'>(\w+)</a></td></tr>$", text, re.M)
        self.assertEqual(len(rows), text.count("<tr>"))
        counts = {}
        for count, link, name in rows:
            self.assertEqual(link, name)
            counts[name] = int(count)
        self.assertEqual(list(counts), sorted(counts))
        threads = [name for name in harness.task_names(program.pid)
                   if not name.startswith("rth-")]
        self.assertEqual(counts["goroutine"], len(threads))
        self.assertEqual(counts["threads"], len(threads))
        self.assertEqual(counts["profile"], 0)
        self.assertEqual(counts["cmdline"], 0)
        described = re.findall(r"<li><div class=profile-name>(\w+): </div> \S", text)
        self.assertEqual(described, list(counts))
        # Links as a scraper follows them.
        total = fetch(program.port, "/debug/pprof/goroutine?debug=1").text.split("\n")[0]
        self.assertEqual(total, "goroutine profile: total %d" % len(threads))


# ---- mappings ----------------------------------------------------------------------------------


class Mappings(PprofCase):
    def assert_exact(self, program, profile, main):
        maps = executable_maps(program.pid)
        self.assertEqual(profile.mappings[1].file, main)
        self.assertGreater(len(profile.mappings), 1)
        for mapping in profile.mappings.values():
            # One line of the kernel's, or several of one file that continue each other.
            lines = [line for line in maps[mapping.file]
                     if line[0] - line[2] == mapping.start - mapping.offset]
            self.assertEqual((mapping.start, mapping.limit), (lines[0][0], lines[-1][1]), mapping)
            if mapping.file != "[vdso]" and os.path.exists(mapping.file):
                self.assertEqual(mapping.build_id, build_id_of(mapping.file))
        self.assert_truthful(profile)

    def assert_truthful(self, profile):
        for number, mapping in profile.mappings.items():
            names = [names for names, _, at in profile.locations.values()
                     if at and profile.mappings[at].file == mapping.file]
            self.assertEqual(mapping.has_functions,
                             bool(names) and all(name != [""] for name in names), mapping)
            self.assertEqual(mapping[6:], (False, False, False), mapping)
        for names, address, number in profile.locations.values():
            mapping = profile.mappings.get(number)
            if mapping:
                self.assertTrue(mapping.start <= address < mapping.limit, (names, mapping))

    def assert_burns(self, profile):
        self.assertGreater(profile.cumulative("burn_outer"), 0.5 * profile.total())
        self.assertTrue(profile.mappings[1].has_functions)

    def test_they_equal_those_of_the_kernel(self):
        program = self.start_burn("plain")
        for path in (PROFILE % 2, GOROUTINE):
            profile = read_profile(program.port, path)
            self.assert_exact(program, profile, harness.host("pprof_burn"))
        self.assert_burns(read_profile(program.port, PROFILE % 2))

    def test_code_in_several_mappings_is_covered(self):
        program = self.start_burn("split")
        maps = executable_maps(program.pid)[harness.host("pprof_burn")]
        self.assertGreater(len(maps), 1)
        profile = read_profile(program.port, PROFILE % 2)
        self.assert_exact(program, profile, harness.host("pprof_burn"))
        places = {names[0]: next(line for line in maps if line[0] <= address < line[1])
                  for names, address, number in profile.locations.values() if number == 1}
        self.assertNotEqual(places["burn_split"], places["burn_leaf"])
        self.assertGreater(profile.cumulative("burn_split"), 0.5 * profile.total())
        self.assertTrue(profile.mappings[1].has_functions)

    def test_of_node(self):
        node = os.path.realpath(harness.need("node"))
        program = self.start([node, "-e", "function f(n) { return n < 2 ? n : f(n - 1) + f(n - 2) }"
                              "; console.log('ready'); for (;;) { f(20); JSON.parse("
                              "JSON.stringify({a: ['x'.repeat(1000), {b: 1.5}]})) }"])
        program.wait_for_output(b"ready")
        program.wait_for_admin()
        profile = read_profile(program.port, PROFILE % 2)
        self.assert_exact(program, profile, node)
        self.assertGreater(profile.cumulative("_start"), 0)

    def test_of_redis(self):
        program = self.start_redis()
        for path in (PROFILE % 2, GOROUTINE):
            self.assert_exact(program, read_profile(program.port, path),
                              os.path.realpath(harness.need("redis-server")))

    def test_a_program_without_symbols_has_no_functions(self):
        stripped = self.path("stripped")
        subprocess.run([harness.need("strip"), "-o", stripped, harness.host("pprof_burn")],
                       check=True)
        program = self.start_burn("plain", program=stripped)
        profile = read_profile(program.port, PROFILE % 2)
        self.assert_exact(program, profile, stripped)
        self.assertFalse(profile.mappings[1].has_functions)
        self.assertGreater(profile.flat()[""], 0.5 * profile.total())

    def test_a_program_started_through_the_loader_is_the_first(self):
        loader = "/lib64/ld-linux-x86-64.so.2"
        if not os.path.exists(loader):
            harness.skip("no " + loader)
        program = self.start_burn("plain", launcher=[loader])
        self.assertEqual(os.readlink("/proc/%d/exe" % program.pid), os.path.realpath(loader))
        profile = read_profile(program.port, PROFILE % 2)
        self.assert_exact(program, profile, harness.host("pprof_burn"))
        self.assert_burns(profile)

    def test_a_program_deleted_while_it_runs_keeps_its_facts(self):
        copy = self.path("burn_copy")
        shutil.copy(harness.host("pprof_burn"), copy)
        program = self.start_burn("plain", program=copy)
        os.unlink(copy)
        profile = read_profile(program.port, PROFILE % 2)
        self.assert_exact(program, profile, copy)
        self.assertEqual(profile.mappings[1].build_id, build_id_of(harness.host("pprof_burn")))
        self.assert_burns(profile)

    def test_a_program_replaced_while_it_runs_is_not_taken_for_the_new_one(self):
        copy = self.path("burn_copy")
        shutil.copy(harness.host("pprof_burn"), copy)
        program = self.start_burn("plain", program=copy)
        os.unlink(copy)
        shutil.copy(harness.host("burn_shares"), copy)
        profile = read_profile(program.port, PROFILE % 2)
        self.assertEqual(profile.mappings[1].build_id, build_id_of(harness.host("pprof_burn")))
        names = {name for sample in profile.samples for name in sample.stack}
        self.assertFalse({"burn_three", "burn_two", "burn_one"} & names, names)
        self.assert_truthful(profile)

    def test_a_library_unloaded_before_the_end_keeps_name_and_symbols(self):
        library = harness.host("module_burn.so")
        program = self.start_burn("module", library)
        maps = executable_maps(program.pid)[library]
        result = {}

        def run():
            result["profile"] = read_profile(program.port, PROFILE % 4)

        client = threading.Thread(target=run)
        client.start()
        time.sleep(2)
        program.process.stdin.write(b"close\n")
        program.process.stdin.flush()
        program.wait_for_output(b"closed\n")
        self.assertNotIn(library, executable_maps(program.pid))
        client.join()
        profile = result["profile"]
        mapping = next(found for found in profile.mappings.values() if found.file == library)
        self.assertIn((mapping.start, mapping.limit, mapping.offset), maps)
        self.assertEqual(mapping.build_id, build_id_of(library))
        self.assertTrue(mapping.has_functions)
        for name in ("burn_in_module", "static_in_module", "burn_outer"):
            self.assertGreater(profile.cumulative(name), 0.05 * profile.total(), name)
        self.assert_truthful(profile)


# ---- many at once, again and again -------------------------------------------------------------


class Load(PprofCase):
    def captures(self, endpoint, count, seconds):
        """[(answer, how long it took in seconds)] of so many captures at once."""
        results = []

        def run():
            start = time.monotonic()
            answer = fetch(endpoint, PROFILE % seconds, timeout_s=60)
            results.append((answer, time.monotonic() - start))

        clients = [threading.Thread(target=run) for _ in range(count)]
        for client in clients:
            client.start()
        for client in clients:
            client.join()
        self.assertEqual(len(results), count)
        return results

    def test_twenty_captures_at_once_all_succeed(self):
        program = self.start_burn("plain")
        for answer, took_s in self.captures(program.port, 20, 2):
            self.assertEqual(answer.status, 200, answer)
            profile = Profile(answer.body)
            self.assertGreaterEqual(profile.duration_ns, 2e9)
            self.assertLessEqual(profile.duration_ns, took_s * 1e9)
            self.assertGreater(profile.cumulative("burn_outer"), 0)

    def test_the_surplus_of_sixty_five_is_told_so(self):
        program = self.start_burn("plain")
        answers = [answer for answer, _ in self.captures(program.port, 65, 3)]
        statuses = collections.Counter(answer.status for answer in answers)
        self.assertEqual(statuses, {200: 64, 503: 1})
        refused = next(answer for answer in answers if answer.status == 503)
        self.assertEqual(refused.text,
                         "Could not enable CPU profiling: too many captures run\n")
        self.assertEqual(refused.header("X-Go-Pprof"), "1")
        # The next one finds room again.
        self.assertEqual(fetch(program.port, PROFILE % 1).status, 200)

    def memory_kib(self, program, field):
        return int(harness.status_field(program.pid, program.pid, field)[0])

    def cycles(self, program, goroutines, profiles):
        for _ in range(profiles):
            read_profile(program.port, PROFILE % 1)
            for _ in range(goroutines // profiles):
                read_profile(program.port, GOROUTINE)

    def test_descriptors_and_memory_stay_flat(self):  # timeout=180
        program = self.start_burn("plain")
        self.cycles(program, 12, 2)
        folder = "/proc/%d/fd" % program.pid
        descriptors, memory = len(os.listdir(folder)), self.memory_kib(program, "VmRSS")
        self.cycles(program, 60, 10)
        self.assertEqual(len(os.listdir(folder)), descriptors)
        grown = self.memory_kib(program, "VmRSS") - memory
        print("grown by %d KiB" % grown)
        self.assertLess(grown, 1024)

    def test_no_answer_needs_much_memory(self):
        python = os.path.realpath(sys.executable)
        program = self.start([python, "-B", "-c", "import json\nprint('ready', flush=True)\n"
                              "while True: json.loads(json.dumps(list(range(100))))"])
        program.wait_for_output(b"ready")
        program.wait_for_admin()
        for path in (GOROUTINE, PROFILE % 2, GOROUTINE + "?debug=2", GOROUTINE + "?debug=1",
                     PROFILE % 2, "/debug/pprof/"):
            before = self.memory_kib(program, "VmRSS")
            with open("/proc/%d/clear_refs" % program.pid, "w", encoding="ascii") as file:
                file.write("5")  # the peak starts anew
            self.assertEqual(fetch(program.port, path, timeout_s=30).status, 200)
            grown = self.memory_kib(program, "VmHWM") - before
            print("%s: %d KiB" % (path, grown))
            self.assertLess(grown, 8 * 1024, path)


# ---- children ----------------------------------------------------------------------------------


class Children(PprofCase):
    def test_parent_and_adopted_child_are_profiled_apart(self):
        program = self.start_burn("fork")
        child = int(re.search(rb"child (\d+)", program.stdout())[1])
        wait_until("adoption", lambda: fetch(
            program.port, "/debug/pprof/cmdline?pid=%d" % child).status == 200)
        results = {}

        def run(name, query):
            results[name] = read_profile(program.port, PROFILE % 3 + query)

        clients = [threading.Thread(target=run, args=pair) for pair in (
            ("child", "&pid=%d" % child), ("parent", ""), ("parent by pid",
                                                            "&pid=%d" % program.pid))]
        for client in clients:
            client.start()
        for client in clients:
            client.join()
        self.assertGreater(results["child"].cumulative("burn_child"),
                           0.9 * results["child"].total())
        for name in ("parent", "parent by pid"):
            self.assertEqual(results[name].cumulative("burn_child"), 0)
            self.assertGreater(results[name].cumulative("burn_outer"),
                               0.5 * results[name].total())
        for profile in results.values():
            self.assertGreater(profile.total(), 0)
            self.assertGreater(profile.complete_share(), 0.99, profile.comments)

        def answered():  # it spins: on a busy machine it may not get a CPU in time to answer
            profile = read_profile(program.port, GOROUTINE + "?pid=%d" % child)
            return profile if profile.total() == 1 else None

        stacks = wait_until("the stack of the child", answered)
        self.assertIn("burn_child", stacks.samples[0].stack)


if __name__ == "__main__":
    harness.main()
