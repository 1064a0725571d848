# SPDX-License-Identifier: MIT
"""The questions "services" and "redis_memory" of run.py: real servers, bare and hooked side by side
with everything at its default, under the same client in turn.

A server has processor 0 to itself, threads of ours included, and its client processor 1. Servers
are started anew every few observations, so that one lucky layout of memory decides nothing; the
control is a second bare server, whose ratio says what differences mean."""
import glob
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
import urllib.error
import urllib.request

from heap import library
from measure import capability, free_port, status, summary

BURST_MS = 250
PAIRS_PER_ROUND = 5
CAPTURE_S = 3
PRELOADED = ("jemalloc", "tcmalloc", "mimalloc")
PGBENCH_QUERY = "the query of pgbench -S, 8 connections"
MARIADB_ROWS = """CREATE DATABASE bench;
USE bench;
CREATE TABLE rows_of_bench (id INT PRIMARY KEY, n INT NOT NULL, c CHAR(120) NOT NULL)
    ENGINE=InnoDB CHARACTER SET latin1;
INSERT INTO rows_of_bench SELECT seq, 0, REPEAT('x', 120) FROM seq_1_to_100000;
"""
NGINX_CONF = """daemon off;
worker_processes 1;
error_log %(folder)s/error.log;
pid %(folder)s/nginx.pid;
events {}
http {
    access_log off;
    keepalive_requests 1000000000;
    client_body_temp_path %(folder)s/body;
    proxy_temp_path %(folder)s/proxy;
    fastcgi_temp_path %(folder)s/fastcgi;
    uwsgi_temp_path %(folder)s/uwsgi;
    scgi_temp_path %(folder)s/scgi;
    server {
        listen 127.0.0.1:%(port)s;
        root %(folder)s;
    }
}
"""


def children_of(pid):
    found = []
    for path in glob.glob("/proc/%d/task/*/children" % pid):
        try:
            with open(path, encoding="utf-8") as file:
                for child in file.read().split():
                    found += [int(child), *children_of(int(child))]
        except OSError:
            pass
    return found


def cpu_ns(pids):
    total = 0
    for pid in pids:
        for path in glob.glob("/proc/%d/task/*/schedstat" % pid):
            try:
                with open(path, encoding="utf-8") as file:
                    total += int(file.read().split()[0])
            except OSError:
                pass
    return total


def get(port, path):
    with urllib.request.urlopen("http://127.0.0.1:%d%s" % (port, path), timeout=60) as answer:
        return answer.read()


def wait_until_it_listens(address, timeout_s=20):
    deadline = time.monotonic() + timeout_s
    family = socket.AF_UNIX if address.startswith("/") else socket.AF_INET
    while True:
        with socket.socket(family) as probe:
            try:
                probe.connect(address if family == socket.AF_UNIX
                              else ("127.0.0.1", int(address)))
                return
            except OSError:
                if time.monotonic() > deadline:
                    raise
        time.sleep(0.02)


class Kind:
    """A program that can be started; argv and what its client is told."""
    client = ()
    stop_signal = signal.SIGTERM

    def __init__(self, folder):
        self.folder = folder

    def place(self, name, port):
        """Returns argv and the address."""
        raise NotImplementedError

    def wait(self, address):
        wait_until_it_listens(address)


class Redis(Kind):
    name, question, client = "redis", "SET and GET of 64 bytes, 16 at a time", ("redis", "16", "16")

    def place(self, name, port):
        return (["redis-server", "--port", str(port), "--save", "", "--dir", self.folder],
                str(port))


class Memcached(Kind):
    name, question, client = "memcached", "get and, in 10, one set", ("memcached", "32", "1")

    def place(self, name, port):
        return (["memcached", "-u", "root", "-l", "127.0.0.1", "-p", str(port), "-U", "0"],
                str(port))


class Nginx(Kind):
    name, question, client = "nginx", "a file of 1 KiB, kept alive", ("http", "16", "1")

    def place(self, name, port):
        folder = os.path.join(self.folder, name)
        os.makedirs(folder, exist_ok=True)
        os.chmod(folder, 0o755)
        with open(os.path.join(folder, "index.html"), "w", encoding="utf-8") as file:
            file.write("x" * 1024)
        conf = os.path.join(folder, "nginx.conf")
        with open(conf, "w", encoding="utf-8") as file:
            file.write(NGINX_CONF % {"folder": folder, "port": port})
        return [shutil.which("nginx", path=os.environ["PATH"] + ":/usr/sbin"), "-c", conf,
                "-p", folder], str(port)


