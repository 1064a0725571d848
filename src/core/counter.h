/* SPDX-License-Identifier: MIT */
#ifndef RTH_CORE_COUNTER_H
#define RTH_CORE_COUNTER_H

/* Counters that any thread counts up and any thread reads, each for itself. Signal-safe. */

#include <stdatomic.h>
#include <stdint.h>

static inline void rth__count_up(_Atomic uint64_t *counter, uint64_t amount)
{
    atomic_fetch_add_explicit(counter, amount, memory_order_relaxed);
}

static inline uint64_t rth__count_of(const _Atomic uint64_t *counter)
{
    return atomic_load_explicit(counter, memory_order_relaxed);
}

#endif /* RTH_CORE_COUNTER_H */
