# SPDX-License-Identifier: MIT
"""The command line: what each command answers, what it refuses, and its exit statuses."""
import json
import os
import shutil
import signal
import socket
import struct
import subprocess
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import harness  # noqa: E402

FINE, BAD_NEWS, USAGE, UNREACHABLE = 0, 1, 2, 3
NOBODY = ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--")
NO_NEW_PRIVS = ("setpriv", "--no-new-privs", "--")
COMMANDS = ("run", "doctor", "budget", "threads", "version")
LOADER = b"/lib64/ld-linux-x86-64.so.2\0"


class CliCase(harness.Case):
    def rt(self, *arguments, **options):
        """`rthooks ARGUMENTS…` to its end; status, stdout and stderr as text."""
        result = self.run_to_end([options.pop("rthooks", self.rthooks), *arguments], hooked=False,
                                 **options)
        result.stdout, result.stderr = result.stdout.decode(), result.stderr.decode()
        return result

    def check(self, result, status, *texts):
        """The status, and texts that standard error must have."""
        self.assertEqual(result.status, status, result)
        for text in texts:
            self.assertIn(text, result.stderr)
        for line in result.stderr.splitlines():
            self.assertRegex(line, "^rthooks[: ]")
        return result

    def refused(self, path, *texts, **options):
        """`run` must not start path and says why on one line; `doctor` says the same."""
        run = self.check(self.rt("run", "--admin", "off", "--", path, **options), UNREACHABLE,
                         *texts)
        self.assertEqual(run.stdout, "")
        self.assertEqual(len(run.stderr.splitlines()), 1, run)
        doctor = self.rt("doctor", "--json", path, **options)
        self.assertEqual(doctor.status, BAD_NEWS, doctor)
        problems = [finding for finding in json.loads(doctor.stdout)["findings"]
                    if finding["level"] == "problem"]
        self.assertEqual([finding["check"] for finding in problems], ["run"])
        for text in texts:
            self.assertIn(text, problems[0]["text"])

    def program(self, name="prog", mode=0o755, source="/bin/true"):
        """A copy of a real program that may be changed."""
        path = self.path(name)
        shutil.copyfile(source, path)
        os.chmod(path, mode)
        return path

    def patched(self, changes, name="patched"):
        """A copy of true with bytes written over: (offset, bytes)…"""
        path = self.program(name)
        with open(path, "r+b") as file:
            for offset, data in changes:
                file.seek(offset)
                file.write(data)
        return path

    def with_loader(self, loader):
        """A copy of true whose PT_INTERP names another loader."""
        with open("/bin/true", "rb") as file:
            at = file.read().find(LOADER)
        if at < 0:
            harness.skip("the programs of this system have another loader")
        loader = loader.encode() + b"\0"
        self.assertLessEqual(len(loader), len(LOADER))
        return self.patched([(at, loader.ljust(len(LOADER), b"\0"))])

    def compiled(self, compiler, *flags):
        compiler = harness.need(compiler)
        source = self.write("main.c", "int main(void) { return 5; }\n")
        path = self.path("compiled")
        subprocess.run([compiler, "-o", path, source, *flags], check=True,
                       stderr=subprocess.DEVNULL)
        return path

    def sleeper(self):
        """A bare process that does nothing."""
        program = harness.Program(self, ["sleep", "600"], hooked=False)
        harness.wait_until("sleep to be execed", lambda: os.path.basename(
            os.readlink("/proc/%d/exe" % program.pid)) != os.path.basename(sys.executable))
        return program

    def dead_pid(self):
        program = harness.Program(self, ["true"], hooked=False)
        program.wait()
        return program.pid


