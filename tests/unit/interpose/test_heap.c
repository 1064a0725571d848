/* SPDX-License-Identifier: MIT */
/* The allocation wrappers: blocks are the allocator's, each counts once, and the runtime hears of
 * those that are due and of those that may be sampled. */
#include "helper/unit.h"

#include <malloc.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>

#include "unit/interpose/helper/fake.h"

/* Not in every libc's headers, or C++'s, or an allocator's. */
extern void free_sized(void *block, size_t size_bytes);
extern void free_aligned_sized(void *block, size_t alignment, size_t size_bytes);
extern void *_Znwm(size_t), *_Znam(size_t), *_ZnwmSt11align_val_t(size_t, size_t);
extern void *_ZnwmRKSt9nothrow_t(size_t, const void *), *_ZnamRKSt9nothrow_t(size_t, const void *);
extern void *_ZnamSt11align_val_t(size_t, size_t);
extern void *_ZnwmSt11align_val_tRKSt9nothrow_t(size_t, size_t, const void *);
extern void *_ZnamSt11align_val_tRKSt9nothrow_t(size_t, size_t, const void *);
extern void _ZdlPv(void *), _ZdaPv(void *), _ZdlPvm(void *, size_t), _ZdaPvm(void *, size_t);
extern void _ZdlPvRKSt9nothrow_t(void *, const void *), _ZdaPvRKSt9nothrow_t(void *, const void *);
extern void _ZdlPvSt11align_val_t(void *, size_t), _ZdaPvSt11align_val_t(void *, size_t);
extern void _ZdlPvmSt11align_val_t(void *, size_t, size_t);
extern void _ZdaPvmSt11align_val_t(void *, size_t, size_t);
extern void _ZdlPvSt11align_val_tRKSt9nothrow_t(void *, size_t, const void *);
extern void _ZdaPvSt11align_val_tRKSt9nothrow_t(void *, size_t, const void *);
extern void *mallocx(size_t, int), *rallocx(void *, size_t, int), *tc_malloc(size_t);
extern void *mi_malloc(size_t), *mi_calloc(size_t, size_t), *mi_realloc(void *, size_t);
extern void dallocx(void *, int), tc_free(void *), mi_free(void *);

#define NEVER UINT64_MAX

static struct rth_thread_shared shared;
static struct rth_interpose_info info;
/* What the runtime was told. */
static struct {
    int allocated, freed_unseen, forgotten, remembered;
    struct rth_thread_heap *heap;
    const void *block, *forgotten_block;
    size_t bytes;
    struct rth_heap_sample sample;
    bool was_intact; /* the block to be forgotten was still itself */
} told;
static const void *sampled; /* what forget knows */

static void heap_allocated(struct rth_thread_heap *heap, const void *block, size_t size_bytes)
{
    told.allocated++;
    told.heap = heap;
    told.block = block;
    told.bytes = size_bytes;
    errno = 1234;
}

static void heap_freed_unseen(void)
{
    told.freed_unseen++;
}

#define PATTERN UINT64_C(0x5ca1ab1e0ddba11)

static bool heap_forget(const void *block, struct rth_heap_sample *ret_sample)
{
    told.forgotten++;
    told.forgotten_block = block;
    errno = 1234;
    if (block == NULL || block != sampled)
        return false;
    const uint64_t *words = block;
    told.was_intact = words[0] == PATTERN && words[1] == PATTERN;
    *ret_sample = (struct rth_heap_sample){.block = (uintptr_t)block, .site_identity = 4711};
    return true;
}

static void heap_remember(const struct rth_heap_sample *sample)
{
    told.remembered++;
    told.sample = *sample;
    errno = 1234;
}

static struct {
    uint64_t shift, words[2];
} all_filter = {63, {~UINT64_C(0), ~UINT64_C(0)}}, none_filter = {63, {0, 0}};

static void set_filter(const void *filter)
{
    __atomic_store_n(info.heap_filter, filter, __ATOMIC_RELEASE);
}

