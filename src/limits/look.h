/* SPDX-License-Identifier: MIT */
#ifndef RTH_LIMITS_LOOK_H
#define RTH_LIMITS_LOOK_H

/*
 * One look at memory, from the files to everybody who acts on it. On the looking thread: the
 * starting one, then rth-collect, or the ticking one of an adopted child.
 */

#include <stdbool.h>
#include <stdint.h>

#include "limits/sampler.h"
#include "limits/state.h"

#define RTH_TRANSITION_RING 32

/* Why the state changed, with what led to it. */
struct rth_memory_transition {
    int64_t unix_ns;
    int from, to;
    bool is_stale; /* looks failed; usage is the last one that was read */
    int64_t limit_bytes, hard_bytes, usage_bytes, rss_bytes, growth_bytes_per_s;
    uint64_t shrunk_bytes, purged_bytes; /* by then, since start */
};

/* What the last look left, for who shows it. */
struct rth_memory_view {
    struct rth_memory_machine machine;
    struct rth_memory_look look;
    struct rth_memory_reading reading;
    int64_t period_ns;
    uint64_t looks, failed_looks, predictions, pressure_fires, pressure_stalls;
    uint64_t transition_count; /* ever; the last RTH_TRANSITION_RING are kept */
};

/* Returns when it wants the next one, in ns. is_tick: there is no rth-collect here. */
int64_t rth__look(int root_fd, int64_t now_ns, bool is_tick);
/* Any thread. */
void rth__look_view(struct rth_memory_view *ret_view);
/* The transition of that number, from 0 on; false when it is not kept. */
bool rth__look_transition(uint64_t number, struct rth_memory_transition *ret_transition);
/* At stop, when nobody looks any more: the hooks need not report. */
void rth__look_end(void);
/* Before the first look: start, and in an adopted child. */
void rth__look_reset(void);

#endif /* RTH_LIMITS_LOOK_H */