class Usage(CliCase):
    def test_every_command_has_a_help_text_on_standard_output(self):
        overview = self.check(self.rt("--help"), FINE)
        for command in COMMANDS:
            self.assertIn("  " + command, overview.stdout)
            for arguments in ((command, "--help"), (command, "-h"), ("help", command)):
                result = self.check(self.rt(*arguments), FINE)
                self.assertTrue(result.stdout.startswith("Usage: rthooks " + command), result)
                for line in result.stdout.splitlines():
                    self.assertLessEqual(len(line), 100)

    def test_no_command_shows_the_usage_and_is_a_mistake(self):
        result = self.rt()
        self.assertEqual((result.status, result.stdout), (USAGE, ""))
        self.assertIn("Usage:", result.stderr)

    def test_an_unknown_command_names_the_one_that_was_meant(self):
        for typed, meant in (("vresion", "version"), ("thread", "threads"), ("doc", "doctor"),
                             ("rnu", "run")):
            self.check(self.rt(typed), USAGE, "'%s'" % typed, "'%s'" % meant)
        result = self.check(self.rt("zzzzzz"), USAGE, "'zzzzzz'")
        self.assertNotIn("did you mean", result.stderr)

    def test_mistakes_in_options_are_named(self):
        for arguments, text in ((("threads", "--bogus", "1"), "--bogus"),
                                (("threads", "-x", "1"), "-x"),
                                (("threads", "--sort"), "--sort"),
                                (("threads", "--sort", "size", "1"), "size"),
                                (("threads", "--json=1", "1"), "--json=1"),
                                (("threads",), "which process"),
                                (("threads", "1", "2"), "'2'"),
                                (("doctor", "1", "2"), "'2'"),
                                (("version", "1", "2"), "'2'"),
                                (("run",), "which program"),
                                (("run", "--"), "which program"),
                                (("run", "-e", "NOVALUE", "--", "true"), "KEY=VALUE"),
                                (("run", "-e", "=x", "--", "true"), "KEY=VALUE"),
                                (("run", "-e", "RTHOOKS_AUTOSTART=1:1", "--", "true"), "internal"),
                                (("run", "--match", "", "--", "true"), "--match"),
                                (("run", "--agent", "--", "true"), "no agent"),
                                (("version", "ftp://host/"), "http"),
                                (("threads", "0"), "process id"),
                                (("threads", "99999999999999999999"), "process id")):
            with self.subTest(arguments=arguments):
                result = self.check(self.rt(*arguments), USAGE, text)
                self.assertEqual(result.stdout, "")

    def test_a_full_disk_is_no_success(self):
        with open("/dev/full", "wb") as full:
            status = subprocess.run([self.rthooks, "version"], stdout=full,
                                    stderr=subprocess.DEVNULL, check=False).returncode
        self.assertEqual(status, UNREACHABLE)


