/* SPDX-License-Identifier: MIT */
/*
 * A hash table of offsets into an array that only grows, as in stacks.c: a writer fills space of
 * its own first and publishes it by a compare-and-swap of the hash entry. A fork between the two
 * leaves a child with some unused space.
 */
#include "record/strings.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <string.h>

#include "record/facts.h"

#define ENTRIES (1u << 14)
#define UNITS   (1u << 16) /* of 8 bytes: 512 KiB, some 16,000 strings of 20 bytes */
#define PROBES  64u

/* What an id is the position of, followed by the text and its NUL. */
struct head {
    uint32_t hash;
    uint32_t length;
};
_Static_assert(sizeof(struct head) == sizeof(uint64_t), "a head is a unit");

struct table {
    _Atomic uint32_t units_used; /* may run past UNITS: those that asked then were refused */
    _Atomic uint32_t count;
    _Atomic uint32_t entries[ENTRIES]; /* position of the head; 0: free */
    uint64_t units[UNITS];             /* [0] is never used: position 0 means none */
};

/* Written once, before anybody has an id. */
static struct table *_Atomic shared_table;

int rth__strings_init(void)
{
    if (atomic_load_explicit(&shared_table, memory_order_relaxed) != NULL)
        return 0;
    struct table *table = rth__facts_reserve_inherited("strings", sizeof(*table));
    if (table == NULL)
        return -ENOMEM;
    atomic_store_explicit(&shared_table, table, memory_order_release);
    return 0;
}

static uint64_t mixed(uint64_t hash, uint64_t piece)
{
    hash = (hash ^ piece) * UINT64_C(0x9e3779b97f4a7c15);
    return hash ^ hash >> 32;
}

static uint32_t hash_of(const char *text, size_t length)
{
    uint64_t hash = length, piece;
    for (; length >= sizeof(piece); length -= sizeof(piece), text += sizeof(piece)) {
        memcpy(&piece, text, sizeof(piece));
        hash = mixed(hash, piece);
    }
    for (piece = 0; length > 0; length--)
        piece = piece << 8 | (unsigned char)*text++;
    hash = mixed(hash, piece);
    /* Strings that differ in their last byte alone differ in the upper half alone so far. */
    return (uint32_t)(hash * UINT64_C(0x9e3779b97f4a7c15) >> 32);
}

static const struct head *head_at(const struct table *table, uint32_t position)
{
    return (const struct head *)(const void *)&table->units[position];
}

static bool is_same(const struct table *table, uint32_t position, uint32_t hash, const char *text,
                    size_t length)
{
    const struct head *head = head_at(table, position);
    return head->hash == hash && head->length == length && memcmp(head + 1, text, length) == 0;
}

/* Space of the writer's own, filled; 0 when there is none. */
static uint32_t store(struct table *table, uint32_t hash, const char *text, size_t length)
{
    uint32_t need = 1 + (uint32_t)(length / sizeof(uint64_t)) + 1;
    /* Looked at first, so that a full table does not count up for ever. */
    if (atomic_load_explicit(&table->units_used, memory_order_relaxed) >= UNITS - need)
        return 0;
    uint32_t position =
        atomic_fetch_add_explicit(&table->units_used, need, memory_order_relaxed) + 1;
    if (position > UNITS - need)
        return 0;
    struct head head = {hash, (uint32_t)length};
    memcpy(&table->units[position], &head, sizeof(head));
    /* The NUL is there: the memory was zero. */
    memcpy(&table->units[position + 1], text, length);
    return position;
}

uint32_t rth__string_intern_sigsafe(const char *text, size_t length)
{
    struct table *table = atomic_load_explicit(&shared_table, memory_order_acquire);
    if (table == NULL || length > RTH_STRING_BYTES_MAX)
        return RTH_STRING_NONE;
    uint32_t hash = hash_of(text, length);
    uint32_t mine = 0;
    for (uint32_t probe = 0; probe < PROBES; probe++) {
        _Atomic uint32_t *entry = &table->entries[(hash + probe) & (ENTRIES - 1)];
        uint32_t position = atomic_load_explicit(entry, memory_order_acquire);
        if (position == 0) {
            if (mine == 0)
                mine = store(table, hash, text, length);
            if (mine == 0)
                return RTH_STRING_NONE;
            if (atomic_compare_exchange_strong_explicit(
                    entry, &position, mine, memory_order_acq_rel, memory_order_acquire)) {
                atomic_fetch_add_explicit(&table->count, 1, memory_order_relaxed);
                return mine;
            }
        }
        if (is_same(table, position, hash, text, length))
            return position;
    }
    return RTH_STRING_NONE;
}

const char *rth__string_text(uint32_t id)
{
    const struct table *table = atomic_load_explicit(&shared_table, memory_order_acquire);
    if (table == NULL || id == RTH_STRING_NONE || id >= UNITS - 1)
        return NULL;
    return (const char *)&table->units[id + 1];
}

uint32_t rth__strings_count(void)
{
    const struct table *table = atomic_load_explicit(&shared_table, memory_order_acquire);
    return table != NULL ? atomic_load_explicit(&table->count, memory_order_relaxed) : 0;
}