static void begin(uint64_t due)
{
    (void)rth_interpose_attach(NULL, NULL);
    (void)fake_runtime_new();
    fake_ops.heap_allocated_nomalloc = heap_allocated;
    fake_ops.heap_freed_unseen_nomalloc = heap_freed_unseen;
    fake_ops.heap_forget_nomalloc = heap_forget;
    fake_ops.heap_remember_nomalloc = heap_remember;
    info = (struct rth_interpose_info){.struct_size = sizeof(info)};
    assert_int_equal(rth_interpose_attach(&fake_ops, &info), 0);
    set_filter(&none_filter);
    shared = (struct rth_thread_shared){.heap = {.due = due}};
    info.thread_shared_set(&shared);
    memset(&told, 0, sizeof(told));
    sampled = NULL;
}

/* What no compiler can know, or do without. */
static inline void *hide_pointer(void *value)
{
    __asm__ volatile("" : "+r"(value) : : "memory");
    return value;
}
static inline size_t hide_size(size_t value)
{
    __asm__ volatile("" : "+r"(value) : : "memory");
    return value;
}
#define HIDE(value) _Generic((value), size_t : hide_size, default : hide_pointer)(value)

/* Runs a call between two looks at the counters; results are kept for later, so that cmocka's own
 * allocations do not get in between. */
static struct rth_thread_heap seen;
static int told_allocated, told_forgotten;
#define LOOK(call)                                                                                 \
    do {                                                                                           \
        struct rth_thread_heap before_call = shared.heap;                                          \
        told.allocated = told.forgotten = told.remembered = 0;                                     \
        errno = 77;                                                                                \
        __asm__ volatile("" : : : "memory");                                                       \
        call;                                                                                      \
        __asm__ volatile("" : : : "memory");                                                       \
        seen_errno = errno;                                                                        \
        seen = shared.heap;                                                                        \
        seen.allocs -= before_call.allocs;                                                         \
        seen.frees -= before_call.frees;                                                           \
        seen.bytes -= before_call.bytes;                                                           \
        told_allocated = told.allocated;                                                           \
        told_forgotten = told.forgotten;                                                           \
    } while (0)
static int seen_errno;

static void assert_seen(uint64_t allocs, uint64_t bytes, uint64_t frees)
{
    assert_int_equal(seen.allocs, allocs);
    assert_int_equal(seen.bytes, bytes);
    assert_int_equal(seen.frees, frees);
}

/* ---- every member of the family ---------------------------------------------------------------
 */

static void *by_posix_memalign(size_t bytes)
{
    void *block = NULL;
    assert_int_equal(posix_memalign(&block, 64, bytes), 0);
    return block;
}

static void *by_realloc(size_t bytes)
{
    return realloc(HIDE((void *)NULL), bytes);
}

static void *by_reallocarray(size_t bytes)
{
    return reallocarray(HIDE((void *)NULL), bytes / 8, 8);
}

static void *by_calloc(size_t bytes)
{
    return calloc(bytes / 8, 8);
}

static void *by_memalign(size_t bytes)
{
    return memalign(256, bytes);
}

static void *by_aligned_alloc(size_t bytes)
{
    return aligned_alloc(32, bytes);
}

#define BY(name, call)                                                                             \
    static void *by_##name(size_t bytes)                                                           \
    {                                                                                              \
        return call;                                                                               \
    }
BY(new_nothrow, _ZnwmRKSt9nothrow_t(bytes, ""))
BY(new_array_nothrow, _ZnamRKSt9nothrow_t(bytes, ""))
BY(new_aligned, _ZnwmSt11align_val_t(bytes, 128))
BY(new_array_aligned, _ZnamSt11align_val_t(bytes, 128))
BY(new_aligned_nothrow, _ZnwmSt11align_val_tRKSt9nothrow_t(bytes, 128, ""))
BY(new_array_aligned_nothrow, _ZnamSt11align_val_tRKSt9nothrow_t(bytes, 128, ""))
BY(mallocx, mallocx(bytes, 0))
BY(mi_calloc, mi_calloc(2, bytes / 2))
BY(mi_realloc, mi_realloc(NULL, bytes))