class Run(CliCase):
    def test_pid_exit_status_and_output_are_the_programs_own(self):
        result = self.rt("run", "--admin", "off", "--", "sh", "-c", "echo $$; exit 42")
        self.assertEqual(result.status, 42)
        program = harness.Program(self, ["sh", "-c", "echo $$"], options=("--admin", "off"))
        self.assertEqual(program.wait(), 0)
        self.assertEqual(program.stdout(), b"%d\n" % program.pid)

    def test_death_by_a_signal_is_passed_on(self):
        program = harness.Program(self, ["sh", "-c", "kill -USR1 $$"], options=("--admin", "off"))
        self.assertEqual(program.wait(), -signal.SIGUSR1)

    def test_options_of_the_program_are_not_options_of_run(self):
        result = self.rt("run", "--admin", "off", "echo", "--json", "-e", "--", "x")
        self.assertEqual((result.status, result.stdout), (FINE, "--json -e -- x\n"))

    def test_variables_given_with_e_reach_the_program_and_later_ones_win(self):
        result = self.rt("run", "--admin", "off", "-e", "COLOUR=red", "-e", "COLOUR=a=b", "--",
                         "sh", "-c", "echo $COLOUR")
        self.assertEqual((result.status, result.stdout), (FINE, "a=b\n"))

    def test_a_malformed_variable_is_named_with_value_and_grammar(self):
        for options, env in (((), {"RTHOOKS_ADMIN": "banana"}), (("--admin", "banana"), {}),
                             (("-e", "RTHOOKS_ADMIN=banana"), {})):
            result = self.check(self.rt("run", *options, "--", "echo", "started", env=env), USAGE,
                                "RTHOOKS_ADMIN", "banana", "ADDRESS:PORT")
            self.assertEqual(result.stdout, "")
        self.check(self.rt("run", "--", "true", env={"RTHOOKS_FORK": "never"}), USAGE,
                   "RTHOOKS_FORK", "never", "lazy")
        self.check(self.rt("run", "--", "true", env={"RTHOOKS": "perhaps"}), USAGE, "RTHOOKS",
                   "perhaps", "off")

    def test_a_variable_nobody_knows_is_a_warning_and_the_program_starts(self):
        result = self.check(self.rt("run", "--admin", "off", "--", "echo", "started",
                                    env={"RTHOOKS_PORT": "tcp://10.0.0.1:80"}),
                            FINE, "warning: RTHOOKS_PORT")
        self.assertEqual(result.stdout, "started\n")

    def test_rthooks_off_starts_the_program_without_any_hook(self):
        result = self.check(self.rt("run", "--service", "x", "--", "cat", "/proc/self/maps",
                                    env={"RTHOOKS": "off", "RTHOOKS_ADMIN": "banana"}), FINE)
        self.assertNotIn("librthooks", result.stdout)
        self.assertEqual(result.stderr, "")
        result = self.rt("run", "--", "env", env={"RTHOOKS": "off"})
        self.assertNotIn("LD_PRELOAD", result.stdout)
        self.assertNotIn("RTHOOKS_RUN_", result.stdout)

    def test_preloads_of_the_user_stay_and_come_after_ours(self):
        other = self.path("libother.so")
        source = self.write("other.c", "int other;\n")
        subprocess.run([harness.need("cc"), "-shared", "-fPIC", "-o", other, source], check=True)
        # The kernel's copy of the environment is what run handed to exec.
        result = self.rt("run", "--admin", "off", "--match", "nosuch", "--", "cat",
                         "/proc/self/environ", env={"LD_PRELOAD": other})
        preload = [entry for entry in result.stdout.split("\0")
                   if entry.startswith("LD_PRELOAD=")]
        self.assertEqual(len(preload), 1, result)
        names = [os.path.basename(path) for path in preload[0].split("=", 1)[1].split(":")]
        self.assertEqual(names, ["librthooks_interpose.so", "librthooks.so", "libother.so"])
        maps = self.rt("run", "--admin", "off", "--", "cat", "/proc/self/maps",
                       env={"LD_PRELOAD": other}).stdout
        for name in names:
            self.assertIn(name, maps)

    def test_run_inside_run_hooks_once(self):
        result = self.rt("run", "--admin", "off", "--", self.rthooks, "run", "--admin", "off",
                         "--", "cat", "/proc/self/environ")
        self.assertEqual(result.status, FINE, result)
        for entry in result.stdout.split("\0"):
            if entry.startswith("LD_PRELOAD="):
                self.assertLessEqual(entry.count("librthooks_interpose.so"), 1)

    def test_a_program_is_found_as_execvp_finds_it(self):
        os.mkdir(self.path("first"))
        os.mkdir(self.path("second"))
        self.write("first/tool", "#!/bin/sh\necho wrong\n", 0o644)
        self.write("second/tool", "#!/bin/sh\necho right\n", 0o755)
        env = {"PATH": "%s:%s:/usr/bin:/bin" % (self.path("first"), self.path("second"))}
        result = self.rt("run", "--admin", "off", "--", "tool", env=env)
        self.assertEqual((result.status, result.stdout), (FINE, "right\n"))
        result = self.rt("run", "--admin", "off", "--", "tool",
                         env={"PATH": ":/usr/bin:/bin"}, cwd=self.path("second"))
        self.assertEqual((result.status, result.stdout), (FINE, "right\n"))

    def test_a_script_without_a_first_line_is_read_by_the_shell(self):
        path = self.write("plain", "echo plain $1\n", 0o755)
        result = self.rt("run", "--admin", "off", "--", path, "words")
        self.assertEqual((result.status, result.stdout), (FINE, "plain words\n"))

    def test_a_chain_of_scripts_ends_at_a_program_and_is_hooked(self):
        inner = self.write("inner", "#!/bin/sh\necho inner; cat /proc/$$/maps\n", 0o755)
        outer = self.write("outer", "#!%s\nignored\n" % inner, 0o755)
        result = self.rt("run", "--admin", "off", "--", outer)
        self.assertEqual(result.status, FINE, result)
        self.assertTrue(result.stdout.startswith("inner\n"), result)
        self.assertIn("librthooks.so", result.stdout)


