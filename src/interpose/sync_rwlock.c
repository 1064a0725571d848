/* SPDX-License-Identifier: MIT */
/*
 * Read-write locks. The forms with a time check it before they look at the lock, so a time that is
 * none goes straight to them. Whoever gives one back is charged for all who wait, writers and
 * readers; of several readers it is the first that leaves after they began to wait.
 */
#include "interpose/sync.h"

#define NAMES(name) rth__sync_table.pthread_rwlock_##name

RTH__EXPORT int pthread_rwlock_rdlock(pthread_rwlock_t *lock)
{
    int error = NAMES(tryrdlock)(lock);
    if (RTH__SYNC_LIKELY(error != EBUSY))
        return error;
    RTH__SYNC_WAIT(RTH_WAIT_RDLOCK, lock, lock, NAMES(rdlock));
    error = NAMES(rdlock)(lock);
    rth__sync_wait_end(&call, rth__sync_has_lock(error));
    return error;
}

RTH__EXPORT int pthread_rwlock_wrlock(pthread_rwlock_t *lock)
{
    int error = NAMES(trywrlock)(lock);
    if (RTH__SYNC_LIKELY(error != EBUSY))
        return error;
    RTH__SYNC_WAIT(RTH_WAIT_WRLOCK, lock, lock, NAMES(wrlock));
    error = NAMES(wrlock)(lock);
    rth__sync_wait_end(&call, rth__sync_has_lock(error));
    return error;
}

RTH__EXPORT int pthread_rwlock_timedrdlock(pthread_rwlock_t *restrict lock,
                                           const struct timespec *restrict until)
{
    int error = EBUSY;
    (void)rth__sync();
    if (!rth__sync_time_valid(until))
        return NAMES(timedrdlock)(lock, until);
    error = NAMES(tryrdlock)(lock);
    if (RTH__SYNC_LIKELY(error != EBUSY))
        return error;
    RTH__SYNC_WAIT(RTH_WAIT_RDLOCK, lock, lock, NAMES(timedrdlock));
    error = NAMES(timedrdlock)(lock, until);
    rth__sync_wait_end(&call, rth__sync_has_lock(error));
    return error;
}

RTH__EXPORT int pthread_rwlock_timedwrlock(pthread_rwlock_t *restrict lock,
                                           const struct timespec *restrict until)
{
    (void)rth__sync();
    if (!rth__sync_time_valid(until))
        return NAMES(timedwrlock)(lock, until);
    int error = NAMES(trywrlock)(lock);
    if (RTH__SYNC_LIKELY(error != EBUSY))
        return error;
    RTH__SYNC_WAIT(RTH_WAIT_WRLOCK, lock, lock, NAMES(timedwrlock));
    error = NAMES(timedwrlock)(lock, until);
    rth__sync_wait_end(&call, rth__sync_has_lock(error));
    return error;
}

RTH__EXPORT int pthread_rwlock_clockrdlock(pthread_rwlock_t *restrict lock, clockid_t clock,
                                           const struct timespec *restrict until)
{
    if (rth__sync()->pthread_rwlock_clockrdlock == NULL)
        return ENOSYS;
    if (!rth__sync_clock_valid(clock) || !rth__sync_time_valid(until))
        return NAMES(clockrdlock)(lock, clock, until);
    int error = NAMES(tryrdlock)(lock);
    if (RTH__SYNC_LIKELY(error != EBUSY))
        return error;
    RTH__SYNC_WAIT(RTH_WAIT_RDLOCK, lock, lock, NAMES(clockrdlock));
    error = NAMES(clockrdlock)(lock, clock, until);
    rth__sync_wait_end(&call, rth__sync_has_lock(error));
    return error;
}

RTH__EXPORT int pthread_rwlock_clockwrlock(pthread_rwlock_t *restrict lock, clockid_t clock,
                                           const struct timespec *restrict until)
{
    if (rth__sync()->pthread_rwlock_clockwrlock == NULL)
        return ENOSYS;
    if (!rth__sync_clock_valid(clock) || !rth__sync_time_valid(until))
        return NAMES(clockwrlock)(lock, clock, until);
    int error = NAMES(trywrlock)(lock);
    if (RTH__SYNC_LIKELY(error != EBUSY))
        return error;
    RTH__SYNC_WAIT(RTH_WAIT_WRLOCK, lock, lock, NAMES(clockwrlock));
    error = NAMES(clockwrlock)(lock, clock, until);
    rth__sync_wait_end(&call, rth__sync_has_lock(error));
    return error;
}

RTH__EXPORT int pthread_rwlock_unlock(pthread_rwlock_t *lock)
{
    if (RTH__SYNC_LIKELY(!rth__sync_is_noticed(lock)))
        return NAMES(unlock)(lock);
    RTH__SYNC_RELEASE(lock, NAMES(unlock), 0);
    int error = NAMES(unlock)(lock);
    if (error == 0)
        rth__sync_release_end(&release);
    return error;
}
