/* SPDX-License-Identifier: MIT */
#ifndef RTH_CORE_COLLECT_H
#define RTH_CORE_COLLECT_H

/*
 * rth-collect: calls `sample` of the capability rows that have one, each when it asked to be, and
 * at once when it is woken. It waits on nobody, takes no lock that is held while allocating, calls
 * nothing of the application. An adopted child has no such thread: its rows sample in their tick.
 */

#include <stdbool.h>
#include <stdint.h>

/* shares_table: called by rth-admin once its table is private, so that rth-collect shares it.
 * Otherwise, where there is no endpoint, by a host thread: rth-collect makes a table of its own,
 * once start_delay_ns have passed. 0 or a negative errno. */
int rth__collect_start(bool shares_table, int64_t start_delay_ns);
/* Of a thread that does not run: nothing. */
void rth__collect_stop(void);
/* Has all rows sampled now. Any thread; signal-safe; also while allocating. */
void rth__collect_wake_sigsafe(void);
/* Between start and stop. Otherwise ticks take its place. */
bool rth__collect_is_running(void);
void rth__collect_child_reset(void);

#endif /* RTH_CORE_COLLECT_H */
