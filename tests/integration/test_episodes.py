# SPDX-License-Identifier: MIT
"""Evidence in files: taken on request, readable by what people use, and left when a process dies."""
import json
import os
import re
import shutil
import signal
import stat
import subprocess
import time
import urllib.parse

import harness
from harness import fetch, wait_until
from pprof_case import go_pprof

ID = re.compile(r"episode-(\d+)-(\d+)-(\d+)-([a-z][a-z0-9-]*)")


class EpisodeCase(harness.Case):
    def setUp(self):
        super().setUp()
        self.folder = self.path("evidence")

    def hooked(self, argv, folder=None, **options):
        environment = dict(options.pop("env", {}))
        environment.setdefault("RTHOOKS_CRASH_DIR", folder or self.folder)
        program = self.start(argv, env=environment, **options)
        program.wait_for_admin(unix=False)
        return program

    def idle(self, **options):
        program = self.hooked([harness.host("linger"), "poll"], **options)
        program.wait_for_output(b"\n")
        return program

    def take(self, program, reason="a test", status=200):
        answer = fetch(program.port, "/debug/episodes?trigger=manual&reason=" +
                       urllib.parse.quote(reason), "POST", body=b"", timeout_s=60)
        self.assertEqual(answer.status, status, answer)
        return answer.json() if status == 200 else answer.text

    @staticmethod
    def list(program, query=""):
        return fetch(program.port, "/debug/episodes" + query).json()

    @staticmethod
    def log(program, event):
        return [record["message"] for record in
                fetch(program.port, "/debug/runtime/status").json()["log"]
                if record["event"] == event]

    @staticmethod
    def row(program):
        return [row for row in fetch(program.port, "/debug/runtime/status").json()["capabilities"]
                if row["name"] == "episode"][0]


