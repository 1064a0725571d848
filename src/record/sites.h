/* SPDX-License-Identifier: MIT */
#ifndef RTH_RECORD_SITES_H
#define RTH_RECORD_SITES_H

/*
 * Sites: for one kind of profile that counts what is held (heap, mappings, a program's own
 * resources), a row per (stack, label set) with what was added there and what was removed again.
 * A row keeps its number while anything of it is held, so that whoever removes needs no stack.
 * Rows of which nothing is left make room when the table is full; their sums move to the overflow
 * row of their profile, so its totals stay true.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/lock.h"
#include "record/module.h"

#define RTH_SITES_MAX 16384u
/* Profiles that share a table. Each has a row without a stack for what found no room, whose number
 * is that of its kind. */
#define RTH_SITE_KINDS_MAX 32u
/* That of the one profile whose table is its own. */
#define RTH_SITE_OVERFLOW 0u

/* In the units of the profile; what is held is added minus removed. */
struct rth_site_values {
    uint64_t added_count, added_amount;
    uint64_t removed_count, removed_amount;
};

struct rth_sites_table; /* internal */

/* One kind; static storage: {.lock = RTH_LOCK_INIT(RTH_RANK_SITES)} and zero. The functions named
 * _locked are for the holder of the lock, which may be taken in an allocator's hook: its holder
 * allocates nothing but from the arena, and takes no lock but that of the arena. */
struct rth_sites {
    struct rth_lock lock;
    struct rth_sites_table *table;
};

/* Reserves the rows in the facts region, name at most 10 bytes. 0 or -ENOMEM. One thread at a time.
 * Until then, and in a child until it is done there again, nothing is recorded. */
int rth__sites_init(struct rth_sites *sites, const char *name);

/* The number of the row of a stack, made when it is new; kind, below RTH_SITE_KINDS_MAX, tells
 * profiles apart that share the table. The kind's overflow row, whose number is kind, when there is
 * no room. Whoever will add does so before the lock is given back: a row of which nothing is held
 * may make room for another. Cost: 50 ns for 30 frames. */
uint32_t rth__site_intern_locked(struct rth_sites *sites, uint32_t kind, const rth_frame *frames,
                                 unsigned count, uint32_t label_set);
/* count and amount become held by a row, or stop to be; one removes what was added before. */
void rth__site_add_locked(struct rth_sites *sites, uint32_t site, uint64_t count, uint64_t amount);
void rth__site_remove_locked(struct rth_sites *sites, uint32_t site, uint64_t count,
                             uint64_t amount);

/* Takes an addition back: what was added turned out not to be there. */
void rth__site_take_back_locked(struct rth_sites *sites, uint32_t site, uint64_t count,
                                uint64_t amount);

/* Takes a removal back: what was removed under that identity turned out to stay. */
uint64_t rth__site_identity_locked(const struct rth_sites *sites, uint32_t site);
/* Returns the row that holds it now. */
uint32_t rth__site_restore_locked(struct rth_sites *sites, uint32_t site, uint64_t identity,
                                  uint64_t count, uint64_t amount);

/* All rows at one moment: a copy. */
struct rth_site_row {
    uint64_t identity; /* the same for the same row in another copy, and never that of another */
    uint32_t kind, label_set;
    const rth_frame *frames; /* in the copy; NULL with frame_count 0 for an overflow row */
    unsigned frame_count;
    struct rth_site_values values;
};
struct rth_sites_copy {
    size_t count;
    struct rth_site_row *rows; /* rising by identity; rows with all values zero are left out */
    size_t size_bytes;         /* internal */
};
/* Takes the lock for about 50 us per 1,000 rows. -ENOMEM. rth-work. */
int rth__sites_copy(struct rth_sites *sites, struct rth_sites_copy *ret_copy);
void rth__sites_copy_free(struct rth_sites_copy *copy);
/* The row with that identity, NULL when there is none. */
const struct rth_site_row *rth__sites_copy_find(const struct rth_sites_copy *copy,
                                                uint64_t identity);

/* A count in units of 2^-shift, to the nearest whole one. */
static inline int64_t rth__site_count_rounded(uint64_t count, unsigned shift)
{
    return (int64_t)(shift == 0 ? count : (count + (UINT64_C(1) << (shift - 1))) >> shift);
}

struct rth_sites_counts {
    uint32_t rows;       /* in use, but for the overflow rows */
    uint64_t overflowed; /* stacks that found no room */
    uint64_t evicted;    /* rows of which nothing was left, and which made room */
};
struct rth_sites_counts rth__sites_counts(struct rth_sites *sites);

/* Nothing is recorded any more; numbers of rows mean nothing from here on. */
void rth__sites_clear(struct rth_sites *sites);

/* In an adopted child: nothing is recorded. */
void rth__sites_child_reset(struct rth_sites *sites);

#endif /* RTH_RECORD_SITES_H */
