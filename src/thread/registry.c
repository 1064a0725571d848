/* SPDX-License-Identifier: MIT */
/*
 * The thread registry.
 *
 * Shape: blocks of WIPEONFORK memory in chunks that are never given back, so a pointer to a block
 * is always readable; a block that is reused gets a new generation. A child sees zeroed blocks:
 * whoever holds one there finds generation 0 and leaves it alone.
 * Threads: prepare on the creator, run on the new thread, find on rth-work. Locks: the free list
 * and the index by tid (RTH_RANK_THREADS), for a few instructions; states and fields are published
 * by a release store of the state. Readers go through the index without the lock; one that finds
 * nothing while blocks move looks again under it.
 * Failure: no memory means a thread without a block, counted. Cost: about 50 ns per thread.
 */
#include "thread/registry.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stddef.h>

#include "core/arena.h"
#include "core/enable.h"
#include "core/lock.h"
#include "core/service_thread.h"
#include "interpose/abi.h"
#include "os/clock.h"
#include "os/rawsys.h"
#include "thread/context.h"

#define CHUNK_BLOCKS 256
#define CHUNKS_MAX   256 /* 65,536 threads */
#define BUCKETS      4096u
/* A reader that has gone so far has been led from chain to chain by blocks that move. */
#define CHAIN_STEPS_MAX 4096u

struct block {
    _Atomic uint32_t state; /* enum rth_thread_state */
    /* Atomic for readers who look at a block while it passes to another thread: they ask for its
     * state and generation again before they believe what they read. */
    _Atomic uint32_t generation; /* changes while FREE only */
    _Atomic int tid;             /* written by the thread itself before LIVE */
    _Atomic int creator_tid;     /* the rest: written by the creator before CREATED */
    _Atomic int64_t created_ns;
    union {
        void *(*start)(void *);
        struct block *next_free; /* while FREE; protected by blocks_lock */
    };
    void *argument;
    struct block *_Atomic next_in_bucket; /* written under blocks_lock */
    uint32_t label_set;                   /* of the creator, for the thread to begin with */
    struct rth_thread_birth birth;        /* the observer's */
    /* On a line of its own: the thread's wrappers write it at each call. */
    _Alignas(64) struct rth_thread_shared shared;
};
_Static_assert(sizeof(struct block) == 128, "a block is two cache lines");

static struct rth_lock blocks_lock = RTH_LOCK_INIT(RTH_RANK_THREADS);
/* Protected by blocks_lock. */
static struct block *free_list;
static struct block *chunks[CHUNKS_MAX];
static unsigned chunk_count;
/* Running threads by tid; written under blocks_lock. A child inherits the heads, which lead to
 * wiped blocks, and clears them before it uses them. */
static struct block *_Atomic buckets[BUCKETS];
static _Atomic uint64_t taken_out_count; /* of a bucket: the block may be in another one since */

static const struct rth_thread_observer *_Atomic observer;
static const struct rth_thread_birth_observer *_Atomic birth_observer;
/* The interposer's; NULL without one. Written at start. */
static void (*set_shared)(struct rth_thread_shared *shared);

/* Of threads that ended; protected by blocks_lock. */
static struct rth_thread_heap ended_heaps;

static _Atomic uint64_t created_count;
static _Atomic uint64_t unseen_count;
static _Atomic uint64_t live_count;

static void add_chunk_locked(void)
{
    if (chunk_count == CHUNKS_MAX)
        return;
    struct block *blocks = rth__arena_map_wipeonfork_nomalloc(CHUNK_BLOCKS * sizeof(*blocks));
    if (blocks == NULL)
        return;
    for (size_t i = CHUNK_BLOCKS; i-- > 0;) {
        blocks[i].next_free = free_list;
        free_list = &blocks[i];
    }
    chunks[chunk_count++] = blocks;
}

static struct block *_Atomic *bucket_of(int tid)
{
    return &buckets[(unsigned)tid % BUCKETS];
}

static void put_into_bucket(struct block *block)
{
    RTH__LOCK_SCOPE(&blocks_lock);
    struct block *_Atomic *bucket = bucket_of(block->tid);
    struct block *first = atomic_load_explicit(bucket, memory_order_relaxed);
    /* Release: a reader that comes from the bucket it was in then sees that it was taken out. */
    atomic_store_explicit(&block->next_in_bucket, first, memory_order_release);
    atomic_store_explicit(bucket, block, memory_order_release);
}

/* What it leads to stays: a reader that stands on it goes on. */
static void take_out_of_bucket_locked(struct block *block)
{
    struct block *_Atomic *link = bucket_of(block->tid);
    struct block *at;
    while ((at = atomic_load_explicit(link, memory_order_relaxed)) != NULL && at != block)
        link = &at->next_in_bucket;
    if (at == NULL)
        return;
    struct block *next = atomic_load_explicit(&block->next_in_bucket, memory_order_relaxed);
    atomic_store_explicit(link, next, memory_order_release);
    atomic_fetch_add_explicit(&taken_out_count, 1, memory_order_acq_rel);
}

