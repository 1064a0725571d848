/* SPDX-License-Identifier: MIT */
/*
 * The thread that looks.
 *
 * Purpose: facts that are worth something only when they are fresh (memory, first of all) are
 * sampled where nothing can delay it: not the encoding of a profile, not a purge, not a callback.
 * Threads: rth-collect alone runs the rows. Locks: none; a futex word wakes it.
 * Failure: without the thread nothing is sampled, and the rows say so.
 * Cost: what the rows' looks cost. However often it is woken, two looks are 500 us apart.
 */
#include "core/collect.h"

#include <errno.h>
#include <limits.h>
#include <stdatomic.h>

#include "core/capability.h"
#include "core/service_thread.h"
#include "os/clock.h"
#include "os/futex.h"
#include "rthooks/error.h"
#include "rthooks/log.h"

#define JOIN_LIMIT_NS (2 * RTH_NS_PER_S)
#define SPACING_NS    (500 * RTH_NS_PER_US)
/* A row that asks for less is called so soon all the same, and one that asks for more, too. */
#define PERIOD_MIN_NS (1 * RTH_NS_PER_MS)
#define PERIOD_MAX_NS (10 * RTH_NS_PER_S)

static struct rth_service_thread thread;
static _Atomic bool is_running;
static bool makes_table;                   /* set before the thread exists */
static int64_t begin_ns;                   /* likewise: not before */
static _Atomic uint32_t wakes;             /* futex word: bumped at each wake and at stop */
static _Atomic uint32_t stopping;          /* futex word */
static int64_t due_ns[RTH_CAPABILITY_MAX]; /* rth-collect's */

static bool must_stop(void)
{
    return atomic_load_explicit(&stopping, memory_order_acquire) != 0;
}

/* Waits until then unless it is to stop; wakes do not count. */
static void pause_until(int64_t until_ns)
{
    while (!must_stop() && rth__futex_wait_sigsafe(&stopping, 0, until_ns) != -ETIMEDOUT)
        ;
}

/* Calls the rows that are due, or all. Returns when the next one is. */
static int64_t sample_rows(bool all)
{
    int64_t next_ns = rth__clock_monotonic_ns_sigsafe() + PERIOD_MAX_NS;
    for (size_t i = 0; i < rth__capability_count() && !must_stop(); i++) {
        const struct rth_capability *row = rth__capability_at(i);
        if (row->sample == NULL || rth__capability_runtime_at(i)->state != RTH_CAPABILITY_RUNNING)
            continue;
        int64_t now_ns = rth__clock_monotonic_ns_sigsafe();
        if (all || now_ns >= due_ns[i]) {
            int64_t period_ns = row->sample(now_ns);
            due_ns[i] = now_ns + (period_ns < PERIOD_MIN_NS   ? PERIOD_MIN_NS
                                  : period_ns > PERIOD_MAX_NS ? PERIOD_MAX_NS
                                                              : period_ns);
        }
        if (due_ns[i] < next_ns)
            next_ns = due_ns[i];
    }
    return next_ns;
}

static void collect_main(void *userdata)
{
    (void)userdata;
    pause_until(begin_ns);
    int error = makes_table && !must_stop() ? rth__service_thread_private_fds() : 0;
    if (error != 0) {
        rth_log(RTH_LOG_ERROR, "collect.failed", "error=\"%s\"", rth_strerror(error));
        is_running = false;
        return;
    }
    bool all = true;
    while (!must_stop()) {
        uint32_t seen = atomic_load_explicit(&wakes, memory_order_acquire);
        int64_t looked_ns = rth__clock_monotonic_ns_sigsafe();
        int64_t next_ns = sample_rows(all);
        while (!must_stop() && seen == atomic_load_explicit(&wakes, memory_order_acquire) &&
               rth__futex_wait_sigsafe(&wakes, seen, next_ns) != -ETIMEDOUT)
            ;
        all = seen != atomic_load_explicit(&wakes, memory_order_acquire);
        if (all)
            pause_until(looked_ns + SPACING_NS);
    }
}

int rth__collect_start(bool shares_table, int64_t start_delay_ns)
{
    if (thread.started)
        return 0;
    stopping = 0;
    makes_table = !shares_table;
    begin_ns = rth__clock_monotonic_ns_sigsafe() + start_delay_ns;
    thread.name = "rth-collect";
    thread.main = collect_main;
    int error = rth__service_thread_start(&thread);
    is_running = error == 0;
    return error;
}

void rth__collect_stop(void)
{
    if (!thread.started)
        return;
    atomic_store_explicit(&stopping, 1, memory_order_release);
    rth__futex_wake_sigsafe(&stopping, INT_MAX);
    rth__collect_wake_sigsafe();
    if (rth__service_thread_join(&thread, rth__clock_monotonic_ns_sigsafe() + JOIN_LIMIT_NS) == 0)
        is_running = false;
    else
        rth_log(RTH_LOG_ERROR, "collect.stuck", "thread=rth-collect waited_s=2");
}

void rth__collect_wake_sigsafe(void)
{
    atomic_fetch_add_explicit(&wakes, 1, memory_order_release);
    rth__futex_wake_sigsafe(&wakes, INT_MAX);
}

bool rth__collect_is_running(void)
{
    return atomic_load_explicit(&is_running, memory_order_relaxed);
}

void rth__collect_child_reset(void)
{
    rth__service_thread_child_reset(&thread);
    stopping = 0;
    is_running = false;
}
