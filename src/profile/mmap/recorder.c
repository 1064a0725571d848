/* SPDX-License-Identifier: MIT */
/*
 * From the wrappers' calls to the ranges.
 *
 * Threads: any of the host, also inside an allocator, which calls mmap under its own locks, and in
 * signal handlers. Locks: that of the sites, for some hundred nanoseconds; memory is taken at the
 * start alone (but for the sites when they are full). A thread that a handler interrupts in here
 * holds the lock, so the handler's call is counted as lost and does nothing.
 * Early stacks: while the code on a stack has no unwind rows yet, as at a program's start, the top
 * of the stack is copied, and the mapping is pending until rth-work walks the copy.
 * Failure: what is not followed is counted per cause. Cost: about a microsecond per mapping.
 */
#include "profile/mmap/recorder.h"

#include <errno.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>

#include "core/arena.h"
#include "core/pressure.h"
#include "profile/mmap/ranges.h"
#include "profile/stack_here.h"
#include "thread/context.h"
#include "unwind/arch.h"

struct rth_sites rth__map_sites = {.lock = RTH_LOCK_INIT(RTH_RANK_SITES)};

/* Protected by the lock of the sites. */
static struct rth_map_ranges ranges;
static uint64_t last_before_start; /* mapping's number */

static _Atomic bool is_recording;
/* Written with the lock held; the number of the newest mapping. Never set back. */
static _Atomic uint64_t newest;
static _Atomic uint64_t lost_nested, lost_stacks;

static __thread bool is_inside __attribute__((tls_model("initial-exec")));

/* ---- in and out ---------------------------------------------------------------------------- */

static bool enter(void)
{
    if (!atomic_load_explicit(&is_recording, memory_order_acquire))
        return false;
    if (is_inside || rth__lock_inner_held_sigsafe()) {
        atomic_fetch_add_explicit(&lost_nested, 1, memory_order_relaxed);
        return false;
    }
    is_inside = true;
    atomic_signal_fence(memory_order_seq_cst);
    return true;
}

static void leave(void)
{
    atomic_signal_fence(memory_order_seq_cst);
    is_inside = false;
}

/* What the kernel makes of a length: whole pages. */
static uint64_t limit_of(uintptr_t address, size_t length)
{
    uint64_t limit;
    if (__builtin_add_overflow((uint64_t)address, (uint64_t)length, &limit) ||
        limit > UINT64_MAX - RTH_ARCH_PAGE_BYTES)
        return address; /* empty */
    return (limit + RTH_ARCH_PAGE_BYTES - 1) & ~(uint64_t)(RTH_ARCH_PAGE_BYTES - 1);
}

/* ---- stacks that wait ---------------------------------------------------------------------- */

#define PENDING_MAX 256u

enum pending_state { PENDING_FREE, PENDING_FILLING, PENDING_READY, PENDING_WALKED };

/* Whole pages, so that one is given back by itself. */
struct pending {
    struct rth_raw_stack raw;
    uintptr_t caller;
    uint64_t number, bytes;
    uint32_t label_set;
    _Atomic uint32_t state;
} __attribute__((aligned(4096)));

static struct pending *pending; /* PENDING_MAX; NULL before the first start */

/* A slot with the stack in it; NULL when all are taken or the stack cannot be read. */
static struct pending *pending_capture(uintptr_t caller, uint32_t label_set)
{
    for (unsigned i = 0; i < PENDING_MAX; i++) {
        struct pending *slot = &pending[i];
        uint32_t seen = PENDING_FREE;
        if (!atomic_compare_exchange_strong_explicit(&slot->state, &seen, PENDING_FILLING,
                                                     memory_order_acquire, memory_order_relaxed))
            continue;
        slot->caller = caller;
        slot->label_set = label_set;
        if (rth__stack_capture_raw_nomalloc(&slot->raw))
            return slot;
        atomic_store_explicit(&slot->state, PENDING_FREE, memory_order_release);
        return NULL;
    }
    return NULL;
}