/* The thread may be counting at this moment: each counter is one load. */
static void heap_add(struct rth_thread_heap *sum, const struct rth_thread_heap *heap)
{
    sum->allocs += __atomic_load_n(&heap->allocs, __ATOMIC_RELAXED);
    sum->frees += __atomic_load_n(&heap->frees, __ATOMIC_RELAXED);
    sum->bytes += __atomic_load_n(&heap->bytes, __ATOMIC_RELAXED);
}

static struct block *take_block(void)
{
    RTH__LOCK_SCOPE(&blocks_lock);
    if (free_list == NULL)
        add_chunk_locked();
    struct block *block = free_list;
    if (block != NULL) {
        free_list = block->next_free;
        block->generation++;
    }
    return block;
}

/* Of a thread that has run, or was never created: that one has no tid. */
static void give_block(struct block *block)
{
    const struct rth_thread_birth_observer *told =
        atomic_load_explicit(&birth_observer, memory_order_acquire);
    if (told != NULL)
        told->gone(&block->birth, block->tid != 0);
    RTH__LOCK_SCOPE(&blocks_lock);
    heap_add(&ended_heaps, &block->shared.heap);
    block->shared.heap = (struct rth_thread_heap){0};
    if (block->tid != 0)
        take_out_of_bucket_locked(block);
    atomic_store_explicit(&block->state, RTH_THREAD_FREE, memory_order_release);
    block->next_free = free_list;
    free_list = block;
}

void *rth__thread_prepare(void *(*start)(void *), void *argument)
{
    if (rth__service_thread_is_creating())
        return NULL;
    created_count++;
    struct block *block = take_block();
    if (block == NULL) {
        unseen_count++;
        return NULL;
    }
    block->tid = 0;
    block->creator_tid = rth__raw_gettid_sigsafe();
    block->created_ns = rth__clock_monotonic_ns_sigsafe();
    block->start = start;
    block->argument = argument;
    block->label_set = rth__context_label_set_sigsafe();
    block->birth = (struct rth_thread_birth){0};
    const struct rth_thread_birth_observer *told =
        atomic_load_explicit(&birth_observer, memory_order_acquire);
    if (told != NULL)
        told->creating(&block->birth, (uintptr_t)__builtin_return_address(0));
    atomic_store_explicit(&block->state, RTH_THREAD_CREATED, memory_order_release);
    return block;
}

void rth__thread_abandon(void *handle)
{
    created_count--;
    give_block(handle);
}

void rth__thread_observe(const struct rth_thread_observer *new_observer)
{
    atomic_store_explicit(&observer, new_observer, memory_order_release);
}

void rth__thread_observe_births(const struct rth_thread_birth_observer *new_observer)
{
    atomic_store_explicit(&birth_observer, new_observer, memory_order_release);
}

static void show_waits_in(struct block *block)
{
    if (block != NULL)
        block->shared.blocked = NULL;
    if (set_shared != NULL)
        set_shared(block != NULL ? &block->shared : NULL);
}

/* What the end of a thread needs, kept on its own stack: after a fork inside the thread the block
 * is wiped, and the generation of the runtime tells that it is no longer ours to touch. */
struct leaving {
    struct block *block;
    uint32_t runtime_generation;
};

static void leave(void *userdata)
{
    const struct leaving *leaving = userdata;
    if (rth__enable_page()->generation != leaving->runtime_generation)
        return;
    const struct rth_thread_observer *told = atomic_load_explicit(&observer, memory_order_acquire);
    if (told != NULL)
        told->ending(leaving->block->tid);
    show_waits_in(NULL);
    rth__context_thread_ending(leaving->block->tid);
    atomic_store_explicit(&leaving->block->state, RTH_THREAD_EXITING, memory_order_release);
    live_count--;
    give_block(leaving->block);
}

void *rth__thread_run(void *handle)
{
    struct block *block = handle;
    struct leaving leaving = {block, rth__enable_page()->generation};
    void *(*start)(void *) = block->start;
    void *argument = block->argument;
    block->tid = rth__raw_gettid_sigsafe();
    live_count++;
    show_waits_in(block);
    put_into_bucket(block);
    rth__context_inherit(block->label_set, block->tid);
    atomic_store_explicit(&block->state, RTH_THREAD_LIVE, memory_order_release);
    const struct rth_thread_observer *told = atomic_load_explicit(&observer, memory_order_acquire);
    if (told != NULL)
        told->started(block->tid);
    void *result;
    /* Also on pthread_exit and cancellation. */
    pthread_cleanup_push(leave, &leaving);
    result = start(argument);
    pthread_cleanup_pop(1);
    return result;
}

