/* SPDX-License-Identifier: MIT */
#include "core/work.h"

#include <limits.h>
#include <stdatomic.h>
#include <stddef.h>

#include "core/lock.h"
#include "core/service_thread.h"
#include "os/clock.h"
#include "os/futex.h"
#include "rthooks/log.h"

/* Longer than any item that looks at its cancellation needs. */
#define JOIN_LIMIT_NS (5 * RTH_NS_PER_S)

static struct rth_lock work_lock = RTH_LOCK_INIT(RTH_RANK_WORK);
/* Protected by work_lock. */
static struct rth_work_item *head;
static struct rth_work_item **tail = &head;

static struct rth_service_thread thread;
static _Atomic uint32_t submitted; /* futex word: bumped at each submit and at stop */
static _Atomic uint32_t stopping;

static void push(struct rth_work_item *item)
{
    RTH__LOCK_SCOPE(&work_lock);
    item->next = NULL;
    *tail = item;
    tail = &item->next;
}

static struct rth_work_item *pop(void)
{
    RTH__LOCK_SCOPE(&work_lock);
    struct rth_work_item *item = head;
    if (item != NULL) {
        head = item->next;
        if (head == NULL)
            tail = &head;
    }
    return item;
}

static void wake(void)
{
    atomic_fetch_add_explicit(&submitted, 1, memory_order_release);
    rth__futex_wake_sigsafe(&submitted, INT_MAX);
}

static void work_main(void *userdata)
{
    (void)userdata;
    while (!atomic_load_explicit(&stopping, memory_order_acquire)) {
        uint32_t seen = atomic_load_explicit(&submitted, memory_order_acquire);
        struct rth_work_item *item = pop();
        if (item != NULL)
            item->run(item);
        else
            (void)rth__futex_wait_sigsafe(&submitted, seen, -1);
    }
}

int rth__work_start(void)
{
    stopping = 0;
    thread.name = "rth-work";
    thread.main = work_main;
    return rth__service_thread_start(&thread);
}

void rth__work_stop(void (*drop)(struct rth_work_item *item))
{
    if (thread.started) {
        atomic_store_explicit(&stopping, 1, memory_order_release);
        wake();
        if (rth__service_thread_join(&thread, rth__clock_monotonic_ns_sigsafe() + JOIN_LIMIT_NS) !=
            0)
            rth_log(RTH_LOG_ERROR, "work.stuck", "thread=rth-work waited_s=5");
    }
    struct rth_work_item *item;
    while ((item = pop()) != NULL)
        drop(item);
}

void rth__work_submit(struct rth_work_item *item)
{
    if (!thread.started) {
        item->run(item);
        return;
    }
    push(item);
    wake();
}

void rth__work_child_reset(void)
{
    rth__lock_reset(&work_lock);
    head = NULL;
    tail = &head;
    rth__service_thread_child_reset(&thread);
    stopping = 0;
}
