/* SPDX-License-Identifier: MIT */
#ifndef RTH_INTERPOSE_CALM_H
#define RTH_INTERPOSE_CALM_H

/*
 * Calm points. A forked child becomes a process of ours only some time after the fork, and only
 * when it calls something that blocks. So in such a child, and nowhere else, a blocking wrapper
 * waits in parts: at most until the child may be adopted, then, once it is, for the rest.
 */

#include <stdbool.h>
#include <stdint.h>
#include <time.h>

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

/* True in the only processes where rth__calm_wait has something to do. */
static inline bool rth__calm_wanted(void)
{
    return __builtin_expect(rth__ops_unadopted() != NULL, 0);
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
