/* SPDX-License-Identifier: MIT */
#include "cache.h"

#include <errno.h>
#include <pthread.h>
#include <rthooks/limits.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* Threads meet at a lock seldom, and whoever evicts finds one that is free. */
#define SHARDS  16u
#define BUCKETS 4096u

struct entry {
    struct entry *next_in_bucket;
    struct entry *older, *newer;
    uint64_t key;
    size_t size_bytes;
    unsigned char value[];
};

struct shard {
    pthread_mutex_t lock;
    struct entry *oldest, *newest;
    struct entry *buckets[BUCKETS];
};

struct cache {
    struct shard shards[SHARDS];
    struct rth_shrinker *shrinker;
    _Atomic unsigned evict_from; /* shard where the next eviction begins */
    _Atomic uint64_t live_bytes, inserted_bytes, evicted_bytes, refused;
    _Atomic uint64_t live_min_bytes;
};

static struct entry **bucket_of(struct shard *shard, uint64_t key)
{
    return &shard->buckets[(key >> 4) * UINT64_C(0x9e3779b97f4a7c15) >> 52];
}

static struct shard *shard_of(struct cache *cache, uint64_t key)
{
    return &cache->shards[key % SHARDS];
}

/* ---- a shard, with its lock held ------------------------------------------------------------- */

static struct entry *find(struct shard *shard, uint64_t key)
{
    struct entry *entry = *bucket_of(shard, key);
    while (entry != NULL && entry->key != key)
        entry = entry->next_in_bucket;
    return entry;
}

static void take_out(struct shard *shard, struct entry *entry)
{
    struct entry **link = bucket_of(shard, entry->key);
    while (*link != entry)
        link = &(*link)->next_in_bucket;
    *link = entry->next_in_bucket;
    if (entry->older != NULL)
        entry->older->newer = entry->newer;
    else
        shard->oldest = entry->newer;
    if (entry->newer != NULL)
        entry->newer->older = entry->older;
    else
        shard->newest = entry->older;
}

static void put_in(struct shard *shard, struct entry *entry)
{
    struct entry **bucket = bucket_of(shard, entry->key);
    entry->next_in_bucket = *bucket;
    *bucket = entry;
    entry->newer = NULL;
    entry->older = shard->newest;
    if (shard->newest != NULL)
        shard->newest->newer = entry;
    else
        shard->oldest = entry;
    shard->newest = entry;
}

/* ---- eviction -------------------------------------------------------------------------------- */

/* Takes the oldest entries out, about wanted_bytes of them, and returns them linked by `newer`. */
static struct entry *take_oldest(struct shard *shard, uint64_t wanted_bytes)
{
    struct entry *taken = NULL;
    uint64_t bytes = 0;
    while (bytes < wanted_bytes && shard->oldest != NULL) {
        struct entry *entry = shard->oldest;
        take_out(shard, entry);
        bytes += entry->size_bytes;
        entry->newer = taken;
        taken = entry;
    }
    return taken;
}

/* Returns the bytes of values; and of all, as they were admitted. */
static uint64_t free_all(struct entry *entries, uint64_t *ret_all_bytes)
{
    uint64_t value_bytes = 0, all_bytes = 0;
    while (entries != NULL) {
        struct entry *next = entries->newer;
        value_bytes += entries->size_bytes;
        all_bytes += sizeof(*entries) + entries->size_bytes;
        free(entries);
        entries = next;
    }
    *ret_all_bytes = all_bytes;
    return value_bytes;
}

static bool is_late(int64_t deadline_ns)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * INT64_C(1000000000) + now.tv_nsec >= deadline_ns;
}

static void note_evicted(struct cache *cache, uint64_t bytes)
{
    atomic_fetch_add(&cache->evicted_bytes, bytes);
    uint64_t left = atomic_fetch_sub(&cache->live_bytes, bytes) - bytes;
    uint64_t least = atomic_load(&cache->live_min_bytes);
    while (left < least && !atomic_compare_exchange_weak(&cache->live_min_bytes, &least, left))
        ;
}

static uint64_t held(void *userdata)
{
    struct cache *cache = userdata;
    return atomic_load(&cache->live_bytes);
}

/* Called by rthooks, also on a thread that asks for room: so a shard whose lock is taken is left
 * out. A little of each shard, so that what goes is the oldest of all. What it says it freed is
 * counted as what is asked for is: were it less each time, the cache would grow smaller and smaller
 * under an allocator that keeps what is freed. */
