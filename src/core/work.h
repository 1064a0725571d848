/* SPDX-License-Identifier: MIT */
#ifndef RTH_CORE_WORK_H
#define RTH_CORE_WORK_H

/*
 * rth-work: runs what takes longer than a millisecond, one item at a time, in order of submission.
 * In an adopted child there is no such thread (a child gets one thread in all): submit then runs
 * the item at once on the caller, rth-admin.
 */

#include <stdbool.h>

struct rth_work_item {
    void (*run)(struct rth_work_item *item); /* may free the item; last act of the queue on it */
    struct rth_work_item *next;              /* the queue's */
};

/* Called by rth-admin once its table is private, so that rth-work shares it. */
int rth__work_start(void);
/* Ends the thread; items not begun are dropped after drop(item) was called for each. */
void rth__work_stop(void (*drop)(struct rth_work_item *item));
void rth__work_submit(struct rth_work_item *item);
void rth__work_child_reset(void);

#endif /* RTH_CORE_WORK_H */