static const struct {
    const char *name;
    void *(*allocate)(size_t bytes);
    size_t alignment;
} allocators[] = {
    {"malloc", malloc, 16},
    {"calloc", by_calloc, 16},
    {"realloc", by_realloc, 16},
    {"reallocarray", by_reallocarray, 16},
    {"posix_memalign", by_posix_memalign, 64},
    {"memalign", by_memalign, 256},
    {"aligned_alloc", by_aligned_alloc, 32},
    {"valloc", valloc, 4096},
    {"pvalloc", pvalloc, 4096},
    {"new", _Znwm, 16},
    {"new[]", _Znam, 16},
    {"new nothrow", by_new_nothrow, 16},
    {"new[] nothrow", by_new_array_nothrow, 16},
    {"new aligned", by_new_aligned, 128},
    {"new[] aligned", by_new_array_aligned, 128},
    {"new aligned nothrow", by_new_aligned_nothrow, 128},
    {"new[] aligned nothrow", by_new_array_aligned_nothrow, 128},
    {"mallocx", by_mallocx, 16},
    {"tc_malloc", tc_malloc, 16},
    {"mi_malloc", mi_malloc, 16},
    {"mi_calloc", by_mi_calloc, 16},
    {"mi_realloc", by_mi_realloc, 16},
};
#define ALLOCATORS (sizeof(allocators) / sizeof(allocators[0]))
#define BYTES      ((size_t)1600)

static void by_free_sized(void *block)
{
    free_sized(block, BYTES);
}

static void by_free_aligned_sized(void *block)
{
    free_aligned_sized(block, 16, BYTES);
}

static void by_realloc_to_nothing(void *block)
{
    void *none = realloc(HIDE(block), HIDE((size_t)0));
    assert_null(none);
}

static void by_reallocarray_to_nothing(void *block)
{
    assert_null(reallocarray(HIDE(block), 16, HIDE((size_t)0)));
}

#define FREE_BY(name, call)                                                                        \
    static void by_##name(void *block)                                                             \
    {                                                                                              \
        call;                                                                                      \
    }
FREE_BY(delete_sized, _ZdlPvm(block, BYTES))
FREE_BY(delete_array_sized, _ZdaPvm(block, BYTES))
FREE_BY(delete_nothrow, _ZdlPvRKSt9nothrow_t(block, ""))
FREE_BY(delete_array_nothrow, _ZdaPvRKSt9nothrow_t(block, ""))
FREE_BY(delete_aligned, _ZdlPvSt11align_val_t(block, 16))
FREE_BY(delete_array_aligned, _ZdaPvSt11align_val_t(block, 16))
FREE_BY(delete_sized_aligned, _ZdlPvmSt11align_val_t(block, BYTES, 16))
FREE_BY(delete_array_sized_aligned, _ZdaPvmSt11align_val_t(block, BYTES, 16))
FREE_BY(delete_aligned_nothrow, _ZdlPvSt11align_val_tRKSt9nothrow_t(block, 16, ""))
FREE_BY(delete_array_aligned_nothrow, _ZdaPvSt11align_val_tRKSt9nothrow_t(block, 16, ""))
FREE_BY(dallocx, dallocx(block, 0))

static void (*const frees[])(void *block) = {
    free,
    by_free_sized,
    by_free_aligned_sized,
    by_realloc_to_nothing,
    by_reallocarray_to_nothing,
    _ZdlPv,
    _ZdaPv,
    by_delete_sized,
    by_delete_array_sized,
    by_delete_nothrow,
    by_delete_array_nothrow,
    by_delete_aligned,
    by_delete_array_aligned,
    by_delete_sized_aligned,
    by_delete_array_sized_aligned,
    by_delete_aligned_nothrow,
    by_delete_array_aligned_nothrow,
    by_dallocx,
    tc_free,
    mi_free,
};
#define FREES (sizeof(frees) / sizeof(frees[0]))

static void every_allocation_counts_once_with_its_bytes(void **state)
{
    (void)state;
    begin(NEVER);
    for (size_t i = 0; i < ALLOCATORS; i++) {
        void *block;
        LOOK(block = allocators[i].allocate(BYTES));
        print_message("%s\n", allocators[i].name);
        assert_non_null(block);
        assert_seen(1, BYTES, 0);
        assert_int_equal(told_allocated, 0);
        assert_int_equal(seen_errno, 77);
        assert_int_equal((uintptr_t)block % allocators[i].alignment, 0);
        assert_in_range(malloc_usable_size(block), BYTES, 3 * BYTES + 4096);
        memset(block, 0xa5, BYTES);
        free(block);
    }
}

