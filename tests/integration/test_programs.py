# SPDX-License-Identifier: MIT
"""Real programs start, work and end as without us."""
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time

import harness
from harness import fetch, wait_until


def without_numbers(text):
    return re.sub(rb"\b\d{2,8}\b", b"N", text)


class Small(harness.Case):
    def test_true(self):
        self.assertEqual(self.same(["/bin/true"]).status, 0)

    def test_false(self):
        self.assertEqual(self.same(["/bin/false"]).status, 1)

    def test_a_program_that_is_not_there_is_out_of_reach(self):
        for name in ("/nosuch/program", "nosuch-program", "./nosuch"):
            result = self.run_rthooks("run", "--", name)
            self.assertEqual((result.status, result.stdout), (3, b""))
            self.assertIn(name.encode(), result.stderr)

    def test_a_program_that_may_not_be_executed_is_out_of_reach(self):
        path = self.write("plain.txt", "no program\n")
        result = self.run_rthooks("run", "--", path)
        self.assertEqual((result.status, result.stdout), (3, b""))
        self.assertIn(path.encode(), result.stderr)

    def test_a_program_of_another_machine_is_refused(self):
        with open("/bin/true", "rb") as file:
            image = bytearray(file.read())
        image[18:20] = (243).to_bytes(2, "little")  # e_machine: RISC-V
        path = self.path("foreign")
        with open(path, "wb") as file:
            file.write(image)
        os.chmod(path, 0o755)
        result = self.run_rthooks("run", "--", path)
        self.assertEqual((result.status, result.stdout), (3, b""))
        self.assertIn(path.encode(), result.stderr)

    def test_a_script_without_interpreter_line_runs_as_from_a_shell(self):
        path = self.write("script", "echo here $0 $1; exit 8\n", 0o755)
        result = self.run_to_end([path, "one"])
        self.assertEqual((result.status, result.stdout), (8, b"here %s one\n" % path.encode()))

    def test_every_exit_status_comes_through(self):
        for number in range(256):
            result = self.run_to_end([harness.host("leave"), "return", str(number)])
            self.assertEqual(result.status, number)

    def test_every_way_to_exit(self):
        for how in ("return", "exit", "_exit", "quick"):
            self.assertEqual(self.same([harness.host("leave"), how, "7"]).status, 7)

    def test_death_by_every_ordinary_signal(self):
        for number in ("HUP", "INT", "QUIT", "ILL", "TRAP", "ABRT", "BUS", "FPE", "KILL", "USR1",
                       "SEGV", "USR2", "PIPE", "ALRM", "TERM", "XCPU", "SYS"):
            value = getattr(signal, "SIG" + number)
            result = self.same([harness.host("leave"), "raise", str(int(value))])
            self.assertEqual(result.status, -value)

    def test_death_by_every_fault(self):
        for how, number in (("segv", signal.SIGSEGV), ("fpe", signal.SIGFPE),
                            ("ill", signal.SIGILL), ("bus", signal.SIGBUS),
                            ("abort", signal.SIGABRT), ("overflow", signal.SIGSEGV)):
            self.assertEqual(self.same([harness.host("leave"), how]).status, -number, how)

    def test_a_program_in_cpp_that_throws_all_the_time(self):  # serial
        self.assertEqual(self.same([harness.host("throws")]).stdout,
                         b"caught 100000 destroyed 600000\n")

    def test_the_pid_is_the_one_that_was_started(self):
        program = self.start(["/bin/sh", "-c", "echo $$; exec sleep 100"])
        program.wait_for_output(b"\n")
        self.assertEqual(int(program.stdout()), program.pid)
        program.wait_for_admin()


