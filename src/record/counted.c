/* SPDX-License-Identifier: MIT */
/*
 * Rows of counters, an open-addressing table per generation. A row is claimed by a
 * compare-and-swap of its key and counts by relaxed adds, so that writers in signal handlers never
 * wait. A reader sees each counter at some moment during its walk: what was added meanwhile counts
 * for this capture or the next one, never twice.
 */
#include "record/counted.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "core/arena.h"
#include "record/facts.h"
#include "record/stacks.h"

#define ROWS           8192u
#define PROBES         64u
#define KINDS_MAX      6u
#define SNAPSHOT_SLACK 64u /* rows that may be claimed while a snapshot is taken */
#define OVERFLOWED     0u  /* index of the row for what found no room; its key is never set */

struct row {
    _Atomic uint64_t key; /* stack id << 32 | label set + 1; 0: free */
    _Atomic uint64_t values[RTH_COUNTED_VALUES];
};

struct rth_counted_rows {
    _Atomic uint32_t used;
    uint32_t reserved;
    struct row rows[ROWS];
};

/* All kinds, for housekeeping. rth-work's. */
static struct rth_counted *kinds[KINDS_MAX];
static unsigned kind_count;

int rth__counted_init(struct rth_counted *counted)
{
    int error = rth__stacks_init();
    for (unsigned slot = 0; slot < RTH_GENERATIONS && error == 0; slot++) {
        if (counted->rows[slot] != NULL)
            continue;
        char name[16];
        (void)snprintf(name, sizeof(name), "%s.%u", counted->name, slot);
        counted->rows[slot] = rth__facts_reserve(name, sizeof(*counted->rows[slot]));
        if (counted->rows[slot] == NULL)
            error = -ENOMEM;
    }
    if (error != 0)
        return error;
    for (unsigned i = 0; i < kind_count; i++)
        if (kinds[i] == counted)
            return 0;
    if (kind_count == KINDS_MAX)
        return -ENOMEM;
    kinds[kind_count++] = counted;
    return 0;
}

static uint32_t index_hash(uint64_t key)
{
    key *= UINT64_C(0x9e3779b97f4a7c15);
    return (uint32_t)(key >> 40);
}

/* The row of a key, claimed when it is new; the overflow row when there is no room. */
static struct row *row_of(struct rth_counted_rows *rows, uint32_t stack_id, uint32_t label_set)
{
    if (stack_id == RTH_STACK_OVERFLOW)
        return &rows->rows[OVERFLOWED];
    uint64_t key = (uint64_t)stack_id << 32 | (label_set + UINT64_C(1));
    uint32_t hash = index_hash(key);
    for (uint32_t probe = 0; probe < PROBES; probe++) {
        uint32_t index = (hash + probe) & (ROWS - 1);
        if (index == OVERFLOWED)
            continue;
        struct row *row = &rows->rows[index];
        uint64_t found = atomic_load_explicit(&row->key, memory_order_relaxed);
        if (found == 0 && atomic_compare_exchange_strong_explicit(
                              &row->key, &found, key, memory_order_release, memory_order_relaxed)) {
            atomic_fetch_add_explicit(&rows->used, 1, memory_order_relaxed);
            return row;
        }
        if (found == key)
            return row;
    }
    return &rows->rows[OVERFLOWED];
}

void rth__counted_add_sigsafe(struct rth_counted *counted, const rth_frame *frames, unsigned count,
                              uint32_t label_set, const uint64_t values[RTH_COUNTED_VALUES])
{
    unsigned slot = rth__generation_enter_sigsafe();
    struct rth_counted_rows *rows = counted->rows[slot];
    if (rows != NULL) {
        struct row *row = row_of(rows, rth__stack_intern_sigsafe(slot, frames, count), label_set);
        for (unsigned i = 0; i < RTH_COUNTED_VALUES; i++)
            atomic_fetch_add_explicit(&row->values[i], values[i], memory_order_relaxed);
    }
    rth__generation_leave_sigsafe(slot);
}

/* ---- snapshots ----------------------------------------------------------------------------- */

struct kept_row {
    uint32_t index;
    uint64_t values[RTH_COUNTED_VALUES];
};

struct rth_snapshot {
    struct rth_counted *counted;
    unsigned slot; /* pinned */
    size_t count;
    size_t size_bytes;
    struct kept_row rows[]; /* by index, rows in use alone */
};

static bool in_use(const struct rth_counted_rows *rows, uint32_t index)
{
    return index == OVERFLOWED ||
           atomic_load_explicit(&rows->rows[index].key, memory_order_acquire) != 0;
}

static void read_values(const struct rth_counted_rows *rows, uint32_t index,
                        uint64_t ret_values[RTH_COUNTED_VALUES])
{
    for (unsigned i = 0; i < RTH_COUNTED_VALUES; i++)
        ret_values[i] = atomic_load_explicit(&rows->rows[index].values[i], memory_order_relaxed);
}

/* False when rows were claimed meanwhile and the rest found no room. */
static bool keep_rows(const struct rth_counted_rows *rows, struct rth_snapshot *snapshot,
                      size_t room)
{
    snapshot->count = 0;
    for (uint32_t index = 0; rows != NULL && index < ROWS; index++) {
        if (!in_use(rows, index))
            continue;
        if (snapshot->count == room)
            return false;
        struct kept_row *kept = &snapshot->rows[snapshot->count++];
        kept->index = index;
        read_values(rows, index, kept->values);
    }
    return true;
}

