/* SPDX-License-Identifier: MIT */
#ifndef RTH_THREAD_LOOPS_H
#define RTH_THREAD_LOOPS_H

/* Event loops of the program, as rthooks/loop.h tells of them. */

#include "core/latency.h"

struct rth_capability;

/* The row "loops": nothing but a status. */
extern const struct rth_capability rth__loops_capability;

/* Of all loops together: times that callbacks kept a loop from polling, and delays of timers. */
extern struct rth_latency rth__loop_busy, rth__loop_timer_late;

#endif /* RTH_THREAD_LOOPS_H */