static void what_is_due_is_told_once_with_the_block_as_it_is_returned(void **state)
{
    (void)state;
    begin(0);
    for (size_t i = 0; i < ALLOCATORS; i++) {
        void *block;
        LOOK(block = allocators[i].allocate(BYTES));
        print_message("%s\n", allocators[i].name);
        const void *told_block = told.block;
        size_t told_bytes = told.bytes;
        const struct rth_thread_heap *told_heap = told.heap;
        shared.heap.due = NEVER;
        assert_int_equal(told_allocated, 1);
        assert_ptr_equal(told_block, block);
        assert_int_equal(told_bytes, BYTES);
        assert_ptr_equal(told_heap, &shared.heap);
        assert_seen(1, BYTES, 0);
        assert_int_equal(seen_errno, 77);
        free(block);
        shared.heap.due = 0;
    }
}

static void a_thread_is_due_at_the_very_byte(void **state)
{
    void *blocks[3];
    (void)state;
    begin(NEVER);
    shared.heap.due = shared.heap.bytes + 300;
    LOOK(blocks[0] = HIDE(malloc(HIDE((size_t)299))));
    assert_int_equal(told_allocated, 0);
    shared.heap.due = shared.heap.bytes + 300;
    LOOK(blocks[1] = HIDE(malloc(HIDE((size_t)300))));
    shared.heap.due = NEVER;
    assert_int_equal(told_allocated, 1);
    shared.heap.due = shared.heap.bytes + 300;
    LOOK(blocks[2] = HIDE(calloc(30, HIDE((size_t)10))));
    shared.heap.due = NEVER;
    assert_int_equal(told_allocated, 1);
    for (size_t i = 0; i < 3; i++)
        free(blocks[i]);
}

static void every_free_counts_once_and_nothing_is_no_block(void **state)
{
    (void)state;
    begin(NEVER);
    for (size_t i = 0; i < FREES; i++) {
        void *block = malloc(BYTES);
        print_message("%zu\n", i);
        LOOK(frees[i](block));
        assert_seen(0, 0, 1);
        assert_int_equal(seen_errno, 77);
        if (frees[i] == by_realloc_to_nothing || frees[i] == by_reallocarray_to_nothing)
            continue; /* these would allocate */
        LOOK(frees[i](NULL));
        assert_seen(0, 0, 0);
    }
}

static void blocks_of_no_bytes_count_as_blocks(void **state)
{
    void *block;
    (void)state;
    begin(NEVER);
    LOOK(block = HIDE(malloc(HIDE((size_t)0))));
    assert_non_null(block);
    assert_seen(1, 0, 0);
    LOOK(free(block));
    assert_seen(0, 0, 1);
    LOOK(block = HIDE(calloc(HIDE((size_t)0), 8)));
    assert_non_null(block);
    assert_seen(1, 0, 0);
    free(block);
    LOOK(block = HIDE(realloc(HIDE((void *)NULL), 0)));
    assert_non_null(block);
    assert_seen(1, 0, 0);
    free(block);
}

/* ---- what fails ---------------------------------------------------------------------------------
 */

#define TOO_MANY HIDE((size_t)PTRDIFF_MAX)

