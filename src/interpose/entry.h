/* SPDX-License-Identifier: MIT */
#ifndef RTH_INTERPOSE_ENTRY_H
#define RTH_INTERPOSE_ENTRY_H

/*
 * Wrappers of allocation functions that not every program has: C++'s operators and the allocators'
 * own entry points. The next definition of each name is looked for once, before main, since dlsym
 * waits for whoever is in dlopen, a constructor that waits for this very thread among them. Where
 * there is none (a program that asks for a weak symbol and finds ours) the C function that comes
 * nearest answers, so such a program works as with an allocator of that kind.
 *
 * NAME is the symbol, PARAMETERS its parameters with names, ARGUMENTS those names, both in
 * parentheses. FALLBACK is an expression. RTH__ENTRY_IS_LATE, defined by who includes this: whether
 * a library that is loaded later, for its users alone, may bring a definition.
 */

#include "interpose/alloc_real.h"
#include "interpose/heap.h"
#include "interpose/real.h"

struct rth__entry {
    const char *name;
    void *known; /* what original will ever be; NULL: ask */
    void *original;
    uint64_t loader_generation;
    bool is_late, is_settled;
};

/* Where `known` is NULL; caller: an address in the code that calls the wrapper. NULL: none. */
void *rth__entry_seek(struct rth__entry *entry, const void *caller);
/* What the object that holds the address, or one that it depends on, defines under that name; NULL
 * for nothing, and for the program itself. Takes the loader lock. */
void *rth__entry_in_scope_of(const void *caller, const char *name);
/* Settles the entries, before main. */
void rth__entries_resolve(void);

/* TYPE is that of the result. The section lists the entries. */
#define RTH__ENTRY_ORIGINAL(NAME, TYPE, PARAMETERS)                                                \
    static struct rth__entry entry_##NAME = {.name = #NAME, .is_late = RTH__ENTRY_IS_LATE};        \
    static struct rth__entry *const listed_##NAME                                                  \
        __attribute__((section("rth_heap_entries"), used)) = &entry_##NAME;                        \
    typedef TYPE NAME##_type PARAMETERS;                                                           \
    RTH__EXPORT TYPE NAME PARAMETERS;
/* In the wrapper of that name: the first is one load, and right before this object is relocated. */
#define RTH__ENTRY_KNOWN(NAME)                                                                     \
    ((NAME##_type *)__atomic_load_n(&entry_##NAME.known, __ATOMIC_RELAXED))
#define RTH__ENTRY_SEEK(NAME)                                                                      \
    ((NAME##_type *)rth__entry_seek(&entry_##NAME, __builtin_return_address(0)))
#define RTH__ENTRY_FIND(NAME)                                                                      \
    ({                                                                                             \
        NAME##_type *known = RTH__ENTRY_KNOWN(NAME);                                               \
        RTH__LIKELY(known != NULL) ? known : RTH__ENTRY_SEEK(NAME);                                \
    })

/* Returns a block of SIZE bytes, or NULL. */
#define RTH__ENTRY_ALLOC(NAME, PARAMETERS, ARGUMENTS, SIZE, FALLBACK)                              \
    RTH__ENTRY_ORIGINAL(NAME, void *, PARAMETERS)                                                  \
    RTH__HEAP_CODE void *NAME PARAMETERS                                                           \
    {                                                                                              \
        void *block = NULL;                                                                        \
        NAME##_type *original = RTH__ENTRY_KNOWN(NAME);                                            \
        if (RTH__UNLIKELY(original == NULL)) {                                                     \
            if (!rth__heap_is_relocated())                                                         \
                return rth__boot_alloc((SIZE), 0);                                                 \
            original = RTH__ENTRY_SEEK(NAME);                                                      \
        }                                                                                          \
        uint64_t before = rth__heap_allocs();                                                      \
        block = original != NULL ? original ARGUMENTS : (FALLBACK);                                \
        rth__heap_count(before, block, (SIZE));                                                    \
        return block;                                                                              \
    }

/* Frees `block`, one of the parameters. */
#define RTH__ENTRY_FREE(NAME, PARAMETERS, ARGUMENTS)                                               \
    RTH__ENTRY_ORIGINAL(NAME, void, PARAMETERS)                                                    \
    RTH__HEAP_CODE void NAME PARAMETERS                                                            \
    {                                                                                              \
        NAME##_type *original = RTH__ENTRY_KNOWN(NAME);                                            \
        if (RTH__UNLIKELY(original == NULL)) {                                                     \
            if (!rth__heap_is_relocated())                                                         \
                return;                                                                            \
            original = RTH__ENTRY_SEEK(NAME);                                                      \
        }                                                                                          \
        if (RTH__UNLIKELY(rth__boot_owns(block)))                                                  \
            return;                                                                                \
        uint64_t before = rth__heap_frees();                                                       \
        rth__heap_leave(block);                                                                    \
        if (original != NULL)                                                                      \
            original ARGUMENTS;                                                                    \
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
        NAME##_type *original = RTH__ENTRY_FIND(NAME);                                             \
        void *moved = original != NULL ? original ARGUMENTS : (FALLBACK);                          \
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
        NAME##_type *original = RTH__ENTRY_FIND(NAME);                                             \
        int error = original != NULL                                                               \
                        ? original(ret_block, alignment, size_bytes)                               \
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
