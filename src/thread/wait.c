/* SPDX-License-Identifier: MIT */
#include "thread/wait.h"

#include <string.h>
#include <sys/syscall.h>

#include "interpose/abi.h"
#include "os/clock.h"

static enum rth_thread_wait_kind kind_of(uint32_t wait_kind)
{
    switch (wait_kind) {
    case RTH_WAIT_MUTEX:
        return RTH_THREAD_WAIT_MUTEX;
    case RTH_WAIT_RDLOCK:
        return RTH_THREAD_WAIT_RDLOCK;
    case RTH_WAIT_WRLOCK:
        return RTH_THREAD_WAIT_WRLOCK;
    case RTH_WAIT_COND:
        return RTH_THREAD_WAIT_COND;
    case RTH_WAIT_SEMAPHORE:
        return RTH_THREAD_WAIT_SEMAPHORE;
    default:
        return RTH_THREAD_WAIT_CALL;
    }
}

void rth__thread_wait_of_call(struct rth_image_reader *memory, const struct rth_blocked_call *call,
                              struct rth_thread_wait *ret_wait)
{
    *ret_wait = (struct rth_thread_wait){
        .kind = kind_of(call->kind),
        .leaf = rth__frame_of_address_sigsafe(call->leaf),
        .object = call->object,
        .lasted_ns = -1,
        .holder = rth__lock_holder_read(memory, call->kind, call->object),
        .call = *call,
    };
    int64_t now_ns = rth__clock_monotonic_ns_sigsafe();
    if (call->since_ns > 0 && call->since_ns <= now_ns)
        ret_wait->lasted_ns = now_ns - call->since_ns;
}

void rth__thread_wait_of_syscall(const struct rth_proc_syscall *place,
                                 struct rth_thread_wait *ret_wait)
{
    *ret_wait = (struct rth_thread_wait){.lasted_ns = -1};
    if (place->running || place->number != SYS_futex)
        return;
    ret_wait->kind = RTH_THREAD_WAIT_FUTEX;
    ret_wait->object = place->arguments[0];
}

void rth__thread_wait_confirm(struct rth_image_reader *memory, struct rth_thread_wait *wait)
{
    if (wait->holder.kind == RTH_HOLDER_UNKNOWN)
        return;
    struct rth_lock_holder now = rth__lock_holder_read(memory, wait->call.kind, wait->object);
    bool is_same = now.kind == wait->holder.kind && now.tid == wait->holder.tid;
    if (!is_same || !rth__blocked_call_holds(&wait->call))
        wait->holder = (struct rth_lock_holder){0};
    else
        wait->holder = now;
}

const char *rth__thread_wait_reason(enum rth_thread_wait_kind kind)
{
    switch (kind) {
    case RTH_THREAD_WAIT_MUTEX:
        return "mutex";
    case RTH_THREAD_WAIT_RDLOCK:
        return "rwlock read";
    case RTH_THREAD_WAIT_WRLOCK:
        return "rwlock write";
    case RTH_THREAD_WAIT_COND:
        return "condition";
    case RTH_THREAD_WAIT_SEMAPHORE:
        return "semaphore";
    case RTH_THREAD_WAIT_FUTEX:
        return "futex";
    default:
        return NULL;
    }
}

bool rth__thread_wait_is_lock(enum rth_thread_wait_kind kind)
{
    return kind == RTH_THREAD_WAIT_MUTEX || kind == RTH_THREAD_WAIT_RDLOCK ||
           kind == RTH_THREAD_WAIT_WRLOCK;
}
