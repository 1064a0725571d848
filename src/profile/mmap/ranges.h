/* SPDX-License-Identifier: MIT */
#ifndef RTH_PROFILE_MMAP_RANGES_H
#define RTH_PROFILE_MMAP_RANGES_H

/*
 * The address ranges that are mapped now, each with the site that mapped it. Pieces, highest first
 * and apart: a mapping of which the middle was given back is two. The sums of the sites follow, to
 * the byte; a mapping counts as one until the last of it has gone.
 *
 * Every mapping has a number, rising in the order in which they were added; what is taken out is
 * what is no newer than a given number.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "record/sites.h"

#define RTH_MAP_PIECES_MAX 32768u

/* The site of a mapping whose stack is not known yet: its sums wait as well. */
#define RTH_MAP_SITE_PENDING UINT32_MAX

struct rth_map_piece {
    uint64_t start, limit;
    uint64_t number; /* of the mapping */
    uint32_t site;
    bool is_split; /* there may be other pieces of the mapping */
};

/* All functions but init: with the lock of the sites, which may be held in an allocator: no memory
 * is taken. */
struct rth_map_ranges {
    struct rth_sites *sites;
    struct rth_map_piece *pieces; /* RTH_MAP_PIECES_MAX of them; NULL: nothing is recorded */
    size_t count;
    uint64_t refused;       /* pieces that found no room */
    uint64_t refused_bytes; /* in them */
};

/* 0 or -ENOMEM. What was recorded before is forgotten; its sums stay as removed. */
int rth__map_ranges_init(struct rth_map_ranges *ranges, struct rth_sites *sites);

/* A new mapping; whatever is recorded in its place has gone. */
void rth__map_ranges_add_locked(struct rth_map_ranges *ranges, uint64_t start, uint64_t limit,
                                uint64_t number, uint32_t site);
/* What of [start, limit) belongs to mappings up to last_number is no longer mapped. */
void rth__map_ranges_take_locked(struct rth_map_ranges *ranges, uint64_t start, uint64_t limit,
                                 uint64_t last_number);
bool rth__map_ranges_hold_locked(const struct rth_map_ranges *ranges, uint64_t address);
/* The site of a pending mapping of `bytes` is known; some or all of it may have gone meanwhile. */
void rth__map_ranges_settle_locked(struct rth_map_ranges *ranges, uint64_t number, uint64_t bytes,
                                   uint32_t site);
uint64_t rth__map_ranges_bytes_locked(const struct rth_map_ranges *ranges);

/* In an adopted child, where the arena begins anew. */
void rth__map_ranges_child_reset(struct rth_map_ranges *ranges);

#endif /* RTH_PROFILE_MMAP_RANGES_H */
