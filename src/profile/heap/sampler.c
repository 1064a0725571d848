/* SPDX-License-Identifier: MIT */
/*
 * The heap sampler.
 *
 * Purpose: of all allocations, some blocks, chosen by bytes (poisson.h), with the stack and labels
 * of who asked, followed until they are freed. Shape: the interposer counts and calls here when a
 * thread's byte counter has reached its next point, and when the filter says that a freed block may
 * be one of ours. A sample goes to a row of the sites and into the live set; its end takes the same
 * weight off the row. Nothing is added to a block and no pointer is changed.
 * Threads: any of the host's, inside its allocation functions. Locks: the one of the sites, for
 * some 100 ns per sample; never while the allocator runs, so an allocator's own locks and ours
 * cannot meet. A signal handler that allocates while its thread is in here is let through
 * unsampled. Fork: a child begins with nothing; until it is adopted its wrappers do not call here.
 * While somebody watches memory (core/pressure.h) threads come here more often, to say how much
 * they have allocated; when the next sample is taken does not change by that.
 * Failure: what finds no room is counted, and said in the profile. Cost: 0.5 us per sample of 30
 * frames; 40 to 64 bytes per live one.
 */
#include "profile/heap/sampler.h"

#include <errno.h>
#include <stdatomic.h>

#include "core/counter.h"
#include "core/enable.h"
#include "core/pressure.h"
#include "profile/poisson.h"
#include "profile/heap/waiting.h"
#include "profile/stack_here.h"
#include "record/live.h"
#include "thread/context.h"
#include "thread/registry.h"

#define LIVE_MAX ((size_t)320 * 1024) /* 16 MiB of entries and 8 MiB of filters */
/* A thread comes here at least once in so many bytes: a malloc that fails for less stays counted,
 * and must not spoil the sum. */
#define LOOK_AGAIN_BYTES (UINT64_C(1) << 30)
/* The site of a live entry whose stack waits. */
#define SITE_WAITING (1u << 31)

struct rth_sites rth__heap_sites = {.lock = RTH_LOCK_INIT(RTH_RANK_SITES)};
/* Protected by the lock of the sites. */
static struct rth_live live = {.entries_max = LIVE_MAX};
static const struct rth_heap_filter *empty_filter;

static _Atomic uint64_t interval_now;
static _Atomic uint64_t samples, lost_nested, missed_frees, without_stack;
/* By threads without a block. */
static _Atomic uint64_t unseen_allocs, unseen_frees, unseen_bytes;

/* The calling thread's. */
struct local {
    struct rth_poisson poisson;
    uint64_t sample_at; /* of the byte counter below, drawn for this interval and runtime */
    uint64_t interval;
    const struct rth_thread_heap *heap;
    uint32_t runtime_generation;
    bool is_inside;
    /* What was told to who watches memory: of which counter, up to which byte of it. */
    const struct rth_thread_heap *reported_heap;
    uint64_t reported_bytes;
    uint32_t reported_watch;
};
static __thread struct local local __attribute__((tls_model("initial-exec")));
/* The byte counter of a thread without a block. */
static __thread struct rth_thread_heap unseen __attribute__((tls_model("initial-exec")));

/* A signal handler has interrupted this thread in here, or in another recorder of ours: a handler
 * may allocate where the thread itself did not. */
static bool is_busy(void)
{
    return local.is_inside || rth__lock_inner_held_sigsafe();
}

/* ---- one sample ----------------------------------------------------------------------------- */

static void end_locked(const struct rth_live_entry *entry)
{
    if ((entry->site & SITE_WAITING) != 0)
        rth__waiting_gone_locked(entry->site & ~SITE_WAITING);
    else
        rth__site_remove_locked(&rth__heap_sites, entry->site, entry->count, entry->amount);
}

/* False when there is no room to follow the block. */
static bool follow_locked(const struct rth_live_entry *entry)
{
    struct rth_live_entry before;
    bool replaced;
    bool followed = rth__live_put_locked(&live, entry, &before, &replaced);
    if (replaced) { /* freed through a way that no wrapper sees */
        end_locked(&before);
        rth__count_up(&missed_frees, 1);
    }
    return followed;
}

static void begin_locked(uintptr_t block, const rth_frame *frames, unsigned count,
                         uint32_t label_set, uint64_t objects, uint64_t bytes)
{
    struct rth_live_entry entry = {.key = block, .count = objects, .amount = bytes};
    if (count == 0 || rth__stack_is_early_nomalloc(frames, count)) {
        int slot = rth__waiting_put_locked(block, label_set, objects, bytes);
        if (slot >= 0) {
            entry.site = SITE_WAITING | (uint32_t)slot;
            if (!follow_locked(&entry))
                rth__waiting_gone_locked((uint32_t)slot);
            return;
        }
        rth__count_up(&without_stack, 1);
        count = 0;
    }
    entry.site = rth__site_intern_locked(&rth__heap_sites, 0, frames, count, label_set);
    rth__site_add_locked(&rth__heap_sites, entry.site, objects, bytes);
    if (!follow_locked(&entry))
        rth__site_remove_locked(&rth__heap_sites, entry.site, objects, bytes);
}

