/* SPDX-License-Identifier: MIT */
#ifndef RTH_LIMITS_CPU_CAP_H
#define RTH_LIMITS_CPU_CAP_H

/*
 * How much CPU time reclaiming may take: a bucket that fills with a share of the quota, holds a
 * burst, and may be overdrawn once. Pure arithmetic; one thread.
 */

#include <stdbool.h>
#include <stdint.h>

#define RTH_CPU_CAP_BURST_NS (INT64_C(100) * 1000 * 1000)

struct rth_cpu_cap {
    int64_t tokens_ns; /* CPU time that may be used now; below 0: overdrawn */
    int64_t filled_ns; /* when it was filled last; 0: never, it begins full */
};

/* The share of the quota in a state of memory, in percent: 10 at ELEVATED (and below it), 25 at
 * SHED, 50 from CRITICAL on. */
unsigned rth__cpu_cap_percent(int state);
/* Fills it for the time since the last call. cpus: of the quota. True when something is left. */
bool rth__cpu_cap_fill(struct rth_cpu_cap *cap, int64_t now_ns, double cpus, unsigned percent);
void rth__cpu_cap_take(struct rth_cpu_cap *cap, int64_t used_ns);

#endif /* RTH_LIMITS_CPU_CAP_H */
