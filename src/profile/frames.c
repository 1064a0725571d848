/* SPDX-License-Identifier: MIT */
#include "profile/frames.h"

#include <string.h>

#include "core/arena.h"

#define CAPACITY_FIRST 512u

static size_t slots_bytes(uint32_t capacity)
{
    return (size_t)capacity * 2 * sizeof(uint32_t);
}

static size_t frames_bytes(uint32_t capacity)
{
    return (size_t)capacity * sizeof(rth_frame);
}

/* The slot that holds the frame, or the empty one where it belongs; there is always an empty one,
 * since there are two slots for each frame. */
static uint32_t *slot_of(const struct rth_frame_table *table, rth_frame frame)
{
    uint32_t mask = table->capacity * 2 - 1;
    uint32_t at = (uint32_t)((frame * UINT64_C(0x9e3779b97f4a7c15)) >> 32) & mask;
    while (table->slots[at] != 0 && table->frames[table->slots[at] - 1] != frame)
        at = (at + 1) & mask;
    return &table->slots[at];
}

static bool grow(struct rth_frame_table *table)
{
    struct rth_frame_table larger = {.count = table->count};
    larger.capacity = table->capacity != 0 ? table->capacity * 2 : CAPACITY_FIRST;
    larger.frames = rth__arena_alloc_nomalloc(frames_bytes(larger.capacity));
    larger.slots = rth__arena_alloc_nomalloc(slots_bytes(larger.capacity));
    if (larger.frames == NULL || larger.slots == NULL) {
        rth__frame_table_release(&larger);
        return false;
    }
    for (uint32_t i = 0; i < table->count; i++) {
        larger.frames[i] = table->frames[i];
        *slot_of(&larger, table->frames[i]) = i + 1;
    }
    rth__frame_table_release(table);
    *table = larger;
    return true;
}

uint32_t rth__frame_table_add(struct rth_frame_table *table, rth_frame frame, uint32_t limit)
{
    uint32_t known = rth__frame_table_find(table, frame);
    if (known != 0)
        return known;
    if (table->count >= limit || (table->count == table->capacity && !grow(table)))
        return 0;
    table->frames[table->count++] = frame;
    *slot_of(table, frame) = table->count;
    return table->count;
}

uint32_t rth__frame_table_find(const struct rth_frame_table *table, rth_frame frame)
{
    return table->capacity != 0 ? *slot_of(table, frame) : 0;
}

void rth__frame_table_release(struct rth_frame_table *table)
{
    rth__arena_free_nomalloc(table->frames, frames_bytes(table->capacity));
    rth__arena_free_nomalloc(table->slots, slots_bytes(table->capacity));
    memset(table, 0, sizeof(*table));
}