static void record(const void *block, size_t size_bytes, uint64_t interval)
{
    if (is_busy()) {
        rth__count_up(&lost_nested, 1);
        return;
    }
    local.is_inside = true;
    rth_frame frames[RTH_STACK_HERE_FRAMES_MAX];
    unsigned count = rth__stack_capture_nomalloc(0, frames, RTH_STACK_HERE_FRAMES_MAX);
    uint32_t label_set = rth__context_label_set_sigsafe();
    double weight = rth__poisson_weight(size_bytes, interval);
    uint64_t objects = (uint64_t)(weight * (1u << RTH_HEAP_COUNT_SHIFT) + 0.5);
    uint64_t bytes = (uint64_t)(weight * (double)size_bytes + 0.5);
    {
        RTH__LOCK_SCOPE(&rth__heap_sites.lock);
        begin_locked((uintptr_t)block, frames, count, label_set, objects, bytes);
    }
    rth__count_up(&samples, 1);
    local.is_inside = false;
}

static void resolved_locked(const struct rth_waiting_sample *sample, const rth_frame *frames,
                            unsigned count)
{
    if (count == 0)
        rth__count_up(&without_stack, 1);
    uint32_t site = rth__site_intern_locked(&rth__heap_sites, 0, frames, count, sample->label_set);
    rth__site_add_locked(&rth__heap_sites, site, sample->objects, sample->bytes);
    struct rth_live_entry entry = {
        .key = sample->block, .count = sample->objects, .amount = sample->bytes, .site = site};
    struct rth_live_entry before;
    bool replaced;
    /* In its place: the set does not grow. */
    if (sample->block_gone || !rth__live_put_locked(&live, &entry, &before, &replaced))
        rth__site_remove_locked(&rth__heap_sites, site, sample->objects, sample->bytes);
}

void rth__heap_sampler_resolve(void)
{
    if (rth__waiting_count() != 0)
        rth__waiting_resolve(&rth__heap_sites.lock, resolved_locked);
}

/* ---- what the wrappers call ------------------------------------------------------------------ */

static void draw(const struct rth_thread_heap *heap, uint64_t from, uint64_t interval)
{
    local.sample_at = from + rth__poisson_gap(&local.poisson, interval);
    local.interval = interval;
    local.heap = heap;
    local.runtime_generation = rth__enable_page()->generation;
}

static bool is_drawn(const struct rth_thread_heap *heap, uint64_t interval)
{
    return local.heap == heap && local.interval == interval &&
           local.runtime_generation == rth__enable_page()->generation;
}

/* Returns after how many more bytes there is to report again. */
static uint64_t report(const struct rth_thread_heap *heap, size_t size_bytes, uint64_t portion)
{
    uint32_t watch = rth__pressure_watch_number_sigsafe();
    if (local.reported_heap != heap || local.reported_watch != watch ||
        local.reported_bytes > heap->bytes) {
        local.reported_heap = heap;
        local.reported_watch = watch;
        local.reported_bytes = heap->bytes - size_bytes;
    }
    uint64_t unreported = heap->bytes - local.reported_bytes;
    if (unreported < portion)
        return portion - unreported;
    local.reported_bytes = heap->bytes;
    rth__pressure_report_sigsafe(unreported);
    return portion;
}

void rth__heap_allocated_nomalloc(struct rth_thread_heap *heap, const void *block,
                                  size_t size_bytes)
{
    if (heap == NULL) {
        heap = &unseen;
        heap->bytes += size_bytes;
        rth__count_up(&unseen_allocs, 1);
        rth__count_up(&unseen_bytes, size_bytes);
    }
    uint64_t interval = atomic_load_explicit(&interval_now, memory_order_acquire);
    uint64_t due = heap->bytes + LOOK_AGAIN_BYTES;
    if (interval == 0) {
        local.interval = 0; /* switched on again, it begins here and not where it was */
    } else {
        if (!is_drawn(heap, interval))
            draw(heap, heap->bytes - size_bytes, interval);
        if (heap->bytes >= local.sample_at) {
            record(block, size_bytes, interval);
            draw(heap, heap->bytes, interval);
        }
        if (due > local.sample_at)
            due = local.sample_at;
    }
    uint64_t portion = rth__pressure_portion_bytes_sigsafe();
    if (portion != 0) {
        uint64_t report_at = heap->bytes + report(heap, size_bytes, portion);
        if (due > report_at)
            due = report_at;
    }
    atomic_store_explicit(&heap->due, due, memory_order_seq_cst);
    /* Whoever changes the interval or the portion makes every thread due: either that comes after
     * ours, or we see the change. */
    if (atomic_load_explicit(&interval_now, memory_order_seq_cst) != interval ||
        rth__pressure_portion_bytes_sigsafe() != portion)
        atomic_store_explicit(&heap->due, 0, memory_order_relaxed);
}

void rth__heap_freed_unseen_nomalloc(void)
{
    rth__count_up(&unseen_frees, 1);
}

