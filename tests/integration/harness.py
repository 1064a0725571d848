# SPDX-License-Identifier: MIT
"""What every integration test stands on: hooked programs, a raw HTTP client, clean-up.

A test sees the product only from outside: `rthooks run -- PROGRAM`, the endpoints, /proc, exit
statuses. Every process that a test starts, daemons included, stays a descendant of the test
(it is a child subreaper) and is ended by its pid when the test ends, whatever happened.
"""
import contextlib
import ctypes
import glob
import json
import os
import pwd
import re
import shutil
import signal
import socket
import stat
import struct
import subprocess
import sys
import tempfile
import time
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
SOURCE = os.environ.get("RTHOOKS_SOURCE_DIR", os.path.dirname(os.path.dirname(HERE)))
BUILD = os.environ.get("RTHOOKS_BUILD_DIR", os.path.join(SOURCE, "build"))
HOSTS = os.path.join(BUILD, "tests", "integration", "host")
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

PROMETHEUS_TEXT = "text/plain; version=0.0.4; charset=utf-8"
OPENMETRICS_TEXT = "application/openmetrics-text; version=1.0.0; charset=utf-8"
PLAIN_TEXT = "text/plain; charset=utf-8"

# Every route that answers 200 to a plain GET.
ROUTES = (
    "/version",
    "/metrics",
    "/livez",
    "/readyz",
    "/startupz",
    "/healthz",
    "/debug/runtime/status",
    "/debug/runtime/config",
    "/debug/runtime/threads",
    "/debug/processes",
    "/debug/pprof/",
    "/debug/pprof/cmdline",
    "/debug/pprof/symbol",
    "/debug/pprof/profile?seconds=1",
    "/debug/pprof/goroutine",
    "/debug/pprof/threads?debug=2",
)
JSON_ROUTES = ("/version", "/debug/runtime/status", "/debug/runtime/config",
               "/debug/runtime/threads", "/debug/processes")

PR_SET_CHILD_SUBREAPER = 36


def skip(reason):
    """Leaves the test; CTest reads the line."""
    print("skipped: " + reason, flush=True)
    raise unittest.SkipTest(reason)


def need(program):
    """Path of a real program, or a skip."""
    path = shutil.which(program, path=PATH)
    if not path:
        skip(program + " is not installed")
    return path


def need_root(why):
    if os.geteuid() != 0:
        skip("needs root: " + why)


def user_ids(name):
    try:
        entry = pwd.getpwnam(name)
    except KeyError:
        skip("no user " + name)
    return entry.pw_uid, entry.pw_gid


def host(name):
    """Path of a program of host/."""
    path = os.path.join(HOSTS, name)
    if not os.path.exists(path):
        raise AssertionError(path + " is not built")
    return path


def wait_until(what, condition, timeout_s=20.0, every_s=0.05):
    """Waits for a true value and returns it. condition may raise OSError meanwhile."""
    deadline = time.monotonic() + timeout_s
    last = None
    while True:
        try:
            last = condition()
            if last:
                return last
        except OSError as error:
            last = error
        if time.monotonic() > deadline:
            raise AssertionError("waited %g s for %s; last: %r" % (timeout_s, what, last))
        time.sleep(every_s)


def read_text(path):
    with open(path, encoding="utf-8", errors="replace") as file:
        return file.read().strip()


_given_ports = set()


def free_port():
    """A port that nobody listens on now, outside of the range the kernel hands out by itself."""
    while True:
        port = 20000 + int.from_bytes(os.urandom(2), "little") % 12000
        if port in _given_ports:
            continue
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        _given_ports.add(port)
        return port


# ---- processes ---------------------------------------------------------------------------------


def process_stat(pid):
    """(state, parent) of a process, None when there is none."""
    try:
        with open("/proc/%d/stat" % pid, "rb") as file:
            fields = file.read().rsplit(b")", 1)[1].split()
    except OSError:
        return None
    return fields[0].decode(), int(fields[1])


def alive(pid):
    found = process_stat(pid)
    return found is not None and found[0] not in "ZX"


