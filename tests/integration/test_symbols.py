# SPDX-License-Identifier: MIT
"""/debug/pprof/symbol: names of functions, whatever became of the files they come from."""
import os
import random
import re
import shutil
import subprocess

import harness
from harness import fetch, request_bytes, exchange, wait_until

SYMBOL = "/debug/pprof/symbol"


def names_of(answer):
    """{address: name} of an answer; each line of it has its shape."""
    lines = answer.text.split("\n")
    if answer.status != 200 or lines[0] != "num_symbols: 1" or lines[-1] != "":
        raise AssertionError("not an answer: %r" % answer)
    names = {}
    for line in lines[1:-1]:
        match = re.fullmatch(r"0x([0-9a-f]+) (\S+)", line)
        if not match:
            raise AssertionError("not a line: %r" % line)
        names[int(match.group(1), 16)] = match.group(2)
    return names


def code_functions(path, options=()):
    """[(start, limit, name)] of sized functions, as binutils reads them."""
    text = subprocess.run([harness.need("nm"), "-S", "--defined-only", *options, path],
                          capture_output=True, text=True, check=True).stdout
    functions = []
    for line in text.splitlines():
        words = line.split()
        if len(words) == 4 and words[2] in "TtWwi":
            start, size = int(words[0], 16), int(words[1], 16)
            functions.append((start, start + size, words[3].split("@")[0]))
    return functions


class SymbolCase(harness.Case):
    def start_names(self, program=None, library=None, unix=True, **options):
        """The program with a library of its own to spoil."""
        self.library = self.path("names.so")
        shutil.copyfile(library or harness.host("module_names.so"), self.library)
        self.program = self.start([program or harness.host("symbol_names"), self.library],
                                  stdin=subprocess.PIPE, **options)
        self.program.wait_for_output(b"ready\n")
        self.endpoint = self.program.wait_for_admin(unix=unix)[0]
        self.addresses = self.printed()

    def printed(self):
        return {name: int(address, 16) for name, address in
                re.findall(r"^(\w+) 0x([0-9a-f]+)$", self.program.stdout().decode(), re.M)}

    def command(self, word, answer):
        seen = self.program.stdout().count(answer)
        self.program.process.stdin.write(word + b"\n")
        self.program.process.stdin.flush()
        wait_until(answer, lambda: self.program.stdout().count(answer) > seen)

    def ask(self, addresses):
        body = "+".join("%#x" % address for address in addresses).encode()
        return names_of(fetch(self.endpoint, SYMBOL, "POST", body=body))

    def name_of(self, name, offset=2):
        """What is said of a place in one of the functions printed; None for nothing."""
        address = self.addresses[name] + offset
        return self.ask([address]).get(address)

    def strip(self, path, *options):
        stripped = self.path("stripped-" + os.path.basename(path))
        subprocess.run([harness.need("strip"), *options, "-o", stripped, path], check=True)
        return stripped

    def load_bias(self, path):
        """Of a file whose first segment has the address 0."""
        with open("/proc/%d/maps" % self.program.pid, encoding="utf-8") as file:
            for line in file:
                if line.rstrip("\n").endswith(path) and line.split()[2] == "00000000":
                    return int(line.split("-")[0], 16)
        raise AssertionError(path + " is not mapped")


