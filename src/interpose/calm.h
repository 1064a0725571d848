/* SPDX-License-Identifier: MIT */
#ifndef RTH_INTERPOSE_CALM_H
#define RTH_INTERPOSE_CALM_H

/*
 * Calm points. A forked child becomes a process of ours only some time after the fork, and only
 * when it calls something that blocks. So in such a child, and nowhere else, a blocking wrapper
 * waits in parts: at most until the child may be adopted, then, once it is, for the rest.
 */

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <time.h>

#include "interpose/blocked.h"
#include "interpose/ops.h"

#define RTH__FOREVER INT64_MAX

/* Answer of an attempt whose part is over without an event. */
#define RTH__PART_OVER INT32_MIN

/*
 * One go at the caller's call, waiting wait_ns (RTH__FOREVER: without a limit). last: nothing
 * comes after it, so a timeout is the caller's own and the result is what the caller gets; else a
 * timeout is RTH__PART_OVER.
 */
typedef int (*rth__attempt)(void *call, int64_t wait_ns, bool last);

/* When the child may be adopted, CLOCK_MONOTONIC, as the runtime said last; 0: not asked in this
 * process; RTH__FOREVER: never. Any thread writes, relaxed; a stale value costs a few system calls
 * or one signal that is not held back. */
extern int64_t rth__calm_due_ns;

/* True in the only processes where rth__calm_wait has something to do. A thread with a block that
 * was not wiped is in none of them; its `due` says so, and no other page has to be looked at. */
static inline bool rth__calm_wanted(void)
{
    const struct rth_thread_shared *self = rth__self;
    if (__builtin_expect(self != NULL, 1) &&
        __builtin_expect(atomic_load_explicit(&self->heap.due, memory_order_relaxed) != 0, 1))
        return false;
    return __builtin_expect(rth__ops_unadopted() != NULL, 0) &&
           __atomic_load_n(&rth__calm_due_ns, __ATOMIC_RELAXED) != RTH__FOREVER;
}

/*
 * The call in parts. caller_ns: how long the caller wants to wait. Returns the result of the
 * attempt that ended it, or -1 with EINTR when a handler ran between two attempts, where the
 * undivided call would have been interrupted. errno is the attempt's, else untouched.
 */
int rth__calm_wait(int64_t caller_ns, rth__attempt attempt, void *call);

/* A calm point without a wait (pthread_create). */
void rth__calm_point(void);

/* In a child, right after fork: what was known of the parent does not hold. Signal-safe. */
void rth__calm_forked(void);

/* CLOCK_MONOTONIC. A deadline is RTH__FOREVER or in that clock; what is left is never negative. */
int64_t rth__deadline_ns(int64_t wait_ns);
int64_t rth__left_ns(int64_t deadline_ns);

/* Conversions, saturating at RTH__FOREVER. */
int64_t rth__timespec_to_ns(const struct timespec *time); /* NULL: for ever */
struct timespec rth__ns_to_timespec(int64_t time_ns);
int rth__ns_to_poll_ms(int64_t time_ns); /* rounded up; for ever is -1 */
/* What the kernel would refuse with EINVAL. */
bool rth__timespec_valid(const struct timespec *time);

#endif /* RTH_INTERPOSE_CALM_H */