def descendants(root):
    """Pids below root, zombies left out."""
    parents = {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            found = process_stat(int(name))
            if found:
                parents[int(name)] = found
    result = []
    for pid, (state, _) in parents.items():
        above = pid
        while above in parents and above != root:
            above = parents[above][1]
        if above == root and pid != root and state not in "ZX":
            result.append(pid)
    return result


def children(pid):
    return [child for child in descendants(pid) if process_stat(child)[1] == pid]


def status_field(pid, tid, field):
    with open("/proc/%d/task/%d/status" % (pid, tid), encoding="ascii", errors="replace") as file:
        for line in file:
            if line.startswith(field + ":"):
                return line.split(":", 1)[1].split()
    raise AssertionError("no %s in the status of %d/%d" % (field, pid, tid))


def tasks(pid):
    return [int(tid) for tid in os.listdir("/proc/%d/task" % pid)]


def task_names(pid):
    names = []
    for tid in tasks(pid):
        with contextlib.suppress(OSError), open("/proc/%d/task/%d/comm" % (pid, tid)) as file:
            names.append(file.read().strip())
    return names


def task_ids(pid):
    """{tid: (four uids, four gids)} of every task."""
    result = {}
    for tid in tasks(pid):
        with contextlib.suppress(OSError):
            result[tid] = (status_field(pid, tid, "Uid"), status_field(pid, tid, "Gid"))
    return result


# ---- HTTP --------------------------------------------------------------------------------------


class Response:
    def __init__(self, status, reason, headers, body):
        self.status = status
        self.reason = reason
        self.headers = headers
        self.body = body

    def header(self, name):
        values = [value for key, value in self.headers if key.lower() == name.lower()]
        if len(values) > 1:
            raise AssertionError("header %s came %d times" % (name, len(values)))
        return values[0] if values else None

    @property
    def text(self):
        return self.body.decode("utf-8")

    def json(self):
        return json.loads(self.text)

    def __repr__(self):
        return "<%d %s %r>" % (self.status, self.headers, self.body[:200])


def connect(endpoint, timeout_s=15.0):
    """endpoint: a port of 127.0.0.1, an (address, port), or the path of a Unix socket."""
    if isinstance(endpoint, str):
        sock = socket.socket(socket.AF_UNIX)
        address = endpoint
    else:
        address = ("127.0.0.1", endpoint) if isinstance(endpoint, int) else endpoint
        sock = socket.socket(socket.AF_INET6 if ":" in address[0] else socket.AF_INET)
    try:
        # A blocking connect, with the kernel's own timeout: a Unix socket whose queue is full
        # refuses what does not block.
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO,
                        struct.pack("ll", int(timeout_s) + 1, 0))
        sock.connect(address)
        sock.settimeout(timeout_s)
    except BaseException:
        sock.close()
        raise
    return sock


class Connection:
    """A connection that reads answers one by one and keeps what it read ahead."""

    def __init__(self, endpoint, timeout_s=15.0):
        self.sock = connect(endpoint, timeout_s)
        self.ahead = b""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.sock.close()

    def send(self, data):
        """Sends all; a peer that answers and closes early is no error here."""
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            self.sock.sendall(data)

    def _more(self):
        data = self.sock.recv(65536)
        if not data:
            raise EOFError("closed after %r" % self.ahead[:200])
        self.ahead += data

    def _line(self):
        while b"\r\n" not in self.ahead:
            self._more()
        line, self.ahead = self.ahead.split(b"\r\n", 1)
        return line

    def _take(self, size):
        while len(self.ahead) < size:
            self._more()
        data, self.ahead = self.ahead[:size], self.ahead[size:]
        return data

    def response(self, method="GET"):
        """Reads one answer; EOFError when the connection ends instead."""
        version, status, reason = (self._line().decode("ascii") + " ").split(" ", 2)
        if version not in ("HTTP/1.1", "HTTP/1.0") or not re.fullmatch("[1-5][0-9][0-9]", status):
            raise AssertionError("not a status line: %r" % version)
        headers = []
        while True:
            line = self._line().decode("latin-1")
            if not line:
                break
            name, colon, value = line.partition(":")
            if not colon or name != name.strip():
                raise AssertionError("not a header: %r" % line)
            headers.append((name, value.strip()))
        answer = Response(int(status), reason.strip(), headers, b"")
        if method == "HEAD" or answer.status in (204, 304):
            return answer
        if answer.header("Transfer-Encoding") == "chunked":
            while True:
                size = int(self._line(), 16)
                answer.body += self._take(size)
                if self._line() != b"":
                    raise AssertionError("chunk without its end")
                if size == 0:
                    return answer
        length = answer.header("Content-Length")
        if length is not None:
            answer.body = self._take(int(length))
        else:
            with contextlib.suppress(EOFError):
                while True:
                    self._more()
            answer.body, self.ahead = self.ahead, b""
        return answer

    def closed(self):
        """True when nothing more comes and the peer has closed (or reset)."""
        try:
            return self.ahead == b"" and self.sock.recv(1) == b""
        except ConnectionResetError:
            return True