class Environment(harness.Case):
    AWKWARD = {"LD_LIBRARY_PATH": "/nonexistent", "EMPTY": "", "WITH_EQUALS": "a=b=c",
               "RTHOOKS_SERVICE": "mine", "OTEL_SERVICE_NAME": "theirs"}

    def test_env_prints_what_it_prints_bare(self):
        result = self.same(["/usr/bin/env"], env=self.AWKWARD)
        self.assertIn(b"RTHOOKS_SERVICE=mine\n", result.stdout)

    def test_a_child_sees_a_clean_environment(self):
        self.same(["/bin/sh", "-c", "env; (env); sh -c env"], env=self.AWKWARD,
                  options=["-e", "RTHOOKS_LOG=warn"])
        self.same(["/bin/sh", "-c", "env"], options=["--service", "shown"])

    def test_an_executed_program_sees_a_clean_environment(self):
        self.same(["/bin/sh", "-c", "exec env"], env=self.AWKWARD)

    def test_the_users_own_preload_stays(self):
        library = harness.host("module_harmless.so")
        result = self.same(["/bin/sh", "-c", "env | grep ^LD_PRELOAD; exec env"],
                           env={"LD_PRELOAD": library})
        self.assertEqual(result.stdout.count(b"LD_PRELOAD=" + library.encode() + b"\n"), 2)

    def test_e_sets_variables_of_the_program(self):
        result = self.run_to_end(["/usr/bin/env"], options=["-e", "COLOUR=red"])
        self.assertIn(b"COLOUR=red\n", result.stdout)

    def test_follow_hooks_children(self):
        program = self.start(["/bin/sh", "-c", "sleep 100 & echo $!; wait"], options=["--follow"])
        program.wait_for_output(b"\n")
        child = int(program.stdout())
        wait_until("our library in the child",
                   lambda: "librthooks" in harness.read_text("/proc/%d/maps" % child))

    def test_children_are_not_hooked_without_follow(self):
        program = self.start(["/bin/sh", "-c", "sleep 100 & echo $!; wait"])
        program.wait_for_output(b"\n")
        child = int(program.stdout())
        wait_until("the child's exec", lambda: "sleep" in os.readlink("/proc/%d/exe" % child)
                   or "coreutils" in os.readlink("/proc/%d/exe" % child))
        time.sleep(0.3)
        with open("/proc/%d/maps" % child, encoding="utf-8") as file:
            self.assertNotIn("librthooks", file.read())

    def test_match_activates_only_in_the_executable_named(self):
        program = self.start(["/bin/sh", "-c", "env >env.txt; exec env sleep 100"],
                             options=["--match", "sleep"])
        program.wait_for_admin()
        with open("/proc/%d/comm" % program.pid, encoding="ascii") as file:
            self.assertEqual(file.read(), "sleep\n")
        self.assertEqual(len(harness.split_start_line(program.stderr())[0]), 1)


class Descriptors(harness.Case):
    def test_no_descriptor_of_ours_in_the_program_or_its_children(self):
        for delay in ((), ("600",)):
            result = self.same([harness.host("list_fds"), *delay])
            self.assertIn(b"self: 0 1 2", result.stdout)

    def test_a_shell_child_sees_no_extra_descriptor(self):
        self.same(["/bin/sh", "-c", "sleep 0.5; ls /proc/self/fd; echo | ls /proc/self/fd"])

    def test_a_daemon_that_closes_everything_keeps_its_files_to_itself(self):
        folder = self.path("files")
        os.mkdir(folder)
        for delay in ("0", "150", "600"):
            program = self.start([harness.host("close_all"), folder, delay],
                                 env={"RTHOOKS_LOG": "debug"})
            wait_until("its files", lambda: os.path.exists(os.path.join(folder, "ready")))
            endpoints = program.wait_for_admin()
            self.assert_routes_answer(endpoints)
            names = sorted(os.listdir(folder))
            self.assertEqual(len(names), 22)
            for name in names:
                self.assertEqual(os.stat(os.path.join(folder, name)).st_size, 0, name)
            open_files = os.listdir("/proc/%d/fd" % program.pid)
            self.assertEqual(sorted(open_files, key=int), [str(fd) for fd in range(21)])
            program.signal(signal.SIGKILL)
            program.wait()
            shutil.rmtree(folder)
            os.mkdir(folder)

    def test_pipes_of_the_host_are_not_held_open_by_us(self):
        reader, writer = os.pipe()
        program = harness.Program(self, ["/bin/sh", "-c", "sleep 0.6; exec >&- 2>&-; sleep 100"],
                                  port=harness.free_port(),
                                  preexec=lambda: os.dup2(writer, 1))
        os.close(writer)
        program.wait_for_admin()
        with os.fdopen(reader, "rb") as file:
            wait_until("children of the shell", lambda: harness.children(program.pid))
            # `sleep` holds no end either: the shell had closed it before.
            self.assertEqual(file.read(), b"")
        self.assertIsNone(program.process.poll())


