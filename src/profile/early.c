/* SPDX-License-Identifier: MIT */
/*
 * Places are taken and given back under the lock of the caller. One that rth-work walks stays
 * taken, so its bytes do not change; that its value is gone is a flag. The memory goes when nobody
 * waits any more, which is soon after the start.
 */
#include "profile/early.h"

#include <stdatomic.h>

#include "core/arena.h"
#include "profile/stack_here.h"

struct rth_early_place {
    bool taken, dropped;
    struct rth_early_value value;
    struct rth_raw_stack raw;
};

#define PLACES_BYTES (RTH_EARLY_MAX * sizeof(struct rth_early_place))

uint32_t rth__early_put_locked(struct rth_early *early, const struct rth_early_value *value)
{
    if (early->taken_count == RTH_EARLY_MAX)
        return 0;
    if (early->places == NULL)
        early->places = rth__arena_alloc_nomalloc(PLACES_BYTES);
    if (early->places == NULL)
        return 0;
    uint32_t index = 0;
    while (early->places[index].taken)
        index++;
    struct rth_early_place *place = &early->places[index];
    if (!rth__stack_capture_raw_nomalloc(&place->raw))
        return 0;
    place->taken = true;
    place->dropped = false;
    place->value = *value;
    early->taken_count++;
    return index + 1;
}

void rth__early_drop_locked(struct rth_early *early, uint32_t number)
{
    early->places[number - 1].dropped = true;
}

uint32_t rth__early_count(const struct rth_early *early)
{
    return atomic_load_explicit(&early->taken_count, memory_order_relaxed);
}

void rth__early_resolve(struct rth_early *early, struct rth_lock *lock,
                        void (*found_locked)(const struct rth_early_value *value,
                                             const rth_frame *frames, unsigned count))
{
    for (uint32_t i = 0; i < RTH_EARLY_MAX && rth__early_count(early) != 0; i++) {
        rth__lock(lock);
        struct rth_early_place *place = &early->places[i];
        bool waits = place->taken;
        rth__unlock(lock);
        if (!waits)
            continue;
        rth_frame frames[RTH_STACK_HERE_FRAMES_MAX];
        unsigned count = rth__stack_walk_raw_from(place->value.return_address, &place->raw, frames,
                                                  RTH_STACK_HERE_FRAMES_MAX);
        RTH__LOCK_SCOPE(lock);
        if (!place->dropped)
            found_locked(&place->value, frames, count);
        place->taken = false;
        early->taken_count--;
    }
    RTH__LOCK_SCOPE(lock);
    if (early->taken_count == 0) {
        rth__arena_free_nomalloc(early->places, PLACES_BYTES);
        early->places = NULL;
    }
}

void rth__early_child_reset(struct rth_early *early)
{
    early->places = NULL;
    early->taken_count = 0;
}