class Names(SymbolCase):
    def test_functions_of_program_library_libc_and_vdso_have_their_names(self):
        self.start_names()
        for name in ("static_in_program", "exported_in_program", "static_in_module",
                     "exported_in_module", "getenv"):
            self.assertEqual(self.name_of(name), name)
        if "vdso" in self.addresses:
            # The kernel gives the same code two names, one of them weak.
            self.assertEqual(self.name_of("vdso"), "__vdso_clock_gettime")

    def test_get_answers_as_post_over_both_sockets(self):
        self.start_names()
        address = self.addresses["static_in_program"]
        for endpoint in self.program.wait_for_admin():
            for answer in (fetch(endpoint, "%s?%#x" % (SYMBOL, address)),
                           fetch(endpoint, SYMBOL, "POST", body=b"%#x" % address)):
                self.assertEqual(answer.status, 200)
                self.assertEqual(answer.header("Content-Type"), harness.PLAIN_TEXT)
                self.assertEqual(answer.header("X-Content-Type-Options"), "nosniff")
                self.assertEqual(answer.text,
                                 "num_symbols: 1\n%#x static_in_program\n" % address)
            self.assertEqual(fetch(endpoint, SYMBOL, "HEAD").status, 200)
            self.assertEqual(fetch(endpoint, SYMBOL, "PUT", body=b"").status, 405)

    def test_question_is_passed_on_to_another_process_by_pid(self):
        path = harness.host("linger")
        self.program = self.start([path, "pause"])
        self.program.wait_for_output(b"child ")
        self.endpoint = self.program.wait_for_admin()[0]
        child = int(re.search(rb"child (\d+)", self.program.stdout()).group(1))
        wait_until("the child", lambda: fetch(
            self.endpoint, "/debug/pprof/cmdline?pid=%d" % child).status == 200)
        start = next(start for start, _, name in code_functions(path) if name == "block")
        address = self.load_bias(path) + start + 1  # a forked child has the parent's addresses
        for method, query, body in (("POST", "?pid=%d" % child, b"%#x" % address),
                                    ("GET", "?pid=%d&%#x" % (child, address), None)):
            answer = fetch(self.endpoint, SYMBOL + query, method, body=body)
            self.assertEqual(names_of(answer), {address: "block"}, method)
        # A body that fills several buffers on the way.
        body = b"+".join([b"%#x" % address] * 10000)
        answer = fetch(self.endpoint, SYMBOL + "?pid=%d" % child, "POST", body=body)
        self.assertEqual(answer.text.count(" block\n"), 10000)

    def test_numbers_are_read_as_go_reads_them(self):
        self.start_names()
        address = self.addresses["getenv"]
        for text in ("%#x" % address, "0X%X" % address, "%d" % address, "0%o" % address,
                     "0o%o" % address, "0b" + bin(address)[2:], "0x_%x" % address):
            answer = fetch(self.endpoint, SYMBOL, "POST", body=text.encode())
            self.assertEqual(names_of(answer), {address: "getenv"}, text)

    def test_what_has_no_name_is_left_out_and_the_answer_is_200(self):
        self.start_names()
        address = b"%#x" % self.addresses["getenv"]
        nothing = "num_symbols: 1\n"
        for body in (b"", b"+", b"+++", b"0", b"0x0", b"0x1", b"-1", b"x", b"0x", b"%41",
                     b"0xffffffffffffffff", b"0x1ffffffffffffffff", b"99999999999999999999999",
                     b" 12", b"\0\0\xff\xfe", b"1" * 60000):
            answer = fetch(self.endpoint, SYMBOL, "POST", body=body)
            self.assertEqual((answer.status, answer.text), (200, nothing), body[:40])
            answer = fetch(self.endpoint, SYMBOL, "POST", body=body + b"+" + address)
            self.assertEqual(len(names_of(answer)), 1, body[:40])
        self.assertEqual(fetch(self.endpoint, SYMBOL).text, nothing)
        self.assertEqual(fetch(self.endpoint, SYMBOL + "?").text, nothing)
        # Twice asked is twice answered.
        answer = fetch(self.endpoint, SYMBOL, "POST", body=address + b"+" + address)
        self.assertEqual(answer.text.count("getenv\n"), 2)

    def test_body_that_is_too_large_is_413_and_the_largest_one_is_taken(self):
        self.start_names()
        answer = fetch(self.endpoint, SYMBOL, "POST", body=b"+" * (192 * 1024))
        self.assertEqual(answer.status, 200)
        answers = exchange(self.endpoint, request_bytes(SYMBOL, "POST",
                                                        body=b"+" * (192 * 1024 + 1)))
        self.assertEqual([answer.status for answer in answers], [413])
        answers = exchange(self.endpoint, request_bytes("/livez", "POST", body=b"+" * 65537))
        self.assertEqual([answer.status for answer in answers], [413])

    def test_every_function_of_libc_has_a_name_that_binutils_gives_it(self):
        self.start_names()
        with open("/proc/%d/maps" % self.program.pid, encoding="utf-8") as file:
            libc = re.search(r"(/\S*libc[.-]\S*)$", file.read(), re.M).group(1)
        functions = code_functions(libc, ("-D",))
        self.assertGreater(len(functions), 1000)
        bias = self.load_bias(libc)
        names = {}
        starts = sorted({start for start, limit, _ in functions if limit - start > 1})
        for first in range(0, len(starts), 5000):
            names.update(self.ask(bias + start + 1 for start in starts[first:first + 5000]))
        self.assertEqual(len(names), len(starts))
        at = {}
        for start, limit, name in functions:
            if limit - start > 1:
                at.setdefault(start, set()).add(name)
        for start in starts:
            self.assertIn(names[bias + start + 1], at[start])

    def test_every_byte_of_the_program_is_named_as_its_symbol_table_says(self):
        self.start_names()
        path = harness.host("symbol_names")
        bias = self.load_bias(path)
        functions = code_functions(path)
        low = min(start for start, _, _ in functions)
        high = max(limit for _, limit, _ in functions)
        self.assertLess(high - low, 10000)
        names = self.ask(range(bias + low, bias + high))
        for address in range(low, high):
            covering = {name for start, limit, name in functions if start <= address < limit}
            found = names.get(bias + address)
            if covering:
                self.assertIn(found, covering)
            else:
                # Only functions of the C runtime, which have no size, may reach here.
                self.assertNotIn(found, {name for _, _, name in functions})


