/* SPDX-License-Identifier: MIT */
#ifndef RTH_PROFILE_TASKS_TASK_H
#define RTH_PROFILE_TASKS_TASK_H

/* The tasks that are alive: the other side of rthooks/task.h. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/latency.h"

#define RTH_TASK_NAME_BYTES 40u

enum rth_task_state {
    RTH_TASK_QUEUED,
    RTH_TASK_RUNNING,
    RTH_TASK_PAUSED,
    RTH_TASK_STATES,
};

/* A copy. */
struct rth_task_info {
    uint64_t number; /* never given twice in a process and its children */
    enum rth_task_state state;
    char name[RTH_TASK_NAME_BYTES];
    int64_t created_ns; /* CLOCK_MONOTONIC */
    int64_t queued_ns;  /* it waited so long for its first start; of a queued one, until now */
    int tid;            /* that started it last; 0: none has */
    uint32_t label_set; /* of its maker */
    uint64_t maker;     /* number of the task that made it; 0: none */
    uint64_t site;      /* identity of the site where it was made */
};

/* From queue to first start, of all tasks. */
extern struct rth_latency rth__task_latency;

/* Tasks that are alive: queued, running or paused. Any thread. */
uint64_t rth__task_count(void);
/* Places that were ever used; the task in one of them, numbered from 1 on; false for none. Where
 * it changes meanwhile its facts may be of two moments. rth-work. */
uint32_t rth__task_places(void);
bool rth__task_read(uint32_t place, int64_t now_ns, struct rth_task_info *ret_info);

struct rth_task_counts {
    uint64_t made, ended, cancelled; /* cancelled: ended without a start, among the ended */
    uint64_t misused;                /* pauses that returned -EPERM */
};
void rth__task_counts_read(struct rth_task_counts *ret_counts);

/* At start, and in an adopted child: there are none. What is started or ended still is told that it
 * has ended. */
void rth__tasks_forget(void);

#endif /* RTH_PROFILE_TASKS_TASK_H */
