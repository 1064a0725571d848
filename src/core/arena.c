/* SPDX-License-Identifier: MIT */
/*
 * Our own memory.
 *
 * Purpose: everything rthooks keeps lives here, so that none of it needs the host's malloc (which
 * may be what is wedged) and the host's allocator statistics stay the host's own.
 * Shape: power-of-two classes. Up to SMALL_MAX_BYTES blocks are carved from 256 KiB chunks; above
 * that each block is a mapping of its own, unmapped when freed. Freed small blocks wait on a list
 * per class, linked through their first word.
 * Threads: any; one lock (RTH_RANK_ARENA), held for a few instructions or one mmap.
 * Failure: NULL and a count; callers degrade and say so. Cost: tens of nanoseconds, an mmap per
 * 256 KiB.
 */
#include "core/arena.h"

#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>

#include "core/lock.h"
#include "os/rawsys.h"

#define CLASS_MIN_SHIFT 6u /* 64 B */
#define CLASS_COUNT     11u
#define SMALL_MAX_BYTES ((size_t)1 << (CLASS_MIN_SHIFT + CLASS_COUNT - 1)) /* 64 KiB */
#define CHUNK_BYTES     ((size_t)256 * 1024)
#define PAGE_BYTES      ((size_t)4096)
#define CAP_BYTES       ((uint64_t)128 * 1024 * 1024)

#ifndef PR_SET_VMA
#define PR_SET_VMA           0x53564d41
#define PR_SET_VMA_ANON_NAME 0
#endif

struct free_block {
    struct free_block *next;
};

static struct rth_lock arena_lock = RTH_LOCK_INIT(RTH_RANK_ARENA);
/* All below: protected by arena_lock. */
static struct free_block *free_lists[CLASS_COUNT];
static char *chunk;
static size_t chunk_left_bytes;
static struct rth_arena_stats stats = {.cap_bytes = CAP_BYTES};

static void *map_pages(size_t size_bytes, int flags)
{
    void *pages = rth__raw_map_sigsafe(size_bytes, flags);
    if (pages == NULL)
        return NULL;
    /* Kernels without anonymous names refuse; the name is a courtesy to readers of maps. */
    (void)prctl(PR_SET_VMA, PR_SET_VMA_ANON_NAME, pages, size_bytes, "rthooks");
    return pages;
}

static size_t round_up(size_t size_bytes, size_t unit_bytes)
{
    return (size_bytes + unit_bytes - 1) & ~(unit_bytes - 1);
}

static unsigned class_of(size_t size_bytes)
{
    unsigned index = 0;
    while (((size_t)1 << (CLASS_MIN_SHIFT + index)) < size_bytes)
        index++;
    return index;
}

static bool within_cap_locked(size_t size_bytes)
{
    if (stats.mapped_bytes + size_bytes <= stats.cap_bytes)
        return true;
    stats.refused++;
    return false;
}

static void *map_counted_locked(size_t size_bytes)
{
    if (!within_cap_locked(size_bytes))
        return NULL;
    void *pages = map_pages(size_bytes, MAP_PRIVATE);
    if (pages == NULL)
        stats.refused++;
    else
        stats.mapped_bytes += size_bytes;
    return pages;
}

static void *carve_locked(size_t class_bytes)
{
    if (chunk_left_bytes < class_bytes) {
        /* The rest of the old chunk is given up: at most one block of the largest class. */
        char *fresh = map_counted_locked(CHUNK_BYTES);
        if (fresh == NULL)
            return NULL;
        chunk = fresh;
        chunk_left_bytes = CHUNK_BYTES;
    }
    /* Blocks of a page or more start on a page: carve those from the end, small ones from the
     * front, and both stay aligned to their class. */
    if (class_bytes >= PAGE_BYTES) {
        size_t end = (size_t)(chunk + chunk_left_bytes) & ~(PAGE_BYTES - 1);
        if (end - class_bytes < (size_t)chunk)
            return NULL;
        chunk_left_bytes = end - class_bytes - (size_t)chunk;
        return chunk + chunk_left_bytes;
    }
    char *block = chunk;
    chunk += class_bytes;
    chunk_left_bytes -= class_bytes;
    return block;
}

void *rth__arena_alloc_nomalloc(size_t size_bytes)
{
    if (size_bytes == 0)
        size_bytes = 1;
    if (size_bytes > CAP_BYTES)
        return NULL;
    RTH__LOCK_SCOPE(&arena_lock);
    if (size_bytes > SMALL_MAX_BYTES) {
        size_t mapped_bytes = round_up(size_bytes, PAGE_BYTES);
        void *pages = map_counted_locked(mapped_bytes);
        if (pages != NULL)
            stats.used_bytes += mapped_bytes;
        return pages;
    }
    unsigned index = class_of(size_bytes);
    size_t class_bytes = (size_t)1 << (CLASS_MIN_SHIFT + index);
    struct free_block *block = free_lists[index];
    if (block != NULL) {
        free_lists[index] = block->next;
        memset(block, 0, class_bytes);
    } else {
        block = carve_locked(class_bytes);
    }
    if (block != NULL)
        stats.used_bytes += class_bytes;
    return block;
}

void rth__arena_free_nomalloc(void *block, size_t size_bytes)
{
    if (block == NULL)
        return;
    if (size_bytes == 0)
        size_bytes = 1;
    RTH__LOCK_SCOPE(&arena_lock);
    if (size_bytes > SMALL_MAX_BYTES) {
        size_t mapped_bytes = round_up(size_bytes, PAGE_BYTES);
        rth__raw_unmap_sigsafe(block, mapped_bytes);
        stats.mapped_bytes -= mapped_bytes;
        stats.used_bytes -= mapped_bytes;
        return;
    }
    unsigned index = class_of(size_bytes);
    struct free_block *freed = block;
    freed->next = free_lists[index];
    free_lists[index] = freed;
    stats.used_bytes -= (uint64_t)1 << (CLASS_MIN_SHIFT + index);
}

void rth__arena_stats(struct rth_arena_stats *ret_stats)
{
    RTH__LOCK_SCOPE(&arena_lock);
    *ret_stats = stats;
}

void rth__arena_child_reset(void)
{
    /* A thread of the parent may have held the lock half-way through a list operation, so the
     * inherited chunks are abandoned rather than repaired: they stay copy-on-write, untouched. */
    rth__lock_reset(&arena_lock);
    memset(free_lists, 0, sizeof(free_lists));
    chunk = NULL;
    chunk_left_bytes = 0;
    memset(&stats, 0, sizeof(stats));
    stats.cap_bytes = CAP_BYTES;
}

void *rth__arena_map_wipeonfork_nomalloc(size_t size_bytes)
{
    size_bytes = round_up(size_bytes, PAGE_BYTES);
    void *pages = map_pages(size_bytes, MAP_PRIVATE);
    if (pages == NULL)
        return NULL;
    if (madvise(pages, size_bytes, MADV_WIPEONFORK) != 0) {
        rth__raw_unmap_sigsafe(pages, size_bytes);
        return NULL;
    }
    RTH__LOCK_SCOPE(&arena_lock);
    stats.reserved_bytes += size_bytes;
    return pages;
}

void *rth__arena_map_shared_nomalloc(size_t size_bytes)
{
    return map_pages(round_up(size_bytes, PAGE_BYTES), MAP_SHARED);
}
