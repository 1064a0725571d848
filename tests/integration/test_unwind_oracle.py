# SPDX-License-Identifier: MIT
"""The walker against the truth: at every instruction, and beside a debugger."""
import json
import os
import re
import subprocess

import harness

ORACLE = os.path.join(harness.HOSTS, "unwind_oracle")
STEPS = 1000000  # at most; the workload ends before
GDB_STOPS = 500
GDB_STRIDE = 613  # instructions between two stops; prime, so that no loop keeps step with it

# Runs inside gdb: stops the inferior over and over, and writes down what it sees there.
GDB_SCRIPT = r"""
import struct
import gdb

NAMES = "rax rdx rcx rbx rsi rdi rbp rsp r8 r9 r10 r11 r12 r13 r14 r15 rip".split()
RED_ZONE = 128
NOT_REAL = (gdb.INLINE_FRAME, gdb.TAILCALL_FRAME)


def real_frames():
    frame = gdb.newest_frame()
    while frame is not None:
        if frame.type() not in NOT_REAL:
            yield frame
        frame = frame.older()


def stack_bytes(sp):
    # Page by page to the end of the stack, or as far as any frame reaches.
    memory = gdb.selected_inferior()
    taken, at = b"", sp - RED_ZONE
    while len(taken) < 131072:
        size = 4096 - at % 4096
        try:
            taken += bytes(memory.read_memory(at, size))
        except gdb.MemoryError:
            break
        at += size
    return taken


def look():
    frames = real_frames()
    here = next(frames)
    registers = [int(here.read_register(name)) & (2 ** 64 - 1) for name in NAMES]
    caller = next(frames, None)
    stack = stack_bytes(registers[NAMES.index("rsp")])
    return struct.pack("<19Q", *registers, caller.pc() if caller else 0, len(stack)) + stack


for line in ("set pagination off", "set confirm off", "set debuginfod enabled off",
             "set startup-with-shell off",
             "handle SIGUSR1 SIGUSR2 nostop noprint pass", "break workload", "run"):
    try:
        gdb.execute(line, to_string=True)
    except gdb.error:
        if "debuginfod" not in line:
            raise
gdb.execute("delete", to_string=True)
with open(FILE, "wb") as file:
    for _ in range(STOPS):
        gdb.execute("stepi %d" % STRIDE, to_string=True)
        file.write(look())
gdb.execute("continue")
"""


class UnwindOracle(harness.Case):
    def test_the_caller_is_right_at_every_instruction(self):  # serial timeout=300
        run = subprocess.run([ORACLE, "trace", str(STEPS)], capture_output=True, text=True)
        if "Operation not permitted" in run.stderr:
            harness.skip("ptrace is not permitted here")
        self.assertEqual(run.returncode, 0, run.stderr)
        seen = json.loads(run.stdout)
        print("single-stepped:", run.stdout.strip(), flush=True)
        self.assertGreaterEqual(seen["compared"], 100000)
        self.assertGreaterEqual(seen["signals"], 90)
        self.assertEqual(seen["agreed"], seen["compared"], run.stderr)
        self.assertEqual(seen["whole_agreed"], seen["whole"], run.stderr)
        # Only inside longjmp may libc's own description name the frame that is jumped to.
        self.assertLess(seen["jumping"], seen["compared"] / 500)

    def test_a_debugger_names_the_same_caller(self):  # serial timeout=300
        gdb = harness.need("gdb")
        stops = self.path("stops")
        script = self.write("stops.py", "FILE, STOPS, STRIDE = %r, %d, %d\n%s"
                            % (stops, GDB_STOPS, GDB_STRIDE, GDB_SCRIPT))
        run = subprocess.run([gdb, "-nx", "-batch", "-x", script, "--args", ORACLE, "inferior",
                              stops], capture_output=True, text=True)
        if "Operation not permitted" in run.stderr:
            harness.skip("ptrace is not permitted here")
        # Behind whatever gdb has written of its last stop.
        lines = re.findall(r'\{"compared".*\}', run.stdout)
        self.assertTrue(lines, run.stdout + run.stderr)
        print("beside gdb:", lines[0], flush=True)
        seen = json.loads(lines[0])
        self.assertEqual(seen["compared"], GDB_STOPS)
        self.assertEqual(seen["agreed"], seen["compared"], run.stderr)


if __name__ == "__main__":
    harness.main()