class Files(SymbolCase):
    def test_stripped_program_has_no_names_and_libc_still_has(self):
        self.start_names(program=self.strip(harness.host("symbol_names"), "-s"))
        self.assertIsNone(self.name_of("static_in_program"))
        self.assertIsNone(self.name_of("exported_in_program"))
        self.assertEqual(self.name_of("static_in_module"), "static_in_module")
        self.assertEqual(self.name_of("getenv"), "getenv")

    def test_stripped_library_names_what_it_exports_and_not_the_rest(self):
        self.start_names(library=self.strip(harness.host("module_names.so"), "-s"))
        self.assertEqual(self.name_of("exported_in_module"), "exported_in_module")
        self.assertIsNone(self.name_of("static_in_module"))
        self.assertEqual(self.name_of("static_in_program"), "static_in_program")

    def replace_library(self):
        """Another build of it, as an upgrade leaves it: other names, another build-id."""
        other = self.path("other.so")
        subprocess.run([harness.need("objcopy"), "--redefine-sym",
                        "exported_in_module=wrong_name", "--redefine-sym",
                        "static_in_module=also_wrong", harness.host("module_names.so"), other],
                       check=True)
        with open(other, "r+b") as file:
            build_id = file.read().index(b"\x14\0\0\0\x03\0\0\0GNU\0") + 12
            file.seek(build_id)
            file.write(b"\0" * 20)
        os.chmod(other, 0o644)
        os.replace(other, self.library)

    def test_file_replaced_while_running_never_gives_its_new_names(self):
        self.start_names()
        self.replace_library()
        self.assertEqual(self.name_of("exported_in_module"), "exported_in_module")
        self.assertIn(self.name_of("static_in_module"), (None, "static_in_module"))
        # Gone altogether, the exported names are still in memory.
        os.unlink(self.library)
        self.assertEqual(self.name_of("exported_in_module"), "exported_in_module")

    def test_without_privilege_a_replaced_file_leaves_the_exported_names(self):
        harness.need_root("it starts the program as another user")
        self.start_names(program=self.public_host("symbol_names"), rthooks=self.public_rthooks(),
                         launcher=(harness.need("setpriv"), "--reuid=65534", "--regid=65534",
                                   "--clear-groups", "--"), unix=False)
        self.assertEqual(self.name_of("static_in_module"), "static_in_module")
        self.replace_library()
        self.assertEqual(self.name_of("exported_in_module"), "exported_in_module")
        self.assertIsNone(self.name_of("static_in_module"))

    def test_unloaded_library_keeps_its_names(self):
        self.start_names()
        self.assertEqual(self.name_of("static_in_module"), "static_in_module")
        self.command(b"close", b"closed")
        self.assertNotIn(self.library, harness.read_text("/proc/%d/maps" % self.program.pid))
        self.assertEqual(self.name_of("static_in_module"), "static_in_module")
        self.assertEqual(self.name_of("exported_in_module"), "exported_in_module")
        os.unlink(self.library)
        self.assertIsNone(self.name_of("static_in_module"))
        self.assertEqual(self.name_of("getenv"), "getenv")

    def test_hostile_files_on_disk_harm_nobody(self):  # timeout=180
        self.start_names()
        self.assertEqual(self.name_of("static_in_module"), "static_in_module")
        self.command(b"close", b"closed")
        with open(self.library, "rb") as file:
            good = file.read()
        sections = int.from_bytes(good[40:48], "little")
        dice = random.Random(5)
        named = 0
        for number in range(300):
            image = bytearray(good)
            if number % 3 == 0:
                image = image[:dice.randrange(len(image))]
            for _ in range(dice.choice((1, 2, 8))):
                where = dice.choice((dice.randrange(sections, len(good)), dice.randrange(64),
                                     dice.randrange(len(good))))
                if where + 8 < len(image):
                    image[where:where + 8] = dice.choice((
                        b"\xff" * 8, b"\0" * 8, (1 << 40).to_bytes(8, "little"),
                        bytes(dice.randrange(256) for _ in range(8))))
            with open(self.path("next"), "wb") as file:
                file.write(image)
            os.replace(self.path("next"), self.library)
            named += self.name_of("static_in_module") == "static_in_module"
            self.assertEqual(self.name_of("getenv"), "getenv")
        self.assertGreater(named, 0)  # some damage is elsewhere
        os.unlink(self.library)
        os.mkfifo(self.library)
        self.assertIsNone(self.name_of("static_in_module"))
        self.assertEqual(fetch(self.endpoint, "/livez").status, 200)
        self.assertIsNone(self.program.process.poll())


