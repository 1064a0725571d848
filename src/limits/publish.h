/* SPDX-License-Identifier: MIT */
#ifndef RTH_LIMITS_PUBLISH_H
#define RTH_LIMITS_PUBLISH_H

/* The writing side of limits/memory.h: rth-collect's alone, or of whoever takes its place (the
 * starting thread before it, the tick of an adopted child). */

#include "limits/memory.h"

void rth__memory_now_publish(const struct rth_memory_now *now);
/* In an adopted child, and at stop: nothing was taken yet. */
void rth__memory_now_reset(void);

#endif /* RTH_LIMITS_PUBLISH_H */
