/* SPDX-License-Identifier: MIT */
/*
 * Open addressing with linear probing and backward shifting, at most five eighths full; seven when
 * memory is short. Word i of the filter holds the bits of all entries whose home is slot i, so
 * taking an entry out makes its word anew from the entries that share the home, and a bit is set
 * only while somebody needs it.
 *
 * Growing makes a new table and a new filter. The old filter is kept as it was: a thread that still
 * looks at it can only ask for blocks that were known when it was replaced.
 */
#include "record/live.h"

#include <string.h>

#include "core/arena.h"

#define CAPACITY_LOG2_MIN 10u

static size_t capacity_of(const struct rth_live *live)
{
    return live->capacity_log2 == 0 ? 0 : (size_t)1 << live->capacity_log2;
}

static size_t filter_bytes(unsigned capacity_log2)
{
    return sizeof(struct rth_heap_filter) + (sizeof(uint64_t) << capacity_log2);
}

static size_t home_of(const struct rth_live *live, uintptr_t key)
{
    return (size_t)(rth__heap_filter_hash(key) >> (64 - live->capacity_log2));
}

static void word_store(struct rth_live *live, size_t home, uint64_t word)
{
    if (live->filter == NULL)
        return;
    __atomic_store_n(&live->filter->words[home], word, __ATOMIC_RELAXED);
}

/* The slot of a key, or the free one where it would go. */
static size_t slot_of(const struct rth_live *live, uintptr_t key)
{
    size_t mask = capacity_of(live) - 1, slot = home_of(live, key);
    while (live->entries[slot].key != 0 && live->entries[slot].key != key)
        slot = (slot + 1) & mask;
    return slot;
}

static void add(struct rth_live *live, size_t slot, const struct rth_live_entry *entry)
{
    live->entries[slot] = *entry;
    if (live->filter == NULL)
        return;
    size_t home = home_of(live, entry->key);
    word_store(live, home,
               live->filter->words[home] |
                   rth__heap_filter_mask(rth__heap_filter_hash(entry->key)));
}

static bool grow(struct rth_live *live)
{
    struct rth_live old = *live;
    unsigned log2 = old.capacity_log2 == 0 ? CAPACITY_LOG2_MIN : old.capacity_log2 + 1;
    size_t entries_bytes = sizeof(*live->entries) << log2;
    struct rth_live_entry *entries = rth__arena_alloc_nomalloc(entries_bytes);
    bool is_asked = live->filter_place != NULL;
    struct rth_heap_filter *filter =
        is_asked ? rth__arena_alloc_nomalloc(filter_bytes(log2)) : NULL;
    if (entries == NULL || (is_asked && filter == NULL)) {
        rth__arena_free_nomalloc(entries, entries_bytes);
        rth__arena_free_nomalloc(filter, filter_bytes(log2));
        return false;
    }
    if (is_asked)
        filter->shift = 64 - log2;
    live->entries = entries;
    live->filter = filter;
    live->capacity_log2 = log2;
    for (size_t i = 0; i < capacity_of(&old); i++)
        if (old.entries[i].key != 0)
            add(live, slot_of(live, old.entries[i].key), &old.entries[i]);
    if (is_asked)
        __atomic_store_n(live->filter_place, filter, __ATOMIC_RELEASE);
    if (old.entries != NULL)
        rth__arena_free_nomalloc(old.entries, sizeof(*old.entries) << old.capacity_log2);
    return true;
}

const struct rth_live_entry *rth__live_find_locked(const struct rth_live *live, uintptr_t key)
{
    if (key == 0 || live->count == 0)
        return NULL;
    const struct rth_live_entry *entry = &live->entries[slot_of(live, key)];
    return entry->key != 0 ? entry : NULL;
}

bool rth__live_has_locked(const struct rth_live *live, uintptr_t key)
{
    return rth__live_find_locked(live, key) != NULL;
}

/* Room for one more. A table that cannot grow is filled only as far as probing stays short. */
static bool make_room(struct rth_live *live)
{
    if (live->count >= live->entries_max)
        return false;
    size_t capacity = capacity_of(live);
    return live->count * 8 < capacity * 5 || grow(live) || live->count * 8 < capacity * 7;
}

bool rth__live_put_locked(struct rth_live *live, const struct rth_live_entry *entry,
                          struct rth_live_entry *ret_before, bool *ret_replaced)
{
    *ret_replaced = false;
    /* First: what is there already needs no room. */
    if (rth__live_has_locked(live, entry->key)) {
        size_t slot = slot_of(live, entry->key);
        *ret_before = live->entries[slot];
        *ret_replaced = true;
        live->entries[slot] = *entry;
        return true;
    }
    if (entry->key == 0 || !make_room(live)) {
        live->refused++;
        return false;
    }
    add(live, slot_of(live, entry->key), entry);
    live->count++;
    return true;
}

/* What the entries with this home set; they stand from it on, before the next free slot. */
static uint64_t word_of(const struct rth_live *live, size_t home)
{
    size_t mask = capacity_of(live) - 1;
    uint64_t word = 0;
    for (size_t slot = home; live->entries[slot].key != 0; slot = (slot + 1) & mask) {
        uint64_t hash = rth__heap_filter_hash(live->entries[slot].key);
        if ((size_t)(hash >> (64 - live->capacity_log2)) == home)
            word |= rth__heap_filter_mask(hash);
    }
    return word;
}

bool rth__live_take_locked(struct rth_live *live, uintptr_t key, struct rth_live_entry *ret_entry)
{
    if (key == 0 || live->count == 0)
        return false;
    size_t mask = capacity_of(live) - 1, slot = slot_of(live, key);
    if (live->entries[slot].key == 0)
        return false;
    *ret_entry = live->entries[slot];
    /* Those behind it that would no longer be found move up. */
    size_t hole = slot;
    for (size_t next = (slot + 1) & mask; live->entries[next].key != 0; next = (next + 1) & mask) {
        size_t home = home_of(live, live->entries[next].key);
        if (((next - home) & mask) < ((next - hole) & mask))
            continue;
        live->entries[hole] = live->entries[next];
        hole = next;
    }
    live->entries[hole].key = 0;
    live->count--;
    if (live->filter != NULL) {
        size_t home = home_of(live, key);
        word_store(live, home, word_of(live, home));
    }
    return true;
}

void rth__live_clear_locked(struct rth_live *live)
{
    for (size_t i = 0; i < capacity_of(live); i++) {
        live->entries[i].key = 0;
        word_store(live, i, 0);
    }
    live->count = 0;
}

size_t rth__live_bytes(const struct rth_live *live)
{
    if (live->capacity_log2 == 0)
        return 0;
    size_t bytes = sizeof(*live->entries) << live->capacity_log2;
    /* The filters that were replaced add up to less than this one. */
    return live->filter == NULL ? bytes : bytes + 2 * filter_bytes(live->capacity_log2);
}

void rth__live_child_reset(struct rth_live *live)
{
    *live = (struct rth_live){.entries_max = live->entries_max, .filter_place = live->filter_place};
}
