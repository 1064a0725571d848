/* SPDX-License-Identifier: MIT */
#include "core/work.h"

#include <errno.h>
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
static bool is_open;              /* somebody runs what the host submits */
static void (*inline_wake)(void); /* of who runs it in place of the thread */

static struct rth_service_thread thread;
static void (*_Atomic tick_wanted)(void); /* set by rth-admin, taken by rth-work */
static _Atomic uint32_t submitted;        /* futex word: bumped at each submit and at stop */
static _Atomic uint32_t stopping;
static _Atomic bool cancelled; /* what is run now is waited for */

static void push_locked(struct rth_work_item *item)
{
    item->next = NULL;
    *tail = item;
    tail = &item->next;
}

static void open_queue(bool opened, void (*wake_loop)(void))
{
    RTH__LOCK_SCOPE(&work_lock);
    is_open = opened;
    inline_wake = wake_loop;
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
        void (*tick)(void) = atomic_exchange_explicit(&tick_wanted, NULL, memory_order_acq_rel);
        if (tick != NULL)
            tick();
        struct rth_work_item *item = pop();
        if (item != NULL)
            item->run(item);
        else if (tick == NULL)
            (void)rth__futex_wait_sigsafe(&submitted, seen, -1);
    }
}

int rth__work_start(void)
{
    stopping = 0;
    atomic_store_explicit(&cancelled, false, memory_order_release);
    thread.name = "rth-work";
    thread.main = work_main;
    int error = rth__service_thread_start(&thread);
    if (error == 0)
        open_queue(true, NULL);
    return error;
}

static void drop_all(void (*drop)(struct rth_work_item *item))
{
    struct rth_work_item *item;
    while ((item = pop()) != NULL)
        if (item->drop != NULL)
            item->drop(item);
        else
            drop(item);
}

void rth__work_cancel(void)
{
    atomic_store_explicit(&cancelled, true, memory_order_release);
}

bool rth__work_is_cancelled(void)
{
    return atomic_load_explicit(&cancelled, memory_order_acquire);
}

void rth__work_stop(void (*drop)(struct rth_work_item *item))
{
    open_queue(false, NULL);
    rth__work_cancel();
    if (thread.started) {
        atomic_store_explicit(&stopping, 1, memory_order_release);
        wake();
        if (rth__service_thread_join(&thread, rth__clock_monotonic_ns_sigsafe() + JOIN_LIMIT_NS) !=
            0)
            rth_log(RTH_LOG_ERROR, "work.stuck", "thread=rth-work waited_s=5");
    }
    drop_all(drop);
}

void rth__work_submit(struct rth_work_item *item)
{
    if (!thread.started) {
        item->run(item);
        return;
    }
    {
        RTH__LOCK_SCOPE(&work_lock);
        push_locked(item);
    }
    wake();
}

int rth__work_submit_from_host(struct rth_work_item *item)
{
    void (*wake_inline)(void);
    {
        RTH__LOCK_SCOPE(&work_lock);
        if (!is_open)
            return -EAGAIN;
        push_locked(item);
        wake_inline = inline_wake;
    }
    if (wake_inline != NULL)
        wake_inline();
    else
        wake();
    return 0;
}

/* Only items of the host, who all have their own drop, wait in the queue of such a process. */
void rth__work_inline_set(void (*wake_loop)(void))
{
    atomic_store_explicit(&cancelled, wake_loop == NULL, memory_order_release);
    open_queue(wake_loop != NULL, wake_loop);
    if (wake_loop == NULL)
        drop_all(NULL);
}

void rth__work_run_queued(void)
{
    struct rth_work_item *item;
    while ((item = pop()) != NULL)
        item->run(item);
}

void rth__work_tick(void (*tick)(void))
{
    if (!thread.started) {
        tick();
        return;
    }
    atomic_store_explicit(&tick_wanted, tick, memory_order_release);
    wake();
}

void rth__work_child_reset(void)
{
    tick_wanted = NULL;
    rth__lock_reset(&work_lock);
    head = NULL;
    tail = &head;
    is_open = false;
    inline_wake = NULL;
    rth__service_thread_child_reset(&thread);
    stopping = 0;
    cancelled = false;
}
