/* SPDX-License-Identifier: MIT */
/*
 * What the walker says at every instruction, against what is known to be true.
 *
 *   unwind_oracle trace STEPS     forks, single-steps the child through the workload and keeps its
 *                                 shadow stack: pushed at call, popped as the stack pointer passes.
 *                                 At each step the caller by our walker, from the registers and a
 *                                 copy of the stack, must be the one on top. Prints a JSON line.
 *   unwind_oracle inferior FILE   runs the workload, for a debugger to stop it where it likes; then
 *                                 reads the stops the debugger wrote to FILE (registers, its own
 *                                 idea of the caller, stack bytes) and says how many agree.
 *
 * The tables are made before the fork or the stops, so they hold for the other side as well.
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/uio.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

#include "oracle/workload.h"
#include "unwind/unwind.h"

#define COPY_BYTES  65536u
#define RED_ZONE    128u
#define SHADOW_MAX  1024u
#define REPORTS_MAX 20u
#define WHOLE_EVERY 61u /* steps between two looks at the whole stack */
#define GDB_WORDS   17u

static void fail(const char *what)
{
    (void)fprintf(stderr, "unwind_oracle: %s: %s\n", what, strerror(errno));
    exit(2);
}

/* ---- the truth --------------------------------------------------------------------------------
 */

struct shadow {
    uint64_t slot;   /* gone once the stack pointer is above */
    uint64_t caller; /* as a frame: the return address - 1, or the pc that was interrupted */
};
static struct shadow shadow[SHADOW_MAX];
static unsigned depth;

static void shadow_push(uint64_t slot, uint64_t caller)
{
    if (depth == SHADOW_MAX) {
        errno = ENOSPC;
        fail("shadow stack");
    }
    shadow[depth++] = (struct shadow){slot, caller};
}

static void shadow_pop_below(uint64_t sp)
{
    while (depth > 0 && shadow[depth - 1].slot < sp)
        depth--;
}

static bool is_call(const uint8_t *code)
{
    unsigned at = 0;
    while (at < 8 && (code[at] == 0x66 || code[at] == 0x3e || code[at] == 0x2e ||
                      code[at] == 0xf2 || (code[at] & 0xf0) == 0x40))
        at++;
    return code[at] == 0xe8 || (code[at] == 0xff && (code[at + 1] >> 3 & 7) == 2);
}

/* ---- the walker's answer ----------------------------------------------------------------------
 */

static void registers_from_user(const struct user_regs_struct *user, struct rth_registers *ret)
{
    const uint64_t values[RTH_REG_COUNT] = {user->rax, user->rdx, user->rcx, user->rbx, user->rsi,
                                            user->rdi, user->rbp, user->rsp, user->r8,  user->r9,
                                            user->r10, user->r11, user->r12, user->r13, user->r14,
                                            user->r15, user->rip};
    memcpy(ret->value, values, sizeof(values));
    ret->known = RTH_REGISTERS_ALL;
}

static union {
    unsigned char bytes[RTH_UNWIND_CACHE_BYTES];
    uint64_t align;
} cache;

static unsigned walk(const struct rth_registers *registers, uint64_t low, uint64_t high,
                     const void *copy, bool with_cache, rth_frame *frames, unsigned capacity,
                     enum rth_unwind_end *ret_end)
{
    struct rth_unwind_stack stack = {.low = low, .high = high, .copy = copy};
    unsigned count = rth__unwind_sigsafe(
        registers, &stack, with_cache ? (struct rth_unwind_cache *)(void *)&cache : NULL, frames,
        capacity, ret_end);
    for (unsigned i = 0; i < count; i++)
        frames[i] = rth__frame_address(frames[i]);
    return count;
}

static struct {
    uint64_t steps, compared, agreed, whole, whole_agreed, signals, calls, jumping;
    unsigned reports;
} result;

static void report(const char *what, uint64_t pc, uint64_t said, uint64_t truth)
{
    rth_frame frame = rth__frame_of_address_sigsafe(pc);
    const struct rth_module *module = rth__module_by_id_sigsafe(rth__frame_module_id(frame));
    if (result.reports++ >= REPORTS_MAX)
        return;
    (void)fprintf(stderr, "%s at %s+%#" PRIx64 ": walker %#" PRIx64 ", truth %#" PRIx64 "\n", what,
                  module == NULL ? "?" : module->path, rth__frame_vaddr(frame), said, truth);
}

/* While longjmp restores registers, libc describes the frame it jumps to as its caller, which is as
 * good a truth as the frame it was called from. */
static uint64_t setjmp_caller;
static bool is_jumping;

