/* SPDX-License-Identifier: MIT */
#include "profile/cpu/slots.h"

#include <string.h>
#include <sys/mman.h>

#include "core/arena.h"
#include "thread/cpu_timer.h"

#define CHUNK_SLOTS 64u
#define CHUNKS_MAX  512u /* 32,768 threads */
#define BUCKETS     1024u
#define INDEX_BITS  16u

/* With scratch memory: 34 MiB in all. */
#define SCRATCH_CHUNKS 16u
#define SPARES         64u
/* Slots visited at once, but for the last bucket. */
#define VISITS 16u

/* What a thread needs beside its slot, touched only when it is sampled. */
struct scratch {
    _Alignas(64) unsigned char cache[RTH_UNWIND_CACHE_BYTES];
    rth_frame frames[RTH_UNWIND_FRAMES_MAX];
};

/* The slots stay when the scratch memory is given back. */
struct chunk {
    struct rth_cpu_slot slots[CHUNK_SLOTS];
    struct scratch *scratch; /* CHUNK_SLOTS, or NULL */
};

/* Frames for slots without scratch memory: as many as handlers run at once. */
static rth_frame spares[SPARES][RTH_UNWIND_FRAMES_MAX];
static atomic_flag spares_lent[SPARES];

/* Published by a release store of chunk_count. */
static struct chunk *chunks[CHUNKS_MAX];
static _Atomic uint32_t chunk_count;
/* Protected by the lock of the sampled threads. */
static struct rth_cpu_slot *free_list;
static struct rth_cpu_slot *left_list; /* given, but a handler was still inside */
static struct rth_cpu_slot *buckets[BUCKETS];

static void push(struct rth_cpu_slot **list, struct rth_cpu_slot *slot)
{
    slot->next = *list;
    *list = slot;
}

static void add_chunk(void)
{
    uint32_t count = atomic_load_explicit(&chunk_count, memory_order_relaxed);
    if (count == CHUNKS_MAX)
        return;
    struct chunk *chunk = rth__arena_map_wipeonfork_nomalloc(sizeof(*chunk));
    if (chunk == NULL)
        return;
    if (count < SCRATCH_CHUNKS)
        chunk->scratch = rth__arena_map_wipeonfork_nomalloc(CHUNK_SLOTS * sizeof(struct scratch));
    for (uint32_t i = CHUNK_SLOTS; i-- > 0;) {
        struct rth_cpu_slot *slot = &chunk->slots[i];
        slot->index = count * CHUNK_SLOTS + i;
        slot->timer_id = RTH_CPU_NO_TIMER;
        if (chunk->scratch != NULL) {
            slot->cache = (struct rth_unwind_cache *)(void *)chunk->scratch[i].cache;
            slot->frames = chunk->scratch[i].frames;
        }
        push(&free_list, slot);
    }
    chunks[count] = chunk;
    atomic_store_explicit(&chunk_count, count + 1, memory_order_release);
}

/* Sequentially consistent with enter: either it sees the new generation, or we see the handler. */
static bool is_entered(const struct rth_cpu_slot *slot)
{
    return atomic_load_explicit(&slot->handlers, memory_order_seq_cst) != 0;
}

static void free_those_left(void)
{
    struct rth_cpu_slot **link = &left_list;
    while (*link != NULL) {
        struct rth_cpu_slot *slot = *link;
        if (is_entered(slot)) {
            link = &slot->next;
            continue;
        }
        *link = slot->next;
        push(&free_list, slot);
    }
}

static struct rth_cpu_slot **bucket_of(int tid)
{
    return &buckets[(unsigned)tid % BUCKETS];
}

struct rth_cpu_slot *rth__cpu_slot_take_locked(int tid)
{
    free_those_left();
    if (free_list == NULL)
        add_chunk();
    struct rth_cpu_slot *slot = free_list;
    if (slot == NULL)
        return NULL;
    free_list = slot->next;
    slot->tid = tid;
    slot->masked = slot->filtered = slot->looked = slot->is_active = false;
    slot->looked_periods = 0;
    slot->looked_cpu_ns = slot->turn_cpu_ns = 0;
    atomic_store_explicit(&slot->timer_id, RTH_CPU_NO_TIMER, memory_order_relaxed);
    atomic_store_explicit(&slot->periods, 0, memory_order_relaxed);
    atomic_store_explicit(&slot->stack_high, 0, memory_order_relaxed);
    atomic_store_explicit(&slot->seen_sp, 0, memory_order_relaxed);
    atomic_store_explicit(&slot->unanswered, 0, memory_order_relaxed);
    atomic_store_explicit(&slot->frame_count, 0, memory_order_relaxed);
    atomic_fetch_add_explicit(&slot->generation, 1, memory_order_release);
    push(bucket_of(tid), slot);
    return slot;
}