static void what_fails_is_not_counted_and_says_so_in_errno(void **state)
{
    void *block;
    (void)state;
    begin(UINT64_C(1) << 30);
    LOOK(block = malloc(TOO_MANY));
    assert_null(block);
    assert_seen(0, 0, 0);
    assert_int_equal(seen_errno, ENOMEM);
    LOOK(block = malloc(HIDE(SIZE_MAX))); /* the sum of bytes goes round */
    assert_null(block);
    assert_seen(0, 0, 0);
    assert_int_equal(seen_errno, ENOMEM);
    LOOK(block = malloc(HIDE(SIZE_MAX - 100)));
    assert_null(block);
    assert_seen(0, 0, 0);
    LOOK(block = calloc(TOO_MANY, 4)); /* the product does */
    assert_null(block);
    assert_seen(0, 0, 0);
    assert_int_equal(seen_errno, ENOMEM);
    LOOK(block = calloc(TOO_MANY, 1));
    assert_null(block);
    assert_seen(0, 0, 0);
    LOOK(block = memalign(64, TOO_MANY));
    assert_null(block);
    assert_seen(0, 0, 0);
    LOOK(block = aligned_alloc(64, TOO_MANY));
    assert_null(block);
    assert_seen(0, 0, 0);
    LOOK(block = valloc(TOO_MANY));
    assert_null(block);
    assert_seen(0, 0, 0);
    LOOK(block = pvalloc(TOO_MANY));
    assert_null(block);
    assert_seen(0, 0, 0);
    LOOK(block = realloc(HIDE((void *)NULL), TOO_MANY));
    assert_null(block);
    assert_seen(0, 0, 0);
    LOOK(block = reallocarray(HIDE((void *)NULL), TOO_MANY, 4));
    assert_null(block);
    assert_seen(0, 0, 0);
    assert_int_equal(seen_errno, ENOMEM);
    assert_int_equal(told_allocated, 0);
}

static void posix_memalign_returns_its_errors_and_leaves_the_rest_alone(void **state)
{
    void *block = (void *)0x1234;
    int error;
    (void)state;
    begin(NEVER);
    LOOK(error = posix_memalign(&block, HIDE((size_t)24), 64));
    assert_int_equal(error, EINVAL);
    assert_ptr_equal(block, (void *)0x1234);
    assert_seen(0, 0, 0);
    assert_int_equal(seen_errno, 77);
    LOOK(error = posix_memalign(&block, HIDE((size_t)2), 64));
    assert_int_equal(error, EINVAL);
    LOOK(error = posix_memalign(&block, 64, TOO_MANY));
    assert_int_equal(error, ENOMEM);
    assert_ptr_equal(block, (void *)0x1234);
    assert_seen(0, 0, 0);
}

/* ---- realloc ------------------------------------------------------------------------------------
 */

static uint64_t *patterned(size_t bytes)
{
    uint64_t *block = malloc(bytes);
    assert_non_null(block);
    for (size_t i = 0; i < bytes / 8; i++)
        block[i] = PATTERN;
    return block;
}

static bool is_patterned(const uint64_t *block, size_t bytes)
{
    for (size_t i = 0; i < bytes / 8; i++)
        if (block[i] != PATTERN)
            return false;
    return true;
}

static void a_move_is_a_free_and_an_allocation_of_the_new_size(void **state)
{
    static const size_t sizes[] = {24, 5000, 300000, 100, 104, 16};
    (void)state;
    begin(NEVER);
    uint64_t *block = patterned(16);
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        LOOK(block = realloc(HIDE((void *)block), sizes[i]));
        assert_seen(1, sizes[i], 1);
        assert_int_equal(seen_errno, 77);
        assert_true(is_patterned(block, 16));
    }
    LOOK(block = reallocarray(HIDE((void *)block), 10, 100));
    assert_seen(1, 1000, 1);
    assert_true(is_patterned(block, 16));
    LOOK(block = rallocx(block, 2000, 0));
    assert_seen(1, 2000, 1);
    LOOK(block = mi_realloc(block, 64));
    assert_seen(1, 64, 1);
    assert_true(is_patterned(block, 16));
    free(block);
}

static void a_sampled_block_that_moves_is_forgotten_first(void **state)
{
    (void)state;
    begin(NEVER);
    uint64_t *block = patterned(64);
    sampled = block;
    set_filter(&all_filter);
    LOOK(block = realloc(HIDE((void *)block), 100000));
    set_filter(&none_filter);
    assert_int_equal(told_forgotten, 1);
    assert_true(told.was_intact);
    assert_int_equal(told.remembered, 0);
    assert_seen(1, 100000, 1);
    free(block);
}

