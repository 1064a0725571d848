/* SPDX-License-Identifier: MIT */
#ifndef RTH_RECORD_RANGES_H
#define RTH_RECORD_RANGES_H

/* The writing side of the published ranges; src/record/modules.c alone uses it. */

#include "record/module.h"

#define RTH_RANGES_MAX 65535u /* the walker's cache names a range in 16 bits */

/* Room for so many ranges, count 0; NULL when memory is short. */
struct rth_loaded_ranges *rth__ranges_new(uint32_t capacity);
/* Takes the ranges over, makes them the current ones, and gives back those nobody can be in. */
void rth__ranges_publish(struct rth_loaded_ranges *ranges);
void rth__ranges_drop(struct rth_loaded_ranges *ranges);
void rth__ranges_child_reset(void);
/* Index of the range that holds the address; -1 when none does. */
int rth__ranges_find_sigsafe(const struct rth_loaded_ranges *ranges, uint64_t address);

#endif /* RTH_RECORD_RANGES_H */
