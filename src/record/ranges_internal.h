/* SPDX-License-Identifier: MIT */
#ifndef RTH_RECORD_RANGES_INTERNAL_H
#define RTH_RECORD_RANGES_INTERNAL_H

/* Shared by the reading and the writing side of the loaded ranges only. */

#include <stdatomic.h>

#include "record/ranges.h"

struct rth_published_ranges {
    struct rth_published_ranges *next_retired;
    size_t size_bytes; /* 0: memory of the parent's arena, never given back by a child */
    struct rth_loaded_ranges ranges;
};

extern _Atomic(struct rth_published_ranges *) rth__ranges_current_sigsafe;
extern _Atomic uint32_t rth__ranges_readers_sigsafe;

#endif /* RTH_RECORD_RANGES_INTERNAL_H */
