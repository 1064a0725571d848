/* SPDX-License-Identifier: MIT */
/*
 * The lock of core/lock.h: Drepper's three-state futex mutex. In debug builds each thread keeps
 * the ranks it holds and aborts on the first one taken out of order, before it can deadlock.
 */
#include "core/lock.h"

#include <limits.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "os/futex.h"

#define LOCK_FREE    0u
#define LOCK_HELD    1u
#define LOCK_WAITERS 2u

#ifdef RTH_DEBUG
#define HELD_MAX 8
static __thread uint8_t held_ranks[HELD_MAX] __attribute__((tls_model("initial-exec")));
static __thread unsigned held_count __attribute__((tls_model("initial-exec")));

static void rank_push(const struct rth_lock *lock)
{
    if (held_count == HELD_MAX || (held_count > 0 && held_ranks[held_count - 1] >= lock->rank))
        __builtin_trap(); /* a lower rank under a higher one can deadlock */
    held_ranks[held_count++] = lock->rank;
}

static void rank_pop(const struct rth_lock *lock)
{
    if (held_count == 0 || held_ranks[held_count - 1] != lock->rank)
        __builtin_trap(); /* locks are released in reverse order of taking */
    held_count--;
}
#else
#define rank_push(lock) ((void)(lock))
#define rank_pop(lock)  ((void)(lock))
#endif

/* Counted before a lock is taken and after it is given back: the thread's signal handlers never see
 * too few. */
static __thread unsigned inner_held __attribute__((tls_model("initial-exec")));

static void inner_enter(const struct rth_lock *lock)
{
    inner_held += lock->rank >= RTH_RANK_SITES;
    atomic_signal_fence(memory_order_seq_cst);
}

static void inner_leave(const struct rth_lock *lock)
{
    atomic_signal_fence(memory_order_seq_cst);
    inner_held -= lock->rank >= RTH_RANK_SITES;
}

bool rth__lock_inner_held_sigsafe(void)
{
    return inner_held != 0;
}

void rth__lock(struct rth_lock *lock)
{
    inner_enter(lock);
    rank_push(lock);
    uint32_t seen = LOCK_FREE;
    if (atomic_compare_exchange_strong_explicit(&lock->word, &seen, LOCK_HELD, memory_order_acquire,
                                                memory_order_relaxed))
        return;
    /* From here on the word says "waiters" also when we are the last: one wake too many is
     * cheaper than one too few. */
    while (atomic_exchange_explicit(&lock->word, LOCK_WAITERS, memory_order_acquire) != LOCK_FREE)
        (void)rth__futex_wait_sigsafe(&lock->word, LOCK_WAITERS, -1);
}

bool rth__lock_try_sigsafe(struct rth_lock *lock)
{
    uint32_t seen = LOCK_FREE;
    inner_enter(lock);
    if (!atomic_compare_exchange_strong_explicit(&lock->word, &seen, LOCK_HELD,
                                                 memory_order_acquire, memory_order_relaxed)) {
        inner_leave(lock);
        return false;
    }
    rank_push(lock);
    return true;
}

void rth__unlock(struct rth_lock *lock)
{
    rank_pop(lock);
    if (atomic_exchange_explicit(&lock->word, LOCK_FREE, memory_order_release) == LOCK_WAITERS)
        rth__futex_wake_sigsafe(&lock->word, 1);
    inner_leave(lock);
}

void rth__lock_reset(struct rth_lock *lock)
{
    atomic_store_explicit(&lock->word, LOCK_FREE, memory_order_release);
}
