/* SPDX-License-Identifier: MIT */
#ifndef RTH_LIMITS_SAMPLER_H
#define RTH_LIMITS_SAMPLER_H

/*
 * What /proc and the cgroups say, with descriptors that stay open. One thread at a time: the
 * starting one, then rth-collect, or the ticking one of an adopted child. Descriptors belong to the
 * table of the thread that opened them: another thread opens its own.
 */

#include <stdbool.h>
#include <stdint.h>

#include "os/cgroup.h"

struct rth_memory_reading {
    int error;                                /* 0, or why usage is not known */
    int64_t usage_bytes;                      /* not reclaimable; -1: not known */
    int64_t current_bytes, reclaimable_bytes; /* what it is made of; -1: of the process */
    int64_t rss_bytes;                        /* of this process; -1: not known */
    bool is_of_process; /* usage is what this process holds: no cgroup has a limit */
};

/* Finds the cgroups and reads their limits, unless this thread has done so. True when it did. */
bool rth__sampler_open(int root_fd, int64_t now_ns);
/* By the starting thread, whose table is the host's. */
void rth__sampler_close(void);
/* Reads the limits again, and finds the cgroups anew where the process has moved or they are gone.
 * True when the limits may be others. ret_error: what made it find them anew, or 0. */
bool rth__sampler_refresh(int64_t now_ns, int *ret_error);
/* What was found. */
const struct rth_cgroup_watch *rth__sampler_watch(void);
uint64_t rth__sampler_total_bytes(void); /* physical memory; 0: not known */
void rth__sampler_read(struct rth_memory_reading *ret_reading);
/* In an adopted child, and at stop. */
void rth__sampler_forget(void);

#endif /* RTH_LIMITS_SAMPLER_H */