class Refusals(CliCase):
    def test_a_program_that_is_not_there(self):
        self.check(self.rt("run", "--", "no-such-program"), UNREACHABLE,
                   "no-such-program: not found")
        self.check(self.rt("run", "--", "/no/such/program"), UNREACHABLE, "not found")
        self.check(self.rt("run", "--", ""), UNREACHABLE, "not found")

    def test_a_file_that_is_not_executable(self):
        path = self.program(mode=0o644)
        self.check(self.rt("run", "--", path), UNREACHABLE, "not executable")
        self.check(self.rt("run", "--", self.tmp), UNREACHABLE, "not executable")
        doctor = self.rt("doctor", path)
        self.assertEqual(doctor.status, BAD_NEWS)
        self.assertIn("cannot be executed", doctor.stdout)

    def test_a_setuid_program_of_another_user(self):
        harness.need_root("changes owners")
        path = self.program()
        os.chown(path, 65534, 65534)
        os.chmod(path, 0o4755)
        self.refused(path, "setuid", "65534")

    def test_a_setgid_program_of_another_group(self):
        harness.need_root("changes owners")
        path = self.program()
        os.chown(path, 0, 65534)
        os.chmod(path, 0o2755)
        self.refused(path, "setgid", "65534")

    def test_a_setuid_program_of_ones_own_or_without_new_privileges_is_hooked(self):
        harness.need_root("changes owners")
        path = self.program(source="/bin/cat")
        os.chmod(path, 0o4755)
        result = self.rt("run", "--admin", "off", "--", path, "/proc/self/maps")
        self.assertIn("librthooks.so", result.stdout)
        os.chown(path, 65534, 65534)
        os.chmod(path, 0o4755)
        result = self.rt("run", "--admin", "off", "--", path, "/proc/self/maps",
                         launcher=NO_NEW_PRIVS)
        self.assertEqual(result.status, FINE, result)
        self.assertIn("librthooks.so", result.stdout)

    def test_a_program_with_file_capabilities_unless_root_starts_it(self):
        harness.need_root("sets file capabilities")
        rthooks = self.public_rthooks()
        path = self.program(source="/bin/cat")
        if subprocess.run([harness.need("setcap"), "cap_net_raw+ep", path],
                          check=False, stderr=subprocess.DEVNULL).returncode != 0:
            harness.skip("this file system has no file capabilities")
        os.chmod(self.path("run"), 0o755)
        self.refused(path, "file capabilities", launcher=NOBODY, rthooks=rthooks)
        result = self.rt("run", "--admin", "off", "--", path, "/proc/self/maps")
        self.assertIn("librthooks.so", result.stdout)

    def test_a_program_of_musl(self):
        self.refused(self.compiled("musl-gcc"), "musl")

    def test_a_program_whose_loader_is_unknown_or_missing(self):
        self.refused(self.with_loader("/bin/sh"), "another libc", "/bin/sh")
        self.refused(self.with_loader("/nonexistent/ld.so"), "/nonexistent/ld.so",
                     "No such file")

    def test_a_program_of_another_machine_or_class(self):
        self.refused(self.patched([(18, struct.pack("<H", 183))]), "aarch64", "x86-64")
        header = (b"\x7fELF\x01\x01\x01" + bytes(9) +
                  struct.pack("<HHIIIIIHHHHHH", 2, 3, 1, 0, 52, 0, 0, 52, 32, 0, 0, 0, 0))
        path = self.path("i386")
        with open(path, "wb") as file:
            file.write(header)
        os.chmod(path, 0o755)
        self.refused(path, "32-bit", "i386")

    def test_a_broken_program(self):
        with open("/bin/true", "rb") as file:
            start = file.read(100)
        path = self.path("cut")
        with open(path, "wb") as file:
            file.write(start)
        os.chmod(path, 0o755)
        self.refused(path, "broken ELF")
        self.refused(self.patched([(16, struct.pack("<H", 1))]), "not a program")

    def test_scripts_that_lead_nowhere(self):
        self.refused(self.write("empty", "#!\necho\n", 0o755), "#!")
        self.refused(self.write("missing", "#!/no/such/shell\n", 0o755), "/no/such/shell",
                     "not found")
        self.refused(self.write("text", "#!%s\n" % self.write("data", "words\n", 0o755), 0o755),
                     "neither a program nor a script")
        loop = self.path("loop")
        self.write("loop", "#!%s\n" % loop, 0o755)
        self.refused(loop, "interpreters")

    def test_a_script_of_a_program_that_is_refused(self):
        harness.need_root("changes owners")
        shell = self.program("shell", source="/bin/sh")
        os.chown(shell, 65534, 65534)
        os.chmod(shell, 0o4755)
        self.refused(self.write("script", "#!%s\n" % shell, 0o755), "setuid")

    def test_a_path_of_the_libraries_that_ld_preload_cannot_carry(self):
        prefix = self.path("with space")
        subprocess.run(["cmake", "--install", harness.BUILD, "--prefix", prefix], check=True,
                       stdout=subprocess.DEVNULL)
        rthooks = os.path.join(prefix, "bin", "rthooks")
        self.check(self.rt("run", "--", "true", rthooks=rthooks), UNREACHABLE, "with space",
                   "LD_PRELOAD")
        moved = self.path("with:colon")
        os.rename(prefix, moved)
        # A run path with ':' is split by the loader as well: name the folder otherwise.
        os.symlink(moved, self.path("plain"))
        folders = [top for top, _, names in os.walk(self.path("plain"))
                   if "librthooks.so" in names]
        self.assertEqual(len(folders), 1, folders)
        result = self.rt("run", "--", "true", rthooks=os.path.join(moved, "bin", "rthooks"),
                         env={"LD_LIBRARY_PATH": folders[0]})
        self.check(result, UNREACHABLE, "with:colon", "LD_PRELOAD")

    def test_a_missing_interposer(self):
        prefix = self.path("installed")
        subprocess.run(["cmake", "--install", harness.BUILD, "--prefix", prefix], check=True,
                       stdout=subprocess.DEVNULL)
        for top, _, names in os.walk(prefix):
            for name in names:
                if name.startswith("librthooks_interpose.so"):
                    os.remove(os.path.join(top, name))
        rthooks = os.path.join(prefix, "bin", "rthooks")
        self.check(self.rt("run", "--", "true", rthooks=rthooks), UNREACHABLE,
                   "librthooks_interpose.so is missing")
        doctor = self.rt("doctor", rthooks=rthooks)
        self.assertEqual(doctor.status, BAD_NEWS)
        self.assertIn("librthooks_interpose.so is missing", doctor.stdout)

    def test_a_static_program_is_started_with_a_warning(self):
        path = self.compiled("cc", "-static")
        result = self.rt("run", "--admin", "off", "--", path)
        self.check(result, 5, "warning", "statically")
        doctor = self.rt("doctor", path)
        self.assertEqual(doctor.status, FINE)
        self.assertIn("statically", doctor.stdout)


