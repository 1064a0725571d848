/* SPDX-License-Identifier: MIT */
#ifndef RTH_LIMITS_PSI_H
#define RTH_LIMITS_PSI_H

/*
 * Stall time of the process's group (memory.pressure): like $MEMORY_PRESSURE_WATCH a hint to look
 * more closely, never a state, since anonymous memory without swap is killed with next to none of
 * it. Only read; no trigger is registered. The looking thread's.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* folder: below root_fd, "" for none. What was open before is closed. */
void rth__psi_open(int root_fd, const char *folder);
/* What is open is of another table, or of the parent. */
void rth__psi_forget(void);
/* Whether threads of the group stalled for 10 ms or more since the call before, or, at first,
 * false. Cost: 2 us. */
bool rth__psi_has_stalled(void);

/* The total of a line ("some" or "full") of such a text, in microseconds. 0 or -EBADMSG. */
int rth__psi_total_parse(const char *text, const char *which, uint64_t *ret_total_us);

#endif /* RTH_LIMITS_PSI_H */