def request_bytes(path, method="GET", headers=(), body=None, host_header="localhost", keep=False):
    lines = ["%s %s HTTP/1.1" % (method, path)]
    if host_header is not None:
        lines.append("Host: " + host_header)
    lines += ["%s: %s" % pair for pair in dict(headers).items()]
    if body is not None:
        lines.append("Content-Length: %d" % len(body))
    if not keep:
        lines.append("Connection: close")
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1") + (body or b"")


def fetch(endpoint, path, method="GET", headers=(), body=None, host_header="localhost",
          timeout_s=15.0):
    with Connection(endpoint, timeout_s) as connection:
        connection.send(request_bytes(path, method, headers, body, host_header))
        return connection.response(method)


def exchange(endpoint, raw, timeout_s=15.0):
    """Sends raw bytes; returns all answers until the peer closes, which it must."""
    answers = []
    with Connection(endpoint, timeout_s) as connection:
        connection.send(raw)
        while True:
            try:
                answers.append(connection.response())
            except (EOFError, ConnectionResetError):
                return answers


def error_requests():
    """(name, raw request, expected status) of each kind of error answer."""
    return (
        ("404", request_bytes("/nosuch"), 404),
        ("404 profile", request_bytes("/debug/pprof/nosuch"), 404),
        ("405", request_bytes("/metrics", "PUT", body=b""), 405),
        ("400", b"GARBAGE\r\n\r\n", 400),
        ("431", request_bytes("/metrics", headers={"X-Long": "a" * 65536}), 431),
    )


# ---- programs ----------------------------------------------------------------------------------


class Result:
    def __init__(self, status, stdout, stderr):
        self.status = status
        self.stdout = stdout
        self.stderr = stderr

    def __repr__(self):
        return "status %d\nstdout %r\nstderr %r" % (self.status, self.stdout, self.stderr)


def split_start_line(stderr):
    """(lines that are ours, the rest)."""
    ours, rest = [], []
    for line in stderr.splitlines(keepends=True):
        (ours if line.startswith(b"rthooks ") else rest).append(line)
    return ours, b"".join(rest)


