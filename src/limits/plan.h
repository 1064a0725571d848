/* SPDX-License-Identifier: MIT */
#ifndef RTH_LIMITS_PLAN_H
#define RTH_LIMITS_PLAN_H

/*
 * What rth-reclaim is to do: a function of what is known, nothing else. No clock, no lock.
 */

#include <stdbool.h>
#include <stdint.h>

struct rth_reclaim_view {
    int state; /* enum rth_memory_state */
    int64_t limit_bytes, usage_bytes;
    int64_t target_bytes; /* where admission stops growth */
    int64_t brake_bytes;  /* where it refuses */
    int64_t peak_bytes;   /* of usage, since the last purge */
    int64_t room_bytes;   /* of admission; below 0: missing */
    int64_t usable_bytes; /* free in the allocator: it will use it again */
    int64_t free_bytes;   /* free in the allocator: a purge may give it back */
    int64_t unpurged_ns;  /* time since the last purge */
    bool knows_free;      /* the program's requests or shrinkers tell of it; else nobody knows */
    bool is_at_rest;      /* nothing was asked for, and usage has not grown, for a while */
    bool is_lazy;
    bool has_shrinkers;
};

/* Less is not worth a purge: 8 MiB, or 1 % of the limit. */
int64_t rth__plan_purge_worth_bytes(int64_t limit_bytes);
/* Whether usage is where requests are refused, or worse. */
bool rth__plan_is_pressing(const struct rth_reclaim_view *view);
/* Whether the allocator should give back, if its price allows. */
bool rth__plan_wants_purge(const struct rth_reclaim_view *view);
/* What shrinkers are to free; 0: nothing. What is in the allocator already counts as freed. */
uint64_t rth__plan_missing_bytes(const struct rth_reclaim_view *view);
/* At rest a state is left by giving up what caches hold, if that much is held: where usage without
 * what is free has to go; what exceeds it. */
uint64_t rth__plan_excess_at_rest_bytes(const struct rth_reclaim_view *view);

#endif /* RTH_LIMITS_PLAN_H */
