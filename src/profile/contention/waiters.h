/* SPDX-License-Identifier: MIT */
#ifndef RTH_PROFILE_CONTENTION_WAITERS_H
#define RTH_PROFILE_CONTENTION_WAITERS_H

/*
 * Who waits for which lock, as far as whoever gives it back must know: how many, and how much they
 * have waited that nobody was charged for yet. Time that passes is charged once, to the first that
 * gives the lock back after it, with that of all who wait.
 *
 * A small table keyed by address. Each call holds a lock of ours for some 20 ns, never while a lock
 * operation of the host runs; no allocation. Times are CLOCK_MONOTONIC.
 */

#include <stdint.h>

/* Locks with waiters at one time; what finds no place is not followed. */
#define RTH_WAITERS_BUCKETS    256u
#define RTH_WAITERS_PER_BUCKET 4u

/* A number for leave; 0 when there is no place. */
uint64_t rth__waiters_enter(uintptr_t lock, int64_t since_ns);
/* What the thread waited and nobody was charged for stays with the lock for the next one. */
void rth__waiters_leave(uint64_t number, uintptr_t lock, int64_t since_ns, int64_t now_ns);

struct rth_waiters_charge {
    uint64_t delay_ns;
    uint32_t count; /* waits that began since the last one */
};
/* Zero when there is nothing to charge. */
struct rth_waiters_charge rth__waiters_charge(uintptr_t lock, int64_t now_ns);

struct rth_waiters_counts {
    uint64_t refused;      /* waits that found no place */
    uint64_t uncharged_ns; /* of waits for a lock that nobody was seen to give back */
};
struct rth_waiters_counts rth__waiters_counts(void);
/* Nobody waits, from here on. */
void rth__waiters_clear(void);
/* The same in an adopted child, where nobody holds the locks. */
void rth__waiters_child_reset(void);

#endif /* RTH_PROFILE_CONTENTION_WAITERS_H */