class Taken(EpisodeCase):
    def test_a_request_takes_one_and_its_files_are_whole(self):
        program = self.idle()
        self.assertFalse(os.path.exists(self.folder), "made before there was anything to keep")
        taken = self.take(program, 'why "not"?')
        found = ID.fullmatch(taken["id"])
        self.assertEqual((int(found[2]), int(found[3]), found[4]), (program.pid, 1, "manual"))
        self.assertLess(abs(int(found[1]) - time.time()), 120)
        self.assertEqual(os.listdir(self.folder), [taken["id"]])
        self.assertEqual(taken["folder"], self.folder)
        inside = os.path.join(self.folder, taken["id"])
        for path in (self.folder, inside):
            self.assertEqual(stat.S_IMODE(os.stat(path).st_mode), 0o700)
        self.assertEqual(sorted(os.listdir(inside)), sorted(taken["files"] + ["episode.json"]))
        for name in os.listdir(inside):
            self.assertEqual(stat.S_IMODE(os.stat(os.path.join(inside, name)).st_mode), 0o600)
        with open(os.path.join(inside, "episode.json"), encoding="utf-8") as file:
            document = json.load(file)
        self.assertEqual((document["format"], document["format_version"], document["state"]),
                         ("rthooks.episode", 1, "complete"))
        self.assertEqual((document["reason"], document["trigger"], document["pid"]),
                         ('why "not"?', "manual", program.pid))
        self.assertEqual(document["id"], taken["id"])
        self.assertEqual(document["planned"], [])
        written = {entry["file"]: entry["bytes"] for entry in document["artefacts"]
                   if entry["result"] == "written"}
        self.assertEqual(sorted(written), sorted(taken["files"]))
        for name, size in written.items():
            self.assertEqual(os.stat(os.path.join(inside, name)).st_size, size, name)
        for entry in document["artefacts"]:
            self.assertTrue(entry["result"] == "written" or entry["why"], entry)
        for name in ("heap.pb.gz", "threads.txt", "status.json", "metrics.txt"):
            self.assertIn(name, written)
        json.loads(harness.read_text(os.path.join(inside, "status.json")))
        self.assertIn('"linger"', harness.read_text(os.path.join(inside, "threads.txt")))

    def test_the_list_and_every_file_are_served(self):
        program = self.idle()
        taken = self.take(program)
        listed = self.list(program)
        self.assertEqual((listed["taken"], listed["last_id"]), (1, taken["id"]))
        self.assertEqual(listed["folder"], self.folder)
        episode, = listed["episodes"]
        self.assertEqual((episode["id"], episode["state"], episode["trigger"], episode["pid"]),
                         (taken["id"], "complete", "manual", program.pid))
        self.assertEqual(episode["service"], "linger")
        types = {".json": "application/json", ".txt": harness.PLAIN_TEXT,
                 ".gz": "application/octet-stream"}
        self.assertGreater(len(episode["files"]), 4)
        for file in episode["files"]:
            answer = fetch(program.port, "/debug/episodes/%s/%s" % (taken["id"], file["name"]))
            self.assertEqual(answer.status, 200, answer)
            self.assertEqual(answer.header("Content-Type"),
                             types[os.path.splitext(file["name"])[1]])
            with open(os.path.join(self.folder, taken["id"], file["name"]), "rb") as on_disk:
                self.assertEqual(answer.body, on_disk.read(), file["name"])
            self.assertEqual(len(answer.body), file["bytes"])

    def redis_heap(self):
        port = harness.free_port()
        program = self.hooked([harness.need("redis-server"), "--port", str(port), "--save", "",
                               "--dir", self.path("tmp")],
                              env={"RTHOOKS_HEAP_INTERVAL": "4KiB"})
        taken = self.take(program)
        return os.path.join(self.folder, taken["id"], "heap.pb.gz")

    def test_our_viewer_opens_the_heap_of_redis(self):
        result = self.run_rthooks("pprof", "top", self.redis_heap())
        self.assertEqual(result.status, 0, result)
        self.assertIn(b"malloc", result.stdout)

    def test_the_viewer_of_go_opens_the_heap_of_redis(self):
        ask = go_pprof(self)
        self.assertIn(b"inuse_space", ask("-top", self.redis_heap()))

    def test_an_adopted_child_collects_under_its_own_pid(self):
        program = self.idle()
        child = int(re.search(rb"child (\d+)\n", program.stdout())[1])
        socket = self.path("run", "rthooks", "%d.sock" % child)
        wait_until("the child's socket", lambda: fetch(socket, "/version").status == 200)
        answer = fetch(socket, "/debug/episodes", "POST", body=b"", timeout_s=60)
        self.assertEqual(answer.status, 200, answer)
        self.assertEqual(ID.fullmatch(answer.json()["id"])[2], str(child))
        self.assertIn("threads.txt", answer.json()["files"])
        # Everybody sees it; whose counts are asked for is told by the pid.
        own, childs = self.list(program), self.list(program, "?pid=%d" % child)
        self.assertEqual((own["taken"], childs["taken"]), (0, 1))
        for listed in (own, childs):
            self.assertEqual([episode["pid"] for episode in listed["episodes"]], [child])


