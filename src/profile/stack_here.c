/* SPDX-License-Identifier: MIT */
/*
 * Where a thread's stack may be read is asked of the kernel page by page. What is found readable up
 * to the top of the thread's own stack is remembered: it stays so while the thread lives. Other
 * stacks (a fiber's, an alternate one) may be unmapped, and their place taken by smaller ones, so
 * they are asked for anew each time. Caches of the walker are few and borrowed, since threads of
 * one program walk the same code. No lock, no allocation after the caches.
 */
#include "profile/stack_here.h"

#include <stdatomic.h>
#include <string.h>
#include <sys/auxv.h>

#include "core/arena.h"
#include "record/loader.h"
#include "unwind/unwind.h"

#define CACHES          16u
#define PAGES_ASKED_MAX 64u /* 256 KiB of stack; what lies above is asked for as it is met */
#define ASKED_BYTES     (PAGES_ASKED_MAX * RTH_ARCH_PAGE_BYTES)
#define WRAPPER_FRAMES  24u /* how near the top wrappers are looked for: C++'s nest */
#define FRAMES_MAX      (RTH_STACK_HERE_FRAMES_MAX + WRAPPER_FRAMES)

/* The calling thread's: [low, high) of its own stack is readable. Nothing yet: both 0. */
static __thread uint64_t known_low __attribute__((tls_model("initial-exec")));
static __thread uint64_t known_high __attribute__((tls_model("initial-exec")));
static __thread bool is_capturing __attribute__((tls_model("initial-exec")));

static _Atomic uintptr_t wrappers_start, wrappers_limit;

struct cache {
    _Atomic(struct rth_unwind_cache *) memory;
    _Atomic bool lent;
};
static struct cache caches[CACHES];

void rth__stack_here_wrappers_set(uintptr_t start, uintptr_t limit)
{
    atomic_store_explicit(&wrappers_start, start, memory_order_relaxed);
    atomic_store_explicit(&wrappers_limit, limit, memory_order_relaxed);
}

/* ---- caches -------------------------------------------------------------------------------- */

/* Threads begin at different ones. */
static struct cache *cache_borrow(void)
{
    unsigned first = (unsigned)((uintptr_t)&known_low >> 12);
    for (unsigned i = 0; i < 4; i++) {
        struct cache *cache = &caches[(first + i) % CACHES];
        if (!atomic_exchange_explicit(&cache->lent, true, memory_order_acquire))
            return cache;
    }
    return NULL;
}

static struct rth_unwind_cache *cache_memory(struct cache *cache)
{
    if (cache == NULL)
        return NULL;
    struct rth_unwind_cache *memory = atomic_load_explicit(&cache->memory, memory_order_relaxed);
    if (memory == NULL) {
        memory = rth__arena_alloc_nomalloc(RTH_UNWIND_CACHE_BYTES);
        atomic_store_explicit(&cache->memory, memory, memory_order_relaxed);
    }
    return memory;
}

static void cache_return(struct cache *cache)
{
    if (cache != NULL)
        atomic_store_explicit(&cache->lent, false, memory_order_release);
}

/* ---- where the stack is --------------------------------------------------------------------- */

static uint64_t page_of(uint64_t address)
{
    return address & ~(RTH_ARCH_PAGE_BYTES - 1);
}

/* The first page from `page` on that cannot be read, at most limit. */
static uint64_t readable_from(uint64_t page, uint64_t limit)
{
    while (page < limit && rth__unwind_can_read_sigsafe(page))
        page += RTH_ARCH_PAGE_BYTES;
    return page;
}

/* The end of the page that closes the thread's own stack, when sp may be on it: a thread's local
 * storage lies there, and on the main thread's what the kernel left to the program. Else 0. */
static uint64_t own_top(uint64_t sp)
{
    const uint64_t tops[] = {(uintptr_t)&known_high, getauxval(AT_RANDOM)};
    for (unsigned i = 0; i < sizeof(tops) / sizeof(tops[0]); i++)
        if (tops[i] >= sp && tops[i] - sp < ASKED_BYTES)
            return page_of(tops[i]) + RTH_ARCH_PAGE_BYTES;
    return 0;
}

static bool is_on_own_stack(uint64_t sp)
{
    if (sp >= known_low && sp < known_high)
        return true;
    uint64_t page = page_of(sp), top;
    if (sp < known_low && known_low - page <= ASKED_BYTES &&
        readable_from(page, known_low) == known_low) {
        known_low = page;
        return true;
    }
    top = own_top(sp);
    if (top == 0 || readable_from(page, top) != top)
        return false;
    known_low = page;
    known_high = top;
    return true;
}

/* What can be read from sp on without asking; of another stack than the thread's own, what is left
 * of the page that it runs on. */
static struct rth_unwind_stack stack_at(uint64_t sp)
{
    uint64_t high = is_on_own_stack(sp) ? known_high : page_of(sp) + RTH_ARCH_PAGE_BYTES;
    return (struct rth_unwind_stack){.low = sp, .high = high, .probe = true};
}

/* ---- which frames are the host's ------------------------------------------------------------ */

static unsigned first_of_caller(const rth_frame *frames, unsigned count, uintptr_t return_address)
{
    rth_frame caller = rth__frame_of_address_sigsafe(return_address - 1);
    for (unsigned i = 0; i < count && i < WRAPPER_FRAMES; i++)
        if (frames[i] == caller)
            return i;
    return count;
}