class Namespaces(harness.Case):
    def need_user_namespaces(self):
        if self.run_to_end(["unshare", "-U", "true"], hooked=False).status != 0:
            harness.skip("user namespaces are not allowed here")

    def test_unshare_of_the_user_namespace_works(self):
        self.need_user_namespaces()
        self.assertEqual(self.same(["unshare", "-U", "true"]).status, 0)

    def test_unshare_works_while_our_threads_run(self):
        self.need_user_namespaces()
        program = self.start([harness.host("unshare_late")], stdin=subprocess.PIPE)
        program.wait_for_output(b"running\n")
        program.wait_for_admin()
        self.assertIn("rth-admin", harness.task_names(program.pid))
        program.process.stdin.write(b"\n")
        program.process.stdin.flush()
        program.wait_for_output(b"unshare: ")
        self.assertEqual(program.stdout(), b"running\nunshare: ok\n")
        wait_until("an answer afterwards", lambda: fetch(program.port, "/version").status == 200)


class Privileges(harness.Case):
    def test_a_setuid_program_as_a_child_works(self):
        harness.need_root("makes a setuid program")
        uid, _ = harness.user_ids("www-data")
        program = self.public_host("list_ids")
        os.chown(program, uid, -1)
        os.chmod(program, 0o4755)
        for options in ((), ("--follow",)):
            result = self.same(["/bin/sh", "-c", program + "; " + program], options=options,
                               hooked_once=not options)
            self.assertEqual(result.stdout.count(b"uid 0 %d %d " % (uid, uid)), 2)
            self.assertIn(b"secure 1", result.stdout)

    def test_a_setuid_program_is_refused_before_exec(self):
        harness.need_root("makes a setuid program")
        program = self.public_host("list_ids")
        os.chown(program, harness.user_ids("www-data")[0], -1)
        os.chmod(program, 0o4755)
        result = self.run_rthooks("run", "--", program)
        self.assertEqual((result.status, result.stdout), (3, b""))
        self.assertIn(b"setuid", result.stderr)
        self.assertIn(program.encode(), result.stderr)

    def test_a_program_with_file_capabilities_is_refused_before_exec(self):
        harness.need_root("sets file capabilities")
        setpriv = harness.need("setpriv")
        harness.user_ids("www-data")
        program = self.public_host("list_ids")
        # VFS_CAP_REVISION_2 with the effective bit; CAP_NET_BIND_SERVICE permitted.
        value = b"\x01\x00\x00\x02" + b"\x00\x04\x00\x00" + b"\x00" * 12
        try:
            os.setxattr(program, "security.capability", value)
        except OSError:
            harness.skip("this file system has no file capabilities")
        # Root gains nothing by them, and the loader goes by what is gained: as another user.
        result = self.run_to_end([setpriv, "--reuid=www-data", "--regid=www-data",
                                  "--clear-groups", self.public_rthooks(), "run", "--", program],
                                 hooked=False)
        self.assertEqual((result.status, result.stdout), (3, b""))
        self.assertIn(b"capabilit", result.stderr)

    def test_a_uid_that_is_dropped_before_the_gid(self):
        harness.need_root("drops to www-data")
        uid, gid = harness.user_ids("www-data")
        for delay in ("0", "600"):
            result = self.same([harness.host("keep_caps"), str(uid), str(gid), delay])
            self.assertEqual((result.status, result.stdout),
                             (0, b"uid %d gid %d\n" % (uid, gid)))

    def test_setpriv(self):
        harness.need_root("drops to www-data")
        setpriv = harness.need("setpriv")
        harness.user_ids("www-data")
        for arguments in (["--reuid=www-data", "--regid=www-data", "--init-groups"],
                          ["--reuid=www-data", "--regid=www-data", "--clear-groups",
                           "--inh-caps=-all", "--bounding-set=-all", "--no-new-privs"]):
            result = self.same([setpriv, *arguments, "id"])
            self.assertEqual(result.status, 0, result)

    def test_su(self):
        harness.need_root("becomes www-data")
        su = harness.need("su")
        harness.user_ids("www-data")
        result = self.same([su, "-s", "/bin/sh", "www-data", "-c", "id; exit 5"])
        self.assertEqual(result.status, 5)

    def test_a_static_program_gets_a_warning_and_runs(self):
        uid, gid = os.geteuid(), os.getegid()
        harness.need_root("the helper sets its groups")
        result = self.run_rthooks("run", "--", harness.host("static_gosu"), str(uid), str(gid),
                                  "/bin/echo", "there")
        self.assertEqual((result.status, result.stdout), (0, b"there\n"))
        self.assertIn(b"static", result.stderr)

    def test_shell_entrypoint_then_static_helper_then_redis_is_hooked(self):
        harness.need_root("drops to www-data")
        uid, gid = harness.user_ids("www-data")
        redis = harness.need("redis-server")
        data = self.path("data")
        os.mkdir(data)
        os.chown(data, uid, gid)
        helper = self.public_host("static_gosu")
        entrypoint = self.write("entrypoint.sh", "#!/bin/sh\nset -e\nmkdir -p %s\nexec %s %d %d "
                                "\"$@\"\n" % (data, helper, uid, gid), 0o755)
        redis_port = harness.free_port()
        program = self.start([entrypoint, redis, "--port", str(redis_port), "--dir", data],
                             cwd=data, rthooks=self.public_rthooks())
        program.wait_for_admin(unix=False)
        wait_until("redis", lambda: b"redis-server" in
                   fetch(program.port, "/debug/pprof/cmdline").body)
        self.assertEqual(set(map(tuple, harness.task_ids(program.pid)[program.pid])),
                         {(str(uid),) * 4, (str(gid),) * 4})
        self.assertEqual(harness.member_pids(program.port), [program.pid])
        path = "/tmp/rthooks-%d/%d.sock" % (uid, program.pid)
        wait_until("the socket of the new user", lambda: fetch(path, "/version").status == 200)
        self.assertEqual(os.lstat(path).st_uid, uid)
        self.assertEqual(len(harness.split_start_line(program.stderr())[0]), 1, program.stderr())
        program.signal(signal.SIGTERM)
        self.assertEqual(program.wait(20), 0)
        self.assertFalse(os.path.exists(path))