bool rth__heap_forget_nomalloc(const void *block, struct rth_heap_sample *ret_sample)
{
    if (is_busy()) {
        rth__count_up(&lost_nested, 1);
        return false;
    }
    struct rth_live_entry entry;
    bool found;
    local.is_inside = true;
    {
        RTH__LOCK_SCOPE(&rth__heap_sites.lock);
        found = rth__live_take_locked(&live, (uintptr_t)block, &entry);
        if (found) {
            *ret_sample = (struct rth_heap_sample){
                .block = entry.key,
                .count = entry.count,
                .amount = entry.amount,
                .site = entry.site,
                .site_identity = rth__site_identity_locked(&rth__heap_sites, entry.site),
                .runtime_generation = rth__enable_page()->generation,
            };
            end_locked(&entry);
        }
    }
    local.is_inside = false;
    return found;
}

/* The block of a waiting stack; if it was resolved meanwhile, the block counts as freed. */
static void wait_again_locked(struct rth_live_entry *entry)
{
    uint32_t slot = entry->site & ~SITE_WAITING;
    if (rth__waiting_back_locked(slot, entry->key) && !follow_locked(entry))
        rth__waiting_gone_locked(slot);
}

static void hold_again_locked(struct rth_live_entry *entry, uint64_t site_identity)
{
    entry->site = rth__site_restore_locked(&rth__heap_sites, entry->site, site_identity,
                                           entry->count, entry->amount);
    if (!follow_locked(entry))
        rth__site_remove_locked(&rth__heap_sites, entry->site, entry->count, entry->amount);
}

/* A block that could not be moved. */
void rth__heap_remember_nomalloc(const struct rth_heap_sample *sample)
{
    if (is_busy() || sample->runtime_generation != rth__enable_page()->generation)
        return;
    struct rth_live_entry entry = {
        .key = sample->block,
        .count = sample->count,
        .amount = sample->amount,
        .site = sample->site,
    };
    local.is_inside = true;
    {
        RTH__LOCK_SCOPE(&rth__heap_sites.lock);
        if ((entry.site & SITE_WAITING) != 0)
            wait_again_locked(&entry);
        else
            hold_again_locked(&entry, sample->site_identity);
    }
    local.is_inside = false;
}

/* ---- start, stop, settings ------------------------------------------------------------------- */

static void make_all_due(void)
{
    rth__thread_heaps_make_due();
    atomic_store_explicit(&unseen.due, 0, memory_order_relaxed);
}

static void forget_everything(void)
{
    live.filter_place = NULL;
    rth__live_child_reset(&live);
    samples = lost_nested = missed_frees = without_stack = 0;
    unseen_allocs = unseen_frees = unseen_bytes = 0;
}

int rth__heap_sampler_start(const struct rth_heap_filter **filter_place)
{
    if (empty_filter == NULL)
        empty_filter = *filter_place;
    rth__pressure_on_narrowed(make_all_due);
    int error = rth__sites_init(&rth__heap_sites, "heap");
    if (error != 0)
        return error;
    /* Started again after a stop, in which nobody saw what was freed. */
    rth__sites_clear(&rth__heap_sites);
    RTH__LOCK_SCOPE(&rth__heap_sites.lock);
    rth__live_clear_locked(&live);
    rth__waiting_clear_locked();
    live.filter_place = filter_place;
    return 0;
}

void rth__heap_sampler_stop(void)
{
    rth__heap_sampler_set_interval(0);
}

void rth__heap_sampler_child_reset(void)
{
    interval_now = 0;
    if (live.filter_place != NULL)
        __atomic_store_n(live.filter_place, empty_filter, __ATOMIC_RELEASE);
    rth__sites_child_reset(&rth__heap_sites);
    rth__waiting_child_reset();
    rth__stack_here_child_reset();
    local.is_inside = false;
    forget_everything();
}

void rth__heap_sampler_set_interval(uint64_t interval_bytes)
{
    atomic_store_explicit(&interval_now, interval_bytes, memory_order_seq_cst);
    make_all_due();
}

uint64_t rth__heap_sampler_interval(void)
{
    return atomic_load_explicit(&interval_now, memory_order_relaxed);
}

void rth__heap_counts_read(struct rth_heap_counts *ret_counts)
{
    RTH__LOCK_SCOPE(&rth__heap_sites.lock);
    *ret_counts = (struct rth_heap_counts){
        .samples = samples,
        .lost_nested = lost_nested,
        .lost_live = live.refused,
        .missed_frees = missed_frees,
        .waiting = rth__waiting_count(),
        .without_stack = without_stack,
        .live = live.count,
        .live_bytes = rth__live_bytes(&live),
    };
}

void rth__heap_totals_read(struct rth_heap_totals *ret_totals)
{
    struct rth_thread_heap sum = {0};
    rth__thread_heaps_sum(&sum);
    *ret_totals = (struct rth_heap_totals){
        .allocs = sum.allocs + unseen_allocs,
        .frees = sum.frees + unseen_frees,
        .bytes = sum.bytes + unseen_bytes,
    };
}