static void compare_caller(const struct rth_registers *registers, uint64_t low, uint64_t high,
                           const void *copy, uint64_t truth)
{
    uint64_t pc = registers->value[RTH_REG_RA];
    rth_frame frames[2];
    enum rth_unwind_end end;
    bool agreed = true;
    is_jumping = false;
    for (unsigned with_cache = 0; with_cache < 2; with_cache++) {
        unsigned count = walk(registers, low, high, copy, with_cache, frames, 2, &end);
        uint64_t said = count == 2 ? frames[1] : 0;
        if (said != truth && said != 0 && said == setjmp_caller) {
            is_jumping = true;
            continue;
        }
        if (said != truth || frames[0] != pc) {
            report(with_cache ? "caller, cached," : "caller", pc, said, truth);
            agreed = false;
        }
    }
    result.compared++;
    result.agreed += agreed;
    result.jumping += is_jumping;
}

static void compare_whole(const struct rth_registers *registers, uint64_t low, uint64_t high,
                          const void *copy)
{
    static rth_frame frames[RTH_UNWIND_FRAMES_MAX];
    enum rth_unwind_end end;
    unsigned count = walk(registers, low, high, copy, true, frames, RTH_UNWIND_FRAMES_MAX, &end);
    bool agreed = end == RTH_UNWIND_ROOT && count > depth;
    for (unsigned i = 0; agreed && i < depth; i++)
        agreed = frames[i + 1] == shadow[depth - 1 - i].caller;
    if (!agreed)
        report(rth__unwind_end_name(end), registers->value[RTH_REG_RA], count, depth);
    result.whole++;
    result.whole_agreed += agreed;
}

/* ---- trace ------------------------------------------------------------------------------------
 */

static pid_t child;
static uint64_t stack_high; /* of the child's main stack: as far as its tracer's own copy goes */

static void read_child(uint64_t address, void *buffer, size_t size_bytes)
{
    struct iovec local = {buffer, size_bytes};
    struct iovec remote = {(void *)(uintptr_t)address, size_bytes};
    if (process_vm_readv(child, &local, 1, &remote, 1, 0) != (ssize_t)size_bytes)
        fail("process_vm_readv");
}

/* The stack that sp lies on, as far as it is copied. */
static void stack_bounds(uint64_t sp, bool whole, uint64_t *ret_low, uint64_t *ret_high)
{
    uint64_t alternate = (uint64_t)(uintptr_t)workload_alternate_stack;
    uint64_t end = stack_high;
    if (sp >= alternate && sp < alternate + WORKLOAD_ALTERNATE_BYTES)
        end = alternate + WORKLOAD_ALTERNATE_BYTES;
    *ret_low = sp - RED_ZONE;
    *ret_high = !whole && end - sp > COPY_BYTES ? sp + COPY_BYTES : end;
}

static bool on_alternate_stack(uint64_t sp)
{
    return sp - (uint64_t)(uintptr_t)workload_alternate_stack < WORKLOAD_ALTERNATE_BYTES;
}

/* The last two instructions of a function that realigns its stack: gcc still says there that the
 * caller's rbp is saved where rbp points, though `leave` has restored it. The caller is right, what
 * the caller's own callers need of rbp is not, for gdb either. */
static bool at_end_of_realigned_function(uint64_t pc)
{
    static const unsigned char lea_ret[] = {0x49, 0x8d, 0x62, 0xf8, 0xc3};
    const size_t lea_bytes = sizeof(lea_ret) - 1;
    unsigned char code[2 * sizeof(lea_ret) - 1];
    read_child(pc - lea_bytes, code, sizeof(code));
    return memcmp(code, lea_ret, sizeof(lea_ret)) == 0 ||
           memcmp(code + lea_bytes, lea_ret, sizeof(lea_ret)) == 0;
}

static void look(const struct user_regs_struct *user)
{
    static unsigned char copy[1u << 20];
    struct rth_registers registers;
    uint64_t low, high;
    if (depth == 0)
        return;
    registers_from_user(user, &registers);
    bool whole = result.steps % WHOLE_EVERY == 0 && !on_alternate_stack(user->rsp);
    stack_bounds(user->rsp, whole, &low, &high);
    if (high - low > sizeof(copy)) {
        errno = ENOMEM;
        fail("stack copy");
    }
    read_child(low, copy, high - low);
    compare_caller(&registers, low, high, copy, shadow[depth - 1].caller);
    if (whole && !is_jumping && !at_end_of_realigned_function(user->rip))
        compare_whole(&registers, low, high, copy);
}

/* The kernel has built a frame: the handler's return address, and behind it the ucontext. */
static void signal_entered(uint64_t interrupted_pc, const struct user_regs_struct *user)
{
    uint64_t trampoline;
    read_child(user->rsp, &trampoline, sizeof(trampoline));
    shadow_push(user->rsp + 8, interrupted_pc);
    shadow_push(user->rsp, trampoline - 1);
    result.signals++;
}

