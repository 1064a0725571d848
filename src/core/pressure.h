/* SPDX-License-Identifier: MIT */
#ifndef RTH_CORE_PRESSURE_H
#define RTH_CORE_PRESSURE_H

/*
 * The synchronous line between who allocates and who watches memory. A watcher says after how many
 * allocated bytes it wants to look again; the hooks of allocations and mappings report what they
 * see in portions, and the report that crosses that number wakes it. Nobody waits here.
 */

#include <stdbool.h>
#include <stdint.h>

/* How many bytes a thread may keep to itself before it reports; 0: nobody wants to know. */
uint64_t rth__pressure_portion_bytes_sigsafe(void);
/* What a hook has seen allocated or mapped. Cost: one atomic add. Any thread, also in malloc. */
void rth__pressure_report_sigsafe(uint64_t size_bytes);

/* Which watch it is: another number when one began after a time in which nobody watched. What a
 * thread has not reported by then it forgets. */
uint32_t rth__pressure_watch_number_sigsafe(void);

/* The watcher: wake() is called once when budget_bytes were reported since this call (it must be
 * signal-safe and must not allocate); portion_bytes 0 ends it. One thread at a time. */
void rth__pressure_watch(uint64_t budget_bytes, uint64_t portion_bytes, void (*wake_sigsafe)(void));
/* Bytes reported since the last rth__pressure_watch. */
uint64_t rth__pressure_reported_bytes(void);
/* narrowed: called on the watcher's thread when threads have to report sooner than they planned.
 * Static; set at start. */
void rth__pressure_on_narrowed(void (*narrowed)(void));
void rth__pressure_child_reset(void);

#endif /* RTH_CORE_PRESSURE_H */