class Shell(harness.Case):
    def test_bash_scripts_with_descriptors_pipes_and_job_control(self):
        bash = harness.need("bash")
        script = """
exec 3>three 10>ten
echo to three >&3; echo to ten >&10
exec 3<three; read -u 3 line; echo "read $line"
exec {fd}<>five; echo "fd $fd"; echo x >&$fd
seq 1000 | sort -rn | (head -3; cat >/dev/null) | tac
cat <(echo one) <(echo two)
set -m
sleep 100 & kill -TERM %1; wait %1; echo "job $?"
(exit 3) & wait $!; echo "child $?"
sleep 0.3 & jobs; fg %+ >/dev/null; echo "fg $?"
coproc CAT { cat; }; echo hello >&${CAT[1]}; read -u ${CAT[0]} back; echo "back $back"
eval "exec ${CAT[1]}>&-"; wait; echo "coproc $?"
trap 'echo trapped' USR1; kill -USR1 $$; echo after
x=$(kill -9 $BASHPID); echo "killed $?"
ulimit -n; umask; echo $SHLVL $- ; ls /proc/self/fd
trap 'echo bye' EXIT
exit 42
"""
        result = self.same([bash, self.write("script.sh", script)], normalise=without_numbers)
        self.assertEqual(result.status, 42)
        self.assertIn(b"trapped\nafter\nkilled 137\n", result.stdout)

    def test_dash_scripts(self):
        script = """
exec 3>three; echo a >&3; trap 'echo term' TERM; kill -TERM $$; sleep 0.3
(sleep 0.1; exit 9) & wait $!; echo $?
echo x | cat | cat; ulimit -n; cd /; pwd; exec ls /proc/self/fd
"""
        self.same(["/bin/sh", self.write("script.sh", script)])

    def test_git_clones_a_repository(self):
        git = harness.need("git")
        script = """
set -e
export GIT_AUTHOR_DATE='2024-01-01T00:00:00Z' GIT_COMMITTER_DATE='2024-01-01T00:00:00Z'
git config --global user.name T; git config --global user.email t@example.com
git config --global init.defaultBranch main
git init -q source; cd source
for i in 1 2 3 4 5; do echo $i >file$i; git add .; git commit -q -m "number $i"; done; cd ..
git clone --no-local source copy; cd copy; git log --oneline; git gc -q; git fsck
git grep -n 3
"""
        self.assertEqual(self.same(["/bin/sh", self.write("s.sh", script)]).status, 0)

        def source(folder):
            subprocess.run(["/bin/sh", self.path("s.sh")], cwd=folder, env=self.environment,
                           check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            shutil.rmtree(os.path.join(folder, "copy"))
        self.same([git, "clone", "--no-local", "source", "copy"], prepare=source)


class Languages(harness.Case):
    def test_python_with_threads_children_and_signals(self):
        script = """
import concurrent.futures, multiprocessing, os, signal, subprocess, sys, tempfile, threading, time

def square(x):
    return x * x

def main():
    total = []
    threads = [threading.Thread(target=lambda n=n: total.append(sum(range(n)))) for n in range(50)]
    [t.start() for t in threads]; [t.join() for t in threads]
    print("threads", len(total), sum(total), threading.active_count())
    print("subprocess", subprocess.run(["sh", "-c", "echo $((6*7)); exit 5"], capture_output=True))
    print("pass_fds", subprocess.run(["sh", "-c", "ls /proc/self/fd"], capture_output=True).stdout)
    got = []
    signal.signal(signal.SIGUSR1, lambda *a: got.append(a[0]))
    os.kill(os.getpid(), signal.SIGUSR1); time.sleep(0.01)
    print("signal", got, signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGPROF))
    signal.setitimer(signal.ITIMER_REAL, 0.05)
    signal.signal(signal.SIGALRM, lambda *a: got.append(a[0])); signal.pause()
    print("alarm", got, signal.pthread_sigmask(signal.SIG_BLOCK, []))
    for method in ("fork", "spawn", "forkserver"):
        with multiprocessing.get_context(method).Pool(2) as pool:
            print(method, pool.map(square, range(20)))
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        print("pool", sum(pool.map(square, range(1000))))
    pid = os.fork()
    if pid == 0:
        time.sleep(0.5)
        os._exit(3)
    print("fork", os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
    print("fds", sorted(int(f) for f in os.listdir("/proc/self/fd")))
    sys.exit(9)

if __name__ == "__main__":
    main()
"""
        python = os.path.realpath(sys.executable)
        result = self.same([python, "-B", self.write("script.py", script)])
        self.assertEqual(result.status, 9)
        self.assertEqual(result.stderr, b"")

    def test_node_with_workers_children_and_timers(self):
        node = harness.need("node")
        script = """
const { Worker, isMainThread, parentPort } = require('worker_threads');
const { execFileSync } = require('child_process');
const crypto = require('crypto');
if (!isMainThread) { parentPort.postMessage(21 * 2); }
else {
  console.log(execFileSync('sh', ['-c', 'echo child; ls /proc/self/fd']).toString());
  const w = new Worker(__filename);
  w.on('message', (m) => console.log('worker', m));
  w.on('exit', () => {
    crypto.pbkdf2('a', 'b', 1000, 16, 'sha256', (e, k) => {
      console.log(k.toString('hex'));
      process.on('SIGTERM', () => { console.log('term'); process.exit(4); });
      setTimeout(() => process.kill(process.pid, 'SIGTERM'), 400);
      setInterval(() => {}, 1000);
    });
  });
}
"""
        self.assertEqual(self.same([node, self.write("script.js", script)]).status, 4)


def memcached_command(port, text):
    with socket.create_connection(("127.0.0.1", port), 10) as sock:
        sock.settimeout(10)
        sock.sendall(text)
        return sock.recv(65536)


class Memcached(harness.Case):
    def setUp(self):
        super().setUp()
        self.memcached = harness.need("memcached")
        self.memcached_port = harness.free_port()
        self.arguments = [self.memcached, "-l", "127.0.0.1", "-p", str(self.memcached_port),
                          "-U", "0", "-m", "64", "-t", "4"]
        if os.geteuid() == 0:
            self.arguments += ["-u", "www-data"]
            self.uid, self.gid = harness.user_ids("www-data")
        else:
            self.uid, self.gid = os.geteuid(), os.getegid()

    def work(self):
        wait_until("memcached", lambda: memcached_command(
            self.memcached_port, b"version\r\n").startswith(b"VERSION"))
        for number in range(200):
            value = os.urandom(500).hex().encode()
            stored = memcached_command(self.memcached_port, b"set key%d 0 0 %d\r\n%s\r\n" % (
                number, len(value), value))
            self.assertEqual(stored, b"STORED\r\n")
            self.assertIn(value, memcached_command(self.memcached_port,
                                                   b"get key%d\r\n" % number))

    def assert_ids(self, pid):
        for tid, (uids, gids) in harness.task_ids(pid).items():
            self.assertEqual(uids, [str(self.uid)] * 4, tid)
            self.assertEqual(gids, [str(self.gid)] * 4, tid)

    def socket_of(self, pid):
        if os.geteuid() == 0:
            return "/tmp/rthooks-%d/%d.sock" % (self.uid, pid)
        return self.path("run", "rthooks", "%d.sock" % pid)

    def test_in_the_foreground(self):
        program = self.start(self.arguments, rthooks=self.public_rthooks())
        self.work()
        unix = self.socket_of(program.pid)
        for endpoint in (program.port, unix):
            wait_until("an answer", lambda e=endpoint: fetch(e, "/version").status == 200)
        self.assert_routes_answer((program.port, unix))
        self.work()
        self.assertIn("rth-admin", harness.task_names(program.pid))
        self.assert_ids(program.pid)
        program.signal(signal.SIGTERM)
        self.assertEqual(program.wait(20), 0)
        self.assertFalse(os.path.exists(unix))
        self.assertEqual(self.sockets(), [])

    def test_as_a_daemon(self):
        pidfile = self.path("tmp", "memcached.pid")
        program = self.start(self.arguments + ["-d", "-P", pidfile],
                             rthooks=self.public_rthooks())
        self.assertEqual(program.wait(20), 0)
        daemon = int(wait_until("the pid file", lambda: harness.read_text(pidfile)))
        self.work()
        unix = self.socket_of(daemon)
        for endpoint in (program.port, unix):
            wait_until("an answer", lambda e=endpoint: fetch(e, "/version").status == 200)
        self.assert_routes_answer((program.port, unix))
        self.assertEqual(harness.member_pids(program.port), [daemon])
        self.assert_ids(daemon)
        os.kill(daemon, signal.SIGTERM)
        wait_until("its end", lambda: not harness.alive(daemon))
        self.assertFalse(os.path.exists(unix))


class Nginx(harness.Case):
    def setUp(self):
        super().setUp()
        self.nginx = harness.need("nginx")
        self.web_port = harness.free_port()
        for name in ("body", "proxy", "fastcgi", "uwsgi", "scgi"):
            os.mkdir(self.path(name))

    def configure(self, workers=2, daemon="off"):
        user = "user www-data;" if os.geteuid() == 0 else ""
        return self.write("nginx.conf", """
daemon %s; worker_processes %d; %s pid %s; error_log %s notice;
events { worker_connections 64; }
http {
  access_log off; client_body_temp_path body; proxy_temp_path proxy; fastcgi_temp_path fastcgi;
  uwsgi_temp_path uwsgi; scgi_temp_path scgi;
  server { listen 127.0.0.1:%d; location / { return 200 "hello\\n"; } }
}
""" % (daemon, workers, user, self.path("nginx.pid"), self.path("error.log"), self.web_port))

    def start_nginx(self):
        program = self.start([self.nginx, "-p", self.tmp, "-e", self.path("error.log"), "-c",
                              self.configure()], rthooks=self.public_rthooks())
        wait_until("nginx", self.hello)
        program.wait_for_admin()
        return program

    def hello(self):
        return fetch(self.web_port, "/").body == b"hello\n"

    def wait_for_workers(self, program, count=2):
        def listed():
            workers = harness.children(program.pid)
            return len(workers) == count and workers if sorted(
                harness.member_pids(program.port)) == sorted([program.pid] + workers) else None
        return wait_until("the workers in the list", listed)

    def test_master_and_workers_answer_after_the_uid_drop(self):
        program = self.start_nginx()
        workers = self.wait_for_workers(program)
        if os.geteuid() == 0:
            uid, gid = (str(number) for number in harness.user_ids("www-data"))
            for worker in workers:
                self.assertGreaterEqual(len(harness.tasks(worker)), 2)
                self.assertIn("rth-admin", harness.task_names(worker))
                for tid, ids in harness.task_ids(worker).items():
                    self.assertEqual(ids, ([uid] * 4, [gid] * 4), tid)
                path = "/tmp/rthooks-%s/%d.sock" % (uid, worker)
                wait_until("the worker's socket", lambda p=path: fetch(p, "/livez").body == b"ok")
                self.assertEqual(os.lstat(path).st_uid, int(uid))
            for tid, ids in harness.task_ids(program.pid).items():
                self.assertEqual(ids[0], ["0"] * 4, tid)
        for worker in workers:
            path = "/debug/pprof/cmdline?pid=%d" % worker
            wait_until("an answer of %d" % worker,
                       lambda p=path: fetch(program.port, p).status == 200)
            self.assertIn(b"nginx: worker process", fetch(program.port, path).body)
        for _ in range(300):
            self.assertTrue(self.hello())
        self.assert_routes_answer((program.port, program.unix))
        program.signal(signal.SIGQUIT)
        self.assertEqual(program.wait(20), 0)
        ours, rest = harness.split_start_line(program.stderr())
        self.assertEqual((len(ours), rest), (1, b""))
        self.assertEqual(self.sockets(), [])

    def test_reload_replaces_the_workers_and_the_list(self):
        program = self.start_nginx()
        before = self.wait_for_workers(program)
        self.configure(workers=3)
        program.signal(signal.SIGHUP)
        wait_until("new workers", lambda: len(harness.children(program.pid)) == 3
                   and not set(before) & set(harness.children(program.pid)))
        self.assertTrue(self.hello())
        after = self.wait_for_workers(program, 3)
        self.assertFalse(set(before) & set(after))
        if os.geteuid() == 0:
            folder = "/tmp/rthooks-%d" % harness.user_ids("www-data")[0]
            for worker in before:
                self.assertNotIn("%d.sock" % worker, self.sockets(folder))

    def test_upgrade_of_a_daemons_binary_keeps_serving(self):
        program = self.start([self.nginx, "-p", self.tmp, "-e", self.path("error.log"), "-c",
                              self.configure(daemon="on")], rthooks=self.public_rthooks())
        self.assertEqual(program.wait(20), 0)
        wait_until("nginx", self.hello)
        old = int(wait_until("the pid file", lambda: harness.read_text(self.path("nginx.pid"))))
        wait_until("the daemon at the port", lambda: set(
            harness.member_pids(program.port)) == {old} | set(harness.children(old)))
        first_workers = harness.children(old)
        os.kill(old, signal.SIGUSR2)
        wait_until("the new master", lambda: os.path.exists(self.path("nginx.pid.oldbin")))
        new = int(wait_until("its pid", lambda: harness.read_text(self.path("nginx.pid"))))
        self.assertNotEqual(new, old)
        wait_until("its workers", lambda: len(harness.children(new)) == 2)
        self.assertTrue(self.hello())
        os.kill(old, signal.SIGQUIT)
        for pid in first_workers + [old]:
            wait_until("the end of %d" % pid, lambda p=pid: not harness.alive(p))
        for _ in range(100):
            self.assertTrue(self.hello())
        os.kill(new, signal.SIGQUIT)
        wait_until("its end", lambda: not harness.alive(new))
        self.assertNotRegex(harness.read_text(self.path("error.log")),
                            r"\[(alert|emerg|crit|error)\]")
        self.assertEqual(self.sockets(), [])


class Postgres(harness.Case):
    def setUp(self):
        super().setUp()
        folder = "/usr/lib/postgresql"
        versions = sorted(os.listdir(folder), key=float) if os.path.isdir(folder) else []
        if not versions:
            harness.skip("PostgreSQL is not installed")
        self.bin = os.path.join(folder, versions[-1], "bin")
        self.launcher = []
        self.data = self.path("data")
        os.mkdir(self.data, 0o700)
        self.sockets_folder = self.path("pg")
        os.mkdir(self.sockets_folder)
        if os.geteuid() == 0:
            self.uid, self.gid = harness.user_ids("postgres")
            self.launcher = [harness.need("setpriv"), "--reuid=postgres", "--regid=postgres",
                             "--init-groups"]
            os.chown(self.data, self.uid, self.gid)
            os.chown(self.sockets_folder, self.uid, self.gid)
        made = self.run_to_end(self.launcher + [
            os.path.join(self.bin, "initdb"), "-D", self.data, "--no-sync", "-A", "trust", "-U",
            "postgres", "--no-instructions"], hooked=False)
        self.assertEqual(made.status, 0, made)
        self.program = self.start([
            os.path.join(self.bin, "postgres"), "-D", self.data, "-k", self.sockets_folder,
            "-c", "listen_addresses=", "-c", "fsync=off"], rthooks=self.public_rthooks(),
            launcher=self.launcher)
        wait_until("PostgreSQL", lambda: self.query("select 1") == "1")
        self.program.wait_for_admin(unix=False)

    def psql(self, sql):
        return subprocess.Popen(
            [os.path.join(self.bin, "psql"), "-h", self.sockets_folder, "-U", "postgres", "-XAtqc",
             sql, "postgres"], env=self.environment, stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL)

    def query(self, sql):
        return self.psql(sql).communicate(timeout=30)[0].decode().strip()

    def test_queries_work_and_backends_are_listed(self):  # serial
        self.assertEqual(self.query("select sum(x) from generate_series(1, 100000) x"),
                         "5000050000")
        sleeping = self.psql("select pg_sleep(60)")
        sql = "select pid from pg_stat_activity where query like 'select pg_sleep%'"
        backend = int(wait_until("the backend", lambda: self.query(sql)))
        wait_until("the backend in the list",
                   lambda: backend in harness.member_pids(self.program.port))
        members = harness.member_pids(self.program.port)
        self.assertEqual(members.count(self.program.pid), 1)
        self.assertTrue(set(members) <= {self.program.pid} | set(
            harness.descendants(self.program.pid)))
        wait_until("its answer through the first process", lambda: b"pg_sleep" not in fetch(
            self.program.port, "/debug/pprof/cmdline?pid=%d" % backend).body
            and fetch(self.program.port,
                      "/debug/pprof/cmdline?pid=%d" % backend).status == 200)
        if os.geteuid() == 0:
            for pid in members:
                for tid, (uids, _) in harness.task_ids(pid).items():
                    self.assertEqual(uids, [str(self.uid)] * 4, (pid, tid))
        self.assert_routes_answer([self.program.port])
        self.assertEqual(self.query("select pg_terminate_backend(%d)" % backend), "t")
        sleeping.communicate(timeout=20)
        wait_until("the backend gone",
                   lambda: backend not in harness.member_pids(self.program.port))

    def test_it_stops_as_told_and_leaves_no_socket(self):  # serial
        pid = self.program.pid
        self.program.signal(signal.SIGINT)
        self.assertEqual(self.program.wait(30), 0)
        self.assertEqual(harness.descendants(os.getpid()), [])
        folder = "/tmp/rthooks-%d" % self.uid if os.geteuid() == 0 else self.path("run", "rthooks")
        self.assertNotIn("%d.sock" % pid, self.sockets(folder))

    def test_many_short_connections(self):  # serial
        pgbench = os.path.join(self.bin, "pgbench")
        common = ["-h", self.sockets_folder, "-U", "postgres", "postgres"]
        script = self.write("one.sql", "select 1;\n")
        result = self.run_to_end([pgbench, "-n", "-C", "-c", "4", "-t", "250", "-f", script,
                                  *common], hooked=False)
        self.assertEqual(result.status, 0, result)
        self.assertIn(b"1000/1000", result.stdout)
        self.assertIn(b"number of failed transactions: 0", result.stdout)
        self.assertEqual(fetch(self.program.port, "/livez").body, b"ok")


if __name__ == "__main__":
    harness.main()