class Postgres(Kind):
    name, question, client = "postgresql", PGBENCH_QUERY, ("postgres", "8", "1")
    stop_signal = signal.SIGINT
    user = ["setpriv", "--reuid=postgres", "--regid=postgres", "--init-groups"]

    def __init__(self, folder):
        super().__init__(folder)
        self.programs = sorted(glob.glob("/usr/lib/postgresql/*/bin"))[-1]

    def place(self, name, port):
        data = os.path.join(self.folder, name)
        server = [self.programs + "/postgres", "-D", data, "-p", str(port), "-c", "fsync=off",
                  "-c", "listen_addresses=", "-c", "unix_socket_directories=" + data]
        if not os.path.exists(data):
            os.mkdir(data, 0o700)
            shutil.chown(data, "postgres", "postgres")
            subprocess.run(self.user + [self.programs + "/initdb", "-D", data, "-A", "trust"],
                           check=True, stdout=subprocess.DEVNULL, cwd="/")
            self.fill(server, data, port)
        return self.user + server, "%s/.s.PGSQL.%d" % (data, port)

    def wait(self, address):
        """It listens before it lets anybody in."""
        data, port = os.path.dirname(address), address.rsplit(".", 1)[1]
        deadline = time.monotonic() + 20
        while subprocess.run([self.programs + "/pg_isready", "-q", "-h", data, "-p", port],
                             check=False).returncode != 0:
            if time.monotonic() > deadline:
                raise TimeoutError("PostgreSQL does not begin")
            time.sleep(0.05)

    def fill(self, server, data, port):
        with subprocess.Popen(self.user + server, cwd="/", stderr=subprocess.DEVNULL) as process:
            try:
                self.wait("%s/.s.PGSQL.%d" % (data, port))
                subprocess.run(["pgbench", "-h", data, "-p", str(port), "-U", "postgres", "-i",
                                "-s", "1", "-q", "postgres"], check=True, capture_output=True)
            finally:
                process.send_signal(self.stop_signal)


class MariaDB(Kind):
    name, client = "mariadb", ("mariadb", "8", "1")
    question = "a row by its key and, in 10, one update, 8 connections"
    user = ["setpriv", "--reuid=mysql", "--regid=mysql", "--init-groups"]

    def place(self, name, port):
        data = os.path.join(self.folder, name)
        address = data + "/socket"
        server = ["/usr/sbin/mariadbd", "--no-defaults", "--datadir=" + data, "--socket=" + address,
                  "--skip-networking", "--pid-file=" + data + "/pid",
                  "--innodb-flush-log-at-trx-commit=0",
                  "--innodb-buffer-pool-dump-at-shutdown=OFF"]
        if not os.path.exists(data):
            os.mkdir(data, 0o700)
            shutil.chown(data, "mysql", "mysql")
            subprocess.run(self.user + ["mariadb-install-db", "--no-defaults", "--skip-test-db",
                                        "--auth-root-authentication-method=normal",
                                        "--datadir=" + data],
                           check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                           cwd="/")
            self.fill(server, address)
        return self.user + server, address

    def fill(self, server, address):
        with subprocess.Popen(self.user + server, cwd="/", stderr=subprocess.DEVNULL) as process:
            try:
                self.wait(address)
                subprocess.run(["mariadb", "--no-defaults", "--socket=" + address, "--user=root"],
                               input=MARIADB_ROWS, text=True, check=True, capture_output=True)
            finally:
                process.send_signal(self.stop_signal)