static uint32_t site_locked(const rth_frame *frames, unsigned count, uint32_t label_set)
{
    if (count == 0)
        atomic_fetch_add_explicit(&lost_stacks, 1, memory_order_relaxed);
    return rth__site_intern_locked(&rth__map_sites, 0, frames, count, label_set);
}

/* The pages of a slot read as zero afterwards: it is free. */
static void pending_release(struct pending *slot)
{
    if (madvise(slot, sizeof(*slot), MADV_DONTNEED) != 0)
        atomic_store_explicit(&slot->state, PENDING_FREE, memory_order_release);
}

void rth__map_recorder_resolve(void)
{
    rth_frame frames[RTH_STACK_HERE_FRAMES_MAX];
    for (unsigned i = 0; pending != NULL && i < PENDING_MAX; i++) {
        struct pending *slot = &pending[i];
        if (atomic_load_explicit(&slot->state, memory_order_acquire) != PENDING_READY)
            continue;
        unsigned count =
            rth__stack_walk_raw_from(slot->caller, &slot->raw, frames, RTH_STACK_HERE_FRAMES_MAX);
        {
            RTH__LOCK_SCOPE(&rth__map_sites.lock);
            /* A start meanwhile has forgotten the mapping. */
            if (atomic_load_explicit(&slot->state, memory_order_relaxed) == PENDING_READY)
                rth__map_ranges_settle_locked(&ranges, slot->number, slot->bytes,
                                              site_locked(frames, count, slot->label_set));
            atomic_store_explicit(&slot->state, PENDING_WALKED, memory_order_relaxed);
        }
        pending_release(slot);
    }
}

/* ---- mappings ------------------------------------------------------------------------------ */

/* [start, limit) is new, by the caller of the wrapper; [taken_start, taken_limit), where it is not
 * empty, has gone as far as it is no newer than mark. */
static void record(uint64_t start, uint64_t limit, uintptr_t caller, uint64_t taken_start,
                   uint64_t taken_limit, uint64_t mark)
{
    rth_frame frames[RTH_STACK_HERE_FRAMES_MAX];
    uint32_t label_set = rth__context_label_set_sigsafe();
    unsigned count = rth__stack_capture_nomalloc(caller, frames, RTH_STACK_HERE_FRAMES_MAX);
    struct pending *slot = NULL;
    if (rth__stack_is_early_nomalloc(frames, count)) {
        slot = pending_capture(caller, label_set);
        if (slot == NULL)
            count = 0; /* what was walked without rows is no stack */
    }
    RTH__LOCK_SCOPE(&rth__map_sites.lock);
    rth__map_ranges_take_locked(&ranges, taken_start, taken_limit, mark);
    uint64_t number = atomic_load_explicit(&newest, memory_order_relaxed) + 1;
    atomic_store_explicit(&newest, number, memory_order_release);
    uint32_t site = slot != NULL ? RTH_MAP_SITE_PENDING : site_locked(frames, count, label_set);
    rth__map_ranges_add_locked(&ranges, start, limit, number, site);
    if (slot != NULL) {
        slot->number = number;
        slot->bytes = limit - start;
        atomic_store_explicit(&slot->state, PENDING_READY, memory_order_release);
    }
}

static void take(uint64_t start, uint64_t limit, uint64_t last_number)
{
    RTH__LOCK_SCOPE(&rth__map_sites.lock);
    rth__map_ranges_take_locked(&ranges, start, limit, last_number);
}

uint64_t rth__map_mark_nomalloc(void)
{
    return atomic_load_explicit(&newest, memory_order_acquire);
}

bool rth__map_is_known_nomalloc(uintptr_t address)
{
    if (!enter())
        return false;
    bool known;
    {
        RTH__LOCK_SCOPE(&rth__map_sites.lock);
        known = rth__map_ranges_hold_locked(&ranges, address);
    }
    leave();
    return known;
}

/* To who watches memory: before a page of it is touched. */
#define REPORTED_BYTES_MIN ((size_t)1 << 20)

static void report_growth(size_t grown_bytes)
{
    if (grown_bytes >= REPORTED_BYTES_MIN && rth__pressure_portion_bytes_sigsafe() != 0)
        rth__pressure_report_sigsafe(grown_bytes);
}