/* One instruction, and what it did to the shadow stack; false when the child has ended. */
static bool step(struct user_regs_struct *user)
{
    static int pending_signal;
    uint8_t code[16];
    struct user_regs_struct before = *user;
    int status = 0;
    read_child(before.rip, code, sizeof(code));
    int delivered = pending_signal;
    pending_signal = 0;
    if (ptrace(PTRACE_SINGLESTEP, child, NULL, (void *)(intptr_t)delivered) != 0 ||
        waitpid(child, &status, 0) != child)
        fail("single step");
    if (!WIFSTOPPED(status)) {
        if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) {
            errno = ECHILD;
            fail("the workload ended badly");
        }
        return false;
    }
    if (ptrace(PTRACE_GETREGS, child, NULL, user) != 0)
        fail("registers");
    if (WSTOPSIG(status) != SIGTRAP) {
        pending_signal =
            WSTOPSIG(status); /* about to be delivered: nothing ran, or a system call */
    } else if (delivered != 0) {
        signal_entered(before.rip, user);
        return true;
    }
    shadow_pop_below(user->rsp);
    if (delivered == 0 && is_call(code) && user->rsp == before.rsp - 8) {
        uint64_t return_address;
        read_child(user->rsp, &return_address, sizeof(return_address));
        shadow_push(user->rsp, return_address - 1);
        result.calls++;
    }
    return true;
}

static void trace(uint64_t steps_max)
{
    struct user_regs_struct user;
    int status = 0;
    child = fork();
    if (child < 0)
        fail("fork");
    if (child == 0) {
        if (ptrace(PTRACE_TRACEME, 0, NULL, NULL) != 0)
            _exit(3);
        (void)raise(SIGSTOP);
        workload();
        _exit(0);
    }
    if (waitpid(child, &status, 0) != child || !WIFSTOPPED(status))
        fail("the child does not stop");
    (void)ptrace(PTRACE_SETOPTIONS, child, NULL, (void *)PTRACE_O_EXITKILL);
    if (ptrace(PTRACE_GETREGS, child, NULL, &user) != 0)
        fail("registers");
    uint64_t setjmp_address = (uint64_t)(uintptr_t)dlsym(RTLD_DEFAULT, "_setjmp");
    while (result.steps < steps_max && step(&user)) {
        result.steps++;
        if (user.rip == setjmp_address && depth > 0)
            setjmp_caller = shadow[depth - 1].caller;
        look(&user);
    }
    (void)kill(child, SIGKILL);
    (void)waitpid(child, &status, 0);
    (void)printf("{\"steps\": %" PRIu64 ", \"compared\": %" PRIu64 ", \"agreed\": %" PRIu64
                 ", \"whole\": %" PRIu64 ", \"whole_agreed\": %" PRIu64 ", \"calls\": %" PRIu64
                 ", \"signals\": %" PRIu64 ", \"jumping\": %" PRIu64 "}\n",
                 result.steps, result.compared, result.agreed, result.whole, result.whole_agreed,
                 result.calls, result.signals, result.jumping);
}

/* ---- inferior ---------------------------------------------------------------------------------
 */

/* FILE: for each stop 17 registers in DWARF order, the debugger's caller pc (0: none), the number
 * of stack bytes from rsp - RED_ZONE on, and the bytes. All numbers of 64 bits. */
static void inferior(const char *path)
{
    static unsigned char copy[1u << 20];
    uint64_t numbers[GDB_WORDS + 2];
    workload();
    FILE *file = fopen(path, "re");
    if (file == NULL)
        fail(path);
    while (fread(numbers, sizeof(numbers), 1, file) == 1) {
        struct rth_registers registers = {.known = RTH_REGISTERS_ALL};
        uint64_t truth = numbers[GDB_WORDS], size_bytes = numbers[GDB_WORDS + 1];
        if (size_bytes > sizeof(copy) || fread(copy, 1, size_bytes, file) != size_bytes) {
            errno = EBADMSG;
            fail(path);
        }
        memcpy(registers.value, numbers, sizeof(registers.value));
        uint64_t low = registers.value[RTH_REG_RSP] - RED_ZONE;
        /* A debugger shows a caller by its return address, an interrupted one by its pc. */
        rth_frame frames[2];
        enum rth_unwind_end end;
        unsigned count = walk(&registers, low, low + size_bytes, copy, false, frames, 2, &end);
        bool agreed =
            truth == 0 ? count == 1 : count == 2 && (frames[1] + 1 == truth || frames[1] == truth);
        if (!agreed)
            report("caller", registers.value[RTH_REG_RA], count == 2 ? frames[1] : 0, truth);
        result.compared++;
        result.agreed += agreed;
    }
    (void)fclose(file);
    (void)printf("{\"compared\": %" PRIu64 ", \"agreed\": %" PRIu64 "}\n", result.compared,
                 result.agreed);
}

int main(int argc, char **argv)
{
    if (argc != 3) {
        (void)fprintf(stderr, "usage: unwind_oracle {trace STEPS | inferior FILE}\n");
        return 2;
    }
    int root_fd = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (rth__unwind_refresh(root_fd) < 0)
        fail("refresh");
    if (strcmp(argv[1], "trace") == 0) {
        /* argv's strings lie above every frame. */
        stack_high = (uint64_t)(uintptr_t)argv[0] & ~UINT64_C(15);
        trace(strtoull(argv[2], NULL, 10));
    } else {
        inferior(argv[2]);
    }
    return 0;
}
