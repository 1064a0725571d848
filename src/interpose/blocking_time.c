/* SPDX-License-Identifier: MIT */
/*
 * Waits for time or for a signal: the sleeps, pause, sigsuspend, sigwait and relatives. As in
 * blocking_fds.c, only a forked child that waits for its adoption sees more than the original.
 */
#include "interpose/blocked.h"
#include "interpose/calm.h"
#include "interpose/real.h"

#include <errno.h>

/* ---- sleeps ---- */

struct sleep_call {
    clockid_t clock;
    const struct timespec *until; /* absolute; NULL: the wait is relative */
};

/* 0, or the error as a positive number, as clock_nanosleep has it. */
static int try_sleep(void *argument, int64_t wait_ns, bool last)
{
    const struct sleep_call *call = argument;
    const struct rth__real *real = rth__real();
    if (last && call->until != NULL)
        return real->clock_nanosleep(call->clock, TIMER_ABSTIME, call->until, NULL);
    struct timespec wait = rth__ns_to_timespec(wait_ns);
    int error = real->clock_nanosleep(call->clock, 0, &wait, NULL);
    return error == 0 && !last ? RTH__PART_OVER : error;
}

/* Sleeps in parts. Returns as clock_nanosleep; ret_left (may be NULL) is written on EINTR. */
static int sleep_calmly(struct sleep_call *call, int64_t wait_ns, struct timespec *ret_left)
{
    int saved_errno = errno;
    int64_t deadline_ns = rth__deadline_ns(wait_ns);
    int error = rth__calm_wait(wait_ns, try_sleep, call);
    if (error == -1)
        error = EINTR;
    if (error == EINTR && ret_left != NULL)
        *ret_left = rth__ns_to_timespec(rth__left_ns(deadline_ns));
    errno = saved_errno;
    return error;
}

RTH__EXPORT int nanosleep(const struct timespec *wait, struct timespec *ret_left)
{
    if (!rth__calm_wanted() || !rth__timespec_valid(wait)) {
        RTH__BLOCKED_IN(rth__real()->nanosleep);
        return rth__real()->nanosleep(wait, ret_left);
    }
    struct sleep_call call = {.clock = CLOCK_MONOTONIC};
    int error = sleep_calmly(&call, rth__timespec_to_ns(wait), ret_left);
    if (error == 0)
        return 0;
    errno = error;
    return -1;
}

/* Clocks that pass with the wall: a part in monotonic time is a part in theirs. */
static bool clock_is_divisible(clockid_t clock)
{
    return clock == CLOCK_REALTIME || clock == CLOCK_MONOTONIC || clock == CLOCK_BOOTTIME ||
           clock == CLOCK_TAI;
}

RTH__EXPORT int clock_nanosleep(clockid_t clock, int flags, const struct timespec *time,
                                struct timespec *ret_left)
{
    struct timespec now;
    if (!rth__calm_wanted() || !rth__timespec_valid(time) || !clock_is_divisible(clock) ||
        (flags & ~TIMER_ABSTIME) != 0 || clock_gettime(clock, &now) != 0) {
        RTH__BLOCKED_IN(rth__real()->clock_nanosleep);
        return rth__real()->clock_nanosleep(clock, flags, time, ret_left);
    }
    struct sleep_call call = {.clock = clock};
    int64_t wait_ns = rth__timespec_to_ns(time);
    if ((flags & TIMER_ABSTIME) != 0) {
        int64_t passed_ns = rth__timespec_to_ns(&now);
        call.until = time;
        ret_left = NULL;
        if (wait_ns != RTH__FOREVER)
            wait_ns = wait_ns > passed_ns ? wait_ns - passed_ns : 0;
    }
    return sleep_calmly(&call, wait_ns, ret_left);
}

RTH__EXPORT unsigned int sleep(unsigned int seconds)
{
    if (!rth__calm_wanted()) {
        RTH__BLOCKED_IN(rth__real()->sleep);
        return rth__real()->sleep(seconds);
    }
    struct sleep_call call = {.clock = CLOCK_MONOTONIC};
    struct timespec left = {0};
    if (sleep_calmly(&call, seconds * INT64_C(1000000000), &left) == 0)
        return 0;
    errno = EINTR;
    return (unsigned int)left.tv_sec; /* whole seconds, cut off as glibc does */
}

RTH__EXPORT int(usleep)(useconds_t microseconds)
{
    if (!rth__calm_wanted()) {
        RTH__BLOCKED_IN(rth__real()->usleep);
        return (rth__real()->usleep)(microseconds);
    }
    struct timespec wait = rth__ns_to_timespec(microseconds * INT64_C(1000));
    return nanosleep(&wait, NULL);
}

