/* SPDX-License-Identifier: MIT */
#include "core/pool.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <sys/mman.h>

#include "os/rawsys.h"

static struct rth_pool_object *object_at(struct rth_pool *pool, uint32_t number)
{
    uint32_t index = number - 1;
    char *chunk =
        atomic_load_explicit(&pool->chunks[index / RTH_POOL_CHUNK_OBJECTS], memory_order_acquire);
    return (struct rth_pool_object *)(void *)(chunk +
                                              index % RTH_POOL_CHUNK_OBJECTS * pool->object_bytes);
}

/* Whoever loses the race for a chunk takes the winner's. */
static bool has_chunk(struct rth_pool *pool, uint32_t chunk_index)
{
    char *_Atomic *chunk = &pool->chunks[chunk_index];
    char *seen = atomic_load_explicit(chunk, memory_order_acquire);
    if (seen != NULL)
        return true;
    size_t size_bytes = RTH_POOL_CHUNK_OBJECTS * pool->object_bytes;
    char *pages = rth__raw_map_sigsafe(size_bytes, MAP_PRIVATE);
    if (pages == NULL)
        return false;
    if (!atomic_compare_exchange_strong_explicit(chunk, &seen, pages, memory_order_acq_rel,
                                                 memory_order_acquire))
        rth__raw_unmap_sigsafe(pages, size_bytes);
    return true;
}

static void *take_new(struct rth_pool *pool)
{
    uint32_t index = atomic_load_explicit(&pool->handed, memory_order_relaxed);
    do {
        if (index == RTH_POOL_CHUNKS_MAX * RTH_POOL_CHUNK_OBJECTS ||
            !has_chunk(pool, index / RTH_POOL_CHUNK_OBJECTS))
            return NULL;
    } while (!atomic_compare_exchange_weak_explicit(&pool->handed, &index, index + 1,
                                                    memory_order_relaxed, memory_order_relaxed));
    struct rth_pool_object *object = object_at(pool, index + 1);
    object->number = index + 1;
    return object;
}

void *rth__pool_take_nomalloc(struct rth_pool *pool)
{
    uint64_t seen = atomic_load_explicit(&pool->free, memory_order_acquire);
    while ((uint32_t)seen != 0) {
        struct rth_pool_object *object = object_at(pool, (uint32_t)seen);
        /* Another thread may have taken it meanwhile; then the count has changed as well. */
        uint32_t next = atomic_load_explicit(&object->next, memory_order_relaxed);
        uint64_t changed = ((seen >> 32) + 1) << 32 | next;
        if (atomic_compare_exchange_weak_explicit(&pool->free, &seen, changed, memory_order_acq_rel,
                                                  memory_order_acquire))
            return object;
    }
    return take_new(pool);
}

void rth__pool_give_nomalloc(struct rth_pool *pool, void *given)
{
    struct rth_pool_object *object = given;
    uint64_t seen = atomic_load_explicit(&pool->free, memory_order_relaxed);
    uint64_t changed;
    do {
        atomic_store_explicit(&object->next, (uint32_t)seen, memory_order_relaxed);
        changed = ((seen >> 32) + 1) << 32 | object->number;
    } while (!atomic_compare_exchange_weak_explicit(&pool->free, &seen, changed,
                                                    memory_order_acq_rel, memory_order_relaxed));
}

uint32_t rth__pool_handed(const struct rth_pool *pool)
{
    return atomic_load_explicit(&pool->handed, memory_order_acquire);
}

void *rth__pool_at(struct rth_pool *pool, uint32_t number)
{
    return number == 0 || number > rth__pool_handed(pool) ? NULL : object_at(pool, number);
}
