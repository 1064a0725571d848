/* SPDX-License-Identifier: MIT */
#ifndef RTH_THREAD_THREADS_H
#define RTH_THREAD_THREADS_H

#include "core/capability.h"

/* The row "threads": /debug/runtime/threads and the /sched/threads metrics. */
extern const struct rth_capability rth__threads_capability;

#endif /* RTH_THREAD_THREADS_H */
