/* SPDX-License-Identifier: MIT */
#ifndef RTH_PROFILE_THREADS_BLOCKS_H
#define RTH_PROFILE_THREADS_BLOCKS_H

#include "profile/encode.h"
#include "profile/threads/stacks.h"

/* A dump as text with one block per thread, behind them who waits in a circle and for which locks
 * others wait (debug=2). is_goroutine: in the form that Go's tools know. 0, -ECANCELED, -ENOMEM or
 * the sink's error. rth-work. */
int rth__thread_blocks_write(const struct rth_thread_stacks *stacks, bool is_goroutine,
                             const struct rth_profile_naming *naming, struct rth_sink *sink);

#endif /* RTH_PROFILE_THREADS_BLOCKS_H */