class Cost(SymbolCase):
    def memory_kib(self, field):
        return int(harness.status_field(self.program.pid, self.program.pid, field)[0])

    def addresses_of_code(self, count):
        """So many addresses, spread over all executable mappings of files."""
        ranges = []
        with open("/proc/%d/maps" % self.program.pid, encoding="utf-8") as file:
            for line in file:
                words = line.split()
                if "x" in words[1] and len(words) == 6 and words[5][0] == "/":
                    ranges.append([int(word, 16) for word in words[0].split("-")])
        total = sum(limit - start for start, limit in ranges)
        step = total // count
        every = [address for start, limit in ranges for address in range(start, limit, step)]
        return every[:count]

    def test_ten_thousand_addresses_take_less_than_8_mib(self):
        self.start_names()
        self.name_of("getenv")
        addresses = self.addresses_of_code(10000)
        self.assertEqual(len(addresses), 10000)
        # What was used at most is reset to what is used now.
        with open("/proc/%d/clear_refs" % self.program.pid, "w", encoding="ascii") as file:
            file.write("5")
        before = self.memory_kib("VmRSS")
        names = self.ask(addresses)
        self.assertGreater(len(names), 1000)
        self.assertLess(self.memory_kib("VmHWM") - before, 8192)

    def test_a_thousand_questions_leave_descriptors_and_memory_as_they_were(self):
        self.start_names()
        addresses = self.addresses_of_code(100)
        work = next(tid for tid in harness.tasks(self.program.pid) if harness.read_text(
            "/proc/%d/task/%d/comm" % (self.program.pid, tid)) == "rth-work")
        descriptors = "/proc/%d/task/%d/fd" % (self.program.pid, work)

        def hundred():
            for _ in range(100):
                self.ask(addresses)
            return sorted(os.listdir(descriptors)), self.memory_kib("VmRSS")
        hundred()
        first_descriptors, first_kib = hundred()
        for _ in range(8):
            last_descriptors, last_kib = hundred()
        # A connection may still be on its way to its end.
        self.assertLessEqual(len(last_descriptors), len(first_descriptors) + 2)
        self.assertLess(last_kib - first_kib, 256)


if __name__ == "__main__":
    harness.main()
