/* SPDX-License-Identifier: MIT */
#include "profile/threads/sleeper.h"

#include <errno.h>

#include "os/procfs.h"
#include "thread/blocked.h"

/* Most stacks are small; the rest is read when it is needed. */
static const size_t copy_steps_bytes[] = {(size_t)16 * 1024, (size_t)128 * 1024,
                                          RTH_SLEEPER_COPY_BYTES};

/* What lies between a wrapper's frame and the kernel: the original's frame, always smaller than the
 * frame of a signal handler that could lie there too. */
#define ORIGINAL_BYTES_MAX 1024u

/* Walks one copy into frames; true when a larger one would show more. */
static bool walk_copy(const struct rth_registers *registers, const struct rth_unwind_stack *stack,
                      struct rth_sleeper_scratch *scratch, rth_frame *frames, unsigned capacity,
                      struct rth_sleeper_stack *ret_stack)
{
    struct rth_unwind_cache *cache = (struct rth_unwind_cache *)(void *)scratch->cache;
    ret_stack->count =
        rth__unwind_sigsafe(registers, stack, cache, frames, capacity, &ret_stack->end);
    ret_stack->fp_searched = false;
    if (ret_stack->end == RTH_UNWIND_UNREADABLE)
        return true;
    if (ret_stack->end != RTH_UNWIND_NO_RULE || (registers->known & 1u << RTH_REG_RBP) != 0)
        return false;
    bool more;
    scratch->search.memory = &scratch->memory;
    scratch->search.registers = registers;
    scratch->search.stack = stack;
    scratch->search.cache = cache;
    if (!rth__frame_pointer_find(&scratch->search, frames, capacity, &ret_stack->count, &more))
        return more;
    ret_stack->end = RTH_UNWIND_ROOT;
    ret_stack->fp_searched = true;
    return false;
}

static int unwind_copy(const struct rth_registers *registers, struct rth_sleeper_scratch *scratch,
                       rth_frame *frames, unsigned capacity, struct rth_sleeper_stack *ret_stack)
{
    uint64_t sp = registers->value[RTH_REG_RSP];
    for (size_t i = 0; i < sizeof(copy_steps_bytes) / sizeof(copy_steps_bytes[0]); i++) {
        ssize_t copied =
            rth__image_read_some(&scratch->memory, sp, scratch->copy, copy_steps_bytes[i]);
        if (copied <= 0)
            return -EFAULT;
        size_t copied_bytes = (size_t)copied;
        struct rth_unwind_stack stack = {
            .low = sp, .high = sp + copied_bytes, .copy = scratch->copy};
        if (!walk_copy(registers, &stack, scratch, frames, capacity, ret_stack) ||
            copied_bytes < copy_steps_bytes[i])
            break;
    }
    return 0;
}

static int unwind_wrapped(const struct rth_blocked_call *call, struct rth_sleeper_scratch *scratch,
                          struct rth_sleeper_stack *ret_stack)
{
    struct rth_registers registers;
    /* Minus one: the address of the call, as frames of callers have it. */
    rth__registers_from_pc_sp_sigsafe(call->pc - 1, call->sp, 1, call->fp, &registers);
    rth__thread_wait_of_call(&scratch->memory, call, &ret_stack->wait);
    scratch->frames[0] = ret_stack->wait.leaf;
    int error =
        unwind_copy(&registers, scratch, scratch->frames + 1, RTH_UNWIND_FRAMES_MAX - 1, ret_stack);
    if (error != 0)
        return error;
    ret_stack->count++;
    return rth__blocked_call_holds(call) ? 0 : -EAGAIN;
}

/* The arguments of a system call are registers too: vfork keeps its return address in one. */
static void set_registers(const struct rth_proc_syscall *place, struct rth_registers *ret_registers)
{
    static const uint8_t reg_of_argument[RTH_PROC_SYSCALL_ARGUMENTS] = {
        RTH_REG_RDI, RTH_REG_RSI, RTH_REG_RDX, RTH_REG_R8 + 2, RTH_REG_R8, RTH_REG_R8 + 1,
    };
    rth__registers_from_pc_sp_sigsafe(place->pc, place->sp, 0, 0, ret_registers);
    for (unsigned i = 0; place->number >= 0 && i < RTH_PROC_SYSCALL_ARGUMENTS; i++) {
        ret_registers->value[reg_of_argument[i]] = place->arguments[i];
        ret_registers->known |= 1u << reg_of_argument[i];
    }
}

static int unwind_from_kernel(int root_fd, int tid, const struct rth_proc_syscall *before,
                              struct rth_sleeper_scratch *scratch,
                              struct rth_sleeper_stack *ret_stack)
{
    struct rth_registers registers;
    rth__thread_wait_of_syscall(before, &ret_stack->wait);
    set_registers(before, &registers);
    int unwound =
        unwind_copy(&registers, scratch, scratch->frames, RTH_UNWIND_FRAMES_MAX, ret_stack);
    /* Still in the same place: then what was copied belongs together. */
    struct rth_proc_syscall after;
    int error = rth__proc_syscall_read(root_fd, 0, tid, &after);
    if (error != 0)
        return error;
    if (after.running || after.sp != before->sp || after.pc != before->pc ||
        after.number != before->number)
        return -EAGAIN;
    return unwound;
}

/*
 * Whether the thread is in that call now. Not when it sleeps elsewhere: in a signal handler that
 * came meanwhile, or after a longjmp or an exception has left the call's frame behind.
 */
static bool is_in_call(const struct rth_blocked_call *call, const struct rth_proc_syscall *place)
{
    uint64_t frame = (uintptr_t)call->frame;
    return place->sp <= frame && frame - place->sp < ORIGINAL_BYTES_MAX;
}

int rth__sleeper_unwind(int root_fd, int tid, struct rth_sleeper_scratch *scratch,
                        struct rth_sleeper_stack *ret_stack)
{
    struct rth_blocked_call call;
    struct rth_proc_syscall place;
    bool wrapped = rth__blocked_call_read(tid, &scratch->memory, &call);
    int error = rth__proc_syscall_read(root_fd, 0, tid, &place);
    if (error == -EPERM)
        error = -EACCES;
    if (error == 0 && place.running)
        return -EAGAIN;
    if (wrapped && (error == -EACCES || (error == 0 && is_in_call(&call, &place))))
        return unwind_wrapped(&call, scratch, ret_stack);
    if (error == -ENOENT)
        error = -ESRCH;
    return error != 0 ? error : unwind_from_kernel(root_fd, tid, &place, scratch, ret_stack);
}