class Refused(EpisodeCase):
    def test_a_second_one_soon_after_is_refused_and_counted(self):
        program = self.idle()
        self.take(program)
        self.assertIn("30 s", self.take(program, status=429))
        listed = self.list(program)
        self.assertEqual((listed["taken"], listed["refused"]["too_soon"]), (1, 1))
        self.assertEqual(len(os.listdir(self.folder)), 1)
        self.assertEqual(self.row(program)["refused"]["too_soon"], 1)

    def test_other_triggers_and_long_reasons_are_refused(self):
        program = self.idle()
        for query in ("trigger=memory-critical", "trigger=" + "a" * 40, "trigger=../x",
                      "reason=" + "a" * 401):
            answer = fetch(program.port, "/debug/episodes?" + query, "POST", body=b"")
            self.assertEqual(answer.status, 400, query)
        self.assertFalse(os.path.exists(self.folder))

    def test_read_only_endpoints_take_none(self):
        program = self.idle(env={"RTHOOKS_ADMIN_READONLY": "1"})
        self.take(program, status=403)
        self.assertEqual(self.list(program)["taken"], 0)

    def test_nothing_but_files_of_episodes_is_served(self):
        program = self.idle()
        taken = self.take(program)["id"]
        secret = self.write("secret.txt", "not for you")
        inside = os.path.join(self.folder, taken)
        os.symlink(secret, os.path.join(inside, "link.txt"))
        os.mkfifo(os.path.join(inside, "fifo.txt"))
        os.mkdir(os.path.join(inside, "folder.txt"))
        with open(os.path.join(inside, ".hidden"), "w", encoding="ascii") as file:
            file.write("not for you")
        os.symlink(self.tmp, os.path.join(self.folder, "episode-1-1-1-manual"))
        os.mkdir(os.path.join(self.folder, "other"))
        shutil.copy(secret, os.path.join(self.folder, "other"))
        for below in (
                taken, taken + "/", taken + "//episode.json", taken + "/../" + taken,
                taken + "/link.txt", taken + "/fifo.txt", taken + "/folder.txt",
                taken + "/.hidden", taken + "/..", taken + "/../../secret.txt",
                taken + "/%2e%2e/%2e%2e/secret.txt", taken + "%2f..%2f..%2fsecret.txt",
                taken + "/episode.json%00", taken + "/episode.json/", taken + "/nothing.json",
                "../secret.txt", "..%2fsecret.txt", "other/secret.txt", "./secret.txt",
                "episode-1-1-1-manual/secret.txt", "episode-1-1-1-manual/x", "x/" * 50 + "y",
                taken + "/" + "a" * 300, "a" * 300 + "/episode.json", "%2fetc/passwd"):
            answers = harness.exchange(program.port,
                                       harness.request_bytes("/debug/episodes/" + below))
            self.assertEqual(len(answers), 1, below)
            self.assertIn(answers[0].status, (400, 404), below)
            self.assertNotIn(b"not for you", answers[0].body, below)
        listed = self.list(program)["episodes"]
        self.assertEqual([episode["id"] for episode in listed], [taken])
        self.assertNotIn("link.txt", [file["name"] for file in listed[0]["files"]])

    def test_switched_off_it_answers_501_with_the_reason(self):
        program = self.idle(env={"RTHOOKS_CRASH_DIR": "off"})
        for method in ("GET", "POST"):
            answer = fetch(program.port, "/debug/episodes", method,
                           body=b"" if method == "POST" else None)
            self.assertEqual(answer.status, 501)
            self.assertIn("RTHOOKS_CRASH_DIR=off", answer.text)
        self.assertEqual(self.row(program)["reason"], "RTHOOKS_CRASH_DIR=off")

    def test_a_malformed_folder_is_refused_before_the_program_starts(self):
        for text in ("evidence", "/", "/tmp/.."):
            result = self.run_to_end([harness.need("true")], env={"RTHOOKS_CRASH_DIR": text},
                                     port=harness.free_port())
            self.assertEqual(result.status, 2, result)
            self.assertIn(b"RTHOOKS_CRASH_DIR", result.stderr)


