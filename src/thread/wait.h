/* SPDX-License-Identifier: MIT */
#ifndef RTH_THREAD_WAIT_H
#define RTH_THREAD_WAIT_H

/*
 * What a sleeping thread waits for, since when, and who has it: from the record of the wrapped call
 * it is in, or from its system call. Nothing is made up: what neither says is not known. rth-work.
 */

#include <stdbool.h>
#include <stdint.h>

#include "os/procfs.h"
#include "record/module.h"
#include "thread/blocked.h"
#include "thread/holder.h"

enum rth_thread_wait_kind {
    RTH_THREAD_WAIT_UNKNOWN, /* it runs, or waits in a way that nobody tells */
    RTH_THREAD_WAIT_CALL,    /* in a wrapped call, whose name is leaf's */
    RTH_THREAD_WAIT_MUTEX,
    RTH_THREAD_WAIT_RDLOCK,
    RTH_THREAD_WAIT_WRLOCK,
    RTH_THREAD_WAIT_COND,
    RTH_THREAD_WAIT_SEMAPHORE,
    RTH_THREAD_WAIT_FUTEX, /* no wrapper told: a lock of somebody's own, or a join */
};

struct rth_thread_wait {
    enum rth_thread_wait_kind kind;
    rth_frame leaf;    /* the function that waits; 0: not known */
    uint64_t object;   /* address of what it waits for; 0: a call */
    int64_t lasted_ns; /* until it was looked at; -1: not known */
    struct rth_lock_holder holder;
    struct rth_blocked_call call; /* for rth__thread_wait_confirm; shared NULL without one */
};

/* Of a thread that was found in that call now. */
void rth__thread_wait_of_call(struct rth_image_reader *memory, const struct rth_blocked_call *call,
                              struct rth_thread_wait *ret_wait);
/* Of one that is in no wrapped call. */
void rth__thread_wait_of_syscall(const struct rth_proc_syscall *place,
                                 struct rth_thread_wait *ret_wait);
/*
 * Looks again, after all threads were looked at once: a holder stays known only if the thread has
 * waited for this lock all the time, and the lock has the same holder still. So what is known then
 * was true of all threads at one moment.
 */
void rth__thread_wait_confirm(struct rth_image_reader *memory, struct rth_thread_wait *wait);

/* "mutex", "rwlock read", …; NULL for a call, whose name is leaf's, and for what is not known. */
const char *rth__thread_wait_reason(enum rth_thread_wait_kind kind);
/* Whether it is something that one thread takes from others: those can wait in a circle. */
bool rth__thread_wait_is_lock(enum rth_thread_wait_kind kind);

#endif /* RTH_THREAD_WAIT_H */
