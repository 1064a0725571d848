/* SPDX-License-Identifier: MIT */
#ifndef RTH_PROFILE_WALL_THREADS_H
#define RTH_PROFILE_WALL_THREADS_H

/* The threads that are watched, by tid. rth-work. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "record/module.h"

struct rth_thread_shared; /* interpose/abi.h */

struct rth_wall_thread {
    /* A line of memory that each tick reads. */
    struct rth_wall_thread *next; /* of its chain */
    /* What its wrapped calls write, never given back; NULL: they tell nothing. */
    const struct rth_thread_shared *shared;
    const void *blocked; /* as of the last glance at it */
    uint64_t changes;    /* the same */
    int64_t alive_ns;    /* when it was last known to be there */
    int64_t glance_ns;   /* when it is glanced at again */
    int64_t due_ns;      /* when it is looked at again, at the latest */
    int tid;
    bool moved;     /* since the last look; a thread that tells nothing is not said to have moved */
    bool asleep;    /* the stack is that of the sleep it was in at told_ns */
    bool has_stack; /* which may have no frames: it could not be read */

    /* Its life is told up to here, when its clock said so. */
    int64_t told_ns, cpu_ns;
    int64_t slept_ns; /* the sleep it is in has been seen for so long */
    int64_t debt_ns;  /* off-CPU time for which no stack is known yet */
    uint32_t mark;    /* the scan that saw it last */
    uint32_t label_set;
    unsigned frame_count, frame_capacity;
    rth_frame *frames;
};
_Static_assert(offsetof(struct rth_wall_thread, told_ns) == 64, "what a tick reads is one line");

/* NULL when there is none; rth__wall_thread_new: when memory or room is short. */
struct rth_wall_thread *rth__wall_thread_find(int tid);
struct rth_wall_thread *rth__wall_thread_new(int tid);
void rth__wall_thread_free(struct rth_wall_thread *thread);
/* The one behind `thread`, in an order that holds while threads come and go; NULL begins, and ends.
 * Whoever frees takes the next one first. */
struct rth_wall_thread *rth__wall_thread_next(const struct rth_wall_thread *thread);
/* Room for its stack: false when memory is short. */
bool rth__wall_thread_frames(struct rth_wall_thread *thread, unsigned count);
uint32_t rth__wall_thread_count(void);
void rth__wall_threads_child_reset(void);

#endif /* RTH_PROFILE_WALL_THREADS_H */
