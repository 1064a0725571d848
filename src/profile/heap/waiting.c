/* SPDX-License-Identifier: MIT */
/*
 * Slots are taken and given under the lock of the sites. While rth-work walks a slot it stays
 * taken, so its bytes do not change; what may change is that the block is freed, which is a flag.
 */
#include "profile/heap/waiting.h"

#include <stdatomic.h>

#include "core/arena.h"
#include "record/facts.h"

/* Looks at the loader that a sample waits for. */
#define WALKS_MAX 3u

struct waiting {
    bool taken, block_gone;
    uint8_t walks; /* that came too early */
    uint32_t label_set;
    uintptr_t block;
    uint64_t objects, bytes;
    struct rth_raw_stack raw;
};

/* Mapped at the first sample that has to wait; a child's reads as zero, so nothing waits there. */
static struct waiting *slots;
static _Atomic uint64_t waiting_count;

int rth__waiting_put_locked(uintptr_t block, uint32_t label_set, uint64_t objects, uint64_t bytes)
{
    if (slots == NULL)
        slots = rth__arena_map_wipeonfork_nomalloc(RTH_WAITING_MAX * sizeof(*slots));
    if (slots == NULL || waiting_count == RTH_WAITING_MAX)
        return -1;
    /* They are given back all at once, nearly in this order. */
    static unsigned next_slot;
    while (slots[next_slot % RTH_WAITING_MAX].taken)
        next_slot++;
    unsigned slot = next_slot % RTH_WAITING_MAX;
    if (!rth__stack_capture_raw_nomalloc(&slots[slot].raw))
        return -1;
    struct waiting *waiting = &slots[slot];
    waiting->taken = true;
    waiting->block_gone = false;
    waiting->walks = 0;
    waiting->label_set = label_set;
    waiting->block = block;
    waiting->objects = objects;
    waiting->bytes = bytes;
    waiting_count++;
    return (int)slot;
}

void rth__waiting_gone_locked(uint32_t slot)
{
    if (slots != NULL && slot < RTH_WAITING_MAX)
        slots[slot].block_gone = true;
}

bool rth__waiting_back_locked(uint32_t slot, uintptr_t block)
{
    if (slots == NULL || slot >= RTH_WAITING_MAX)
        return false;
    struct waiting *waiting = &slots[slot];
    if (!waiting->taken || !waiting->block_gone || waiting->block != block)
        return false;
    waiting->block_gone = false;
    return true;
}

uint64_t rth__waiting_count(void)
{
    return waiting_count;
}

/* Twelve kilobytes each, and rarely needed again. */
static void trim_locked(void)
{
    if (waiting_count == 0)
        rth__facts_clear(slots, RTH_WAITING_MAX * sizeof(*slots));
}

void rth__waiting_clear_locked(void)
{
    if (waiting_count == 0)
        return;
    waiting_count = 0;
    trim_locked();
}

/* Whether another look at the loader may bring more of it. */
static bool is_early(struct waiting *waiting, const rth_frame *frames, unsigned count)
{
    if (waiting->walks == WALKS_MAX)
        return false;
    waiting->walks++;
    return rth__stack_is_early_nomalloc(frames, count);
}

void rth__waiting_resolve(struct rth_lock *lock, rth_waiting_found found)
{
    for (uint32_t i = 0; waiting_count != 0 && i < RTH_WAITING_MAX; i++) {
        struct waiting *waiting = &slots[i];
        rth__lock(lock);
        bool taken = waiting->taken;
        rth__unlock(lock);
        if (!taken)
            continue;
        rth_frame frames[RTH_STACK_HERE_FRAMES_MAX];
        unsigned count = rth__stack_walk_raw(&waiting->raw, frames, RTH_STACK_HERE_FRAMES_MAX);
        if (is_early(waiting, frames, count))
            continue;
        rth__lock(lock);
        struct rth_waiting_sample sample = {i,
                                            waiting->label_set,
                                            waiting->block_gone,
                                            waiting->block,
                                            waiting->objects,
                                            waiting->bytes};
        waiting->taken = false;
        waiting_count--;
        found(&sample, frames, count);
        rth__unlock(lock);
    }
    RTH__LOCK_SCOPE(lock);
    trim_locked();
}

void rth__waiting_child_reset(void)
{
    slots = NULL;
    waiting_count = 0;
}