void rth__map_added_nomalloc(uintptr_t address, size_t length, bool is_anonymous, uintptr_t caller)
{
    if (is_anonymous)
        report_growth(length);
    if (!enter())
        return;
    int saved_errno = errno;
    uint64_t limit = limit_of(address, length);
    if (is_anonymous)
        record(address, limit, caller, 0, 0, 0);
    else
        take(address, limit, UINT64_MAX);
    errno = saved_errno;
    leave();
}

void rth__map_removed_nomalloc(uint64_t mark, uintptr_t address, size_t length)
{
    if (!enter())
        return;
    int saved_errno = errno;
    take(address, limit_of(address, length), mark);
    errno = saved_errno;
    leave();
}

void rth__map_moved_nomalloc(uint64_t mark, bool known, uintptr_t before, size_t before_bytes,
                             uintptr_t after, size_t after_bytes, uintptr_t caller)
{
    if (known && after_bytes > before_bytes)
        report_growth(after_bytes - before_bytes);
    if (!enter())
        return;
    int saved_errno = errno;
    uint64_t before_limit = before_bytes != 0 ? limit_of(before, before_bytes) : before;
    uint64_t after_limit = limit_of(after, after_bytes);
    if (known) {
        record(after, after_limit, caller, before, before_limit, mark);
    } else {
        take(before, before_limit, mark);
        take(after, after_limit, UINT64_MAX);
    }
    errno = saved_errno;
    leave();
}

/* ---- begin and end ------------------------------------------------------------------------- */

/* What waits is of mappings that are forgotten. */
static void forget_pending(void)
{
    RTH__LOCK_SCOPE(&rth__map_sites.lock);
    for (unsigned i = 0; i < PENDING_MAX; i++) {
        uint32_t seen = PENDING_READY;
        (void)atomic_compare_exchange_strong_explicit(&pending[i].state, &seen, PENDING_FREE,
                                                      memory_order_relaxed, memory_order_relaxed);
    }
}

int rth__map_recorder_start(void)
{
    if (pending == NULL)
        pending = rth__arena_alloc_nomalloc(PENDING_MAX * sizeof(*pending));
    if (pending == NULL)
        return -ENOMEM;
    forget_pending();
    int error = rth__sites_init(&rth__map_sites, "mmap");
    if (error == 0)
        error = rth__map_ranges_init(&ranges, &rth__map_sites);
    if (error != 0)
        return error;
    {
        RTH__LOCK_SCOPE(&rth__map_sites.lock);
        last_before_start = atomic_load_explicit(&newest, memory_order_relaxed);
    }
    atomic_store_explicit(&is_recording, true, memory_order_release);
    return 0;
}

void rth__map_recorder_stop(void)
{
    atomic_store_explicit(&is_recording, false, memory_order_release);
}

void rth__map_recorder_child_reset(void)
{
    rth__map_recorder_stop();
    rth__sites_child_reset(&rth__map_sites);
    rth__map_ranges_child_reset(&ranges);
    pending = NULL;
    is_inside = false;
    atomic_store_explicit(&lost_nested, 0, memory_order_relaxed);
    atomic_store_explicit(&lost_stacks, 0, memory_order_relaxed);
}

void rth__map_counts_read(struct rth_map_counts *ret_counts)
{
    struct rth_map_counts counts = {
        .lost_nested = atomic_load_explicit(&lost_nested, memory_order_relaxed),
        .lost_stacks = atomic_load_explicit(&lost_stacks, memory_order_relaxed),
    };
    for (unsigned i = 0; pending != NULL && i < PENDING_MAX; i++)
        counts.waiting +=
            atomic_load_explicit(&pending[i].state, memory_order_relaxed) != PENDING_FREE;
    RTH__LOCK_SCOPE(&rth__map_sites.lock);
    counts.mapped = atomic_load_explicit(&newest, memory_order_relaxed) - last_before_start;
    counts.pieces = ranges.count;
    counts.bytes = rth__map_ranges_bytes_locked(&ranges);
    counts.lost_pieces = ranges.refused;
    counts.lost_pieces_bytes = ranges.refused_bytes;
    *ret_counts = counts;
}
