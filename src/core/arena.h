/* SPDX-License-Identifier: MIT */
#ifndef RTH_CORE_ARENA_H
#define RTH_CORE_ARENA_H

/*
 * Our own memory, straight from mmap, so that nothing of ours needs the host's malloc. Blocks of
 * power-of-two classes from 64 B to 1 MiB, larger ones mapped alone; freed blocks are kept per
 * class and reused; a cap bounds the whole. Mappings are named for /proc/PID/maps where the
 * kernel can ("rthooks").
 */

#include <stddef.h>
#include <stdint.h>

/* Zeroed memory of at least size_bytes, 16-byte aligned (4096 from 4 KiB on); NULL when the cap or
 * the kernel refuses. */
void *rth__arena_alloc_nomalloc(size_t size_bytes);
/* Gives a block back. size_bytes as asked for. NULL is fine. */
void rth__arena_free_nomalloc(void *block, size_t size_bytes);

struct rth_arena_stats {
    uint64_t mapped_bytes, used_bytes, cap_bytes, refused;
    uint64_t reserved_bytes; /* wiped on fork; outside the cap, and touched only as far as needed */
};
void rth__arena_stats(struct rth_arena_stats *ret_stats);
void rth__arena_child_reset(void);

/* Fresh pages that read as zero in a forked child (MADV_WIPEONFORK); NULL on failure. */
void *rth__arena_map_wipeonfork_nomalloc(size_t size_bytes);
/* Fresh pages shared with children (MAP_SHARED|MAP_ANONYMOUS); NULL on failure. */
void *rth__arena_map_shared_nomalloc(size_t size_bytes);

#endif /* RTH_CORE_ARENA_H */
