# SPDX-License-Identifier: MIT
"""Profiles that a test writes and serves itself, and cases that hand them to `rthooks pprof`."""
import contextlib
import gzip
import http.server
import json
import os
import shutil
import subprocess
import threading

import harness


# ---- a profile.proto writer --------------------------------------------------------------------


def varint(number):
    number &= (1 << 64) - 1
    out = bytearray()
    while number >= 0x80:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def number(field, value):
    return varint(field << 3) + varint(value) if value else b""


def message(field, body):
    return varint(field << 3 | 2) + varint(len(body)) + body


def packed(field, values):
    return message(field, b"".join(map(varint, values))) if values else b""


def unpacked(field, values):
    return b"".join(varint(field << 3) + varint(value) for value in values)


class Writer:
    """Numbers strings and rows as they come. Ids are sparse: not the row numbers."""

    def __init__(self, types=(("samples", "count"), ("cpu", "nanoseconds")), step=7,
                 repeated=packed, period=("cpu", "nanoseconds", 10000000), default_type=""):
        self.strings = {"": 0}
        self.period = period
        self.default_type = default_type
        self.step = step
        self.repeated = repeated
        self.body = bytearray().join(message(1, self.value_type(*entry)) for entry in types)
        self.functions = {}
        self.locations = 0
        self.mappings = 0

    def string(self, text):
        return self.strings.setdefault(text, len(self.strings))

    def value_type(self, name, unit):
        return number(1, self.string(name)) + number(2, self.string(unit))

    def mapping(self, start, limit, offset, path, build_id="", flags=()):
        self.mappings += 1
        self.body += message(3, number(1, self.mappings * self.step) + number(2, start)
                             + number(3, limit) + number(4, offset)
                             + number(5, self.string(path)) + number(6, self.string(build_id))
                             + b"".join(number(field, 1) for field in flags))
        return self.mappings * self.step

    def function(self, name, path=""):
        key = (name, path)
        if key not in self.functions:
            self.functions[key] = (len(self.functions) + 1) * self.step
            self.body += message(5, number(1, self.functions[key])
                                 + number(2, self.string(name)) + number(3, self.string(name))
                                 + number(4, self.string(path)))
        return self.functions[key]

    def location(self, lines=(), address=0, mapping=0):
        """lines: (function, file, line), innermost first."""
        rows = b"".join(message(4, number(1, self.function(name, path)) + number(2, line))
                        for name, path, line in lines)
        self.locations += 1
        self.body += message(4, number(1, self.locations * self.step) + number(2, mapping)
                             + number(3, address) + rows)
        return self.locations * self.step

    def label(self, key, value):
        """value: a text, a number, or (number, unit)."""
        if isinstance(value, str):
            return number(1, self.string(key)) + number(2, self.string(value))
        amount, unit = value if isinstance(value, tuple) else (value, "")
        return number(1, self.string(key)) + number(3, amount) + number(4, self.string(unit))

    def sample(self, locations, values, labels=()):
        body = self.repeated(1, locations) + self.repeated(2, values)
        self.body += message(2, body + b"".join(message(3, self.label(*pair)) for pair in labels))

    def comment(self, text):
        self.body += packed(13, [self.string(text)])

    def plain(self):
        tail = (message(11, self.value_type(*self.period[:2])) + number(12, self.period[2])
                + number(9, 1700000000 * 10**9) + number(10, 2 * 10**9)
                + number(14, self.string(self.default_type)))
        return bytes(self.body) + tail + b"".join(message(6, text.encode())
                                                  for text in self.strings)

    def bytes(self):
        return gzip.compress(self.plain(), mtime=0)


TICK = 10000000


def simple(repeated=packed, scale=1):
    """main -> work -> {spin (with mix inlined), wait}; spin is half of it."""
    writer = Writer(repeated=repeated)
    program = writer.mapping(0x400000, 0x500000, 0, "/usr/bin/demo", "abcd" * 10, flags=(7, 8, 9))
    main = writer.location([("main", "/src/main.c", 12)], 0x401000, program)
    work = writer.location([("work", "/src/work.c", 30)], 0x402000, program)
    spin = writer.location([("mix", "/src/mix.h", 5), ("spin", "/src/work.c", 44)], 0x403000,
                           program)
    wait = writer.location([("wait", "/src/wait.c", 9)], 0x404000, program)
    for stack, ticks in (([spin, work, main], 50), ([wait, work, main], 30), ([work, main], 15),
                         ([main], 5)):
        writer.sample(stack, [ticks * scale, ticks * scale * TICK], [("thread", "worker")])
    writer.comment("rate: 100 Hz")
    return writer


@contextlib.contextmanager
def server(answers):
    """answers: path without query -> (status, body). Yields (port, paths asked for)."""
    asked = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.path)
            status, body = answers.get(self.path.split("?")[0], (404, b"no such profile\n"))
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *arguments):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", harness.free_port()), Handler) as here:
        thread = threading.Thread(target=here.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        try:
            yield here.server_address[1], asked
        finally:
            here.shutdown()
            thread.join()


class PprofCase(harness.Case):
    def save(self, name, profile):
        path = self.path(name)
        with open(path, "wb") as file:
            file.write(profile if isinstance(profile, bytes) else profile.bytes())
        return path

    def pprof(self, *arguments, status=0, env=None):
        result = self.run_rthooks("pprof", *arguments, env=env)
        self.assertEqual(result.status, status, result)
        return result.stdout.decode(), result.stderr.decode()

    def json(self, *arguments, **options):
        out, err = self.pprof(*arguments, "--json", **options)
        return json.loads(out), err

    @staticmethod
    def rows(table):
        """{function: (flat, cum)}"""
        return {row["function"]: (row["flat"], row["cum"]) for row in table["rows"]}


def go_pprof(case):
    """A function that gives what `go tool pprof ARGUMENTS` prints on standard output."""
    go = shutil.which("go", path=os.environ.get("PATH", "") + ":/usr/local/go/bin")
    if not go:
        harness.skip("go is not installed")
    environment = dict(os.environ, TZ="UTC", PPROF_TMPDIR=case.path("tmp"))

    def ask(*arguments):
        return subprocess.run([go, "tool", "pprof", "-symbolize=none", *arguments], check=True,
                              env=environment, stdout=subprocess.PIPE,
                              stderr=subprocess.DEVNULL).stdout

    return ask
