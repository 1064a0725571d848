/* SPDX-License-Identifier: MIT */
/*
 * From fork to adoption.
 *
 * A child starts inert: the enable word reads zero there. It notes when it was born (in the fork
 * handler, or at its first calm point when no handler ran: _Fork, raw clone) and at a calm point
 * RTH_FORK_ADOPT_NS later resets every layer and gets its one thread.
 * Threads: calm points come from any host thread of the child; fork_lock lets one of them adopt,
 * the others go on at once. Fork: the lock is reset where the child is first seen, when it has a
 * single thread. Failure: the child stays inert and costs nothing. Cost: a clock read per fork.
 */
#include "core/fork.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

#include "core/enable.h"
#include "core/lock.h"
#include "os/clock.h"
#include "os/rawsys.h"
#include "rthooks/rthooks.h"

static int check_mode(const char *text);
static struct rth_option_value mode_value;

const struct rth_option rth__fork_options[RTH_FORK_OPTION_COUNT] = {
    {
        .variable = "RTHOOKS_FORK",
        .grammar = "lazy, now or off",
        .default_text = "lazy",
        .doc = "When a forked child becomes a process of its own: lazy after 200 ms without exec, "
               "now inside fork (0.6 ms each), off never.",
        .opts_offset = offsetof(struct rth_opts, fork_mode),
        .check = check_mode,
        .value = &mode_value,
    },
};

static struct rth_lock fork_lock = RTH_LOCK_INIT(RTH_RANK_FORK);
/* Set by rth__fork_init, constant afterwards. */
static int (*adopt_child)(void);
static void (*child_forked_sigsafe)(void);
static bool reports_calm_points;
static pid_t started_pid; /* where the runtime runs: not a child */

/* The child as first seen. Ordinary memory: a child inherits its parent's values, and the pid
 * tells that they are not its own. */
static _Atomic pid_t child_pid;
static _Atomic int64_t child_born_ns;
static _Atomic bool child_refused; /* adoption failed: never again in this process */

static int check_mode(const char *text)
{
    return strcmp(text, "lazy") == 0 || strcmp(text, "now") == 0 || strcmp(text, "off") == 0
               ? 0
               : -EINVAL;
}

const char *rth__fork_mode_name(void)
{
    return mode_value.text;
}

static bool mode_is(const char *mode)
{
    return strcmp(mode_value.text, mode) == 0;
}

static void note_child(pid_t pid)
{
    pid_t seen = child_pid;
    if (seen == pid || !atomic_compare_exchange_strong_explicit(
                           &child_pid, &seen, pid, memory_order_acq_rel, memory_order_relaxed))
        return;
    child_born_ns = rth__clock_monotonic_ns_sigsafe();
    child_refused = false;
    rth__lock_reset(&fork_lock);
}

bool rth__fork_interposed(void)
{
    return reports_calm_points;
}

void rth__fork_child_forked_sigsafe(void)
{
    if (child_forked_sigsafe != NULL)
        child_forked_sigsafe();
    note_child(rth__raw_getpid_sigsafe());
}

/* Runs in the child; another of its threads may be doing the same. */
static int try_adopt(pid_t pid)
{
    if (!rth__lock_try_sigsafe(&fork_lock))
        return 0;
    int error = 0;
    if (!rth__enabled()) {
        error = adopt_child();
        if (error == 0)
            started_pid = pid;
        else
            child_refused = true;
    }
    rth__unlock(&fork_lock);
    return error;
}

int64_t rth__fork_child_calm(void)
{
    if (rth__enabled())
        return 0;
    pid_t pid = rth__raw_getpid_sigsafe();
    if (adopt_child == NULL || pid == started_pid || mode_is("off"))
        return -1;
    note_child(pid);
    if (child_refused)
        return -1;
    int64_t age_ns = rth__clock_monotonic_ns_sigsafe() - child_born_ns;
    if (age_ns < RTH_FORK_ADOPT_NS)
        return RTH_FORK_ADOPT_NS - age_ns;
    return try_adopt(pid) == 0 ? 0 : -1;
}

static void fork_handler_child(void)
{
    if (adopt_child == NULL || started_pid == 0)
        return;
    rth__fork_child_forked_sigsafe();
    pid_t pid = rth__raw_getpid_sigsafe();
    /* Without an interposer nobody will report a calm point, so a lazy child gets its thread at
     * once; the thread then keeps still until the child has lived long enough. */
    if (mode_is("now") || (mode_is("lazy") && !reports_calm_points))
        (void)try_adopt(pid);
}

int rth__fork_init(int (*adopt)(void), void (*forked_sigsafe)(void), bool interposed)
{
    static bool registered;
    if (!registered) {
        int error = pthread_atfork(NULL, NULL, fork_handler_child);
        if (error != 0)
            return -error;
        registered = true;
    }
    adopt_child = adopt;
    child_forked_sigsafe = forked_sigsafe;
    reports_calm_points = interposed;
    started_pid = rth__raw_getpid_sigsafe();
    return 0;
}

void rth__fork_stop(void)
{
    adopt_child = NULL;
}