class Threads(CliCase):
    def test_the_threads_of_any_process_are_listed_from_proc(self):
        program = self.sleeper()
        result = self.check(self.rt("threads", str(program.pid)), FINE)
        lines = result.stdout.splitlines()
        self.assertEqual(lines[0], "sleep (pid %d): 1 thread" % program.pid)
        self.assertEqual(lines[1].split(),
                         ["TID", "NAME", "STATE", "WCHAN", "AGE", "CPU", "%LIFE"])
        self.assertEqual(lines[2].split()[:3], [str(program.pid), "sleep", "sleeping"])
        for line in lines:
            self.assertLessEqual(len(line), 100)

    def test_json_has_the_shape_of_the_route(self):
        program = self.sleeper()
        document = json.loads(self.check(self.rt("threads", "--json", str(program.pid)),
                                         FINE).stdout)
        self.assertEqual(document["process"], {"pid": program.pid, "name": "sleep"})
        thread, = document["threads"]
        self.assertEqual((thread["tid"], thread["name"], thread["state"], thread["origin"]),
                         (program.pid, "sleep", "sleeping", "host"))
        self.assertGreaterEqual(thread["age_seconds"], 0)
        self.assertAlmostEqual(thread["cpu_seconds"],
                               thread["user_seconds"] + thread["system_seconds"])

    def test_threads_of_rthooks_are_marked_by_every_way_to_ask(self):
        program = self.start(["sleep", "600"])
        program.wait_for_admin()
        for target in (str(program.pid), program.unix, "unix:" + program.unix,
                       "127.0.0.1:%d" % program.port, "http://127.0.0.1:%d/" % program.port):
            with self.subTest(target=target):
                document = json.loads(self.check(self.rt("threads", "--json", target),
                                                 FINE).stdout)
                origins = {thread["name"]: thread["origin"] for thread in document["threads"]}
                self.assertEqual(origins["sleep"], "host")
                self.assertEqual(origins["rth-admin"], "rthooks")
                table = self.check(self.rt("threads", target), FINE).stdout
                self.assertIn("rth-admin *", table)
                self.assertIn("added by rthooks", table)

    def test_a_saved_answer_is_read_like_the_answer(self):
        threads = [{"tid": 7, "name": "b", "state": "running", "wchan": "", "age_seconds": 100,
                    "cpu_seconds": 1, "user_seconds": 1, "system_seconds": 0, "origin": "host"},
                   {"tid": 9, "name": "a\x1b[31m", "state": "disk", "wchan": "io_schedule",
                    "age_seconds": 90000, "cpu_seconds": 9, "user_seconds": 8,
                    "system_seconds": 1, "origin": "rthooks"}]
        path = self.write("saved.json", json.dumps(
            {"process": {"pid": 7, "name": "x"}, "threads": threads}))
        for key, order in (("cpu", [9, 7]), ("tid", [7, 9]), ("name", [9, 7]), ("age", [9, 7])):
            rows = self.check(self.rt("threads", "--sort", key, path),
                              FINE).stdout.splitlines()[2:4]
            self.assertEqual([int(row.split()[0]) for row in rows], order, key)
        text = self.rt("threads", path).stdout
        self.assertNotIn("\x1b", text)
        self.assertIn("1d01h", text)
        self.assertIn("1.0%", text)

    def test_files_that_are_no_thread_list_are_refused(self):
        for text in ("", "{", "[]", "{}", '{"threads": 5}', '{"threads": [], "threads": []}',
                     "\xff"):
            path = self.write("bad.json", text)
            self.check(self.rt("threads", path), UNREACHABLE, "bad.json")

    def test_a_dead_process_is_out_of_reach(self):
        pid = str(self.dead_pid())
        for command in ("threads", "doctor", "version"):
            result = self.check(self.rt(command, pid), UNREACHABLE, pid, "does not exist")
            self.assertEqual(result.stdout, "")


