/* SPDX-License-Identifier: MIT */
#ifndef RTH_INTERPOSE_ENTRY_H
#define RTH_INTERPOSE_ENTRY_H

/*
 * Wrappers of allocation functions that not every program has: C++'s operators and the allocators'
 * own entry points. Each finds the next definition of its own name at its first call. Where there
 * is none (a program that asks for a weak symbol and finds ours) the C function that comes nearest
 * answers, so such a program works as with an allocator of that kind.
 *
 * NAME is the symbol, PARAMETERS its parameters with names, ARGUMENTS those names, both in
 * parentheses. FALLBACK is an expression.
 */

#include "interpose/alloc_real.h"
#include "interpose/heap.h"
#include "interpose/real.h"

#define RTH__ENTRY_ORIGINAL(NAME, TYPE, PARAMETERS)                                                \
    static TYPE(*original_##NAME) PARAMETERS;                                                      \
    static bool sought_##NAME;                                                                     \
    static bool has_##NAME(void)                                                                   \
    {                                                                                              \
        if (RTH__UNLIKELY(!__atomic_load_n(&sought_##NAME, __ATOMIC_ACQUIRE))) {                   \
            original_##NAME = (__typeof__(original_##NAME))rth__alloc_find(#NAME);                 \
            __atomic_store_n(&sought_##NAME, true, __ATOMIC_RELEASE);                              \
        }                                                                                          \
        return original_##NAME != NULL;                                                            \
    }                                                                                              \
    RTH__EXPORT TYPE NAME PARAMETERS;

/* Returns a block of SIZE bytes, or NULL. */
#define RTH__ENTRY_ALLOC(NAME, PARAMETERS, ARGUMENTS, SIZE, FALLBACK)                              \
    RTH__ENTRY_ORIGINAL(NAME, void *, PARAMETERS)                                                  \
    RTH__HEAP_CODE void *NAME PARAMETERS                                                           \
    {                                                                                              \
        uint64_t before = rth__heap_allocs();                                                      \
        void *block = has_##NAME() ? original_##NAME ARGUMENTS : (FALLBACK);                       \
        rth__heap_count(before, block, (SIZE));                                                    \
        return block;                                                                              \
    }

/* Frees `block`, one of the parameters. */
#define RTH__ENTRY_FREE(NAME, PARAMETERS, ARGUMENTS)                                               \
    RTH__ENTRY_ORIGINAL(NAME, void, PARAMETERS)                                                    \
    RTH__HEAP_CODE void NAME PARAMETERS                                                            \
    {                                                                                              \
        uint64_t before = rth__heap_frees();                                                       \
        rth__heap_leave(block);                                                                    \
        if (has_##NAME())                                                                          \
            original_##NAME ARGUMENTS;                                                             \
        else                                                                                       \
            rth__alloc_real.free(block);                                                           \
        rth__heap_count_free(before, block);                                                       \
    }

/* Moves `block`; FREED: whether NULL means that it is gone. */
#define RTH__ENTRY_MOVE(NAME, PARAMETERS, ARGUMENTS, SIZE, FREED, FALLBACK)                        \
    RTH__ENTRY_ORIGINAL(NAME, void *, PARAMETERS)                                                  \
    RTH__HEAP_CODE void *NAME PARAMETERS                                                           \
    {                                                                                              \
        struct rth__heap_move move;                                                                \
        rth__heap_move_begin(&move, block);                                                        \
        void *moved = has_##NAME() ? original_##NAME ARGUMENTS : (FALLBACK);                       \
        rth__heap_move_end(&move, block, moved, (SIZE),                                            \
                           moved == NULL && block != NULL && (FREED));                             \
        return moved;                                                                              \
    }

/* Stores a block of SIZE bytes in *ret_block and returns 0, or returns an error. */
#define RTH__ENTRY_STORE(NAME)                                                                     \
    RTH__ENTRY_ORIGINAL(NAME, int, (void **ret_block, size_t alignment, size_t size_bytes))        \
    RTH__HEAP_CODE int NAME(void **ret_block, size_t alignment, size_t size_bytes)                 \
    {                                                                                              \
        uint64_t before = rth__heap_allocs();                                                      \
        int error = has_##NAME()                                                                   \
                        ? original_##NAME(ret_block, alignment, size_bytes)                        \
                        : rth__alloc_real.posix_memalign(ret_block, alignment, size_bytes);        \
        if (error == 0)                                                                            \
            rth__heap_count(before, *ret_block, size_bytes);                                       \
        return error;                                                                              \
    }

static inline void *rth__entry_aligned(size_t alignment, size_t size_bytes)
{
    return rth__alloc_real.memalign(alignment, size_bytes);
}

#endif /* RTH_INTERPOSE_ENTRY_H */
