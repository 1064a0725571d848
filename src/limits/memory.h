/* SPDX-License-Identifier: MIT */
#ifndef RTH_LIMITS_MEMORY_H
#define RTH_LIMITS_MEMORY_H

/*
 * What is known of memory now. rth-collect alone writes it, after each look; anybody reads it, from
 * any thread, at the price of a load.
 */

#include <stdbool.h>
#include <stdint.h>

struct rth_memory_now {
    int64_t limit_bytes;    /* M; INT64_MAX: none */
    int64_t hard_bytes;     /* L; INT64_MAX: none */
    int64_t critical_bytes; /* halfway from M to L */
    int64_t usage_bytes;    /* not reclaimable, at the level that owns L; -1: not known */
    int64_t rss_bytes;      /* of this process; -1: not known */
    int64_t growth_bytes_per_s;
    int state; /* enum rth_memory_state of rthooks/limits.h */
    bool is_stale;
    int64_t taken_ns; /* CLOCK_MONOTONIC; 0: nothing was taken yet */
};

/* A whole one, never a mixture of two. Signal-safe. */
void rth__memory_now_read_sigsafe(struct rth_memory_now *ret_now);
int rth__memory_state_sigsafe(void);
const char *rth__memory_state_name(int state);

#endif /* RTH_LIMITS_MEMORY_H */
