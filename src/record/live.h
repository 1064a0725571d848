/* SPDX-License-Identifier: MIT */
#ifndef RTH_RECORD_LIVE_H
#define RTH_RECORD_LIVE_H

/*
 * The live set: which blocks (or whatever else has an address) are held now, and by which site.
 * Exact, bounded, and behind a filter that answers most questions with one load: "this block is
 * certainly not in the set" is what nearly every free asks.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "interpose/abi.h"

struct rth_live_entry {
    uintptr_t key; /* not 0 */
    uint64_t count, amount;
    uint32_t site;
    uint32_t reserved; /* 0 */
};

/* Static storage, zero but for the first two. All functions: with one lock of the caller's, which
 * may be held in an allocator's hook. */
struct rth_live {
    size_t entries_max; /* more are refused */
    /* Where the filter is published whenever it changes; NULL: nobody asks, and there is none. */
    const struct rth_heap_filter **filter_place;
    struct rth_live_entry *entries; /* open addressing */
    struct rth_heap_filter *filter;
    unsigned capacity_log2; /* of entries and of the filter's words; 0: no table yet */
    size_t count;
    uint64_t refused;
};

/* An entry under the same key is replaced, and returned in ret_before with *ret_replaced true.
 * False when the set is full or memory is short; that is counted. */
bool rth__live_put_locked(struct rth_live *live, const struct rth_live_entry *entry,
                          struct rth_live_entry *ret_before, bool *ret_replaced);
bool rth__live_has_locked(const struct rth_live *live, uintptr_t key);
/* The entry under that key, until the set changes; NULL when there is none. */
const struct rth_live_entry *rth__live_find_locked(const struct rth_live *live, uintptr_t key);
/* Takes an entry out; false when there is none under that key. */
bool rth__live_take_locked(struct rth_live *live, uintptr_t key, struct rth_live_entry *ret_entry);
/* Empties the set; its memory stays. */
void rth__live_clear_locked(struct rth_live *live);
/* Bytes of the table and of the filters, the replaced ones with them. */
size_t rth__live_bytes(const struct rth_live *live);
/* In an adopted child, where the arena begins anew: an empty set, whose filter is published with
 * the first entry. Until then the parent's stands there, which says too much, and never too little.
 */
void rth__live_child_reset(struct rth_live *live);

#endif /* RTH_RECORD_LIVE_H */