/* ---- until a handler runs ---- */

/* mask: NULL for pause. A wait for nothing ends by its time or by a handler, as they do. */
static int try_suspend(void *argument, int64_t wait_ns, bool last)
{
    const sigset_t *mask = argument;
    const struct rth__real *real = rth__real();
    if (last)
        return mask != NULL ? real->sigsuspend(mask) : real->pause();
    struct timespec wait = rth__ns_to_timespec(wait_ns);
    int result = real->ppoll(NULL, 0, &wait, mask);
    return result == 0 ? RTH__PART_OVER : result;
}

RTH__EXPORT int sigsuspend(const sigset_t *mask)
{
    if (!rth__calm_wanted()) {
        RTH__BLOCKED_IN(rth__real()->sigsuspend);
        return rth__real()->sigsuspend(mask);
    }
    sigset_t copy = *mask;
    return rth__calm_wait(RTH__FOREVER, try_suspend, &copy);
}

RTH__EXPORT int pause(void)
{
    if (!rth__calm_wanted()) {
        RTH__BLOCKED_IN(rth__real()->pause);
        return rth__real()->pause();
    }
    return rth__calm_wait(RTH__FOREVER, try_suspend, NULL);
}

/* ---- until a blocked signal is there ---- */

struct sigwait_call {
    const sigset_t *set;
    siginfo_t *info;
};

static int try_sigwait(void *argument, int64_t wait_ns, bool last)
{
    const struct sigwait_call *call = argument;
    struct timespec wait = rth__ns_to_timespec(wait_ns);
    const struct timespec *limit = wait_ns == RTH__FOREVER ? NULL : &wait;
    int result = rth__real()->sigtimedwait(call->set, call->info, limit);
    return result < 0 && errno == EAGAIN && !last ? RTH__PART_OVER : result;
}

/* The original, less the signals of the runtime: a timer's may wait in the queue of a thread that
 * blocked it a moment ago. timeout: NULL for no limit. */
static int wait_for_hosts_signal(const sigset_t *set, siginfo_t *info,
                                 const struct timespec *timeout)
{
    const struct rth_interpose_ops *ops = rth__ops();
    if (ops == NULL)
        return rth__real()->sigtimedwait(set, info, timeout);
    siginfo_t unasked, *taken = info != NULL ? info : &unasked;
    int64_t deadline_ns = rth__deadline_ns(rth__timespec_to_ns(timeout));
    int result = rth__real()->sigtimedwait(set, taken, timeout);
    while (result > 0 && ops->signal_is_runtimes_sigsafe(taken)) {
        struct timespec left = rth__ns_to_timespec(rth__left_ns(deadline_ns));
        result = rth__real()->sigtimedwait(set, taken, timeout != NULL ? &left : NULL);
    }
    return result;
}

RTH__EXPORT int sigtimedwait(const sigset_t *set, siginfo_t *info, const struct timespec *timeout)
{
    if (!rth__calm_wanted() || (timeout != NULL && !rth__timespec_valid(timeout))) {
        RTH__BLOCKED_IN(rth__real()->sigtimedwait);
        return wait_for_hosts_signal(set, info, timeout);
    }
    struct sigwait_call call = {set, info};
    return rth__calm_wait(rth__timespec_to_ns(timeout), try_sigwait, &call);
}

RTH__EXPORT int sigwaitinfo(const sigset_t *set, siginfo_t *info)
{
    if (!rth__calm_wanted()) {
        RTH__BLOCKED_IN(rth__real()->sigwaitinfo);
        return wait_for_hosts_signal(set, info, NULL);
    }
    struct sigwait_call call = {set, info};
    return rth__calm_wait(RTH__FOREVER, try_sigwait, &call);
}

/* As libc does it: EINTR is not for the caller of sigwait. */
static int wait_undisturbed(const sigset_t *set, int *ret_signal, bool calm)
{
    struct sigwait_call call = {set, NULL};
    int saved_errno = errno;
    int result;
    do
        result = calm ? rth__calm_wait(RTH__FOREVER, try_sigwait, &call)
                      : wait_for_hosts_signal(set, NULL, NULL);
    while (result < 0 && errno == EINTR);
    int error = errno;
    errno = saved_errno;
    if (result < 0)
        return error;
    *ret_signal = result;
    return 0;
}

RTH__EXPORT int sigwait(const sigset_t *set, int *ret_signal)
{
    if (rth__calm_wanted())
        return wait_undisturbed(set, ret_signal, true);
    RTH__BLOCKED_IN(rth__real()->sigwait);
    return wait_undisturbed(set, ret_signal, false);
}
