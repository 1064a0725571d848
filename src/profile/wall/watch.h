/* SPDX-License-Identifier: MIT */
#ifndef RTH_PROFILE_WALL_WATCH_H
#define RTH_PROFILE_WALL_WATCH_H

/*
 * The watch: where threads are while they use no CPU, told by looking at them. It runs while at
 * least one capture does, for all of them: a capture is the difference of two snapshots. rth-work.
 */

#include <stdbool.h>
#include <stdint.h>

#include "record/counted.h"

#define RTH_WALL_HZ_MAX 100

/* Rows: values[0] times that time was told, values[1] nanoseconds off the CPU. */
extern struct rth_counted rth__wall_counted;

/* Cumulative; a capture takes the difference. */
struct rth_wall_counts {
    uint64_t looks;        /* at one thread's CPU clock */
    uint64_t stacks;       /* read from sleepers */
    uint64_t unreadable;   /* sleepers whose stack could not be read */
    uint64_t late_ns;      /* off-CPU time that went to the stack of another moment */
    uint64_t without_ns;   /* off-CPU time that has no stack */
    uint64_t threads_seen; /* taken into the watch */
    uint64_t threads_refused;
};
void rth__wall_counts_read(struct rth_wall_counts *ret_counts);
/* Threads that are watched now. */
uint32_t rth__wall_watched(void);

/* One more capture, at hz from 1 to RTH_WALL_HZ_MAX. 0, -EBUSY or -ENOMEM. */
int rth__wall_watch_begin(int root_fd, int hz);
/* A look, when one is due by the highest hz of the captures. */
void rth__wall_watch_look(int root_fd);
/* Tells the time of every thread up to now, so that a snapshot is true: some 20 ms long at a time,
 * all when it returns true. */
bool rth__wall_watch_settle(int root_fd);
/* The last one forgets all threads. */
void rth__wall_watch_end(int hz);

void rth__wall_watch_child_reset(void);

#endif /* RTH_PROFILE_WALL_WATCH_H */