class Folders(EpisodeCase):
    def test_a_folder_in_memory_is_refused_and_the_next_one_is_tried(self):
        program = self.idle(folder="/dev/shm/rthooks-test-%d" % os.getpid())
        row = wait_until("a look at the folders",
                         lambda: self.row(program)["folders"] and self.row(program))
        self.assertIn("tmpfs", row["folders"][0]["why"])
        self.assertFalse(row["folders"][0]["usable"])
        message, = wait_until("the log", lambda: self.log(program, "episode.folder_refused"))
        self.assertIn("tmpfs", message)
        self.assertNotEqual(row["folder"], row["folders"][0]["path"])

    def without_folders(self, *commands):
        """A launcher in a mount namespace where the defaults cannot be used."""
        harness.need_root("mounts")
        script = " && ".join(("mount -t tmpfs none /var/tmp", "mount -t tmpfs none /var/lib",
                              *commands, 'exec "$@"'))
        alone = (harness.need("unshare"), "-m", "--propagation", "private")
        if self.run_to_end([*alone, "true"], hooked=False).status != 0:
            harness.skip("mounts of its own are refused here (as where / is no mount point)")
        return (*alone, "sh", "-c", script, "sh")

    def test_where_nothing_can_be_written_every_reason_is_given(self):
        os.mkdir(self.folder, 0o700)
        program = self.idle(launcher=self.without_folders(
            "mount --bind %s %s" % (self.folder, self.folder),
            "mount -o remount,bind,ro %s" % self.folder))
        text = self.take(program, status=501)
        self.assertIn("read-only", text)
        self.assertIn("/var/lib/rthooks", text)
        listed = self.list(program)
        self.assertIsNone(listed["folder"])
        self.assertIn("tmpfs", listed["folders"][2]["why"])
        self.assertEqual(listed["refused"]["no_folder"], 1)
        self.assertTrue(self.log(program, "episode.no_folder"))
        self.assertEqual(os.listdir(self.folder), [])

    def small_filesystem(self):
        """A launcher for which self.folder is on a filesystem of 4 MiB."""
        image = self.path("image")
        with open(image, "wb") as file:
            file.truncate(4 << 20)
        subprocess.run([harness.need("mkfs.ext4"), "-q", "-m", "0", "-O", "^has_journal", image],
                       check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        os.mkdir(self.folder, 0o700)
        probe = subprocess.run(
            [*self.without_folders("mount -o loop %s %s" % (image, self.folder)), "true"],
            check=False, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        if probe.returncode != 0:
            harness.skip("no loop device can be mounted here")
        return self.without_folders("mount -o loop %s %s" % (image, self.folder),
                                    "chmod 700 %s" % self.folder)

    @staticmethod
    def free_share(root):
        found = os.statvfs(root)
        return found.f_bavail / found.f_blocks

    def fill(self, root, share, slack_bytes):
        """Leaves that share of the filesystem free, and some bytes more."""
        found = os.statvfs(root)
        size = int((found.f_bavail - found.f_blocks * share) * found.f_frsize) - slack_bytes
        with open(os.path.join(root, "filler"), "wb") as file:
            file.write(b"x" * size)

    def test_a_tenth_of_the_filesystem_stays_free_and_the_rest_is_written(self):
        harness.need_root("mounts")
        program = self.idle(launcher=self.small_filesystem())
        root = "/proc/%d/root%s" % (program.pid, self.folder)
        self.fill(root, 0.10, 16 << 10)
        taken = self.take(program)
        self.assertIn("heap.pb.gz", taken["files"])
        self.assertNotIn("config.json", taken["files"])
        with open(os.path.join(root, taken["id"], "episode.json"), encoding="utf-8") as file:
            document = json.load(file)
        self.assertEqual(document["state"], "complete")
        self.assertIn("a tenth of the filesystem stays free",
                      [entry.get("why") for entry in document["artefacts"]])
        self.assertEqual(sorted(os.listdir(os.path.join(root, taken["id"]))),
                         sorted(taken["files"] + ["episode.json"]))

    def test_a_filesystem_that_is_nearly_full_is_refused(self):
        harness.need_root("mounts")
        program = self.idle(launcher=self.small_filesystem())
        root = "/proc/%d/root%s" % (program.pid, self.folder)
        self.fill(root, 0.05, 0)
        self.assertIn("less than 10 %", self.take(program, status=501))
        self.assertEqual([name for name in os.listdir(root) if name.startswith("episode")], [])

    def test_after_privileges_were_dropped_the_next_folder_is_used(self):
        harness.need_root("dropping privileges")
        uid, gid = harness.user_ids("nobody")
        os.mkdir(self.folder, 0o700)
        program = self.hooked([harness.need("python3"), "-S", "-c", "import os, time\n"
                               "os.setgid(%d)\nos.setuid(%d)\ntime.sleep(600)" % (gid, uid)])
        row = wait_until("the new user", lambda: self.row(program)["folders"][-1]["path"] ==
                         "/var/tmp/rthooks-%d" % uid and self.row(program))
        self.assertEqual(row["folders"][0]["why"], "belongs to uid 0, not to uid %d" % uid)
        self.assertNotEqual(row["folder"], self.folder)


class Left(EpisodeCase):
    def killed(self):
        """Kills a process while it collects; returns what it left."""
        for _ in range(10):
            program = self.hooked([harness.host("crowd"), "300", "0"], stdin=subprocess.PIPE,
                                  env={"RTHOOKS_SERVICE": "crowd", "RTHOOKS_HEAP_INTERVAL": "1"})
            asking = subprocess.Popen(
                ["python3", "-S", "-c", "import socket,sys\n"
                 "s = socket.create_connection(('127.0.0.1', %d))\n"
                 "s.sendall(b'POST /debug/episodes HTTP/1.1\\r\\nHost: localhost\\r\\n"
                 "Content-Length: 0\\r\\n\\r\\n')\ns.recv(1)" % program.port],
                stderr=subprocess.DEVNULL)
            try:
                heap = wait_until("the first file", lambda: [
                    name for name in os.listdir(self.folder)
                    if os.path.exists(os.path.join(self.folder, name, "heap.pb.gz"))], every_s=0)
                program.signal(signal.SIGKILL)
                program.wait()
            finally:
                asking.wait(30)
            left = [name for name in os.listdir(self.folder) if name.endswith(".partial")]
            if left:
                return program, left[0]
            shutil.rmtree(os.path.join(self.folder, heap[0]))
        raise AssertionError("every episode was complete before the process was killed")

    def test_a_killed_process_leaves_what_it_had_and_the_next_one_says_so_once(self):
        program, left = self.killed()
        inside = os.path.join(self.folder, left)
        with open(os.path.join(inside, "episode.json"), encoding="utf-8") as file:
            document = json.load(file)
        self.assertEqual((document["state"], document["pid"]), ("collecting", program.pid))
        self.assertIn("threads?debug=2", document["planned"])
        result = self.run_rthooks("pprof", "top", os.path.join(inside, "heap.pb.gz"))
        self.assertEqual(result.status, 0, result)
        later = self.idle(env={"RTHOOKS_SERVICE": "crowd"})
        message, = wait_until("the log", lambda: self.log(later, "episode.previous"))
        self.assertIn("a previous run (pid %d, manual at 20" % program.pid, message)
        self.assertIn("unfinished", message)
        self.assertIn(left, message)
        episode, = self.list(later)["episodes"]
        self.assertEqual((episode["state"], episode["id"]), ("interrupted", document["id"]))
        for path in (left, document["id"]):
            answer = fetch(later.port, "/debug/episodes/%s/heap.pb.gz" % path)
            self.assertEqual(answer.status, 200, path)
        # Others have their own, and what was said is said.
        for service in ("crowd", "somebody-else"):
            again = self.idle(env={"RTHOOKS_SERVICE": service})
            self.take(again)  # behind the first look
            self.assertEqual(self.log(again, "episode.previous"), [], service)

    def memory_is_short(self):
        """A program with nine tenths of its limit, after its first episode."""
        program = self.hooked([harness.host("memory_steps")], stdin=subprocess.PIPE,
                              env={"RTHOOKS_MEMORY_LIMIT": "64MiB", "RTHOOKS_SERVICE": "steps"})
        program.process.stdin.write(b"hold 57\n")
        program.process.stdin.flush()
        wait_until("an episode", lambda: self.list(program)["taken"] > 0)
        return program

    def test_only_who_did_not_come_to_an_end_by_itself_is_news(self):
        first = self.memory_is_short()
        first.process.stdin.close()
        self.assertEqual(first.wait(), 0)
        second = self.memory_is_short()
        self.take(second)  # behind its first look
        self.assertEqual(self.log(second, "episode.previous"), [])
        second.signal(signal.SIGKILL)
        second.wait()
        third = self.idle(env={"RTHOOKS_SERVICE": "steps"})
        message, = wait_until("the log", lambda: self.log(third, "episode.previous"))
        self.assertIn("a previous run (pid %d, memory-" % second.pid, message)
        self.assertNotIn("unfinished", message)

    def test_what_was_taken_before_an_exec_is_the_same_processs(self):
        first = self.hooked(
            [harness.need("python3"), "-S", "-c", "import os\nheld = b'x' * (60 << 20)\n"
             "os.read(0, 1)\nos.execv(%r, ['crowd', '1', '0'])" % harness.host("crowd")],
            stdin=subprocess.PIPE,
            env={"RTHOOKS_MEMORY_LIMIT": "72MiB", "RTHOOKS_SERVICE": "twice"})
        wait_until("an episode", lambda: self.list(first)["taken"] > 0)
        first.process.stdin.write(b"x")
        first.process.stdin.flush()
        wait_until("the exec", lambda: os.readlink("/proc/%d/exe" % first.pid).endswith("crowd"))
        first.wait_for_admin(unix=False)
        self.take(first)
        first.process.stdin.close()
        self.assertEqual(first.wait(), 0)
        later = self.idle(env={"RTHOOKS_SERVICE": "twice"})
        self.take(later)
        self.assertEqual(self.log(later, "episode.previous"), [])

    def test_what_others_left_unfinished_is_not_mine_to_report(self):
        _, left = self.killed()
        other = self.idle()
        self.take(other)
        self.assertEqual(self.log(other, "episode.previous"), [])
        self.assertNotIn(".reported", os.listdir(os.path.join(self.folder, left)))


if __name__ == "__main__":
    harness.main()
