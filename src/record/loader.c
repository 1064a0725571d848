/* SPDX-License-Identifier: MIT */
#include "record/loader.h"

#include <stddef.h>

static const volatile uint64_t *watched;
static uint64_t seen;
static bool settling;

void rth__loader_watch(const volatile uint64_t *counter)
{
    watched = counter;
}

bool rth__loader_changed(void)
{
    uint64_t now = watched != NULL ? *watched : 0;
    bool changed = now != seen;
    bool answer = changed || settling;
    settling = changed;
    __atomic_store_n(&seen, now, __ATOMIC_RELAXED);
    return answer;
}

bool rth__loader_moved_sigsafe(void)
{
    return watched != NULL && *watched != __atomic_load_n(&seen, __ATOMIC_RELAXED);
}