static void a_sampled_block_that_cannot_move_is_remembered_as_it_was(void **state)
{
    void *moved;
    (void)state;
    begin(NEVER);
    uint64_t *block = patterned(64);
    sampled = block;
    set_filter(&all_filter);
    LOOK(moved = realloc(HIDE((void *)block), TOO_MANY));
    assert_null(moved);
    assert_int_equal(told_forgotten, 1);
    assert_int_equal(told.remembered, 1);
    assert_int_equal(told.sample.block, (uintptr_t)block);
    assert_int_equal(told.sample.site_identity, 4711);
    assert_seen(0, 0, 0);
    assert_int_equal(seen_errno, ENOMEM);
    LOOK(moved = reallocarray(HIDE((void *)block), TOO_MANY, 16));
    assert_null(moved);
    assert_int_equal(told.remembered, 1);
    assert_seen(0, 0, 0);
    /* One that is not sampled has nothing to be remembered. */
    sampled = NULL;
    LOOK(moved = realloc(HIDE((void *)block), TOO_MANY));
    assert_null(moved);
    assert_int_equal(told.remembered, 0);
    set_filter(&none_filter);
    assert_true(is_patterned(block, 64));
    free(block);
}

/* ---- blocks that may be sampled
 * ------------------------------------------------------------------ */

static void every_free_of_a_sampled_block_tells_before_the_block_is_gone(void **state)
{
    (void)state;
    begin(NEVER);
    for (size_t i = 0; i < FREES; i++) {
        uint64_t *block = patterned(BYTES);
        print_message("%zu\n", i);
        sampled = block;
        told.was_intact = false;
        set_filter(&all_filter);
        LOOK(frees[i](block));
        set_filter(&none_filter);
        assert_true(told_forgotten >= 1);
        assert_true(told.was_intact);
        assert_seen(0, 0, 1);
        assert_int_equal(told.remembered, 0);
        assert_int_equal(seen_errno, 77);
    }
}

static void the_filter_alone_decides_who_is_asked(void **state)
{
    (void)state;
    begin(NEVER);
    struct {
        uint64_t shift, words[2];
    } one = {63, {0, 0}};
    uint64_t *blocks[100], *chosen = NULL;
    for (size_t i = 0; i < 100; i++)
        blocks[i] = patterned(64);
    chosen = blocks[42];
    uint64_t hash = rth__heap_filter_hash((uintptr_t)chosen);
    one.words[hash >> 63] = rth__heap_filter_mask(hash);
    sampled = chosen;
    set_filter(&one);
    int asked = 0, asked_for_it = 0;
    for (size_t i = 0; i < 100; i++) {
        LOOK(free(blocks[i]));
        asked += told_forgotten;
        asked_for_it += told_forgotten == 1 && told.forgotten_block == chosen;
    }
    set_filter(&none_filter);
    assert_int_equal(asked_for_it, 1);
    assert_in_range(asked, 1, 20); /* two bits of 128 */
}

/* ---- threads without a block, and no runtime
 * ------------------------------------------------------ */

static void a_thread_without_a_block_tells_of_every_call(void **state)
{
    (void)state;
    begin(NEVER);
    info.thread_shared_set(NULL);
    for (size_t i = 0; i < ALLOCATORS; i++) {
        void *block;
        told.freed_unseen = 0;
        LOOK(block = allocators[i].allocate(BYTES));
        print_message("%s\n", allocators[i].name);
        assert_seen(0, 0, 0);
        assert_int_equal(told_allocated, 1);
        assert_int_equal(seen_errno, 77);
        LOOK(free(block));
        assert_int_equal(told.freed_unseen, 1);
    }
    for (size_t i = 0; i < FREES; i++) {
        void *block = malloc(BYTES);
        told.freed_unseen = 0;
        LOOK(frees[i](block));
        assert_int_equal(told.freed_unseen, 1);
    }
    void *block = malloc(100);
    told.freed_unseen = 0;
    LOOK(block = realloc(HIDE(block), 10000));
    assert_int_equal(told_allocated, 1);
    assert_int_equal(told.freed_unseen, 1);
    LOOK(block = realloc(HIDE(block), 100));
    free(block);
    told.freed_unseen = 0;
    LOOK(block = malloc(TOO_MANY));
    assert_null(block);
    assert_int_equal(told_allocated, 0);
    LOOK(free(NULL));
    assert_int_equal(told.freed_unseen, 0);
    info.thread_shared_set(&shared);
}