static unsigned first_behind_wrappers(const rth_frame *frames, unsigned count)
{
    uintptr_t start = atomic_load_explicit(&wrappers_start, memory_order_relaxed);
    uintptr_t limit = atomic_load_explicit(&wrappers_limit, memory_order_relaxed);
    unsigned first = 0;
    for (unsigned i = 0; i < count && i < WRAPPER_FRAMES; i++) {
        uint64_t address = rth__frame_address(frames[i]);
        if (address >= start && address < limit)
            first = i + 1;
    }
    return first;
}

__attribute__((noinline)) static unsigned walk(rth_frame *ret_frames, unsigned capacity)
{
    struct rth_registers registers;
    rth__registers_here_sigsafe(&registers);
    struct rth_unwind_stack stack = stack_at(registers.value[RTH_REG_RSP]);
    struct cache *cache = cache_borrow();
    enum rth_unwind_end end;
    unsigned count =
        rth__unwind_sigsafe(&registers, &stack, cache_memory(cache), ret_frames, capacity, &end);
    cache_return(cache);
    return count;
}

/* Copies what is left of frames when ours are taken off. */
static unsigned keep_hosts(uintptr_t return_address, const rth_frame *frames, unsigned count,
                           rth_frame *ret_frames, unsigned capacity)
{
    unsigned first = return_address != 0 ? first_of_caller(frames, count, return_address) : count;
    if (first == count) {
        first = first_behind_wrappers(frames, count);
        if (first == 0 && return_address == 0)
            return 0; /* the walk did not even get out of our own code */
    }
    count -= first;
    if (count > capacity)
        count = capacity;
    memcpy(ret_frames, frames + first, count * sizeof(*frames));
    return count;
}

unsigned rth__stack_capture_nomalloc(uintptr_t return_address, rth_frame *ret_frames,
                                     unsigned capacity)
{
    rth_frame frames[FRAMES_MAX];
    if (is_capturing)
        return 0;
    is_capturing = true;
    unsigned count = walk(frames, FRAMES_MAX);
    is_capturing = false;
    return keep_hosts(return_address, frames, count, ret_frames, capacity);
}

/* ---- stacks for later ----------------------------------------------------------------------- */

bool rth__stack_is_early_nomalloc(const rth_frame *frames, unsigned count)
{
    if (rth__module_count() == 0)
        return true;
    bool loader_moved = rth__loader_moved_sigsafe();
    for (unsigned i = 0; i < count; i++) {
        uint32_t module_id = rth__frame_module_id(frames[i]);
        if (module_id == 0 ? loader_moved : rth__unwind_rows_may_come_sigsafe(module_id))
            return true;
    }
    return false;
}

/* The copy holds red zones of a sanitizer, and frames of this very function. */
__attribute__((no_sanitize("address", "thread"))) static void
copy_stack(unsigned char *to, uint64_t from, size_t size_bytes)
{
    const volatile uint64_t *words = (const volatile uint64_t *)(uintptr_t)from;
    for (size_t i = 0; i < size_bytes / sizeof(uint64_t); i++) {
        uint64_t word = words[i];
        memcpy(to + i * sizeof(word), &word, sizeof(word));
    }
}

/* Of a stack that may end anywhere: what lies above it is others' memory, which they may unmap, so
 * each page is asked for in the instant before it is read. Returns the bytes copied. */
static size_t copy_page_by_page(unsigned char *to, uint64_t from, size_t size_bytes)
{
    size_t done = 0;
    while (done < size_bytes && (done == 0 || rth__unwind_can_read_sigsafe(from + done))) {
        size_t bytes = page_of(from + done) + RTH_ARCH_PAGE_BYTES - (from + done);
        if (bytes > size_bytes - done)
            bytes = size_bytes - done;
        copy_stack(to + done, from + done, bytes);
        done += bytes;
    }
    return done;
}

bool rth__stack_capture_raw_nomalloc(struct rth_raw_stack *ret_raw)
{
    if (is_capturing)
        return false;
    rth__registers_here_sigsafe(&ret_raw->registers);
    uint64_t low = ret_raw->registers.value[RTH_REG_RSP];
    size_t bytes = RTH_RAW_STACK_BYTES;
    if (is_on_own_stack(low)) {
        if (bytes > known_high - low)
            bytes = known_high - low;
        copy_stack(ret_raw->bytes, low, bytes);
    } else {
        bytes = copy_page_by_page(ret_raw->bytes, low, bytes);
    }
    ret_raw->size_bytes = (uint32_t)bytes;
    return true;
}

unsigned rth__stack_walk_raw_from(uintptr_t return_address, const struct rth_raw_stack *raw,
                                  rth_frame *ret_frames, unsigned capacity)
{
    rth_frame frames[FRAMES_MAX];
    uint64_t low = raw->registers.value[RTH_REG_RSP];
    struct rth_unwind_stack stack = {.low = low, .high = low + raw->size_bytes, .copy = raw->bytes};
    enum rth_unwind_end end;
    unsigned count = rth__unwind_sigsafe(&raw->registers, &stack, NULL, frames, FRAMES_MAX, &end);
    return keep_hosts(return_address, frames, count, ret_frames, capacity);
}

unsigned rth__stack_walk_raw(const struct rth_raw_stack *raw, rth_frame *ret_frames,
                             unsigned capacity)
{
    return rth__stack_walk_raw_from(0, raw, ret_frames, capacity);
}

void rth__stack_here_child_reset(void)
{
    for (unsigned i = 0; i < CACHES; i++) {
        atomic_store_explicit(&caches[i].memory, NULL, memory_order_relaxed);
        atomic_store_explicit(&caches[i].lent, false, memory_order_relaxed);
    }
    is_capturing = false;
}
