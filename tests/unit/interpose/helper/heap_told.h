/* SPDX-License-Identifier: MIT */
#ifndef RTH_TESTS_INTERPOSE_HEAP_TOLD_H
#define RTH_TESTS_INTERPOSE_HEAP_TOLD_H

/*
 * A runtime that notes what the allocation wrappers tell it, and every way to allocate and to free,
 * for the tests of those wrappers.
 */

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

static inline void heap_allocated(struct rth_thread_heap *heap, const void *block,
                                  size_t size_bytes)
{
    told.allocated++;
    told.heap = heap;
    told.block = block;
    told.bytes = size_bytes;
    errno = 1234;
}

static inline void heap_freed_unseen(void)
{
    told.freed_unseen++;
}

#define PATTERN UINT64_C(0x5ca1ab1e0ddba11)

static inline bool heap_forget(const void *block, struct rth_heap_sample *ret_sample)
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

static inline void heap_remember(const struct rth_heap_sample *sample)
{
    told.remembered++;
    told.sample = *sample;
    errno = 1234;
}

static struct {
    uint64_t shift, words[2];
} all_filter = {63, {~UINT64_C(0), ~UINT64_C(0)}}, none_filter = {63, {0, 0}};

static inline void set_filter(const void *filter)
{
    __atomic_store_n(info.heap_filter, filter, __ATOMIC_RELEASE);
}

/* Where a sanitizer's malloc comes first there is nothing to see. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SKIP_BEHIND_A_SANITIZER() RTH_SKIP("the sanitizer's malloc comes before the wrappers")
#else
#define SKIP_BEHIND_A_SANITIZER() (void)0
#endif

static inline void begin(uint64_t due)
{
    SKIP_BEHIND_A_SANITIZER();
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

#define TOO_MANY HIDE((size_t)PTRDIFF_MAX)

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

static inline void assert_seen(uint64_t allocs, uint64_t bytes, uint64_t frees)
{
    assert_int_equal(seen.allocs, allocs);
    assert_int_equal(seen.bytes, bytes);
    assert_int_equal(seen.frees, frees);
}

/* ---- every member of the family
 */

static inline void *by_posix_memalign(size_t bytes)
{
    void *block = NULL;
    assert_int_equal(posix_memalign(&block, 64, bytes), 0);
    return block;
}

static inline void *by_realloc(size_t bytes)
{
    return realloc(HIDE((void *)NULL), bytes);
}

static inline void *by_reallocarray(size_t bytes)
{
    return reallocarray(HIDE((void *)NULL), bytes / 8, 8);
}

static inline void *by_calloc(size_t bytes)
{
    return calloc(bytes / 8, 8);
}

static inline void *by_memalign(size_t bytes)
{
    return memalign(256, bytes);
}

static inline void *by_aligned_alloc(size_t bytes)
{
    return aligned_alloc(32, bytes);
}

#define BY(name, call)                                                                             \
    static inline void *by_##name(size_t bytes)                                                    \
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

static inline void by_free_sized(void *block)
{
    free_sized(block, BYTES);
}

static inline void by_free_aligned_sized(void *block)
{
    free_aligned_sized(block, 16, BYTES);
}

static inline void by_realloc_to_nothing(void *block)
{
    void *none = realloc(HIDE(block), HIDE((size_t)0));
    assert_null(none);
}

static inline void by_reallocarray_to_nothing(void *block)
{
    assert_null(reallocarray(HIDE(block), 16, HIDE((size_t)0)));
}

#define FREE_BY(name, call)                                                                        \
    static inline void by_##name(void *block)                                                      \
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

static inline uint64_t *patterned(size_t bytes)
{
    uint64_t *block = malloc(bytes);
    assert_non_null(block);
    for (size_t i = 0; i < bytes / 8; i++)
        block[i] = PATTERN;
    return block;
}

static inline bool is_patterned(const uint64_t *block, size_t bytes)
{
    for (size_t i = 0; i < bytes / 8; i++)
        if (block[i] != PATTERN)
            return false;
    return true;
}

#endif /* RTH_TESTS_INTERPOSE_HEAP_TOLD_H */