static uint64_t shrink(uint64_t wanted_bytes, int64_t deadline_ns, void *userdata)
{
    struct cache *cache = userdata;
    uint64_t freed = 0;
    unsigned begin = atomic_fetch_add(&cache->evict_from, 1);
    for (unsigned i = 0; i < 2 * SHARDS && freed < wanted_bytes && !is_late(deadline_ns); i++) {
        struct shard *shard = &cache->shards[(begin + i) % SHARDS];
        if (pthread_mutex_trylock(&shard->lock) != 0)
            continue;
        struct entry *taken = take_oldest(shard, wanted_bytes / SHARDS + 1);
        (void)pthread_mutex_unlock(&shard->lock);
        uint64_t bytes;
        note_evicted(cache, free_all(taken, &bytes));
        freed += bytes;
    }
    return freed;
}

/* ---- put and get ----------------------------------------------------------------------------- */

static int insert(struct cache *cache, uint64_t key, size_t size_bytes,
                  void (*write)(void *value, size_t size_bytes, uint64_t key))
{
    struct entry *entry = malloc(sizeof(*entry) + size_bytes);
    if (entry == NULL)
        return -ENOMEM;
    entry->key = key;
    entry->size_bytes = size_bytes;
    write(entry->value, size_bytes, key);
    struct shard *shard = shard_of(cache, key);
    (void)pthread_mutex_lock(&shard->lock);
    struct entry *before = find(shard, key);
    if (before != NULL)
        take_out(shard, before);
    put_in(shard, entry);
    (void)pthread_mutex_unlock(&shard->lock);
    atomic_fetch_add(&cache->inserted_bytes, size_bytes);
    atomic_fetch_add(&cache->live_bytes, size_bytes);
    if (before != NULL)
        atomic_fetch_sub(&cache->live_bytes, before->size_bytes);
    free(before);
    return 0;
}

int cache_put(struct cache *cache, uint64_t key, size_t size_bytes,
              void (*write)(void *value, size_t size_bytes, uint64_t key))
{
    size_t asked_bytes = sizeof(struct entry) + size_bytes;
    int error = rth_memory_admit(RTH_MEMORY_NORMAL, asked_bytes);
    if (error != 0) {
        atomic_fetch_add(&cache->refused, 1);
        return error;
    }
    error = insert(cache, key, size_bytes, write);
    rth_memory_release(asked_bytes);
    return error;
}

int cache_get(struct cache *cache, uint64_t key,
              void (*read)(const void *value, size_t size_bytes, void *userdata), void *userdata)
{
    struct shard *shard = shard_of(cache, key);
    (void)pthread_mutex_lock(&shard->lock);
    struct entry *entry = find(shard, key);
    if (entry != NULL)
        read(entry->value, entry->size_bytes, userdata);
    (void)pthread_mutex_unlock(&shard->lock);
    return entry != NULL ? 0 : -ENOENT;
}

void cache_stats_read(struct cache *cache, struct cache_stats *ret_stats)
{
    uint64_t least = atomic_load(&cache->live_min_bytes);
    *ret_stats = (struct cache_stats){
        .inserted_bytes = atomic_load(&cache->inserted_bytes),
        .evicted_bytes = atomic_load(&cache->evicted_bytes),
        .refused = atomic_load(&cache->refused),
        .live_bytes = atomic_load(&cache->live_bytes),
    };
    /* Nothing was evicted yet: it has only grown. */
    ret_stats->live_min_bytes = least == UINT64_MAX ? ret_stats->live_bytes : least;
}

/* ---- begin and end --------------------------------------------------------------------------- */

int cache_new(struct cache **ret_cache)
{
    struct cache *cache = calloc(1, sizeof(*cache));
    if (cache == NULL)
        return -ENOMEM;
    cache->live_min_bytes = UINT64_MAX;
    for (unsigned i = 0; i < SHARDS; i++)
        (void)pthread_mutex_init(&cache->shards[i].lock, NULL);
    struct rth_shrinker_opts opts = RTH_SHRINKER_OPTS_INIT;
    opts.name = "cache";
    opts.flags = RTH_SHRINKER_DIRECT;
    opts.count = held;
    opts.shrink = shrink;
    opts.userdata = cache;
    int error = rth_shrinker_add(&opts, &cache->shrinker);
    if (error != 0) {
        cache_free(cache);
        return error;
    }
    *ret_cache = cache;
    return 0;
}

void cache_free(struct cache *cache)
{
    if (cache == NULL)
        return;
    rth_shrinker_remove(cache->shrinker);
    for (unsigned i = 0; i < SHARDS; i++) {
        uint64_t bytes;
        (void)free_all(take_oldest(&cache->shards[i], UINT64_MAX), &bytes);
        (void)pthread_mutex_destroy(&cache->shards[i].lock);
    }
    free(cache);
}