class Program:
    """A running program, hooked or bare, with its output in files."""

    def __init__(self, case, argv, hooked=True, options=(), env=None, cwd=None, port=None,
                 stdin=None, launcher=(), rthooks=None, preexec=None):
        self.case = case
        self.port = port
        self.runtime_dir = case.environment["XDG_RUNTIME_DIR"]
        command = list(argv)
        if hooked:
            run = [rthooks or case.rthooks, "run"]
            if port is not None:
                run += ["--admin", "127.0.0.1:%d" % port]
            command = run + list(options) + ["--"] + command
        command = list(launcher) + command
        environment = dict(case.environment)
        environment.update(env or {})
        number = case.next_number()
        self.stdout_path = os.path.join(case.tmp, "stdout.%d" % number)
        self.stderr_path = os.path.join(case.tmp, "stderr.%d" % number)
        with open(self.stdout_path, "wb") as out, open(self.stderr_path, "wb") as err:
            self.process = subprocess.Popen(
                command, env=environment, cwd=cwd or case.tmp, stdout=out, stderr=err,
                stdin=stdin if stdin is not None else subprocess.DEVNULL, start_new_session=True,
                preexec_fn=preexec)
        self.pid = self.process.pid
        case.programs.append(self)

    @property
    def unix(self):
        """The Unix socket in the folder of the test; another user's is elsewhere."""
        return os.path.join(self.runtime_dir, "rthooks", "%d.sock" % self.pid)

    def stdout(self):
        with open(self.stdout_path, "rb") as file:
            return file.read()

    def stderr(self):
        with open(self.stderr_path, "rb") as file:
            return file.read()

    def wait_for_output(self, text, timeout_s=30.0):
        def there():
            if text in self.stdout():
                return True
            if self.process.poll() is not None and text not in self.stdout():
                raise AssertionError("ended (%d) before %r: %r %r" % (
                    self.process.returncode, text, self.stdout(), self.stderr()))
            return False
        wait_until("output %r" % text, there, timeout_s)

    def wait_for_admin(self, unix=True, timeout_s=20.0):
        """Waits until both endpoints answer."""
        endpoints = ([self.port] if self.port else []) + ([self.unix] if unix else [])
        for endpoint in endpoints:
            try:
                wait_until("an answer at %s" % endpoint,
                           lambda e=endpoint: fetch(e, "/version").status == 200, timeout_s)
            except AssertionError as error:
                raise AssertionError("%s; status %s, stderr %r" % (
                    error, self.process.poll(), self.stderr()[-2000:])) from None
        return endpoints

    def signal(self, number):
        os.kill(self.pid, number)

    def wait(self, timeout_s=60.0):
        return self.process.wait(timeout_s)


