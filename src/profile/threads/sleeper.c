/* SPDX-License-Identifier: MIT */
#include "profile/threads/sleeper.h"

#include <errno.h>

#include "os/procfs.h"
#include "thread/blocked.h"

/* Most stacks are small; the rest is read when it is needed. */
static const size_t copy_steps_bytes[] = {(size_t)16 * 1024, (size_t)128 * 1024,
                                          RTH_SLEEPER_COPY_BYTES};

static int unwind_copy(const struct rth_registers *registers, struct rth_sleeper_scratch *scratch,
                       rth_frame *ret_frames, unsigned capacity, enum rth_unwind_end *ret_end)
{
    uint64_t sp = registers->value[RTH_REG_RSP];
    int count = -EFAULT;
    for (size_t i = 0; i < sizeof(copy_steps_bytes) / sizeof(copy_steps_bytes[0]); i++) {
        ssize_t copied =
            rth__image_read_some(&scratch->memory, sp, scratch->copy, copy_steps_bytes[i]);
        if (copied <= 0)
            return -EFAULT;
        size_t copied_bytes = (size_t)copied;
        struct rth_unwind_stack stack = {
            .low = sp, .high = sp + copied_bytes, .copy = scratch->copy};
        count = (int)rth__unwind_sigsafe(registers, &stack,
                                         (struct rth_unwind_cache *)(void *)scratch->cache,
                                         ret_frames, capacity, ret_end);
        if (*ret_end != RTH_UNWIND_UNREADABLE || copied_bytes < copy_steps_bytes[i])
            break;
    }
    return count;
}

/* -ENOENT: in no wrapped call. */
static int unwind_wrapped(int tid, struct rth_sleeper_scratch *scratch, rth_frame *ret_frames,
                          unsigned capacity, enum rth_unwind_end *ret_end)
{
    struct rth_blocked_call call;
    if (!rth__blocked_call_read(tid, &scratch->memory, &call))
        return -ENOENT;
    struct rth_registers registers;
    /* Minus one: the address of the call, as frames of callers have it. */
    rth__registers_from_pc_sp_sigsafe(call.pc - 1, call.sp, 1, call.fp, &registers);
    ret_frames[0] = rth__frame_of_address_sigsafe(call.leaf);
    int count = unwind_copy(&registers, scratch, ret_frames + 1, capacity - 1, ret_end);
    if (count < 0)
        return -ENOENT;
    return rth__blocked_call_holds(&call) ? count + 1 : -EAGAIN;
}

static int unwind_from_kernel(int root_fd, int tid, struct rth_sleeper_scratch *scratch,
                              rth_frame *ret_frames, unsigned capacity,
                              enum rth_unwind_end *ret_end)
{
    struct rth_proc_syscall before, after;
    int error = rth__proc_syscall_read(root_fd, 0, tid, &before);
    if (error != 0)
        return error == -EPERM ? -EACCES : error;
    if (before.running)
        return -EAGAIN;
    struct rth_registers registers;
    rth__registers_from_pc_sp_sigsafe(before.pc, before.sp, 0, 0, &registers);
    int count = unwind_copy(&registers, scratch, ret_frames, capacity, ret_end);
    /* Still in the same place: then what was copied belongs together. */
    error = rth__proc_syscall_read(root_fd, 0, tid, &after);
    if (error != 0)
        return error;
    bool moved = after.running || after.sp != before.sp || after.pc != before.pc ||
                 after.number != before.number;
    return moved || count < 0 ? -EAGAIN : count;
}

int rth__sleeper_unwind(int root_fd, int tid, struct rth_sleeper_scratch *scratch,
                        rth_frame *ret_frames, unsigned capacity, enum rth_unwind_end *ret_end)
{
    int count = unwind_wrapped(tid, scratch, ret_frames, capacity, ret_end);
    return count != -ENOENT
               ? count
               : unwind_from_kernel(root_fd, tid, scratch, ret_frames, capacity, ret_end);
}
