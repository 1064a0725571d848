/* SPDX-License-Identifier: MIT */
/*
 * sigaction and its older relatives: pass through, and tell the runtime what the host chose. The
 * one signal whose handler is the runtime's is answered by it: there the older functions are
 * spelled out as the sigaction they stand for.
 */
#include "interpose/ops.h"
#include "interpose/real.h"

#include <stdint.h>

#define NOT_OURS 1

/* What siginterrupt said of each signal, for the older functions that follow it, as libc remembers
 * it: bit n - 1 for signal n. */
static uint64_t interrupting;

static void note_interrupting(int signal_number, int interrupts)
{
    uint64_t bit = UINT64_C(1) << (signal_number - 1);
    if (interrupts != 0)
        (void)__atomic_fetch_or(&interrupting, bit, __ATOMIC_RELAXED);
    else
        (void)__atomic_fetch_and(&interrupting, ~bit, __ATOMIC_RELAXED);
}

/* The flags that signal gives an action. */
static int flags_of_signal(int signal_number)
{
    bool known = signal_number > 0 && signal_number < NSIG;
    uint64_t set = __atomic_load_n(&interrupting, __ATOMIC_RELAXED);
    return known && (set >> (signal_number - 1) & 1) != 0 ? 0 : SA_RESTART;
}

static void report(int signal_number, sighandler_t handler)
{
    const struct rth_interpose_ops *ops = rth__ops_of_owner();
    if (ops == NULL)
        return;
    int kind = handler == SIG_DFL   ? RTH_SIGNAL_DEFAULT
               : handler == SIG_IGN ? RTH_SIGNAL_IGNORE
                                    : RTH_SIGNAL_HANDLER;
    ops->signal_action_sigsafe(signal_number, kind);
}

/* NOT_OURS: call the original. */
static int of_runtime(int signal_number, const struct sigaction *action,
                      struct sigaction *ret_before)
{
    const struct rth_interpose_ops *ops = rth__ops();
    if (ops == NULL)
        return NOT_OURS;
    return ops->signal_host_action_sigsafe(signal_number, action, ret_before);
}

/* The same for those that take a handler. flags and mask: what the older function implies. True
 * when *ret_before is the answer. */
static bool handler_of_runtime(int signal_number, sighandler_t handler, int flags, bool masks_self,
                               sighandler_t *ret_before)
{
    struct sigaction action = {.sa_handler = handler, .sa_flags = flags};
    struct sigaction before = {.sa_handler = SIG_ERR};
    if (handler == SIG_ERR)
        return false; /* the original knows what to say */
    if (masks_self)
        (void)sigaddset(&action.sa_mask, signal_number);
    int result = of_runtime(signal_number, &action, &before);
    if (result == NOT_OURS)
        return false;
    *ret_before = result == 0 ? before.sa_handler : SIG_ERR;
    return true;
}

RTH__EXPORT int sigaction(int signal_number, const struct sigaction *action,
                          struct sigaction *ret_before)
{
    int result = of_runtime(signal_number, action, ret_before);
    if (result == NOT_OURS)
        result = rth__real()->sigaction(signal_number, action, ret_before);
    if (result == 0 && action != NULL)
        report(signal_number, action->sa_handler);
    return result;
}

static sighandler_t report_old_style(int signal_number, sighandler_t handler, sighandler_t before)
{
    if (before != SIG_ERR)
        report(signal_number, handler);
    return before;
}

RTH__EXPORT sighandler_t signal(int signal_number, sighandler_t handler)
{
    sighandler_t before;
    if (!handler_of_runtime(signal_number, handler, flags_of_signal(signal_number), true, &before))
        before = rth__real()->signal(signal_number, handler);
    return report_old_style(signal_number, handler, before);
}

