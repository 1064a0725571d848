/* SPDX-License-Identifier: MIT */
#include "profile/cpu/slots.h"

#include <string.h>
#include <sys/mman.h>

#include "core/arena.h"

#define CHUNK_SLOTS  64u
#define CHUNKS_MAX   512u /* 32,768 threads */
#define BUCKETS      1024u
#define FRAMES_BYTES (RTH_UNWIND_FRAMES_MAX * sizeof(rth_frame))
#define INDEX_BITS   16u

/* What a thread needs beside its slot, touched only when it is sampled. */
struct scratch {
    _Alignas(64) unsigned char cache[RTH_UNWIND_CACHE_BYTES];
    rth_frame frames[RTH_UNWIND_FRAMES_MAX];
};

/* The slots stay when the scratch memory is given back. */
struct chunk {
    struct rth_cpu_slot slots[CHUNK_SLOTS];
    _Alignas(4096) struct scratch scratch[CHUNK_SLOTS];
};

/* Published by a release store of chunk_count. */
static struct chunk *chunks[CHUNKS_MAX];
static _Atomic uint32_t chunk_count;
/* Protected by the lock of the sampled threads. */
static struct rth_cpu_slot *free_list;
static struct rth_cpu_slot *_Atomic buckets[BUCKETS];
static _Atomic uint32_t used;

static void add_chunk(void)
{
    uint32_t count = atomic_load_explicit(&chunk_count, memory_order_relaxed);
    if (count == CHUNKS_MAX)
        return;
    struct chunk *chunk = rth__arena_map_wipeonfork_nomalloc(sizeof(*chunk));
    if (chunk == NULL)
        return;
    for (uint32_t i = CHUNK_SLOTS; i-- > 0;) {
        struct rth_cpu_slot *slot = &chunk->slots[i];
        slot->index = count * CHUNK_SLOTS + i;
        slot->timer_id = RTH_CPU_NO_TIMER;
        slot->cache = (struct rth_unwind_cache *)(void *)chunk->scratch[i].cache;
        slot->frames = chunk->scratch[i].frames;
        slot->next = free_list;
        free_list = slot;
    }
    chunks[count] = chunk;
    atomic_store_explicit(&chunk_count, count + 1, memory_order_release);
}

static struct rth_cpu_slot *_Atomic *bucket_of(int tid)
{
    return &buckets[(unsigned)tid % BUCKETS];
}

struct rth_cpu_slot *rth__cpu_slot_take_locked(int tid)
{
    if (free_list == NULL)
        add_chunk();
    struct rth_cpu_slot *slot = free_list;
    if (slot == NULL)
        return NULL;
    free_list = slot->next;
    slot->tid = tid;
    slot->timer_id = RTH_CPU_NO_TIMER;
    atomic_store_explicit(&slot->stack_high, 0, memory_order_relaxed);
    atomic_store_explicit(&slot->seen_sp, 0, memory_order_relaxed);
    atomic_store_explicit(&slot->frame_count, 0, memory_order_relaxed);
    atomic_store_explicit(&slot->owed, 0, memory_order_relaxed);
    atomic_fetch_add_explicit(&slot->generation, 1, memory_order_release);
    slot->next = *bucket_of(tid);
    *bucket_of(tid) = slot;
    atomic_fetch_add_explicit(&used, 1, memory_order_relaxed);
    return slot;
}

void rth__cpu_slot_give_locked(struct rth_cpu_slot *slot)
{
    struct rth_cpu_slot *_Atomic *link = bucket_of(slot->tid);
    while (*link != slot)
        link = &(*link)->next;
    *link = slot->next;
    atomic_fetch_add_explicit(&slot->generation, 1, memory_order_release);
    slot->next = free_list;
    free_list = slot;
    atomic_fetch_sub_explicit(&used, 1, memory_order_relaxed);
}

struct rth_cpu_slot *rth__cpu_slot_find_locked(int tid)
{
    for (struct rth_cpu_slot *slot = *bucket_of(tid); slot != NULL; slot = slot->next)
        if (slot->tid == tid)
            return slot;
    return NULL;
}

void rth__cpu_slots_each_locked(void (*visit)(struct rth_cpu_slot *slot, void *userdata),
                                void *userdata)
{
    for (uint32_t i = 0; i < BUCKETS; i++) {
        struct rth_cpu_slot *next;
        for (struct rth_cpu_slot *slot = buckets[i]; slot != NULL; slot = next) {
            next = slot->next;
            visit(slot, userdata);
        }
    }
}

void rth__cpu_slots_trim_locked(void)
{
    uint32_t count = atomic_load_explicit(&chunk_count, memory_order_relaxed);
    for (uint32_t i = 0; i < count; i++)
        (void)madvise(chunks[i]->scratch, sizeof(chunks[i]->scratch), MADV_DONTNEED);
}

uint32_t rth__cpu_slots_used(void)
{
    return atomic_load_explicit(&used, memory_order_relaxed);
}

uint32_t rth__cpu_slot_cookie(const struct rth_cpu_slot *slot)
{
    return atomic_load_explicit(&slot->generation, memory_order_relaxed) << INDEX_BITS |
           slot->index;
}

struct rth_cpu_slot *rth__cpu_slot_of_cookie_sigsafe(uint32_t cookie)
{
    uint32_t index = cookie & ((1u << INDEX_BITS) - 1);
    if (index / CHUNK_SLOTS >= atomic_load_explicit(&chunk_count, memory_order_acquire))
        return NULL;
    struct rth_cpu_slot *slot = &chunks[index / CHUNK_SLOTS]->slots[index % CHUNK_SLOTS];
    uint32_t generation = atomic_load_explicit(&slot->generation, memory_order_acquire);
    bool same = (generation & 1) != 0 && (generation << INDEX_BITS | index) == cookie;
    return same ? slot : NULL;
}

bool rth__cpu_slot_exists_sigsafe(int tid)
{
    /* A slot that is given away meanwhile leads into the free list: bounded, and ends. */
    const struct rth_cpu_slot *slot = *bucket_of(tid);
    for (unsigned steps = 0; slot != NULL && steps < 256; steps++, slot = slot->next)
        if (slot->tid == tid && (slot->generation & 1) != 0)
            return true;
    return false;
}

void rth__cpu_slots_child_reset(void)
{
    /* The parent's chunks read as zero and are abandoned. */
    memset(chunks, 0, sizeof(chunks));
    for (uint32_t i = 0; i < BUCKETS; i++)
        buckets[i] = NULL;
    chunk_count = 0;
    free_list = NULL;
    used = 0;
}
