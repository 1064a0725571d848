/* SPDX-License-Identifier: MIT */
#include "limits/look_soon.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

#include "core/capability.h"
#include "core/collect.h"
#include "core/service_thread.h"
#include "core/work.h"
#include "limits/look.h"
#include "os/clock.h"

static _Atomic bool is_queued;
static bool is_child; /* adopted */

static void run(struct rth_work_item *item)
{
    (void)item;
    atomic_store_explicit(&is_queued, false, memory_order_release);
    if (!rth__collect_is_running() && rth__capability_is_running("limits"))
        (void)rth__look(rth__root_fd(), rth__clock_monotonic_ns_sigsafe(), true);
}

static void drop(struct rth_work_item *item)
{
    (void)item;
    atomic_store_explicit(&is_queued, false, memory_order_release);
}

static struct rth_work_item item = {.run = run, .drop = drop};

int rth__look_soon(void)
{
    if (rth__collect_is_running()) {
        rth__collect_wake_sigsafe();
        return 0;
    }
    /* Where rth-collect comes up just now, or pauses, looks are still its own. */
    if (!is_child)
        return -EAGAIN;
    if (atomic_exchange_explicit(&is_queued, true, memory_order_acquire))
        return 0;
    int error = rth__work_submit_from_host(&item);
    if (error != 0)
        atomic_store_explicit(&is_queued, false, memory_order_release);
    return error;
}

void rth__look_soon_child_reset(void)
{
    is_child = true;
    is_queued = false;
    item.next = NULL;
}
