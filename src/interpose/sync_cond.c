/* SPDX-License-Identifier: MIT */
/*
 * Conditions, pthread's and C11's. A wait gives its mutex back inside libc and takes it again
 * there: who waits for the mutex is charged to this call before it, and the time until it has the
 * mutex again is part of the wait for the condition.
 *
 * The originals are cancellation points. A thread that is cancelled leaves through these frames
 * without coming back to them; nothing in them must be undone (a frame that is left behind is
 * recognized, see blocked.h), and such a wait is not recorded.
 *
 * On x86-64 there are older conditions of another layout under the same names. The wrappers are
 * exported in the newer version alone (interpose.map), so whoever wants the older finds libc's.
 */
#include "interpose/sync.h"

/* A call that libc would refuse goes straight to it. */
#define GIVE_BACK(mutex, original)                                                                 \
    if (rth__sync_is_noticed(mutex)) {                                                             \
        RTH__SYNC_RELEASE(mutex, original, 1);                                                     \
    }

RTH__EXPORT int pthread_cond_wait(pthread_cond_t *restrict condition,
                                  pthread_mutex_t *restrict mutex)
{
    const struct rth__sync *sync = rth__sync();
    GIVE_BACK(mutex, sync->pthread_cond_wait)
    RTH__SYNC_WAIT(RTH_WAIT_COND, condition, mutex, sync->pthread_cond_wait);
    int error = sync->pthread_cond_wait(condition, mutex);
    rth__sync_wait_end(&call, rth__sync_has_mutex(error));
    return error;
}

RTH__EXPORT int pthread_cond_timedwait(pthread_cond_t *restrict condition,
                                       pthread_mutex_t *restrict mutex,
                                       const struct timespec *restrict until)
{
    const struct rth__sync *sync = rth__sync();
    if (!rth__sync_time_valid(until))
        return sync->pthread_cond_timedwait(condition, mutex, until);
    GIVE_BACK(mutex, sync->pthread_cond_timedwait)
    RTH__SYNC_WAIT(RTH_WAIT_COND, condition, mutex, sync->pthread_cond_timedwait);
    int error = sync->pthread_cond_timedwait(condition, mutex, until);
    rth__sync_wait_end(&call, rth__sync_has_mutex(error));
    return error;
}

RTH__EXPORT int pthread_cond_clockwait(pthread_cond_t *restrict condition,
                                       pthread_mutex_t *restrict mutex, clockid_t clock,
                                       const struct timespec *restrict until)
{
    const struct rth__sync *sync = rth__sync();
    if (sync->pthread_cond_clockwait == NULL)
        return ENOSYS;
    if (!rth__sync_clock_valid(clock) || !rth__sync_time_valid(until))
        return sync->pthread_cond_clockwait(condition, mutex, clock, until);
    GIVE_BACK(mutex, sync->pthread_cond_clockwait)
    RTH__SYNC_WAIT(RTH_WAIT_COND, condition, mutex, sync->pthread_cond_clockwait);
    int error = sync->pthread_cond_clockwait(condition, mutex, clock, until);
    rth__sync_wait_end(&call, rth__sync_has_mutex(error));
    return error;
}

RTH__EXPORT int cnd_wait(cnd_t *condition, mtx_t *mutex)
{
    const struct rth__sync *sync = rth__sync();
    GIVE_BACK(mutex, sync->cnd_wait)
    RTH__SYNC_WAIT(RTH_WAIT_COND, condition, mutex, sync->cnd_wait);
    int result = sync->cnd_wait(condition, mutex);
    rth__sync_wait_end(&call, result == thrd_success);
    return result;
}

RTH__EXPORT int cnd_timedwait(cnd_t *restrict condition, mtx_t *restrict mutex,
                              const struct timespec *restrict until)
{
    const struct rth__sync *sync = rth__sync();
    if (!rth__sync_time_valid(until))
        return sync->cnd_timedwait(condition, mutex, until);
    GIVE_BACK(mutex, sync->cnd_timedwait)
    RTH__SYNC_WAIT(RTH_WAIT_COND, condition, mutex, sync->cnd_timedwait);
    int result = sync->cnd_timedwait(condition, mutex, until);
    rth__sync_wait_end(&call, result == thrd_success || result == thrd_timedout);
    return result;
}
