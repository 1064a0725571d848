/* SPDX-License-Identifier: MIT */
#ifndef RTH_PROFILE_CONTENTION_RECORDER_H
#define RTH_PROFILE_CONTENTION_RECORDER_H

/* From the lock wrappers' calls to rows: see recorder.c. */

#include <stdbool.h>
#include <stdint.h>

#include "interpose/abi.h"
#include "record/sites.h"

/* Kinds of rows in rth__contention_sites. */
#define RTH_CONTENTION_MUTEX 0u /* who held it: where it was given back */
#define RTH_CONTENTION_BLOCK 1u /* who waited */

/* Counts in the rows are in units of 2^-RTH_CONTENTION_COUNT_SHIFT; amounts are nanoseconds. */
#define RTH_CONTENTION_COUNT_SHIFT 10u

extern struct rth_sites rth__contention_sites;

/* For struct rth_interpose_ops. */
void rth__sync_wait_begin_nomalloc(struct rth_sync_wait *wait);
bool rth__sync_wait_end_nomalloc(struct rth_sync_wait *wait, bool has_lock);
void rth__sync_release_begin_nomalloc(struct rth_sync_release *release);
bool rth__sync_release_end_nomalloc(const struct rth_sync_release *release);

/* interval_ns: of waited time per sample, at least; 1 records every wait. 0 or -ENOMEM. */
int rth__contention_recorder_start(uint64_t interval_ns);
void rth__contention_recorder_stop(void);
void rth__contention_recorder_child_reset(void);
/* Once a second. rth-work. */
void rth__contention_recorder_tick(void);
/* Records what threads keep until they have unlocked, and stacks that were taken too early to be
 * walked. rth-work, behind rth__unwind_refresh. */
void rth__contention_recorder_settle(void);
/* Of waited time per sample now: more than asked for while there are too many samples. */
uint64_t rth__contention_interval_ns(void);

/* Exact: every wait is counted, not only those that are sampled. */
struct rth_contention_totals {
    uint64_t lock_waits, lock_wait_ns; /* mutexes and rwlocks */
    uint64_t cond_waits, cond_wait_ns;
    uint64_t semaphore_waits, semaphore_wait_ns;
};
void rth__contention_totals_read(struct rth_contention_totals *ret_totals);

struct rth_contention_counts {
    uint64_t mutex_samples, block_samples;
    uint64_t lost_nested;   /* waits in signal handlers that interrupted another one in here */
    uint64_t without_stack; /* samples */
    uint64_t in_lock;       /* samples recorded before the unlock, for want of room to keep them */
    uint32_t kept;          /* samples of threads that have not unlocked yet */
    uint32_t early;         /* samples whose stack waits to be walked */
};
void rth__contention_counts_read(struct rth_contention_counts *ret_counts);

#endif /* RTH_PROFILE_CONTENTION_RECORDER_H */
