/* SPDX-License-Identifier: MIT */
#include "record/generation.h"

#include <stdatomic.h>

static _Atomic unsigned current;
static _Atomic uint32_t writers[RTH_GENERATIONS];
/* rth-work's. */
static uint32_t pins[RTH_GENERATIONS];
static _Atomic uint32_t epochs[RTH_GENERATIONS] = {1, 0};

unsigned rth__generation_enter_sigsafe(void)
{
    for (;;) {
        unsigned slot = atomic_load_explicit(&current, memory_order_seq_cst);
        /* Sequentially consistent with rotate: either it sees this writer, or we see its change. */
        atomic_fetch_add_explicit(&writers[slot], 1, memory_order_seq_cst);
        if (atomic_load_explicit(&current, memory_order_seq_cst) == slot)
            return slot;
        atomic_fetch_sub_explicit(&writers[slot], 1, memory_order_release);
    }
}

void rth__generation_leave_sigsafe(unsigned slot)
{
    atomic_fetch_sub_explicit(&writers[slot], 1, memory_order_release);
}

uint32_t rth__generation_epoch(unsigned slot)
{
    return atomic_load_explicit(&epochs[slot], memory_order_relaxed);
}

unsigned rth__generation_current(void)
{
    return atomic_load_explicit(&current, memory_order_relaxed);
}

unsigned rth__generation_pin(void)
{
    unsigned slot = rth__generation_current();
    pins[slot]++;
    return slot;
}

void rth__generation_unpin(unsigned slot)
{
    pins[slot]--;
}

bool rth__generation_rotate(void (*clear)(unsigned slot))
{
    unsigned from = rth__generation_current();
    unsigned to = 1 - from;
    /* Nobody new enters `to`: it is not current. */
    if (pins[to] != 0 || atomic_load_explicit(&writers[to], memory_order_seq_cst) != 0)
        return false;
    clear(to);
    atomic_store_explicit(&epochs[to], rth__generation_epoch(from) + 1, memory_order_relaxed);
    atomic_store_explicit(&current, to, memory_order_seq_cst);
    return true;
}

void rth__generation_child_reset(void)
{
    current = 0;
    for (unsigned slot = 0; slot < RTH_GENERATIONS; slot++) {
        writers[slot] = 0;
        pins[slot] = 0;
        epochs[slot] = slot == 0;
    }
}