class Targets(CliCase):
    def test_the_socket_of_a_killed_process_is_removed_by_the_next_command(self):
        program = self.start(["sleep", "600"])
        program.wait_for_admin()
        self.assertEqual(self.sockets(), ["%d.sock" % program.pid])
        program.signal(signal.SIGKILL)
        program.wait()
        self.assertEqual(self.sockets(), ["%d.sock" % program.pid])
        self.check(self.rt("threads", str(program.pid)), UNREACHABLE, "does not exist")
        self.assertEqual(self.sockets(), [])

    def test_a_process_without_rthooks_has_no_socket(self):
        self.check(self.rt("version", str(self.sleeper().pid)), UNREACHABLE, "no admin socket")

    def test_a_long_socket_path_can_be_asked(self):
        folder = self.path("run", "d" * 100, "e" * 100)
        os.makedirs(folder, 0o700)
        program = self.start(["sleep", "600"])
        program.wait_for_admin()
        os.link(program.unix, os.path.join(folder, "renamed.sock"))
        result = self.check(self.rt("version", os.path.join(folder, "renamed.sock")), FINE)
        self.assertIn("sleep ", result.stdout)

    def test_addresses_where_nobody_answers_are_out_of_reach(self):
        port = harness.free_port()
        for command in ("threads", "doctor", "version"):
            self.check(self.rt(command, "127.0.0.1:%d" % port), UNREACHABLE, str(port))
        self.check(self.rt("version", "/no/such.sock"), UNREACHABLE, "/no/such.sock")
        path = self.path("stale.sock")
        with socket.socket(socket.AF_UNIX) as stale:
            stale.bind(path)
        self.check(self.rt("version", path), UNREACHABLE, "refused")
        self.assertTrue(os.path.exists(path), "not ours to remove")

    def test_a_server_that_is_not_rthooks_is_told_apart(self):
        port = harness.free_port()
        server = harness.Program(self, [sys.executable, "-m", "http.server", "--bind",
                                        "127.0.0.1", str(port)], hooked=False)
        harness.wait_until("the server", lambda: harness.fetch(port, "/").status == 200)
        self.check(self.rt("version", "127.0.0.1:%d" % port), UNREACHABLE, "404")
        doctor = self.rt("doctor", "127.0.0.1:%d" % port)
        self.assertEqual(doctor.status, BAD_NEWS, doctor)
        server.signal(signal.SIGKILL)

    def test_a_token_is_read_from_a_file_or_the_environment(self):
        token = self.write("token", "s3cret-token-of-this-test\n", 0o600)
        wrong = self.write("wrong", "another-token-of-this-test\n", 0o600)
        program = self.start(["sleep", "600"], env={"RTHOOKS_ADMIN_TOKEN_FILE": token})
        harness.wait_until("the socket",
                           lambda: harness.fetch(program.unix, "/version").status == 200)
        url = "127.0.0.1:%d" % program.port
        self.check(self.rt("version", url), UNREACHABLE, "401")
        self.check(self.rt("version", "--token-file", wrong, url), UNREACHABLE, "401")
        self.check(self.rt("version", "--token-file", token, url), FINE)
        self.check(self.rt("version", url, env={"RTHOOKS_ADMIN_TOKEN_FILE": token}), FINE)
        self.check(self.rt("version", "--token-file", self.path("nosuch"), url), UNREACHABLE,
                   "nosuch")
        self.check(self.rt("version", "--token-file", self.write("blank", "\n"), url),
                   UNREACHABLE, "empty")


