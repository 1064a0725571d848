/* SPDX-License-Identifier: MIT */
#ifndef RTH_INTERPOSE_HEAP_H
#define RTH_INTERPOSE_HEAP_H

/*
 * What every allocation wrapper does around its original: count, and at the thread's due byte call
 * the runtime; before a block is freed or moved, ask the filter and, rarely, the runtime.
 *
 * An original may come back through other wrappers (libstdc++'s operator new calls malloc, a C
 * library's calloc may too). The innermost call counts: a wrapper that finds its thread's counter
 * changed when its original returns has nothing left to do. malloc and free themselves count first
 * and jump, since nothing of ours is below them; malloc.c says what happens where that is not so.
 */

#include "interpose/blocked.h"
#include "interpose/ops.h"

#include <errno.h>
#include <stdatomic.h>

#define RTH__LIKELY(condition)   __builtin_expect(!!(condition), 1)
#define RTH__UNLIKELY(condition) __builtin_expect(!!(condition), 0)

/* A section of their own, so that the frames between a wrapper and the program can be told. */
#define RTH__HEAP_CODE __attribute__((section("rth_heap_code")))

/* Published by the runtime; before that a filter that holds nothing. */
extern const struct rth_heap_filter *rth__heap_filter __attribute__((visibility("hidden")));
/* Calls that count on threads without a block: for the comparison alone. */
extern __thread uint64_t rth__heap_unseen_allocs __attribute__((tls_model("initial-exec")));
extern __thread uint64_t rth__heap_unseen_frees __attribute__((tls_model("initial-exec")));

/* Tells the runtime of a block that is counted; self NULL: of one that is not. Keeps errno, as all
 * of these do. */
void rth__heap_due(struct rth_thread_shared *self, const void *block, size_t size_bytes);
/* Counts a block that nobody has counted. */
void rth__heap_allocated(const void *block, size_t size_bytes);
/* On a thread without a block. */
void rth__heap_freed_unseen(void);
bool rth__heap_forget(const void *block, struct rth_heap_sample *ret_sample);
void rth__heap_remember(const struct rth_heap_sample *sample);

/*
 * Code selectors (IFUNC resolvers) of objects that the loader relocates before this one may
 * allocate; then there is neither a thread-local pointer nor a way out of here. The loader's offset
 * of the pointer, which is never zero once it is written, tells. True: go on.
 */
static inline bool rth__heap_is_relocated(void)
{
#if defined(__x86_64__)
    intptr_t offset;
    /* volatile: not to be taken out of the branch that it guards */
    __asm__ volatile("movq rth__self@gottpoff(%%rip), %0" : "=r"(offset));
    return RTH__LIKELY(offset != 0);
#else
    return true;
#endif
}

/* The calling thread's block, as rth__self; false: not relocated, as above. The offset that tells
 * is the one that leads there, so that it is read once. */
static inline bool rth__heap_self(struct rth_thread_shared **ret_self)
{
#if defined(__x86_64__)
    intptr_t offset;
    __asm__ volatile("movq rth__self@gottpoff(%%rip), %0" : "=r"(offset));
    if (RTH__UNLIKELY(offset == 0))
        return false;
    /* Not by __seg_fs, whose accesses sanitizers of gcc 12 check at a wrong address. */
    __asm__ volatile("movq %%fs:(%1), %0" : "=r"(*ret_self) : "r"(offset));
#else
    *ret_self = rth__self;
#endif
    return true;
}

/* The interposer's own malloc, whoever comes first; and the one that a program's calls reach first
 * if they do not get from there to ours, else ours. Once, on a thread of the program. */
const void *rth__heap_own_malloc(void);
const void *rth__heap_first_malloc(void);

/* How often the thread has allocated so far, by its wrappers' count. */
static inline uint64_t rth__heap_allocs(void)
{
    const struct rth_thread_shared *self = rth__self;
    return RTH__LIKELY(self != NULL) ? self->heap.allocs : rth__heap_unseen_allocs;
}

static inline uint64_t rth__heap_frees(void)
{
    const struct rth_thread_shared *self = rth__self;
    return RTH__LIKELY(self != NULL) ? self->heap.frees : rth__heap_unseen_frees;
}

/* After an original that began when the counter stood at `before`. */
static inline void rth__heap_count(uint64_t before, const void *block, size_t size_bytes)
{
    if (RTH__LIKELY(block != NULL) && rth__heap_allocs() == before)
        rth__heap_allocated(block, size_bytes);
}

/* Looks at one of the two bits, for the shortest way: what it lets through is asked again. */
static inline bool rth__heap_might_hold(const void *block)
{
    const struct rth_heap_filter *filter = __atomic_load_n(&rth__heap_filter, __ATOMIC_ACQUIRE);
    uint64_t hash = rth__heap_filter_hash((uintptr_t)block);
    uint64_t word = __atomic_load_n(&filter->words[hash >> filter->shift], __ATOMIC_RELAXED);
    return RTH__UNLIKELY(word >> (hash >> 32 & 63) & 1);
}

/* Before an original that frees. */
static inline void rth__heap_leave(const void *block)
{
    struct rth_heap_sample sample;
    if (RTH__UNLIKELY(rth__heap_filter_may_hold(
            __atomic_load_n(&rth__heap_filter, __ATOMIC_ACQUIRE), (uintptr_t)block)))
        (void)rth__heap_forget(block, &sample);
}

/* After an original that freed block and began when the counter stood at `before`. */
static inline void rth__heap_count_free(uint64_t before, const void *block)
{
    struct rth_thread_shared *self = rth__self;
    if (block == NULL || rth__heap_frees() != before)
        return;
    if (RTH__LIKELY(self != NULL))
        self->heap.frees++;
    else
        rth__heap_freed_unseen();
}

/* A block on its way to another place or size. */
struct rth__heap_move {
    uint64_t allocs, frees; /* as they stood before */
    bool sampled;
    struct rth_heap_sample sample;
};
static inline void rth__heap_move_begin(struct rth__heap_move *move, const void *block)
{
    move->allocs = rth__heap_allocs();
    move->frees = rth__heap_frees();
    move->sampled = RTH__UNLIKELY(rth__heap_filter_may_hold(
                        __atomic_load_n(&rth__heap_filter, __ATOMIC_ACQUIRE), (uintptr_t)block)) &&
                    rth__heap_forget(block, &move->sample);
}
/* moved: NULL when the block is where and as it was (freed: it is gone all the same). */
static inline void rth__heap_move_end(const struct rth__heap_move *move, const void *block,
                                      const void *moved, size_t size_bytes, bool freed)
{
    if (moved == NULL && !freed) {
        if (move->sampled)
            rth__heap_remember(&move->sample);
        return;
    }
    rth__heap_count_free(move->frees, block);
    rth__heap_count(move->allocs, moved, size_bytes);
}

#endif /* RTH_INTERPOSE_HEAP_H */