static void without_a_live_runtime_nobody_is_told(void **state)
{
    (void)state;
    begin(0);
    info.thread_shared_set(NULL);
    *fake.enabled = 0;
    uint64_t *block = patterned(64);
    sampled = block;
    set_filter(&all_filter);
    LOOK(block = realloc(HIDE((void *)block), 1000));
    assert_int_equal(told_allocated + told_forgotten + told.remembered, 0);
    LOOK(free(block));
    assert_int_equal(told_allocated + told_forgotten + told.freed_unseen, 0);
    *fake.enabled = 1;
    (void)rth_interpose_attach(NULL, NULL);
    block = patterned(64);
    LOOK(block = realloc(HIDE((void *)block), TOO_MANY) == NULL ? block : NULL);
    assert_non_null(block);
    LOOK(free(block));
    assert_int_equal(told_allocated + told_forgotten + told.remembered, 0);
    set_filter(&none_filter);
}

static void *allocates_much(void *counters)
{
    info.thread_shared_set(counters);
    for (size_t i = 0; i < 20000; i++)
        free(HIDE(malloc(i % 512)));
    info.thread_shared_set(NULL);
    return NULL;
}

static void each_thread_counts_for_itself(void **state)
{
    struct rth_thread_shared counters[4] = {0};
    pthread_t threads[4];
    (void)state;
    begin(NEVER);
    fake.prepares_nothing = true; /* it has room for one */
    for (size_t i = 0; i < 4; i++) {
        counters[i].heap.due = NEVER;
        assert_int_equal(pthread_create(&threads[i], NULL, allocates_much, &counters[i]), 0);
    }
    for (size_t i = 0; i < 4; i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    uint64_t bytes = 0;
    for (size_t i = 0; i < 20000; i++)
        bytes += i % 512;
    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(counters[i].heap.allocs, 20000);
        assert_int_equal(counters[i].heap.frees, 20000);
        assert_int_equal(counters[i].heap.bytes, bytes);
    }
}

/* What is said of the wrappers' code and of whose malloc it is. */
static void the_runtime_learns_where_the_wrappers_are(void **state)
{
    (void)state;
    begin(NEVER);
    assert_ptr_equal(info.first_malloc, info.own_malloc);
    assert_ptr_not_equal(info.real_malloc, info.own_malloc);
    assert_non_null(info.real_free);
    uintptr_t own = (uintptr_t)info.own_malloc;
    assert_true(info.heap_code_start <= own && own < info.heap_code_limit);
    assert_in_range(info.heap_code_limit - info.heap_code_start, 256, 65536);
}

RTH_TEST_MAIN(cmocka_unit_test(every_allocation_counts_once_with_its_bytes),
              cmocka_unit_test(what_is_due_is_told_once_with_the_block_as_it_is_returned),
              cmocka_unit_test(a_thread_is_due_at_the_very_byte),
              cmocka_unit_test(every_free_counts_once_and_nothing_is_no_block),
              cmocka_unit_test(blocks_of_no_bytes_count_as_blocks),
              cmocka_unit_test(what_fails_is_not_counted_and_says_so_in_errno),
              cmocka_unit_test(posix_memalign_returns_its_errors_and_leaves_the_rest_alone),
              cmocka_unit_test(a_move_is_a_free_and_an_allocation_of_the_new_size),
              cmocka_unit_test(a_sampled_block_that_moves_is_forgotten_first),
              cmocka_unit_test(a_sampled_block_that_cannot_move_is_remembered_as_it_was),
              cmocka_unit_test(every_free_of_a_sampled_block_tells_before_the_block_is_gone),
              cmocka_unit_test(the_filter_alone_decides_who_is_asked),
              cmocka_unit_test(a_thread_without_a_block_tells_of_every_call),
              cmocka_unit_test(without_a_live_runtime_nobody_is_told),
              cmocka_unit_test(each_thread_counts_for_itself),
              cmocka_unit_test(the_runtime_learns_where_the_wrappers_are))