class Server:
    def __init__(self, bench, kind, name, hooked, preload=""):
        port, self.admin = free_port(), free_port()
        argv, self.address = kind.place(name, port)
        if hooked:
            # What starts the server as somebody else comes first.
            count = len(getattr(kind, "user", []))
            argv = argv[:count] + bench.hooked(argv[count:], self.admin)
        env = dict(os.environ, LD_PRELOAD=preload) if preload else None
        self.kind, self.hooked = kind, hooked
        self.process = subprocess.Popen(["taskset", "-c", "0"] + argv, env=env, cwd="/",
                                        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.client = None
        self.client_program = os.path.join(bench.build, "bench", "bench_load")

    def begin(self):
        self.kind.wait(self.address)
        if self.hooked:
            status(self.admin)
        before = set(children_of(self.process.pid))
        protocol, connections, pipeline = self.kind.client
        self.client = subprocess.Popen(
            ["taskset", "-c", "1", self.client_program, protocol, self.address, connections,
             pipeline], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        if self.client.stdout.readline() != "ready\n":
            raise RuntimeError("%s: the client could not begin" % self.kind.name)
        after = children_of(self.process.pid)
        self.pids = [self.process.pid, *after]
        self.workers = [pid for pid in after if pid not in before] or after or [self.process.pid]

    def burst(self):
        """Requests per second, and the server's CPU time per request in ns."""
        before = cpu_ns(self.pids)
        self.client.stdin.write("%d\n" % BURST_MS)
        self.client.stdin.flush()
        requests, elapsed_ns = (int(word) for word in self.client.stdout.readline().split())
        return requests * 1e9 / elapsed_ns, (cpu_ns(self.pids) - before) / requests

    def end(self):
        if self.client is not None:
            self.client.stdin.close()
            self.client.wait(timeout=20)
        self.process.send_signal(self.kind.stop_signal)
        try:
            self.process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


class Captures:
    """A CPU profile at 100 Hz of each process that works, while the bursts go on."""

    def __init__(self, server):
        self.failure = None
        self.threads = [threading.Thread(target=self.capture, args=(server.admin, pid))
                        for pid in server.workers]
        for thread in self.threads:
            thread.start()
        time.sleep(0.1)

    def capture(self, port, pid):
        try:
            if not get(port, "/debug/pprof/profile?seconds=%d&hz=100&pid=%d" % (CAPTURE_S, pid)):
                self.failure = RuntimeError("an empty answer")
        except (OSError, urllib.error.HTTPError) as error:
            self.failure = error

    def end(self):
        for thread in self.threads:
            thread.join()
        if self.failure is not None:
            raise self.failure


def take_turns(servers, rows):
    """One burst of each; rows: for each name but bare a list of pairs of ratios."""
    for turn in range(PAIRS_PER_ROUND):
        names = sorted(servers)
        got = {name: servers[name].burst()
               for name in names[turn % len(names):] + names[:turn % len(names)]}
        for name, values in rows.items():
            values.append((got[name][0] / got["bare"][0], got[name][1] / got["bare"][1],
                           got["bare"][0]))


def row_result(values):
    return {"throughput_ratio": summary([value[0] for value in values]),
            "cpu_per_request_ratio": summary([value[1] for value in values]),
            "bare_per_s": summary([value[2] for value in values])}


def measure(bench, kind, preload, with_capture):
    """Rows: hooked; with the capture also control and hooked_capturing."""
    rows = {"hooked": []}
    if with_capture:
        rows["control"] = []
    capturing = {"hooked": []}
    for _ in range(max(bench.repeat, 20) // PAIRS_PER_ROUND):
        servers = {}
        try:
            for name in ("bare", *rows):
                servers[name] = Server(bench, kind, name, name == "hooked", preload)
            for server in servers.values():
                server.begin()
            time.sleep(0.5)  # children are adopted
            for server in servers.values():
                server.burst()
            take_turns(servers, rows)
            if with_capture:
                captures = Captures(servers["hooked"])
                take_turns({name: servers[name] for name in ("bare", "hooked")}, capturing)
                captures.end()
        finally:
            for server in servers.values():
                server.end()
    result = {name: row_result(values) for name, values in rows.items()}
    if with_capture:
        result["hooked_capturing"] = row_result(capturing["hooked"])
    return result


def report(name, result):
    for row, values in sorted(result.items()):
        print("services, %s, %s / bare: throughput %.4f [%.4f, %.4f], CPU per request %.4f "
              "[%.4f, %.4f] (bare %.0f/s)%s"
              % (name, row, values["throughput_ratio"]["median"],
                 *values["throughput_ratio"]["ci95"], values["cpu_per_request_ratio"]["median"],
                 *values["cpu_per_request_ratio"]["ci95"], values["bare_per_s"]["median"],
                 "" if row == "control" else "; target >= 0.99"), flush=True)


def missing(kind):
    if kind is Postgres:
        if os.geteuid() != 0 or not glob.glob("/usr/lib/postgresql/*/bin"):
            return "needs PostgreSQL and root (it runs the servers as postgres)"
        return None
    if kind is MariaDB and (os.geteuid() != 0 or not os.path.exists("/usr/sbin/mariadbd")):
        return "needs MariaDB and root (it runs the servers as mysql)"
    program = {"redis": "redis-server", "mariadb": "mariadb-install-db"}.get(kind.name, kind.name)
    path = os.environ["PATH"] + ":/usr/sbin"
    return None if shutil.which(program, path=path) else program + " is not here"


def ask(bench):
    if os.cpu_count() < 2:
        print("services: skipped: needs two processors")
        return
    result = {}
    for kind_class in (Redis, Memcached, Nginx, Postgres, MariaDB):
        why = missing(kind_class)
        if why is not None:
            print("services, %s: skipped: %s" % (kind_class.name, why))
            continue
        with tempfile.TemporaryDirectory() as folder:
            os.chmod(folder, 0o755)
            kind = kind_class(folder)
            rows = {"default": measure(bench, kind, "", True)}
            report(kind.name, rows["default"])
            for allocator in PRELOADED if kind_class is not Nginx else ():
                preload = library(allocator)
                if preload is None:
                    print("services, %s: %s is not here" % (kind.name, allocator))
                    continue
                rows[allocator] = measure(bench, kind, preload, False)
                report(kind.name + " on " + allocator, rows[allocator])
            result[kind.name] = {"load": kind.question, **rows}
    bench.save("services", "Throughput of servers with every hook on, beside bare ones",
               "throughput_ratio >= 0.99", result)


# ---- memory ---------------------------------------------------------------------------------------

VALUES, VALUE_BYTES = 300000, 1000
INTERVALS = ("512KiB", "16KiB")


def command(address, *words):
    with socket.create_connection(("127.0.0.1", int(address)), timeout=60) as connection:
        connection.sendall(b"*%d\r\n" % len(words) + b"".join(
            b"$%d\r\n%s\r\n" % (len(word), word.encode()) for word in words))
        file = connection.makefile("rb")
        head = file.readline()
        if head.startswith(b"-"):
            raise RuntimeError(head)
        return file.read(int(head[1:])).decode() if head.startswith(b"$") else head.decode()


def private_bytes(pid):
    with open("/proc/%d/smaps_rollup" % pid, encoding="utf-8") as file:
        return sum(int(line.split()[1]) for line in file if line.startswith("Private_")) * 1024


class RedisToFill(Redis):
    def place(self, name, port):
        argv, address = super().place(name, port)
        return argv + ["--enable-debug-command", "yes"], address


def filled(bench, kind, name, hooked):
    """What a redis-server of 300 MB says and takes."""
    server = Server(bench, kind, name, hooked)
    try:
        wait_until_it_listens(server.address)
        if hooked:
            status(server.admin)
        time.sleep(0.5)
        empty = private_bytes(server.process.pid)
        command(server.address, "DEBUG", "POPULATE", str(VALUES), "key", str(VALUE_BYTES))
        info = dict(line.split(":", 1) for line in command(server.address, "INFO", "memory")
                    .splitlines() if ":" in line)
        full = private_bytes(server.process.pid)
        heap = capability(server.admin, "heap") if hooked else {}
        return {"used": int(info["used_memory"]), "empty": empty, "full": full, **heap}
    finally:
        server.end()


def ask_redis_memory(bench):
    if missing(Redis) is not None:
        print("redis_memory: skipped: " + missing(Redis))
        return
    result = {}
    for interval in INTERVALS:
        pairs = []
        os.environ["RTHOOKS_HEAP_INTERVAL"] = interval
        try:
            for _ in range(max(bench.repeat // 2, 5)):
                with tempfile.TemporaryDirectory() as folder:
                    kind = RedisToFill(folder)
                    pairs.append((filled(bench, kind, "bare", False),
                                  filled(bench, kind, "hooked", True)))
        finally:
            del os.environ["RTHOOKS_HEAP_INTERVAL"]
        grown = [(hooked["full"] - hooked["empty"]) - (bare["full"] - bare["empty"])
                 for bare, hooked in pairs]
        samples = [hooked["live_samples"] for _, hooked in pairs]
        result[interval] = {
            "used_memory_ratio": summary([hooked["used"] / bare["used"]
                                          for bare, hooked in pairs]),
            "private_ratio": summary([hooked["full"] / bare["full"] for bare, hooked in pairs]),
            "private_added_empty_bytes": summary([hooked["empty"] - bare["empty"]
                                                  for bare, hooked in pairs]),
            "grown_more_bytes": summary(grown),
            "grown_more_of_used": summary([more / hooked["used"] for more, (_, hooked) in
                                           zip(grown, pairs)]),
            "live_samples": summary(samples),
            "table_bytes_per_sample": summary([hooked["live_table_bytes"] / hooked["live_samples"]
                                               for _, hooked in pairs]),
            "grown_more_bytes_per_sample": summary([more / count for more, count in
                                                    zip(grown, samples)])}
        row = result[interval]
        print("redis_memory, %s: used_memory x %.6f (target within 0.001), private x %.4f (%+.0f "
              "KiB empty); grows %+.0f KiB more, %+.4f %% of the heap (target <= 0.1 %%); %.0f live "
              "samples, %.0f bytes of table each"
              % (interval, row["used_memory_ratio"]["median"], row["private_ratio"]["median"],
                 row["private_added_empty_bytes"]["median"] / 1024,
                 row["grown_more_bytes"]["median"] / 1024,
                 row["grown_more_of_used"]["median"] * 100, row["live_samples"]["median"],
                 row["table_bytes_per_sample"]["median"]))
    bench.save("redis_memory", "Memory of a redis-server of 300 MB, bare and hooked",
               "used_memory_ratio within 0.001 of 1; grown_more_of_used <= 0.001", result)
