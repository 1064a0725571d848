/* SPDX-License-Identifier: MIT */
/*
 * The one implementation of "first part, then the rest" (calm.h).
 *
 * Between two parts the caller is in no system call, so a signal handler that runs there would
 * interrupt nothing, and a host that counts on EINTR would sleep on. Adoption makes that gap long
 * (it creates a thread). So across child_calm, whenever adoption is due, signals are held back:
 * one that arrives stays pending, is delivered when the mask is restored, and the wrapper then
 * answers EINTR as the undivided call would have. Fault signals are never held.
 */
#include "interpose/calm.h"

#include "interpose/real.h"

#include <errno.h>
#include <limits.h>

#define NS_PER_S  1000000000LL
#define NS_PER_MS 1000000LL

/* Answer of calm_part: a handler ran. */
#define INTERRUPTED (-1)

RTH__HOT_DATA int64_t rth__calm_due_ns;

static int64_t now_ns(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * NS_PER_S + now.tv_nsec;
}

int64_t rth__deadline_ns(int64_t wait_ns)
{
    int64_t deadline_ns;
    if (wait_ns == RTH__FOREVER || __builtin_add_overflow(now_ns(), wait_ns, &deadline_ns))
        return RTH__FOREVER;
    return deadline_ns;
}

int64_t rth__left_ns(int64_t deadline_ns)
{
    if (deadline_ns == RTH__FOREVER)
        return RTH__FOREVER;
    int64_t left_ns = deadline_ns - now_ns();
    return left_ns > 0 ? left_ns : 0;
}

bool rth__timespec_valid(const struct timespec *time)
{
    return time->tv_sec >= 0 && time->tv_nsec >= 0 && time->tv_nsec < NS_PER_S;
}

int64_t rth__timespec_to_ns(const struct timespec *time)
{
    int64_t time_ns;
    if (time == NULL || __builtin_mul_overflow((int64_t)time->tv_sec, NS_PER_S, &time_ns) ||
        __builtin_add_overflow(time_ns, (int64_t)time->tv_nsec, &time_ns))
        return RTH__FOREVER;
    return time_ns;
}

struct timespec rth__ns_to_timespec(int64_t time_ns)
{
    return (struct timespec){.tv_sec = time_ns / NS_PER_S, .tv_nsec = time_ns % NS_PER_S};
}

int rth__ns_to_poll_ms(int64_t time_ns)
{
    if (time_ns == RTH__FOREVER)
        return -1;
    int64_t ms = time_ns / NS_PER_MS + (time_ns % NS_PER_MS != 0);
    return ms < INT_MAX ? (int)ms : INT_MAX;
}

static void hold_signals(sigset_t *ret_before)
{
    static const int faults[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGSYS, SIGABRT};
    sigset_t held;
    (void)sigfillset(&held);
    for (size_t i = 0; i < sizeof(faults) / sizeof(faults[0]); i++)
        (void)sigdelset(&held, faults[i]);
    (void)pthread_sigmask(SIG_BLOCK, &held, ret_before);
}

/* Restores the mask; true when that runs a handler of the host. */
static bool release_signals(const sigset_t *before)
{
    sigset_t pending;
    bool handled = false;
    if (sigpending(&pending) == 0 && !sigisemptyset(&pending)) {
        for (int number = 1; number < NSIG && !handled; number++) {
            struct sigaction action;
            handled = sigismember(&pending, number) == 1 && sigismember(before, number) == 0 &&
                      rth__real()->sigaction(number, NULL, &action) == 0 &&
                      action.sa_handler != SIG_DFL && action.sa_handler != SIG_IGN;
        }
    }
    (void)pthread_sigmask(SIG_SETMASK, before, NULL);
    return handled;
}

/* How long the caller may wait before it comes back here; 0: do the whole rest; or INTERRUPTED. */
static int64_t calm_part(int64_t caller_ns)
{
    const struct rth_interpose_ops *ops = rth__ops_unadopted();
    if (ops == NULL)
        return 0;
    int64_t due_ns = __atomic_load_n(&rth__calm_due_ns, __ATOMIC_RELAXED);
    bool hold = due_ns == 0 || now_ns() >= due_ns;
    sigset_t before;
    if (hold)
        hold_signals(&before);
    int64_t wait_ns = ops->child_calm();
    due_ns = wait_ns > 0 ? rth__deadline_ns(wait_ns) : wait_ns < 0 ? RTH__FOREVER : 0;
    __atomic_store_n(&rth__calm_due_ns, due_ns, __ATOMIC_RELAXED);
    if (hold && release_signals(&before) && caller_ns > 0)
        return INTERRUPTED;
    return wait_ns > 0 && caller_ns > wait_ns ? wait_ns : 0;
}

int rth__calm_wait(int64_t caller_ns, rth__attempt attempt, void *call)
{
    int64_t deadline_ns = rth__deadline_ns(caller_ns);
    for (;;) {
        int saved_errno = errno;
        int64_t left_ns = rth__left_ns(deadline_ns);
        int64_t part_ns = calm_part(left_ns);
        if (part_ns == INTERRUPTED) {
            errno = EINTR;
            return -1;
        }
        errno = saved_errno;
        if (part_ns == 0)
            return attempt(call, rth__left_ns(deadline_ns), true);
        int result = attempt(call, part_ns, false);
        if (result != RTH__PART_OVER)
            return result;
        errno = saved_errno;
    }
}

void rth__calm_point(void)
{
    int saved_errno = errno;
    (void)calm_part(0);
    errno = saved_errno;
}

void rth__calm_forked(void)
{
    __atomic_store_n(&rth__calm_due_ns, 0, __ATOMIC_RELAXED);
}
