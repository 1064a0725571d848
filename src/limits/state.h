/* SPDX-License-Identifier: MIT */
#ifndef RTH_LIMITS_STATE_H
#define RTH_LIMITS_STATE_H

/*
 * The memory state machine: a function of what was seen and when, nothing else. No clock, no file,
 * no lock.
 *
 * M is the limit, L the hard limit. ELEVATED begins at 0.9 M, SHED at M, CRITICAL halfway from M to
 * L (at 1.05 M without an L), EXHAUSTED when reclaiming yields nothing at CRITICAL. Up at once,
 * over any number of states; down one state at a time, once usage has been 5 % of M below where the
 * state began for 250 ms on end: what a purge brings for a moment is no end. When looks fail for
 * more than four periods the state is one level up (but not EXHAUSTED, which says something of
 * reclaiming) until one succeeds.
 */

#include <stdbool.h>
#include <stdint.h>

#include "os/clock.h"

#define RTH_MEMORY_DWELL_NS      (250 * RTH_NS_PER_MS)
#define RTH_MEMORY_PERIOD_MIN_NS (2 * RTH_NS_PER_MS)
#define RTH_MEMORY_PERIOD_MAX_NS (250 * RTH_NS_PER_MS)
#define RTH_MEMORY_STALE_PERIODS 4
#define RTH_MEMORY_PREDICTION_NS (5 * RTH_NS_PER_S)

struct rth_memory_thresholds {
    int64_t elevated_bytes, shed_bytes, critical_bytes; /* INT64_MAX: no limit */
    int64_t leave_bytes;   /* how far below its beginning a state is left */
    int64_t predict_bytes; /* 0.8 M: below it nothing is predicted */
};
void rth__memory_thresholds(int64_t limit_bytes, int64_t hard_bytes,
                            struct rth_memory_thresholds *ret_thresholds);

/* What one look saw. */
struct rth_memory_look {
    int64_t now_ns;
    int64_t limit_bytes, hard_bytes; /* INT64_MAX: none */
    int64_t usage_bytes;             /* -1: could not be read */
    bool is_futile;                  /* reclaiming at CRITICAL yields nothing */
};

/* Zero is the state at the beginning. */
struct rth_memory_machine {
    int state; /* enum rth_memory_state */
    bool is_stale;
    bool is_ending; /* all looks since ending_ns saw what ends the state */
    int64_t ending_ns;
    int64_t begun_ns;  /* the first look; 0: none */
    int64_t read_ns;   /* the last look that succeeded; 0: none */
    int64_t period_ns; /* asked for by the last look; 0: none */
    /* Two averages of growth: of the last tenth of a second, and of the last second. */
    int64_t usage_bytes; /* of read_ns */
    double fast_bytes_per_s, slow_bytes_per_s;
    bool is_predicted; /* CRITICAL will be reached within RTH_MEMORY_PREDICTION_NS */
};

/* Takes a look; true when the state changed. */
bool rth__memory_machine_look(struct rth_memory_machine *machine,
                              const struct rth_memory_look *look);
/* How long until the next look. */
int64_t rth__memory_machine_period_ns(const struct rth_memory_machine *machine,
                                      const struct rth_memory_look *look);
/* From usage to where the next state begins; 0 above all; INT64_MAX without a limit. */
int64_t rth__memory_headroom_bytes(const struct rth_memory_thresholds *thresholds,
                                   int64_t hard_bytes, int64_t usage_bytes);

#endif /* RTH_LIMITS_STATE_H */
