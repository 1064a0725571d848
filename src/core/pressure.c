/* SPDX-License-Identifier: MIT */
#include "core/pressure.h"

#include <stdatomic.h>
#include <stddef.h>

static _Atomic uint64_t portion, budget, reported;
static _Atomic uint32_t watch_number;
static void (*_Atomic wake_watcher)(void);
static void (*_Atomic on_narrowed)(void);

uint64_t rth__pressure_portion_bytes_sigsafe(void)
{
    return atomic_load_explicit(&portion, memory_order_seq_cst);
}

uint32_t rth__pressure_watch_number_sigsafe(void)
{
    return atomic_load_explicit(&watch_number, memory_order_relaxed);
}

void rth__pressure_report_sigsafe(uint64_t size_bytes)
{
    uint64_t before = atomic_fetch_add_explicit(&reported, size_bytes, memory_order_relaxed);
    uint64_t limit = atomic_load_explicit(&budget, memory_order_relaxed);
    if (before >= limit || limit - before > size_bytes)
        return;
    void (*wake)(void) = atomic_load_explicit(&wake_watcher, memory_order_acquire);
    if (wake != NULL && atomic_load_explicit(&portion, memory_order_relaxed) != 0)
        wake();
}

void rth__pressure_watch(uint64_t budget_bytes, uint64_t portion_bytes, void (*wake_sigsafe)(void))
{
    uint64_t before = atomic_load_explicit(&portion, memory_order_relaxed);
    atomic_store_explicit(&wake_watcher, wake_sigsafe, memory_order_release);
    atomic_store_explicit(&budget, budget_bytes, memory_order_relaxed);
    atomic_store_explicit(&reported, 0, memory_order_relaxed);
    if (before == 0 && portion_bytes != 0)
        atomic_fetch_add_explicit(&watch_number, 1, memory_order_relaxed);
    atomic_store_explicit(&portion, portion_bytes, memory_order_seq_cst);
    void (*narrowed)(void) = atomic_load_explicit(&on_narrowed, memory_order_acquire);
    if (narrowed != NULL && portion_bytes != 0 && (before == 0 || portion_bytes < before))
        narrowed();
}

uint64_t rth__pressure_reported_bytes(void)
{
    return atomic_load_explicit(&reported, memory_order_relaxed);
}

void rth__pressure_on_narrowed(void (*narrowed)(void))
{
    atomic_store_explicit(&on_narrowed, narrowed, memory_order_release);
}

void rth__pressure_child_reset(void)
{
    atomic_store_explicit(&portion, 0, memory_order_relaxed);
    atomic_store_explicit(&budget, 0, memory_order_relaxed);
    atomic_store_explicit(&reported, 0, memory_order_relaxed);
}
