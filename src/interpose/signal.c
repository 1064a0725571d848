/* SPDX-License-Identifier: MIT */
/* sigaction and its older relatives: pass through, and tell the runtime what the host chose. */
#include "interpose/ops.h"
#include "interpose/real.h"

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

RTH__EXPORT int sigaction(int signal_number, const struct sigaction *action,
                          struct sigaction *ret_before)
{
    int result = rth__real()->sigaction(signal_number, action, ret_before);
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
    return report_old_style(signal_number, handler, rth__real()->signal(signal_number, handler));
}

RTH__EXPORT sighandler_t bsd_signal(int signal_number, sighandler_t handler)
{
    return report_old_style(signal_number, handler,
                            rth__real()->bsd_signal(signal_number, handler));
}

RTH__EXPORT sighandler_t ssignal(int signal_number, sighandler_t handler)
{
    return report_old_style(signal_number, handler, rth__real()->ssignal(signal_number, handler));
}

RTH__EXPORT sighandler_t sysv_signal(int signal_number, sighandler_t handler)
{
    return report_old_style(signal_number, handler,
                            rth__real()->sysv_signal(signal_number, handler));
}

RTH__EXPORT sighandler_t __sysv_signal(int signal_number, sighandler_t handler)
{
    return report_old_style(signal_number, handler,
                            rth__real()->__sysv_signal(signal_number, handler));
}

RTH__EXPORT sighandler_t sigset(int signal_number, sighandler_t handler)
{
    sighandler_t before = rth__real()->sigset(signal_number, handler);
    /* SIG_HOLD blocks the signal and leaves its action. */
    if (before != SIG_ERR && handler != SIG_HOLD)
        report(signal_number, handler);
    return before;
}

RTH__EXPORT int sigignore(int signal_number)
{
    int result = rth__real()->sigignore(signal_number);
    if (result == 0)
        report(signal_number, SIG_IGN);
    return result;
}
