/* SPDX-License-Identifier: MIT */
#ifndef RTH_PROFILE_POISSON_H
#define RTH_PROFILE_POISSON_H

/*
 * Poisson sampling by bytes. Points lie on the stream of allocated bytes at random, one per
 * interval on average; a block that holds a point is sampled. The gap to the next point is
 * exponential and has no memory, so it may be drawn anew at any time, which is how the interval
 * changes while threads allocate. An interval of 1 (or less) samples every block.
 * Pure arithmetic: any context, about 10 ns.
 */

#include <stdint.h>

/* The generator's state, one per thread; 0 seeds it from its address and the thread's number. */
struct rth_poisson {
    uint64_t state;
};

/* Bytes from here to the next point, at least 1; 0 for an interval of 1. */
uint64_t rth__poisson_gap(struct rth_poisson *poisson, uint64_t interval_bytes);

/* How many blocks of that size a sampled one stands for: 1 / (1 - exp(-size / interval)). Within
 * 1e-6 of it. size_bytes 0 gives 1. */
double rth__poisson_weight(uint64_t size_bytes, uint64_t interval_bytes);

#endif /* RTH_PROFILE_POISSON_H */
