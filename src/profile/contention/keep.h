/* SPDX-License-Identifier: MIT */
#ifndef RTH_PROFILE_CONTENTION_KEEP_H
#define RTH_PROFILE_CONTENTION_KEEP_H

/*
 * Samples between the moment when a thread has got its lock and the one when it has given it back:
 * recording them meanwhile would lengthen what others wait for. Whoever comes first records one:
 * the thread at its unlock, or rth-work when the profile is read or the lock is held for long.
 * Lock-free; memory is taken at the start alone.
 */

#include <stdbool.h>
#include <stdint.h>

#include "profile/stack_here.h"

#define RTH_KEEP_MAX 128u

struct rth_contention_sample {
    uint32_t kind, label_set;
    uint64_t count, delay_ns; /* weighted */
    int64_t at_ns;
    unsigned frame_count;
    rth_frame frames[RTH_STACK_HERE_FRAMES_MAX];
};

/* Names one kept sample for ever; ticket 0: none. */
struct rth_kept {
    uint32_t place;
    uint64_t ticket;
};

/* 0 or -ENOMEM. */
int rth__keep_init(void);
/* Where a sample is filled, until rth__keep_put; NULL when there is no room. */
struct rth_contention_sample *rth__keep_place(struct rth_kept *ret_kept);
void rth__keep_put(const struct rth_kept *kept);
/* The sample, for the caller alone until rth__keep_free; NULL when somebody else had it. */
const struct rth_contention_sample *rth__keep_take(const struct rth_kept *kept);
void rth__keep_free(const struct rth_kept *kept);
/* Takes every sample that is older than that, and tells of it. */
void rth__keep_sweep(int64_t before_ns, void (*found)(const struct rth_contention_sample *sample));
uint32_t rth__keep_count(void);
void rth__keep_child_reset(void);

#endif /* RTH_PROFILE_CONTENTION_KEEP_H */
