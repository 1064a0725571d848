/* SPDX-License-Identifier: MIT */
#include "core/enable.h"

#include <errno.h>

#include "core/arena.h"

/* Stands in until init: reads as "not live". Never written. */
static struct rth_enable_page nothing;
static volatile struct rth_enable_page *page = &nothing;

int rth__enable_init(void)
{
    if (page != &nothing)
        return 0;
    volatile struct rth_enable_page *fresh =
        rth__arena_map_wipeonfork_nomalloc(sizeof(struct rth_enable_page));
    if (fresh == NULL)
        return -ENOMEM;
    page = fresh;
    return 0;
}

volatile struct rth_enable_page *rth__enable_page(void)
{
    return page;
}

void rth__enable_on(pid_t owner_pid, uint32_t generation)
{
    page->owner_pid = owner_pid;
    page->generation = generation;
    __atomic_store_n(&page->enabled, 1, __ATOMIC_RELEASE);
}

void rth__enable_off(void)
{
    if (page != &nothing)
        __atomic_store_n(&page->enabled, 0, __ATOMIC_RELEASE);
}