/* False when it gave up. */
static bool search_bucket(int tid, unsigned steps_max, const struct block **ret_block)
{
    const struct block *block = atomic_load_explicit(bucket_of(tid), memory_order_acquire);
    for (unsigned steps = 0; block != NULL; steps++) {
        if (steps == steps_max)
            return false;
        if (atomic_load_explicit(&block->state, memory_order_acquire) == RTH_THREAD_LIVE &&
            block->tid == tid)
            break;
        block = atomic_load_explicit(&block->next_in_bucket, memory_order_acquire);
    }
    *ret_block = block;
    return true;
}

static const struct block *live_block_of(int tid)
{
    const struct block *block = NULL;
    uint64_t before = atomic_load_explicit(&taken_out_count, memory_order_acquire);
    bool complete = search_bucket(tid, CHAIN_STEPS_MAX, &block);
    if (block != NULL)
        return block;
    atomic_thread_fence(memory_order_acquire);
    if (complete && atomic_load_explicit(&taken_out_count, memory_order_relaxed) == before)
        return NULL;
    RTH__LOCK_SCOPE(&blocks_lock);
    (void)search_bucket(tid, CHUNKS_MAX * CHUNK_BLOCKS, &block);
    return block;
}

bool rth__thread_find(int tid, struct rth_thread_info *ret_info)
{
    const struct block *block = live_block_of(tid);
    if (block == NULL)
        return false;
    struct rth_thread_info info = {block->generation, tid, block->creator_tid, block->created_ns,
                                   &block->birth};
    /* It may have ended and been reused while we copied. */
    if (atomic_load_explicit(&block->state, memory_order_acquire) != RTH_THREAD_LIVE ||
        block->generation != info.generation || block->tid != tid)
        return false;
    *ret_info = info;
    return true;
}

const struct rth_thread_shared *rth__thread_shared_of(int tid)
{
    const struct block *block = live_block_of(tid);
    return block != NULL ? &block->shared : NULL;
}

void rth__thread_registry_start(void (*shared_set)(struct rth_thread_shared *shared))
{
    set_shared = shared_set;
    int tid = rth__raw_gettid_sigsafe();
    if (shared_set == NULL || rth__thread_shared_of(tid) != NULL) /* started again after a stop */
        return;
    struct block *block = take_block();
    if (block == NULL)
        return;
    block->tid = tid;
    block->creator_tid = 0;
    block->created_ns = 0; /* not created under our eyes: /proc knows its age */
    live_count++;
    put_into_bucket(block);
    atomic_store_explicit(&block->state, RTH_THREAD_LIVE, memory_order_release);
    show_waits_in(block);
}

bool rth__thread_registry_has_interposer(void)
{
    return set_shared != NULL;
}

void rth__thread_forget_self_sigsafe(void)
{
    /* No block is touched: the parent's reads as zero here, and no list of it is ours. */
    show_waits_in(NULL);
}

void rth__thread_heaps_sum(struct rth_thread_heap *ret_sum)
{
    RTH__LOCK_SCOPE(&blocks_lock);
    *ret_sum = (struct rth_thread_heap){0};
    heap_add(ret_sum, &ended_heaps);
    for (unsigned i = 0; i < chunk_count; i++)
        for (size_t k = 0; k < CHUNK_BLOCKS; k++)
            heap_add(ret_sum, &chunks[i][k].shared.heap);
}

void rth__thread_heaps_make_due(void)
{
    RTH__LOCK_SCOPE(&blocks_lock);
    for (unsigned i = 0; i < chunk_count; i++)
        for (size_t k = 0; k < CHUNK_BLOCKS; k++)
            atomic_store_explicit(&chunks[i][k].shared.heap.due, 0, memory_order_seq_cst);
}

uint64_t rth__thread_created_count(void)
{
    return created_count;
}

uint64_t rth__thread_unseen_count(void)
{
    return unseen_count;
}

uint64_t rth__thread_live_count(void)
{
    return live_count;
}

void rth__thread_registry_child_reset(void)
{
    rth__lock_reset(&blocks_lock);
    /* The chunks read as zero here: all blocks are free, none is on the list. Rebuild it. */
    free_list = NULL;
    for (size_t i = 0; i < BUCKETS; i++)
        atomic_store_explicit(&buckets[i], NULL, memory_order_relaxed);
    for (unsigned i = 0; i < chunk_count; i++) {
        for (size_t k = 0; k < CHUNK_BLOCKS; k++) {
            chunks[i][k].next_free = free_list;
            free_list = &chunks[i][k];
        }
    }
    ended_heaps = (struct rth_thread_heap){0};
    created_count = 0;
    unseen_count = 0;
    live_count = 0;
    rth__thread_observe(NULL);
    rth__thread_observe_births(NULL);
    rth__thread_registry_start(set_shared);
}
