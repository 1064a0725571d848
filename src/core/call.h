/* SPDX-License-Identifier: MIT */
#ifndef RTH_CORE_CALL_H
#define RTH_CORE_CALL_H

/*
 * rth-call: calls what the application registered, on a thread where it may allocate, lock and take
 * its time; nothing of ours waits for it. The log's sink has a thread of the same kind and name in
 * core/log.c, so that a callback that hangs can still be told.
 *
 * A call that takes more than a second is late. One more thread, made together with the first and
 * asleep until then, goes on with the others; a second late call stops them until one comes back.
 */

#include <stdbool.h>
#include <stdint.h>

struct rth_call_job {
    void (*run)(struct rth_call_job *job); /* set by the owner before it adds the job */
    /* core/call.c's. */
    struct rth_call_job *next;
    bool wanted, running;
    bool was_late; /* it is, or was once */
};

/* Makes a job known; starts the threads at the first one, or with the runtime. Host thread. 0, or a
 * negative errno when the thread could not be made (then the job is not known). */
int rth__call_add(struct rth_call_job *job);
/* When it returns, the job does not run and will not, unless it was called from that job, or the
 * job is late by 5 s. Host thread. False in the latter case: the job's memory must stay. */
bool rth__call_remove(struct rth_call_job *job);
/* Has a job called, once for any number of these before it is. Any thread but inside malloc. */
void rth__call_want(struct rth_call_job *job);
/* Has all jobs called. */
void rth__call_want_all(void);
/* How many calls were late so far. */
uint64_t rth__call_late_count(void);
/* Ends and restarts the threads (quiesce, stop); start does nothing without jobs. */
void rth__call_threads_stop(void);
int rth__call_threads_start(void);
/* In a child: jobs stay known. */
void rth__call_child_reset(void);

#endif /* RTH_CORE_CALL_H */
