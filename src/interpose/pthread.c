/* SPDX-License-Identifier: MIT */
/*
 * pthread_create and thrd_create: the runtime sees a thread before its start routine runs. The
 * new thread starts in ops->thread_run, so no frame of ours lies below the host's.
 */
#include "interpose/calm.h"
#include "interpose/real.h"

/* The runtime to tell of a new thread, after offering a calm point in an unadopted child. */
static const struct rth_interpose_ops *live_runtime(void)
{
    if (rth__calm_wanted())
        rth__calm_point();
    const struct rth_interpose_ops *ops = rth__ops();
    return ops != NULL && *ops->enabled != 0 ? ops : NULL;
}

RTH__EXPORT int pthread_create(pthread_t *ret_thread, const pthread_attr_t *attributes,
                               void *(*start)(void *), void *argument)
{
    const struct rth__real *real = rth__real();
    const struct rth_interpose_ops *ops = live_runtime();
    void *handle = ops != NULL ? ops->thread_prepare(start, argument) : NULL;
    if (handle == NULL)
        return real->pthread_create(ret_thread, attributes, start, argument);
    int error = real->pthread_create(ret_thread, attributes, ops->thread_run, handle);
    if (error != 0)
        ops->thread_abandon(handle);
    return error;
}

/* The two kinds of start routine differ in what they return, int or pointer, which the supported
 * calling conventions put in the same register; the C11 side keeps the low half. */
RTH__EXPORT int thrd_create(thrd_t *ret_thread, thrd_start_t start, void *argument)
{
    const struct rth__real *real = rth__real();
    const struct rth_interpose_ops *ops = live_runtime();
    void *(*posix_start)(void *) = (void *(*)(void *))(void (*)(void))start;
    void *handle = ops != NULL ? ops->thread_prepare(posix_start, argument) : NULL;
    if (handle == NULL)
        return real->thrd_create(ret_thread, start, argument);
    thrd_start_t run = (thrd_start_t)(void (*)(void))ops->thread_run;
    int error = real->thrd_create(ret_thread, run, handle);
    if (error != thrd_success)
        ops->thread_abandon(handle);
    return error;
}