class Version(CliCase):
    def test_version_names_the_command_and_its_libraries(self):
        result = self.check(self.rt("version"), FINE)
        self.assertRegex(result.stdout, r"^rthooks \d+\.\d+\.\d+\n")
        self.assertEqual(self.rt("--version").stdout, result.stdout)
        document = json.loads(self.check(self.rt("version", "--json"), FINE).stdout)
        self.assertEqual(document["version"], document["library_version"])
        self.assertTrue(os.path.exists(document["runtime"]))
        self.assertTrue(os.path.exists(document["interposer"]))

    def test_version_of_a_process_is_its_own_answer(self):
        program = self.start(["sleep", "600"], options=("--service", "checkout"),
                             env={"RTHOOKS_VERSION": "1.4.2"})
        program.wait_for_admin()
        result = self.check(self.rt("version", str(program.pid)), FINE)
        self.assertTrue(result.stdout.startswith("checkout 1.4.2\n"), result)
        document = json.loads(self.rt("version", "--json", program.unix).stdout)
        self.assertEqual(document, harness.fetch(program.port, "/version").json())


class Doctor(CliCase):
    def findings(self, result):
        document = json.loads(result.stdout)
        problems = [finding for finding in document["findings"] if finding["level"] == "problem"]
        self.assertEqual(document["problems"], len(problems))
        self.assertEqual(result.status, BAD_NEWS if problems else FINE)
        return {finding["check"]: (finding["level"], finding["text"])
                for finding in document["findings"]}

    def test_doctor_examines_this_system(self):
        found = self.findings(self.rt("doctor", "--json"))
        for check in ("kernel", "close_range", "pidfd", "wipeonfork", "perf_events",
                      "ptrace_scope", "runtime", "interposer", "environment", "port",
                      "socket folder"):
            self.assertIn(check, found)
        self.assertIn(self.path("run"), found["socket folder"][1])
        for line in self.rt("doctor").stdout.splitlines()[:-1]:
            self.assertRegex(line, "^(ok|note|problem|) ")

    def test_doctor_finds_what_is_wrong_with_the_environment(self):
        found = self.findings(self.rt("doctor", "--json", env={"RTHOOKS_ADMIN": "banana"}))
        self.assertEqual(found["environment"][0], "problem")
        self.assertIn("banana", found["environment"][1])

    def test_doctor_says_when_the_port_is_taken(self): # serial
        with socket.socket() as holder:
            holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                holder.bind(("127.0.0.1", 6060))
            except OSError:
                pass  # somebody else has it: as good
            else:
                holder.listen()
            self.assertEqual(self.findings(self.rt("doctor", "--json"))["port"][0], "note")

    def test_doctor_passes_over_a_squatted_socket_folder(self):
        os.mkdir(self.path("run", "rthooks"), 0o755)
        os.chmod(self.path("run", "rthooks"), 0o777)
        result = self.rt("doctor")
        self.assertIn("passed over", result.stdout)

    def test_doctor_shows_a_process_that_is_not_hooked(self):
        program = self.sleeper()
        found = self.findings(self.rt("doctor", "--json", str(program.pid)))
        self.assertEqual(found["hooked"], ("ok", "no"))
        self.assertEqual(found["threads"], ("ok", "1: 1 sleeping"))
        self.assertIn(os.path.realpath(shutil.which("sleep", path=harness.PATH)),
                      found["program"][1])
        self.assertIn("glibc", found["format"][1])
        self.assertEqual(found["admin socket"][0], "note")

    def test_doctor_shows_a_process_that_is_hooked_and_answers(self):
        program = self.start(["sleep", "600"])
        program.wait_for_admin()
        found = self.findings(self.rt("doctor", "--json", str(program.pid)))
        self.assertEqual(found["hooked"], ("ok", "runtime and interposer are loaded"))
        self.assertIn("%d.sock" % program.pid, found["admin socket"][1])
        self.assertEqual(found["/livez"], ("ok", "ok"))
        for target in (program.unix, "127.0.0.1:%d" % program.port):
            found = self.findings(self.rt("doctor", "--json", target))
            self.assertEqual(found["/livez"], ("ok", "ok"))
            self.assertIn("sleep", found["/version"][1])

    def test_doctor_says_when_the_program_was_deleted_or_files_run_out(self):
        path = self.program(source="/bin/sleep")
        program = harness.Program(self, ["sh", "-c", "ulimit -n 4; exec %s 600" % path],
                                  hooked=False)
        harness.wait_until("the exec", lambda: os.readlink(
            "/proc/%d/exe" % program.pid) == path)
        os.remove(path)
        found = self.findings(self.rt("doctor", "--json", str(program.pid)))
        self.assertIn("deleted", found["program"][1])
        self.assertIn("of 4 ", found["open files"][1])

    def test_doctor_says_that_a_child_was_never_waited_for(self):
        program = harness.Program(self, ["sh", "-c", "true & exec sleep 600"], hooked=False)
        zombie = harness.wait_until("a zombie", lambda: [
            pid for pid in self.children_with_zombies(program.pid)
            if harness.process_stat(pid)[0] == "Z"])[0]
        found = self.findings(self.rt("doctor", "--json", str(zombie)))
        self.assertEqual(found["process"][0], "problem")

    @staticmethod
    def children_with_zombies(parent):
        pids = [int(name) for name in os.listdir("/proc") if name.isdigit()]
        stats = [(pid, harness.process_stat(pid)) for pid in pids]
        return [pid for pid, found in stats if found and found[1] == parent]

    def test_doctor_of_another_users_process_says_what_it_may_not_see(self):
        harness.need_root("starts as another user")
        program = self.sleeper()
        rthooks = self.public_rthooks()
        result = self.rt("doctor", "--json", str(program.pid), launcher=NOBODY, rthooks=rthooks)
        found = self.findings(result)
        self.assertEqual(found["admin socket"][0], "note")
        self.assertIn("not readable", found["LD_PRELOAD"][1])

    def test_doctor_says_that_run_would_hook_a_program(self):
        found = self.findings(self.rt("doctor", "--json", "/bin/true"))
        self.assertEqual(found["run"], ("ok", "rthooks run hooks it"))
        script = self.write("script", "#!/bin/sh\n", 0o755)
        found = self.findings(self.rt("doctor", "--json", script))
        self.assertEqual(found["run"][0], "ok")
        self.assertIn("/bin/sh", found["script"][1])


if __name__ == "__main__":
    harness.main()