void rth__cpu_slot_give_locked(struct rth_cpu_slot *slot)
{
    struct rth_cpu_slot **link = bucket_of(slot->tid);
    while (*link != slot)
        link = &(*link)->next;
    *link = slot->next;
    atomic_fetch_add_explicit(&slot->generation, 1, memory_order_seq_cst);
    push(is_entered(slot) ? &left_list : &free_list, slot);
}

struct rth_cpu_slot *rth__cpu_slot_find_locked(int tid)
{
    for (struct rth_cpu_slot *slot = *bucket_of(tid); slot != NULL; slot = slot->next)
        if (slot->tid == tid)
            return slot;
    return NULL;
}

bool rth__cpu_slots_some_locked(uint32_t *place,
                                void (*visit)(struct rth_cpu_slot *slot, void *userdata),
                                void *userdata)
{
    for (uint32_t visits = 0; *place < BUCKETS && visits < VISITS; ++*place) {
        struct rth_cpu_slot *next;
        for (struct rth_cpu_slot *slot = buckets[*place]; slot != NULL; slot = next) {
            next = slot->next;
            visit(slot, userdata);
            visits++;
        }
    }
    return *place < BUCKETS;
}

static bool is_quiet(const struct chunk *chunk)
{
    for (uint32_t i = 0; i < CHUNK_SLOTS; i++)
        if (is_entered(&chunk->slots[i]))
            return false;
    return true;
}

void rth__cpu_slots_trim(void)
{
    uint32_t count = atomic_load_explicit(&chunk_count, memory_order_relaxed);
    for (uint32_t i = 0; i < count; i++)
        if (chunks[i]->scratch != NULL && is_quiet(chunks[i]))
            (void)madvise(chunks[i]->scratch, CHUNK_SLOTS * sizeof(struct scratch), MADV_DONTNEED);
}

static uint32_t cookie_of(uint32_t generation, uint32_t index)
{
    return generation << INDEX_BITS | index;
}

uint32_t rth__cpu_slot_cookie(const struct rth_cpu_slot *slot)
{
    return cookie_of(atomic_load_explicit(&slot->generation, memory_order_relaxed), slot->index);
}

struct rth_cpu_slot *rth__cpu_slot_enter_sigsafe(uint32_t cookie, int timer_id)
{
    uint32_t index = cookie & ((1u << INDEX_BITS) - 1);
    if (index / CHUNK_SLOTS >= atomic_load_explicit(&chunk_count, memory_order_acquire))
        return NULL;
    struct rth_cpu_slot *slot = &chunks[index / CHUNK_SLOTS]->slots[index % CHUNK_SLOTS];
    atomic_fetch_add_explicit(&slot->handlers, 1, memory_order_seq_cst);
    uint32_t generation = atomic_load_explicit(&slot->generation, memory_order_seq_cst);
    /* The bits of the generation come around; the kernel's number of the timer does not. */
    if ((generation & 1) != 0 && cookie_of(generation, index) == cookie &&
        atomic_load_explicit(&slot->timer_id, memory_order_relaxed) == timer_id)
        return slot;
    rth__cpu_slot_leave_sigsafe(slot);
    return NULL;
}

void rth__cpu_slot_leave_sigsafe(struct rth_cpu_slot *slot)
{
    atomic_fetch_sub_explicit(&slot->handlers, 1, memory_order_release);
}

rth_frame *rth__cpu_frames_borrow_sigsafe(void)
{
    for (uint32_t i = 0; i < SPARES; i++)
        if (!atomic_flag_test_and_set_explicit(&spares_lent[i], memory_order_acquire))
            return spares[i];
    return NULL;
}

void rth__cpu_frames_return_sigsafe(const rth_frame *frames)
{
    size_t index = (size_t)(frames - spares[0]) / RTH_UNWIND_FRAMES_MAX;
    atomic_flag_clear_explicit(&spares_lent[index], memory_order_release);
}

void rth__cpu_slots_child_reset(void)
{
    for (uint32_t i = 0; i < SPARES; i++)
        atomic_flag_clear_explicit(&spares_lent[i], memory_order_relaxed);
    /* The parent's chunks read as zero and are abandoned. */
    memset(chunks, 0, sizeof(chunks));
    memset(buckets, 0, sizeof(buckets));
    chunk_count = 0;
    free_list = NULL;
    left_list = NULL;
}
