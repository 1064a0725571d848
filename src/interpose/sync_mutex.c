/* SPDX-License-Identifier: MIT */
/*
 * Mutexes, pthread's and C11's. Two tries of the same lock are what the original does too: its
 * first step is the same exchange of the same word.
 */
#include "interpose/sync.h"

#include <linux/futex.h>

/* A mutex that its owner has locked more than once: giving it back changes nothing for others. */
static bool stays_locked(const pthread_mutex_t *mutex)
{
    return (mutex->__data.__kind & 3) == PTHREAD_MUTEX_RECURSIVE && mutex->__data.__count > 1;
}

/*
 * glibc's trylock of a robust mutex that is not recoverable any more leaves it locked, by a thread
 * that is told it has not got it. Such a mutex is never tried: its word says whether somebody else
 * has it, and the original does the rest. Between the two another thread may take it; then this
 * one waits unseen.
 */
#define ROBUST_BIT 16 /* of every robust kind: PTHREAD_MUTEX_ROBUST_NORMAL_NP and so on */

static __thread uint32_t own_tid __attribute__((tls_model("initial-exec")));

static bool is_robust(const pthread_mutex_t *mutex)
{
    return (mutex->__data.__kind & ROBUST_BIT) != 0;
}

__attribute__((noinline)) static bool robust_is_busy(const pthread_mutex_t *mutex)
{
    if (own_tid == 0)
        own_tid = (uint32_t)rth__raw_gettid_sigsafe();
    uint32_t holder =
        (uint32_t)__atomic_load_n(&mutex->__data.__lock, __ATOMIC_RELAXED) & FUTEX_TID_MASK;
    return holder != 0 && holder != own_tid;
}

/* Leaves the wrapper unless somebody has the mutex; ORIGINAL: the call it is about. */
#define TRY_FIRST(ORIGINAL)                                                                        \
    if (RTH__SYNC_LIKELY(!is_robust(mutex))) {                                                     \
        int tried = rth__sync_table.pthread_mutex_trylock(mutex);                                  \
        if (RTH__SYNC_LIKELY(tried != EBUSY))                                                      \
            return tried;                                                                          \
    } else if (!robust_is_busy(mutex)) {                                                           \
        return ORIGINAL;                                                                           \
    }

/* ---- pthread ---- */

RTH__EXPORT int pthread_mutex_lock(pthread_mutex_t *mutex)
{
    TRY_FIRST(rth__sync_table.pthread_mutex_lock(mutex))
    RTH__SYNC_WAIT(RTH_WAIT_MUTEX, mutex, mutex, rth__sync_table.pthread_mutex_lock);
    int error = rth__sync_table.pthread_mutex_lock(mutex);
    rth__sync_wait_end(&call, rth__sync_has_lock(error));
    return error;
}

/* A name that nobody can come before. */
static int own_mutex_lock(pthread_mutex_t *mutex)
    __attribute__((alias("pthread_mutex_lock"), nothrow, nonnull));

const void *rth__sync_own_mutex_lock(void)
{
    return (const void *)own_mutex_lock;
}

RTH__EXPORT int pthread_mutex_timedlock(pthread_mutex_t *mutex, const struct timespec *until)
{
    TRY_FIRST(rth__sync()->pthread_mutex_timedlock(mutex, until))
    RTH__SYNC_WAIT(RTH_WAIT_MUTEX, mutex, mutex, rth__sync()->pthread_mutex_timedlock);
    int error = rth__sync()->pthread_mutex_timedlock(mutex, until);
    rth__sync_wait_end(&call, rth__sync_has_lock(error));
    return error;
}

RTH__EXPORT int pthread_mutex_clocklock(pthread_mutex_t *mutex, clockid_t clock,
                                        const struct timespec *until)
{
    if (rth__sync()->pthread_mutex_clocklock == NULL)
        return ENOSYS;
    if (!rth__sync_clock_valid(clock))
        return rth__sync()->pthread_mutex_clocklock(mutex, clock, until);
    TRY_FIRST(rth__sync()->pthread_mutex_clocklock(mutex, clock, until))
    RTH__SYNC_WAIT(RTH_WAIT_MUTEX, mutex, mutex, rth__sync()->pthread_mutex_clocklock);
    int error = rth__sync()->pthread_mutex_clocklock(mutex, clock, until);
    rth__sync_wait_end(&call, rth__sync_has_lock(error));
    return error;
}

RTH__EXPORT int pthread_mutex_unlock(pthread_mutex_t *mutex)
{
    if (RTH__SYNC_LIKELY(!rth__sync_is_noticed(mutex)) || stays_locked(mutex))
        return rth__sync_table.pthread_mutex_unlock(mutex);
    RTH__SYNC_RELEASE(mutex, rth__sync_table.pthread_mutex_unlock, 0);
    int error = rth__sync_table.pthread_mutex_unlock(mutex);
    if (error == 0)
        rth__sync_release_end(&release);
    return error;
}

/* ---- C11: pthread mutexes under other names; libc's own do not come through the above ---- */

RTH__EXPORT int mtx_lock(mtx_t *mutex)
{
    int result = rth__sync()->mtx_trylock(mutex);
    if (RTH__SYNC_LIKELY(result != thrd_busy))
        return result;
    RTH__SYNC_WAIT(RTH_WAIT_MUTEX, mutex, mutex, rth__sync()->mtx_lock);
    result = rth__sync()->mtx_lock(mutex);
    rth__sync_wait_end(&call, result == thrd_success);
    return result;
}

RTH__EXPORT int mtx_timedlock(mtx_t *restrict mutex, const struct timespec *restrict until)
{
    int result = rth__sync()->mtx_trylock(mutex);
    if (RTH__SYNC_LIKELY(result != thrd_busy))
        return result;
    RTH__SYNC_WAIT(RTH_WAIT_MUTEX, mutex, mutex, rth__sync()->mtx_timedlock);
    result = rth__sync()->mtx_timedlock(mutex, until);
    rth__sync_wait_end(&call, result == thrd_success);
    return result;
}

RTH__EXPORT int mtx_unlock(mtx_t *mutex)
{
    if (RTH__SYNC_LIKELY(!rth__sync_is_noticed(mutex)) ||
        stays_locked((const pthread_mutex_t *)(const void *)mutex))
        return rth__sync()->mtx_unlock(mutex);
    RTH__SYNC_RELEASE(mutex, rth__sync()->mtx_unlock, 0);
    int result = rth__sync()->mtx_unlock(mutex);
    if (result == thrd_success)
        rth__sync_release_end(&release);
    return result;
}
