/* SPDX-License-Identifier: MIT */
#ifndef EXAMPLE_CACHE_H
#define EXAMPLE_CACHE_H

/*
 * A cache in memory: values by key, the oldest ones go first. It has no size of its own: it grows
 * until rthooks says that the process has no more to give, and shrinks when asked to.
 */

#include <stddef.h>
#include <stdint.h>

struct cache;

struct cache_stats {
    uint64_t inserted_bytes, evicted_bytes, refused;
    uint64_t live_bytes;
    uint64_t live_min_bytes; /* the least that was left by an eviction */
};

/* 0 or a negative errno. */
int cache_new(struct cache **ret_cache);
void cache_free(struct cache *cache);

/* Keeps a value of size_bytes under that key, in place of one that is there. write fills it. 0;
 * -EAGAIN: there is no room for it now; -ENOMEM. */
int cache_put(struct cache *cache, uint64_t key, size_t size_bytes,
              void (*write)(void *value, size_t size_bytes, uint64_t key));
/* Calls read with the value while nobody can take it away. 0 or -ENOENT. */
int cache_get(struct cache *cache, uint64_t key,
              void (*read)(const void *value, size_t size_bytes, void *userdata), void *userdata);

void cache_stats_read(struct cache *cache, struct cache_stats *ret_stats);

#endif /* EXAMPLE_CACHE_H */
