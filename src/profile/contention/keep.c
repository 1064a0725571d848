/* SPDX-License-Identifier: MIT */
/*
 * A place's state says whose it is: free, in somebody's hands, or the ticket of the sample in it.
 * Tickets are never used twice, so a thread that comes back for one that rth-work has recorded
 * meanwhile finds another number there.
 */
#include "profile/contention/keep.h"

#include <errno.h>
#include <stdatomic.h>
#include <stddef.h>

#include "core/arena.h"

#define STATE_FREE   0u
#define STATE_HANDS  1u
#define FIRST_TICKET 2u

struct place {
    _Atomic uint64_t state;
    struct rth_contention_sample sample;
};

static _Atomic(struct place *) places; /* RTH_KEEP_MAX; NULL before the first start */
static _Atomic uint64_t newest_ticket = FIRST_TICKET;

int rth__keep_init(void)
{
    if (atomic_load_explicit(&places, memory_order_relaxed) != NULL)
        return 0;
    struct place *memory = rth__arena_alloc_nomalloc(RTH_KEEP_MAX * sizeof(*memory));
    if (memory == NULL)
        return -ENOMEM;
    atomic_store_explicit(&places, memory, memory_order_release);
    return 0;
}

static bool change(struct place *place, uint64_t from, uint64_t to)
{
    return atomic_compare_exchange_strong_explicit(&place->state, &from, to, memory_order_acquire,
                                                   memory_order_relaxed);
}

struct rth_contention_sample *rth__keep_place(struct rth_kept *ret_kept)
{
    struct place *all = atomic_load_explicit(&places, memory_order_acquire);
    if (all == NULL)
        return NULL;
    uint64_t ticket = atomic_fetch_add_explicit(&newest_ticket, 1, memory_order_relaxed);
    for (uint32_t i = 0; i < RTH_KEEP_MAX; i++) {
        uint32_t index = (uint32_t)((ticket + i) % RTH_KEEP_MAX);
        if (atomic_load_explicit(&all[index].state, memory_order_relaxed) != STATE_FREE ||
            !change(&all[index], STATE_FREE, STATE_HANDS))
            continue;
        *ret_kept = (struct rth_kept){index, ticket};
        return &all[index].sample;
    }
    return NULL;
}

void rth__keep_put(const struct rth_kept *kept)
{
    struct place *all = atomic_load_explicit(&places, memory_order_acquire);
    atomic_store_explicit(&all[kept->place].state, kept->ticket, memory_order_release);
}

const struct rth_contention_sample *rth__keep_take(const struct rth_kept *kept)
{
    struct place *all = atomic_load_explicit(&places, memory_order_acquire);
    if (all == NULL || kept->ticket < FIRST_TICKET ||
        !change(&all[kept->place], kept->ticket, STATE_HANDS))
        return NULL;
    return &all[kept->place].sample;
}

void rth__keep_free(const struct rth_kept *kept)
{
    struct place *all = atomic_load_explicit(&places, memory_order_acquire);
    atomic_store_explicit(&all[kept->place].state, STATE_FREE, memory_order_release);
}

void rth__keep_sweep(int64_t before_ns, void (*found)(const struct rth_contention_sample *sample))
{
    struct place *all = atomic_load_explicit(&places, memory_order_acquire);
    for (uint32_t i = 0; all != NULL && i < RTH_KEEP_MAX; i++) {
        struct rth_kept kept = {i, atomic_load_explicit(&all[i].state, memory_order_relaxed)};
        if (rth__keep_take(&kept) == NULL)
            continue;
        if (all[i].sample.at_ns >= before_ns) {
            rth__keep_put(&kept);
            continue;
        }
        found(&all[i].sample);
        rth__keep_free(&kept);
    }
}

uint32_t rth__keep_count(void)
{
    struct place *all = atomic_load_explicit(&places, memory_order_acquire);
    uint32_t count = 0;
    for (uint32_t i = 0; all != NULL && i < RTH_KEEP_MAX; i++)
        count += atomic_load_explicit(&all[i].state, memory_order_relaxed) != STATE_FREE;
    return count;
}

void rth__keep_child_reset(void)
{
    atomic_store_explicit(&places, NULL, memory_order_release);
}
