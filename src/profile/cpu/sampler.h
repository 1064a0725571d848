/* SPDX-License-Identifier: MIT */
#ifndef RTH_PROFILE_CPU_SAMPLER_H
#define RTH_PROFILE_CPU_SAMPLER_H

/*
 * The CPU sampler: a timer per thread while at least one capture runs, nothing at all otherwise.
 * Captures share it: it runs at the highest rate anyone asked for, and each capture is the
 * difference of two snapshots of the same counters.
 */

#include <stdint.h>

#include "record/counted.h"
#include "unwind/unwind.h"

#define RTH_CPU_HZ_MAX       1000
#define RTH_CPU_CAPTURES_MAX 64

/* Rows: values[0] periods of the sampler, values[1] nanoseconds of CPU. A capture counts in periods
 * of its own, which it gets from the latter. */
extern struct rth_counted rth__cpu_counted;

/* Cumulative; a capture takes the difference. */
struct rth_cpu_counts {
    uint64_t samples;                    /* stacks recorded */
    uint64_t periods;                    /* timer periods they stand for */
    uint64_t ends[RTH_UNWIND_END_COUNT]; /* stacks by why the walk ended */
    uint64_t lost_late_ns; /* expired unnoticed on threads that ended; no sample took it over */
};
void rth__cpu_counts_read(struct rth_cpu_counts *ret_counts);

/* What is true now, not cumulative. */
struct rth_cpu_coverage {
    uint32_t threads;           /* with a timer */
    uint32_t threads_waiting;   /* without one: they take turns with the others */
    uint32_t threads_masked;    /* that block the signal and are not sampled */
    uint32_t threads_filtered;  /* under a seccomp filter of their own: not sampled */
    uint32_t threads_unplaced;  /* that get no timer: not sampled */
    const char *waiting_reason; /* why threads wait; NULL when none does */
    const char *unplaced_reason;
    int hz; /* of the sampler: the highest asked for */
};
void rth__cpu_coverage_read(struct rth_cpu_coverage *ret_coverage);

/* One more capture at hz (1 … RTH_CPU_HZ_MAX). 0; -EBUSY when no signal is free or too many
 * captures run; -ENOMEM. rth-work. */
int rth__cpu_sampler_acquire(int root_fd, int hz);
/* The last one disarms every timer. */
void rth__cpu_sampler_release(int hz);
/* While a capture runs: new and ended threads, stack limits, modules, generations. rth-work. */
void rth__cpu_sampler_sweep(int root_fd);

/* The stack of a thread's last sample, RTH_UNWIND_FRAMES_MAX frames at most, and its labels then.
 * Returns their number; 0 when it had none since the first capture began, or takes one now.
 * rth-work. */
unsigned rth__cpu_sampler_last_stack(int tid, rth_frame *ret_frames, uint32_t *ret_label_set);

/* At the runtime's stop: no timer is left, and the host has its signal back. */
void rth__cpu_sampler_stop(int root_fd);
void rth__cpu_sampler_child_reset(void);

#endif /* RTH_PROFILE_CPU_SAMPLER_H */
