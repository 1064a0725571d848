/* SPDX-License-Identifier: MIT */
#ifndef RTH_PROFILE_THREADS_LIST_H
#define RTH_PROFILE_THREADS_LIST_H

/* /debug/runtime/threads: every thread as JSON, rthooks' own too. Nobody is asked or signalled:
 * what a running thread does, it does not say. Functions of an artefact. */

#include "core/artefact.h"

int rth__thread_list_begin(struct rth_call *call, int64_t *ret_wait_ns);
int rth__thread_list_step(struct rth_call *call, int64_t *ret_wait_ns);
int rth__thread_list_write(struct rth_call *call, struct rth_sink *sink);
void rth__thread_list_cancel(struct rth_call *call);

#endif /* RTH_PROFILE_THREADS_LIST_H */
