/* SPDX-License-Identifier: MIT */
/*
 * Event loops.
 *
 * Purpose: how long a program's loops kept events waiting, from what the loops say themselves.
 * Threads: a loop's own thread ticks, and is the only one that writes its counters; rth-work reads.
 * Locks: none; places are taken by a flag, and never move. Fork: loops stay, a child's counts begin
 * anew. Failure: more than 64 loops are refused. Cost: 15 ns per iteration.
 */
#include "thread/loops.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <string.h>

#include "core/capability.h"
#include "core/counter.h"
#include "formats/json.h"
#include "formats/utf8.h"
#include "rthooks/loop.h"

#define LOOPS_MAX  64u
#define NAME_BYTES 32u

struct rth_loop {
    _Atomic bool taken;
    _Atomic bool named; /* may be shown */
    char name[NAME_BYTES];
    _Atomic uint64_t iterations, busy_ns, busy_max_ns, timer_late_max_ns;
};

static struct rth_loop loops[LOOPS_MAX];
struct rth_latency rth__loop_busy, rth__loop_timer_late;

static void forget_counts(struct rth_loop *loop)
{
    atomic_store_explicit(&loop->iterations, 0, memory_order_relaxed);
    atomic_store_explicit(&loop->busy_ns, 0, memory_order_relaxed);
    atomic_store_explicit(&loop->busy_max_ns, 0, memory_order_relaxed);
    atomic_store_explicit(&loop->timer_late_max_ns, 0, memory_order_relaxed);
}

int rth_loop_new(const char *name, struct rth_loop **ret_loop)
{
    if (ret_loop == NULL)
        return -EINVAL;
    *ret_loop = NULL;
    if (name == NULL || name[0] == '\0')
        return -EINVAL;
    for (unsigned i = 0; i < LOOPS_MAX; i++) {
        struct rth_loop *loop = &loops[i];
        if (atomic_exchange_explicit(&loop->taken, true, memory_order_acquire))
            continue;
        forget_counts(loop);
        rth__utf8_copy_line(loop->name, sizeof(loop->name), name);
        atomic_store_explicit(&loop->named, true, memory_order_release);
        *ret_loop = loop;
        return 0;
    }
    return -ENOSPC;
}

/* One writer: a load and a store will do. */
static void add(_Atomic uint64_t *counter, uint64_t added)
{
    uint64_t value = atomic_load_explicit(counter, memory_order_relaxed);
    atomic_store_explicit(counter, value + added, memory_order_relaxed);
}

static void raise_to(_Atomic uint64_t *highest, uint64_t value)
{
    if (value > atomic_load_explicit(highest, memory_order_relaxed))
        atomic_store_explicit(highest, value, memory_order_relaxed);
}

void rth_loop_tick(struct rth_loop *loop, int64_t busy_ns, int64_t timer_late_ns)
{
    if (loop == NULL)
        return;
    add(&loop->iterations, 1);
    if (busy_ns >= 0) {
        add(&loop->busy_ns, (uint64_t)busy_ns);
        raise_to(&loop->busy_max_ns, (uint64_t)busy_ns);
        rth__latency_observe_sigsafe(&rth__loop_busy, busy_ns);
    }
    if (timer_late_ns >= 0) {
        raise_to(&loop->timer_late_max_ns, (uint64_t)timer_late_ns);
        rth__latency_observe_sigsafe(&rth__loop_timer_late, timer_late_ns);
    }
}

void rth_loop_free(struct rth_loop *loop)
{
    if (loop == NULL)
        return;
    atomic_store_explicit(&loop->named, false, memory_order_relaxed);
    atomic_store_explicit(&loop->taken, false, memory_order_release);
}

/* ---- the row ------------------------------------------------------------------------------- */

static void child_reset(void)
{
    for (unsigned i = 0; i < LOOPS_MAX; i++)
        forget_counts(&loops[i]);
    rth__latency_clear(&rth__loop_busy);
    rth__latency_clear(&rth__loop_timer_late);
}

static void status(struct rth_json *json)
{
    rth__latency_json(&rth__loop_busy, "lag", json);
    rth__latency_json(&rth__loop_timer_late, "timer_late", json);
    rth__json_key(json, "loops");
    rth__json_array_begin(json);
    for (unsigned i = 0; i < LOOPS_MAX; i++) {
        const struct rth_loop *loop = &loops[i];
        if (!atomic_load_explicit(&loop->named, memory_order_acquire))
            continue;
        rth__json_object_begin(json);
        rth__json_member_string(json, "name", loop->name);
        rth__json_member_uint(json, "iterations", rth__count_of(&loop->iterations));
        rth__json_member_uint(json, "busy_ns", rth__count_of(&loop->busy_ns));
        rth__json_member_uint(json, "busy_max_ns", rth__count_of(&loop->busy_max_ns));
        rth__json_member_uint(json, "timer_late_max_ns", rth__count_of(&loop->timer_late_max_ns));
        rth__json_object_end(json);
    }
    rth__json_array_end(json);
}

const struct rth_capability rth__loops_capability = {
    .name = "loops",
    .child_reset = child_reset,
    .status = status,
};
