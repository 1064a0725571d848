/* SPDX-License-Identifier: MIT */
#ifndef RTH_CORE_WORK_H
#define RTH_CORE_WORK_H

/*
 * rth-work: runs what takes longer than a millisecond, one item at a time, in order of submission.
 * In an adopted child there is no such thread (a child gets one thread in all): rth-admin takes its
 * place. What it submits runs at once; what a thread of the host submits runs when its loop comes
 * round.
 */

#include <stdbool.h>

struct rth_work_item {
    void (*run)(struct rth_work_item *item); /* may free the item; last act of the queue on it */
    struct rth_work_item *next;              /* the queue's */
    /* In place of run when the thread stops before; NULL: the drop of rth__work_stop. */
    void (*drop)(struct rth_work_item *item);
};

/* Called by rth-admin once its table is private, so that rth-work shares it. */
int rth__work_start(void);
/* Ends the thread; items not begun are dropped after drop(item) was called for each. */
void rth__work_stop(void (*drop)(struct rth_work_item *item));
/* On rth-admin. */
void rth__work_submit(struct rth_work_item *item);

/* On any thread, of the host or ours; the item has a drop. 0: it will be run or dropped; -EAGAIN
 * while nobody runs items: before the threads have come up, and after they stopped. */
int rth__work_submit_from_host(struct rth_work_item *item);
/* Whoever is about to stop the thread, or rth-admin in its place, says so first: a long item looks,
 * and ends early. Any thread. */
void rth__work_cancel(void);
bool rth__work_is_cancelled(void);
/* From here on rth-admin runs what the host submits, in rth__work_run_queued, and wake_loop (on the
 * host's thread, after a submit) makes it look; NULL: no longer, and what waits is dropped. */
void rth__work_inline_set(void (*wake_loop)(void));
void rth__work_run_queued(void);
/* Has rth-work call tick once, between items; where there is no such thread, calls it at once. */
void rth__work_tick(void (*tick)(void));
void rth__work_child_reset(void);

#endif /* RTH_CORE_WORK_H */
