/* SPDX-License-Identifier: MIT */
/*
 * Semaphores. Nobody holds one, so nobody is charged for a wait. sem_wait and sem_timedwait are
 * cancellation points whether they wait or not, sem_clockwait and what tries alone are not; the
 * forms with a time check it first.
 */
#include "interpose/sync.h"

/* True when the caller has it; else the original must be asked, errno is as it was. */
static bool try(sem_t *semaphore, bool *ret_failed)
{
    int saved_errno = errno;
    *ret_failed = false;
    if (rth__sync()->sem_trywait(semaphore) == 0)
        return true;
    if (errno == EAGAIN)
        errno = saved_errno;
    else
        *ret_failed = true;
    return false;
}

RTH__EXPORT int sem_wait(sem_t *semaphore)
{
    bool failed;
    pthread_testcancel();
    if (RTH__SYNC_LIKELY(try(semaphore, &failed)))
        return 0;
    if (failed)
        return -1;
    RTH__SYNC_WAIT(RTH_WAIT_SEMAPHORE, semaphore, NULL, rth__sync()->sem_wait);
    int result = rth__sync()->sem_wait(semaphore);
    rth__sync_wait_end(&call, false);
    return result;
}

RTH__EXPORT int sem_timedwait(sem_t *restrict semaphore, const struct timespec *restrict until)
{
    bool failed;
    if (!rth__sync_time_valid(until))
        return rth__sync()->sem_timedwait(semaphore, until);
    pthread_testcancel();
    if (RTH__SYNC_LIKELY(try(semaphore, &failed)))
        return 0;
    if (failed)
        return -1;
    RTH__SYNC_WAIT(RTH_WAIT_SEMAPHORE, semaphore, NULL, rth__sync()->sem_timedwait);
    int result = rth__sync()->sem_timedwait(semaphore, until);
    rth__sync_wait_end(&call, false);
    return result;
}

RTH__EXPORT int sem_clockwait(sem_t *restrict semaphore, clockid_t clock,
                              const struct timespec *restrict until)
{
    bool failed;
    if (rth__sync()->sem_clockwait == NULL) {
        errno = ENOSYS;
        return -1;
    }
    if (!rth__sync_clock_valid(clock) || !rth__sync_time_valid(until))
        return rth__sync()->sem_clockwait(semaphore, clock, until);
    if (RTH__SYNC_LIKELY(try(semaphore, &failed)))
        return 0;
    if (failed)
        return -1;
    RTH__SYNC_WAIT(RTH_WAIT_SEMAPHORE, semaphore, NULL, rth__sync()->sem_clockwait);
    int result = rth__sync()->sem_clockwait(semaphore, clock, until);
    rth__sync_wait_end(&call, false);
    return result;
}
