/* SPDX-License-Identifier: MIT */
#ifndef RTH_PROFILE_THREADS_DIFFERENCE_H
#define RTH_PROFILE_THREADS_DIFFERENCE_H

#include "profile/threads/stacks.h"

/* seconds=: what is in both cancels out, stack by stack: neither counts as answered any more. 0 or
 * -ENOMEM. rth-work. */
int rth__thread_stacks_cancel_out(struct rth_thread_stacks *stacks, struct rth_thread_stacks *base);

#endif /* RTH_PROFILE_THREADS_DIFFERENCE_H */
