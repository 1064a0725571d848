/* SPDX-License-Identifier: MIT */
#include "record/ranges.h"

#include "core/arena.h"
#include "record/ranges_internal.h"

/* One writer at a time, as rth__modules_refresh. */
static struct rth_published_ranges *retired;
static uint32_t last_generation = 1; /* 1 is the empty state before the first publication */

static struct rth_published_ranges *published_of(struct rth_loaded_ranges *ranges)
{
    return (struct rth_published_ranges *)((char *)ranges -
                                           offsetof(struct rth_published_ranges, ranges));
}

struct rth_loaded_ranges *rth__ranges_new(uint32_t capacity)
{
    size_t size_bytes =
        sizeof(struct rth_published_ranges) + (size_t)capacity * sizeof(struct rth_loaded_range);
    struct rth_published_ranges *published = rth__arena_alloc_nomalloc(size_bytes);
    if (published == NULL)
        return NULL;
    published->size_bytes = size_bytes;
    return &published->ranges;
}

static void give_back(struct rth_published_ranges *published)
{
    if (published->size_bytes != 0)
        rth__arena_free_nomalloc(published, published->size_bytes);
}

void rth__ranges_drop(struct rth_loaded_ranges *ranges)
{
    if (ranges != NULL)
        give_back(published_of(ranges));
}

void rth__ranges_publish(struct rth_loaded_ranges *ranges)
{
    struct rth_published_ranges *published = published_of(ranges);
    if (++last_generation == 0)
        last_generation = 1;
    ranges->generation = last_generation;
    struct rth_published_ranges *old =
        atomic_exchange_explicit(&rth__ranges_current_sigsafe, published, memory_order_seq_cst);
    if (old != NULL) {
        old->next_retired = retired;
        retired = old;
    }
    if (atomic_load_explicit(&rth__ranges_readers_sigsafe, memory_order_seq_cst) != 0)
        return;
    while (retired != NULL) {
        struct rth_published_ranges *next = retired->next_retired;
        give_back(retired);
        retired = next;
    }
}

void rth__ranges_child_reset(void)
{
    /* Readers of the parent do not exist here, and its arena is not ours to give blocks back to. */
    atomic_store_explicit(&rth__ranges_readers_sigsafe, 0, memory_order_relaxed);
    retired = NULL;
    struct rth_published_ranges *current =
        atomic_load_explicit(&rth__ranges_current_sigsafe, memory_order_relaxed);
    if (current != NULL)
        current->size_bytes = 0;
}