class Case(unittest.TestCase):
    maxDiff = 4000
    _product = None

    @classmethod
    def setUpClass(cls):
        ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
        cls.rthooks = os.path.join(BUILD, "tools", "rthooks")
        if not os.path.exists(cls.rthooks):
            raise AssertionError(cls.rthooks + " is not built")

    def setUp(self):
        self._number = 0
        self.programs = []
        self.tmp = tempfile.mkdtemp(prefix="rt-")
        os.chmod(self.tmp, 0o755)
        self.addCleanup(self._clean_up)
        for name, mode in (("run", 0o700), ("tmp", 0o1777), ("home", 0o755)):
            os.mkdir(os.path.join(self.tmp, name))
            os.chmod(os.path.join(self.tmp, name), mode)
        self.environment = {
            "PATH": PATH, "LANG": "C", "HOME": self.path("home"), "TMPDIR": self.path("tmp"),
            "XDG_RUNTIME_DIR": self.path("run"),
            # Of whichever user takes the first episode; the machine's own folder is no test's.
            "RTHOOKS_CRASH_DIR": self.path("tmp", "evidence"),
        }
        timeout_s = int(os.environ.get("RTHOOKS_TEST_TIMEOUT_S", "120"))
        signal.signal(signal.SIGALRM, self._late)
        signal.signal(signal.SIGTERM, self._late)
        signal.alarm(max(timeout_s - 8, 1))

    @staticmethod
    def _late(number, _frame):
        raise AssertionError("the test did not end in time (signal %d)" % number)

    def _clean_up(self):
        signal.alarm(0)
        deadline = time.monotonic() + 8
        killed = set()
        while time.monotonic() < deadline:
            left = descendants(os.getpid())
            for pid in left:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
                    killed.add(pid)
            with contextlib.suppress(ChildProcessError):
                while os.waitpid(-1, os.WNOHANG)[0]:
                    pass
            if not left:
                break
            time.sleep(0.02)
        for program in self.programs:
            program.process.poll()
            if program.process.stdin:
                program.process.stdin.close()
        # What was killed could not remove its socket; other users' are not below self.tmp.
        for path in glob.glob("/tmp/rthooks-*/*.sock"):
            if os.path.basename(path)[:-5] in map(str, killed):
                with contextlib.suppress(OSError):
                    os.unlink(path)
        shutil.rmtree(self.tmp, ignore_errors=True)

    def next_number(self):
        self._number += 1
        return self._number

    def path(self, *names):
        return os.path.join(self.tmp, *names)

    def write(self, name, text, mode=0o644):
        path = self.path(name)
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
        os.chmod(path, mode)
        return path

    def public_rthooks(self):
        """rthooks at a place that every user can read: the build tree, else an installed copy."""
        folder = BUILD
        while folder != "/":
            if not os.stat(folder).st_mode & stat.S_IXOTH:
                break
            folder = os.path.dirname(folder)
        else:
            return self.rthooks
        subprocess.run(["cmake", "--install", BUILD, "--prefix", self.path("installed")],
                       check=True, stdout=subprocess.DEVNULL)
        return self.path("installed", "bin", "rthooks")

    def public_host(self, name, mode=0o755):
        """A copy of a program of host/ that every user can run."""
        path = self.path(name)
        shutil.copyfile(host(name), path)
        os.chmod(path, mode)
        return path

    def start(self, argv, **options):
        """A hooked program with a free admin port."""
        if "port" not in options:
            options["port"] = free_port()
        return Program(self, argv, **options)

    def run_to_end(self, argv, stdin=b"", timeout_s=60.0, **options):
        with tempfile.TemporaryFile(dir=self.tmp) as file:
            file.write(stdin)
            file.seek(0)
            program = Program(self, argv, stdin=file, **options)
            program.wait(timeout_s)
        return Result(program.process.returncode, program.stdout(), program.stderr())

    def run_rthooks(self, *arguments, env=None, timeout_s=60.0):
        """`rthooks ARGUMENTS…` itself, to its end."""
        return self.run_to_end([self.rthooks, *arguments], hooked=False, env=env,
                               timeout_s=timeout_s)

    def fresh_folder(self):
        folder = self.path("work")
        shutil.rmtree(folder, ignore_errors=True)
        os.mkdir(folder)
        return folder

    def same(self, argv, normalise=lambda text: text, prepare=None, options=(), hooked_once=True,
             **both):
        """Runs argv bare and hooked in a fresh folder; fails on any difference but our line."""
        results = []
        for hooked in (False, True):
            folder = self.fresh_folder()
            if prepare:
                prepare(folder)
            results.append(self.run_to_end(
                argv, hooked=hooked, cwd=folder, port=free_port() if hooked else None,
                options=options if hooked else (), **both))
        bare, hooked = results
        ours, hooked.stderr = split_start_line(hooked.stderr)
        if hooked_once:
            self.assertEqual(len(ours), 1, "one start line, got %r" % ours)
        self.assertEqual(normalise(hooked.stderr), normalise(bare.stderr), "stderr of %r" % argv)
        self.assertEqual(normalise(hooked.stdout), normalise(bare.stdout), "stdout of %r" % argv)
        self.assertEqual(hooked.status, bare.status, "exit status of %r" % argv)
        return bare

    def assert_routes_answer(self, endpoints, timeout_s=15.0):
        """Every route and every error answer, over every endpoint."""
        for endpoint in endpoints:
            for route in ROUTES:
                answer = fetch(endpoint, route, timeout_s=timeout_s)
                self.assertEqual(answer.status, 200, "%s at %s: %r" % (route, endpoint, answer))
            for name, raw, status in error_requests():
                answers = exchange(endpoint, raw, timeout_s)
                self.assertEqual([answer.status for answer in answers], [status],
                                 "%s at %s" % (name, endpoint))

    def sockets(self, folder=None):
        """Names in the socket folder of the test."""
        try:
            return sorted(os.listdir(folder or self.path("run", "rthooks")))
        except (FileNotFoundError, NotADirectoryError):
            return []


def member_pids(endpoint):
    """Pids that /debug/processes lists."""
    return [entry["pid"] for entry in fetch(endpoint, "/debug/processes").json()["processes"]]


def main():
    sys.stdout.reconfigure(line_buffering=True)
    unittest.main(verbosity=2)
