/* SPDX-License-Identifier: MIT */
/*
 * A sorted array: finding is a binary search, and making room moves what comes behind. Highest
 * address first, since the kernel gives lower and lower ones: a new mapping nearly always goes to
 * the end, and moves nothing.
 */
#include "profile/mmap/ranges.h"

#include <errno.h>
#include <string.h>

#include "core/arena.h"

#define PIECES_BYTES (RTH_MAP_PIECES_MAX * sizeof(struct rth_map_piece))

/* The first piece, in the array's order, that starts below the address. */
static size_t first_below(const struct rth_map_ranges *ranges, uint64_t address)
{
    size_t low = 0, high = ranges->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (ranges->pieces[middle].start >= address)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* False when the array is full. */
static bool insert(struct rth_map_ranges *ranges, size_t at, const struct rth_map_piece *piece)
{
    if (ranges->count == RTH_MAP_PIECES_MAX) {
        ranges->refused++;
        ranges->refused_bytes += piece->limit - piece->start;
        return false;
    }
    memmove(&ranges->pieces[at + 1], &ranges->pieces[at],
            (ranges->count - at) * sizeof(*ranges->pieces));
    ranges->pieces[at] = *piece;
    ranges->count++;
    return true;
}

static void erase(struct rth_map_ranges *ranges, size_t first, size_t limit)
{
    memmove(&ranges->pieces[first], &ranges->pieces[limit],
            (ranges->count - limit) * sizeof(*ranges->pieces));
    ranges->count -= limit - first;
}

static bool has_sibling(const struct rth_map_ranges *ranges, const struct rth_map_piece *piece)
{
    for (size_t i = 0; i < ranges->count; i++)
        if (ranges->pieces[i].number == piece->number && &ranges->pieces[i] != piece &&
            ranges->pieces[i].start != ranges->pieces[i].limit)
            return true;
    return false;
}

/* The whole of a piece has gone. It becomes empty, so that it is no sibling any more. */
static void piece_gone(struct rth_map_ranges *ranges, struct rth_map_piece *piece)
{
    bool is_last = !piece->is_split || !has_sibling(ranges, piece);
    rth__site_remove_locked(ranges->sites, piece->site, is_last, piece->limit - piece->start);
    piece->limit = piece->start;
}

/* A part of a piece has gone, and the rest still holds its site. */
static void part_gone(struct rth_map_ranges *ranges, const struct rth_map_piece *piece,
                      uint64_t bytes)
{
    rth__site_add_locked(ranges->sites, piece->site, 0, 0);
    rth__site_remove_locked(ranges->sites, piece->site, 0, bytes);
}

/* [start, limit) lies inside the piece, and something is left on both sides. */
static void punch(struct rth_map_ranges *ranges, size_t at, uint64_t start, uint64_t limit)
{
    struct rth_map_piece *upper = &ranges->pieces[at];
    struct rth_map_piece lower = *upper;
    lower.is_split = upper->is_split = true;
    lower.limit = start;
    upper->start = limit;
    part_gone(ranges, &lower, limit - start);
    if (insert(ranges, at + 1, &lower))
        rth__site_add_locked(ranges->sites, lower.site, 0, 0);
    else
        part_gone(ranges, &lower, lower.limit - lower.start);
}

int rth__map_ranges_init(struct rth_map_ranges *ranges, struct rth_sites *sites)
{
    struct rth_map_piece *pieces = ranges->pieces;
    if (pieces == NULL)
        pieces = rth__arena_alloc_nomalloc(PIECES_BYTES);
    if (pieces == NULL)
        return -ENOMEM;
    RTH__LOCK_SCOPE(&sites->lock);
    rth__map_ranges_take_locked(ranges, 0, UINT64_MAX, UINT64_MAX);
    *ranges = (struct rth_map_ranges){.sites = sites, .pieces = pieces};
    return 0;
}

void rth__map_ranges_take_locked(struct rth_map_ranges *ranges, uint64_t start, uint64_t limit,
                                 uint64_t last_number)
{
    if (ranges->pieces == NULL || start >= limit)
        return;
    size_t at = first_below(ranges, limit);
    size_t kept = at;
    for (; at < ranges->count && ranges->pieces[at].limit > start; at++) {
        struct rth_map_piece *piece = &ranges->pieces[at];
        if (piece->number <= last_number) {
            if (piece->start < start && piece->limit > limit) {
                punch(ranges, at, start, limit);
                return; /* nothing else can be in there */
            }
            if (piece->start < start) {
                part_gone(ranges, piece, piece->limit - start);
                piece->limit = start;
            } else if (piece->limit > limit) {
                part_gone(ranges, piece, limit - piece->start);
                piece->start = limit;
            } else {
                piece_gone(ranges, piece);
                continue;
            }
        }
        if (kept != at) {
            ranges->pieces[kept] = *piece;
            piece->limit = piece->start; /* a copy is no sibling of itself */
        }
        kept++;
    }
    erase(ranges, kept, at);
}

void rth__map_ranges_add_locked(struct rth_map_ranges *ranges, uint64_t start, uint64_t limit,
                                uint64_t number, uint32_t site)
{
    if (ranges->pieces == NULL || start >= limit)
        return;
    rth__map_ranges_take_locked(ranges, start, limit, UINT64_MAX);
    struct rth_map_piece piece = {.start = start, .limit = limit, .number = number, .site = site};
    rth__site_add_locked(ranges->sites, site, 1, limit - start);
    if (!insert(ranges, first_below(ranges, start), &piece))
        rth__site_remove_locked(ranges->sites, site, 1, limit - start);
}

bool rth__map_ranges_hold_locked(const struct rth_map_ranges *ranges, uint64_t address)
{
    if (ranges->pieces == NULL)
        return false;
    size_t at = address != UINT64_MAX ? first_below(ranges, address + 1) : ranges->count;
    return at < ranges->count && ranges->pieces[at].limit > address;
}

void rth__map_ranges_settle_locked(struct rth_map_ranges *ranges, uint64_t number, uint64_t bytes,
                                   uint32_t site)
{
    uint64_t left_bytes = 0;
    bool is_held = false;
    for (size_t i = 0; i < ranges->count; i++) {
        struct rth_map_piece *piece = &ranges->pieces[i];
        if (piece->number != number || piece->site != RTH_MAP_SITE_PENDING)
            continue;
        piece->site = site;
        rth__site_add_locked(ranges->sites, site, is_held ? 0 : 1, is_held ? 0 : bytes);
        left_bytes += piece->limit - piece->start;
        is_held = true;
    }
    if (!is_held)
        rth__site_add_locked(ranges->sites, site, 1, bytes);
    else
        rth__site_add_locked(ranges->sites, site, 0, 0);
    rth__site_remove_locked(ranges->sites, site, is_held ? 0 : 1, bytes - left_bytes);
}

uint64_t rth__map_ranges_bytes_locked(const struct rth_map_ranges *ranges)
{
    uint64_t bytes = 0;
    for (size_t i = 0; i < ranges->count; i++)
        bytes += ranges->pieces[i].limit - ranges->pieces[i].start;
    return bytes;
}

void rth__map_ranges_child_reset(struct rth_map_ranges *ranges)
{
    *ranges = (struct rth_map_ranges){0};
}
