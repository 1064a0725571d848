/* SPDX-License-Identifier: MIT */
/*
 * The stack table of a generation: a hash table of word offsets into an array of words that only
 * grows. A stack is one head word (its hash and frame count) and its frames. A writer fills words
 * of its own first and publishes them by a compare-and-swap of the hash entry; whoever loses to an
 * equal stack has wasted its words, which is bounded by the number of threads that raced.
 */
#include "record/stacks.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "record/facts.h"
#include "record/generation.h"

#define ENTRIES    (1u << 15) /* hash entries, at most three quarters of them used */
#define WORDS      (1u << 18) /* 2 MiB: some 10,000 stacks of 25 frames */
#define PROBES     64u
#define FRAMES_MAX 1024u

struct table {
    _Atomic uint32_t words_used; /* may run past WORDS: those that asked then were refused */
    _Atomic uint32_t stack_count;
    _Atomic uint32_t entries[ENTRIES]; /* offset of the head word; 0: free */
    uint64_t words[WORDS];             /* [0] is never used: offset 0 means none */
};

static struct table *tables[RTH_GENERATIONS];

int rth__stacks_init(void)
{
    for (unsigned slot = 0; slot < RTH_GENERATIONS; slot++) {
        if (tables[slot] != NULL)
            continue;
        char name[16];
        (void)snprintf(name, sizeof(name), "stacks.%u", slot);
        tables[slot] = rth__facts_reserve(name, sizeof(*tables[slot]));
        if (tables[slot] == NULL)
            return -ENOMEM;
    }
    return 0;
}

static uint32_t hash_of(const rth_frame *frames, unsigned count)
{
    uint64_t hash = count;
    for (unsigned i = 0; i < count; i++) {
        hash = (hash ^ frames[i]) * UINT64_C(0x9e3779b97f4a7c15);
        hash ^= hash >> 29;
    }
    return (uint32_t)(hash ^ hash >> 32);
}

static uint64_t head_of(uint32_t hash, unsigned count)
{
    return (uint64_t)hash << 32 | count;
}

static bool same_stack(const struct table *table, uint32_t offset, uint64_t head,
                       const rth_frame *frames, unsigned count)
{
    return table->words[offset] == head &&
           memcmp(&table->words[offset + 1], frames, count * sizeof(*frames)) == 0;
}

/* Words of the writer's own, filled; 0 when there is no room. */
static uint32_t store(struct table *table, uint64_t head, const rth_frame *frames, unsigned count)
{
    uint32_t need = count + 1;
    /* Looked at first, so that a full table does not count up for ever. */
    uint32_t used = atomic_load_explicit(&table->words_used, memory_order_relaxed);
    if (used >= WORDS - need)
        return 0;
    uint32_t offset = atomic_fetch_add_explicit(&table->words_used, need, memory_order_relaxed) + 1;
    if (offset > WORDS - need)
        return 0;
    table->words[offset] = head;
    memcpy(&table->words[offset + 1], frames, count * sizeof(*frames));
    return offset;
}

uint32_t rth__stack_intern_sigsafe(unsigned slot, const rth_frame *frames, unsigned count)
{
    struct table *table = tables[slot];
    if (table == NULL || count == 0 || count > FRAMES_MAX)
        return RTH_STACK_OVERFLOW;
    uint32_t hash = hash_of(frames, count);
    uint64_t head = head_of(hash, count);
    uint32_t mine = 0;
    for (uint32_t probe = 0; probe < PROBES; probe++) {
        _Atomic uint32_t *entry = &table->entries[(hash + probe) & (ENTRIES - 1)];
        uint32_t offset = atomic_load_explicit(entry, memory_order_acquire);
        if (offset == 0) {
            if (mine == 0)
                mine = store(table, head, frames, count);
            if (mine == 0)
                return RTH_STACK_OVERFLOW;
            if (atomic_compare_exchange_strong_explicit(entry, &offset, mine, memory_order_acq_rel,
                                                        memory_order_acquire)) {
                atomic_fetch_add_explicit(&table->stack_count, 1, memory_order_relaxed);
                return mine;
            }
        }
        if (same_stack(table, offset, head, frames, count))
            return offset;
    }
    return RTH_STACK_OVERFLOW;
}

const rth_frame *rth__stack_frames(unsigned slot, uint32_t id, unsigned *ret_count)
{
    const struct table *table = tables[slot];
    if (table == NULL || id == RTH_STACK_OVERFLOW || id >= WORDS) {
        *ret_count = 0;
        return NULL;
    }
    *ret_count = (uint32_t)table->words[id];
    return &table->words[id + 1];
}

bool rth__stacks_nearly_full(unsigned slot)
{
    const struct table *table = tables[slot];
    return table != NULL &&
           (atomic_load_explicit(&table->words_used, memory_order_relaxed) > WORDS / 4 * 3 ||
            atomic_load_explicit(&table->stack_count, memory_order_relaxed) > ENTRIES / 4 * 3);
}

void rth__stacks_clear(unsigned slot)
{
    if (tables[slot] != NULL)
        rth__facts_clear(tables[slot], sizeof(*tables[slot]));
}

uint64_t rth__stacks_count(unsigned slot)
{
    return tables[slot] != NULL
               ? atomic_load_explicit(&tables[slot]->stack_count, memory_order_relaxed)
               : 0;
}

void rth__stacks_child_reset(void)
{
    memset(tables, 0, sizeof(tables));
}
