/* SPDX-License-Identifier: MIT */
#ifndef RTH_CORE_COLLECT_H
#define RTH_CORE_COLLECT_H

/*
 * rth-collect: calls `sample` of the capability rows that have one, each when it asked to be, and at
 * once when it is woken. It waits on nobody, takes no lock that is held while allocating, calls
 * nothing of the application. An adopted child has no such thread: its rows sample in their tick.
 */

#include <stdbool.h>
#include <stdint.h>

/* Called by rth-admin once its table is private, so that rth-collect shares it. 0 or a negative
 * errno. */
int rth__collect_start(void);
void rth__collect_stop(void);
/* Has all rows sampled now. Any thread; signal-safe; also while allocating. */
void rth__collect_wake_sigsafe(void);
bool rth__collect_is_running(void);
void rth__collect_child_reset(void);

#endif /* RTH_CORE_COLLECT_H */
