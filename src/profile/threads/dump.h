/* SPDX-License-Identifier: MIT */
#ifndef RTH_PROFILE_THREADS_DUMP_H
#define RTH_PROFILE_THREADS_DUMP_H

#include "core/capability.h"

/* The row "stacks": /debug/pprof/goroutine, /debug/pprof/threads and /debug/runtime/threads. */
extern const struct rth_capability rth__thread_dump_capability;

#endif /* RTH_PROFILE_THREADS_DUMP_H */