RTH__EXPORT sighandler_t bsd_signal(int signal_number, sighandler_t handler)
{
    sighandler_t before;
    if (!handler_of_runtime(signal_number, handler, flags_of_signal(signal_number), true, &before))
        before = rth__real()->bsd_signal(signal_number, handler);
    return report_old_style(signal_number, handler, before);
}

RTH__EXPORT sighandler_t ssignal(int signal_number, sighandler_t handler)
{
    sighandler_t before;
    if (!handler_of_runtime(signal_number, handler, flags_of_signal(signal_number), true, &before))
        before = rth__real()->ssignal(signal_number, handler);
    return report_old_style(signal_number, handler, before);
}

#define SYSV_FLAGS ((int)(SA_RESETHAND | SA_NODEFER | SA_INTERRUPT))

RTH__EXPORT sighandler_t sysv_signal(int signal_number, sighandler_t handler)
{
    sighandler_t before;
    if (!handler_of_runtime(signal_number, handler, SYSV_FLAGS, false, &before))
        before = rth__real()->sysv_signal(signal_number, handler);
    return report_old_style(signal_number, handler, before);
}

RTH__EXPORT sighandler_t __sysv_signal(int signal_number, sighandler_t handler)
{
    sighandler_t before;
    if (!handler_of_runtime(signal_number, handler, SYSV_FLAGS, false, &before))
        before = rth__real()->__sysv_signal(signal_number, handler);
    return report_old_style(signal_number, handler, before);
}

/* What sigset answers for a signal it blocks: SIG_HOLD when it was blocked before. */
static sighandler_t hold(int signal_number)
{
    struct sigaction action;
    sigset_t one, mask;
    (void)sigemptyset(&one);
    (void)sigaddset(&one, signal_number);
    if (pthread_sigmask(SIG_BLOCK, &one, &mask) != 0 ||
        of_runtime(signal_number, NULL, &action) != 0)
        return SIG_ERR;
    return sigismember(&mask, signal_number) == 1 ? SIG_HOLD : action.sa_handler;
}

/* Unlike the others it also unblocks the signal, and answers SIG_HOLD when that was needed. */
RTH__EXPORT sighandler_t sigset(int signal_number, sighandler_t handler)
{
    sighandler_t before;
    if (handler == SIG_HOLD) /* blocks the signal and leaves its action */
        return of_runtime(signal_number, NULL, NULL) == NOT_OURS
                   ? rth__real()->sigset(signal_number, handler)
                   : hold(signal_number);
    if (handler_of_runtime(signal_number, handler, 0, false, &before)) {
        sigset_t one, mask;
        (void)sigemptyset(&one);
        (void)sigaddset(&one, signal_number);
        if (pthread_sigmask(SIG_UNBLOCK, &one, &mask) == 0 &&
            sigismember(&mask, signal_number) == 1)
            before = SIG_HOLD;
    } else {
        before = rth__real()->sigset(signal_number, handler);
    }
    return report_old_style(signal_number, handler, before);
}

RTH__EXPORT int sigignore(int signal_number)
{
    struct sigaction action = {.sa_handler = SIG_IGN};
    int result = of_runtime(signal_number, &action, NULL);
    if (result == NOT_OURS)
        result = rth__real()->sigignore(signal_number);
    if (result == 0)
        report(signal_number, SIG_IGN);
    return result;
}

/* Changes the flags of the action in force, inside libc, where our wrapper is not asked. */
static int change_restart(int signal_number, int interrupts)
{
    struct sigaction action;
    if (of_runtime(signal_number, NULL, &action) == NOT_OURS)
        return rth__real()->siginterrupt(signal_number, interrupts);
    action.sa_flags =
        interrupts != 0 ? action.sa_flags & ~SA_RESTART : action.sa_flags | SA_RESTART;
    return of_runtime(signal_number, &action, NULL);
}

RTH__EXPORT int siginterrupt(int signal_number, int interrupts)
{
    int result = change_restart(signal_number, interrupts);
    if (result == 0)
        note_interrupting(signal_number, interrupts);
    return result;
}