struct rth_snapshot *rth__snapshot_take(struct rth_counted *counted)
{
    unsigned slot = rth__generation_pin();
    const struct rth_counted_rows *rows = counted->rows[slot];
    uint32_t used = rows != NULL ? atomic_load_explicit(&rows->used, memory_order_relaxed) : 0;
    size_t room = used + SNAPSHOT_SLACK;
    for (;;) {
        size_t size_bytes = sizeof(struct rth_snapshot) + room * sizeof(struct kept_row);
        struct rth_snapshot *snapshot = rth__arena_alloc_nomalloc(size_bytes);
        if (snapshot == NULL)
            break;
        snapshot->counted = counted;
        snapshot->slot = slot;
        snapshot->size_bytes = size_bytes;
        if (keep_rows(rows, snapshot, room))
            return snapshot;
        rth__arena_free_nomalloc(snapshot, size_bytes);
        room = room * 2 < ROWS ? room * 2 : ROWS; /* all there can be */
    }
    rth__generation_unpin(slot);
    return NULL;
}

void rth__snapshot_free(struct rth_snapshot *snapshot)
{
    if (snapshot == NULL)
        return;
    rth__generation_unpin(snapshot->slot);
    rth__arena_free_nomalloc(snapshot, snapshot->size_bytes);
}

/* Rows of one generation, less what the snapshot kept of it (NULL: nothing). */
static size_t add_differences(const struct rth_counted *counted, unsigned slot,
                              const struct rth_snapshot *base, struct rth_counted_delta *ret_rows,
                              size_t capacity)
{
    const struct rth_counted_rows *rows = counted->rows[slot];
    size_t count = 0;
    size_t kept = 0;
    for (uint32_t index = 0; rows != NULL && index < ROWS && count < capacity; index++) {
        if (!in_use(rows, index))
            continue;
        struct rth_counted_delta delta = {0};
        read_values(rows, index, delta.values);
        if (base != NULL && kept < base->count && base->rows[kept].index == index) {
            for (unsigned i = 0; i < RTH_COUNTED_VALUES; i++)
                delta.values[i] -= base->rows[kept].values[i];
            kept++;
        }
        bool empty = true;
        for (unsigned i = 0; i < RTH_COUNTED_VALUES; i++)
            empty = empty && delta.values[i] == 0;
        if (empty)
            continue;
        uint64_t key = atomic_load_explicit(&rows->rows[index].key, memory_order_relaxed);
        delta.frames = rth__stack_frames(slot, (uint32_t)(key >> 32), &delta.frame_count);
        delta.label_set = index == OVERFLOWED ? RTH_LABEL_SET_NONE : (uint32_t)key - 1;
        ret_rows[count++] = delta;
    }
    return count;
}

int rth__snapshot_difference(const struct rth_snapshot *snapshot,
                             struct rth_counted_delta **ret_rows, size_t *ret_count)
{
    const struct rth_counted *counted = snapshot->counted;
    /* Two tables at most, and rows may still be claimed while we look. */
    size_t capacity = (size_t)RTH_GENERATIONS * ROWS;
    struct rth_counted_delta *rows = rth__arena_alloc_nomalloc(capacity * sizeof(*rows));
    if (rows == NULL)
        return -ENOMEM;
    size_t count = add_differences(counted, snapshot->slot, snapshot, rows, capacity);
    unsigned other = 1 - snapshot->slot;
    if (rth__generation_epoch(other) > rth__generation_epoch(snapshot->slot))
        count += add_differences(counted, other, NULL, rows + count, capacity - count);
    *ret_rows = rows;
    *ret_count = count;
    return 0;
}

void rth__counted_deltas_free(struct rth_counted_delta *rows)
{
    if (rows != NULL)
        rth__arena_free_nomalloc(rows, (size_t)RTH_GENERATIONS * ROWS * sizeof(*rows));
}

/* ---- generations --------------------------------------------------------------------------- */

static void clear_generation(unsigned slot)
{
    rth__stacks_clear(slot);
    for (unsigned i = 0; i < kind_count; i++)
        if (kinds[i]->rows[slot] != NULL)
            rth__facts_clear(kinds[i]->rows[slot], sizeof(*kinds[i]->rows[slot]));
}

static bool nearly_full(unsigned slot)
{
    for (unsigned i = 0; i < kind_count; i++) {
        const struct rth_counted_rows *rows = kinds[i]->rows[slot];
        if (rows != NULL && atomic_load_explicit(&rows->used, memory_order_relaxed) > ROWS / 4 * 3)
            return true;
    }
    return rth__stacks_nearly_full(slot);
}

void rth__record_housekeeping(void)
{
    if (nearly_full(rth__generation_current()))
        (void)rth__generation_rotate(clear_generation);
}

void rth__record_child_reset(void)
{
    rth__facts_child_reset();
    rth__stacks_child_reset();
    rth__generation_child_reset();
    for (unsigned i = 0; i < kind_count; i++)
        memset(kinds[i]->rows, 0, sizeof(kinds[i]->rows));
    kind_count = 0;
}
