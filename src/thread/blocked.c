/* SPDX-License-Identifier: MIT */
#include "thread/blocked.h"

#include <stdatomic.h>

#include "interpose/abi.h"
#include "thread/registry.h"

/* No wrapper that waits has a larger frame. */
#define WRAPPER_BYTES_MAX 4096u

bool rth__blocked_call_read(int tid, struct rth_image_reader *memory,
                            struct rth_blocked_call *ret_call)
{
    const struct rth_thread_shared *shared = rth__thread_shared_of(tid);
    if (shared == NULL)
        return false;
    uint64_t changes = __atomic_load_n(&shared->changes, __ATOMIC_ACQUIRE);
    const struct rth_blocked_frame *blocked = __atomic_load_n(&shared->blocked, __ATOMIC_ACQUIRE);
    struct rth_blocked_frame frame;
    /* It is on the thread's stack. One left behind by longjmp is written over sooner or later, and
     * so is what the wrapper had below its caller's frame: the address it returns to, and rbp. */
    uintptr_t linkage[2];
    if (blocked == NULL ||
        rth__image_read(memory, (uintptr_t)blocked, &frame, sizeof(frame)) != 0 ||
        frame.owner != shared || frame.sp <= (uintptr_t)blocked ||
        frame.sp - (uintptr_t)blocked > WRAPPER_BYTES_MAX ||
        rth__image_read(memory, frame.sp - sizeof(linkage), linkage, sizeof(linkage)) != 0 ||
        linkage[0] != frame.fp || linkage[1] != frame.pc)
        return false;
    *ret_call = (struct rth_blocked_call){
        .leaf = frame.leaf,
        .pc = frame.pc,
        .sp = frame.sp,
        .fp = frame.fp,
        .kind = frame.kind,
        .object = frame.object,
        .since_ns = frame.since_ns,
        .shared = shared,
        .frame = blocked,
        .changes = changes,
    };
    return true;
}

bool rth__blocked_call_holds(const struct rth_blocked_call *call)
{
    const struct rth_thread_shared *shared = call->shared;
    atomic_thread_fence(memory_order_acquire);
    return __atomic_load_n(&shared->blocked, __ATOMIC_ACQUIRE) == call->frame &&
           __atomic_load_n(&shared->changes, __ATOMIC_ACQUIRE) == call->changes;
}
