/* SPDX-License-Identifier: MIT */
/*
 * C++'s operator new and delete, every form that the language lets a program replace. With glibc
 * they come back through malloc and free, which count; jemalloc, tcmalloc and mimalloc define them
 * next to malloc, and nothing but these wrappers sees them. A program that replaces an operator
 * itself is served by its own, and seen where that calls malloc.
 *
 * An operator that throws leaves through the wrapper, which has nothing to clean up. Where none is
 * below us, the C++ runtime came with a plugin of a C program, for that plugin alone: malloc serves
 * it as that runtime's operator would, and the runtime's own is asked when a block cannot be had,
 * since it throws.
 */
#define RTH__ENTRY_IS_LATE false
#include "interpose/entry.h"

typedef const void nothrow; /* std::nothrow_t by reference */

/* What the caller's C++ runtime says instead of NULL. */
#define OR_FAIL(NAME, BLOCK, ARGUMENTS)                                                            \
    ({                                                                                             \
        void *got = (BLOCK);                                                                       \
        NAME##_type *thrower =                                                                     \
            RTH__LIKELY(got != NULL)                                                               \
                ? NULL                                                                             \
                : (NAME##_type *)rth__entry_in_scope_of(__builtin_return_address(0), #NAME);       \
        thrower != NULL ? thrower ARGUMENTS : got;                                                 \
    })

#define NEW(NAME)                                                                                  \
    RTH__ENTRY_ALLOC(NAME, (size_t size_bytes), (size_bytes), size_bytes,                          \
                     OR_FAIL(NAME, rth__alloc_real.malloc(size_bytes), (size_bytes)))
#define NEW_NOTHROW(NAME)                                                                          \
    RTH__ENTRY_ALLOC(NAME, (size_t size_bytes, nothrow * tag), (size_bytes, tag), size_bytes,      \
                     rth__alloc_real.malloc(size_bytes))
#define NEW_ALIGNED(NAME)                                                                          \
    RTH__ENTRY_ALLOC(                                                                              \
        NAME, (size_t size_bytes, size_t alignment), (size_bytes, alignment), size_bytes,          \
        OR_FAIL(NAME, rth__entry_aligned(alignment, size_bytes), (size_bytes, alignment)))
#define NEW_ALIGNED_NOTHROW(NAME)                                                                  \
    RTH__ENTRY_ALLOC(NAME, (size_t size_bytes, size_t alignment, nothrow * tag),                   \
                     (size_bytes, alignment, tag), size_bytes,                                     \
                     rth__entry_aligned(alignment, size_bytes))

#define DELETE(NAME)         RTH__ENTRY_FREE(NAME, (void *block), (block))
#define DELETE_NOTHROW(NAME) RTH__ENTRY_FREE(NAME, (void *block, nothrow *tag), (block, tag))
#define DELETE_SIZED(NAME)                                                                         \
    RTH__ENTRY_FREE(NAME, (void *block, size_t size_bytes), (block, size_bytes))
#define DELETE_ALIGNED(NAME)                                                                       \
    RTH__ENTRY_FREE(NAME, (void *block, size_t alignment), (block, alignment))
#define DELETE_SIZED_ALIGNED(NAME)                                                                 \
    RTH__ENTRY_FREE(NAME, (void *block, size_t size_bytes, size_t alignment),                      \
                    (block, size_bytes, alignment))
#define DELETE_ALIGNED_NOTHROW(NAME)                                                               \
    RTH__ENTRY_FREE(NAME, (void *block, size_t alignment, nothrow *tag), (block, alignment, tag))

/* The names as the Itanium ABI mangles them for a 64-bit size_t: nw new, na new[], dl delete, da
 * delete[]. */
NEW(_Znwm)
NEW(_Znam)
NEW_NOTHROW(_ZnwmRKSt9nothrow_t)
NEW_NOTHROW(_ZnamRKSt9nothrow_t)
NEW_ALIGNED(_ZnwmSt11align_val_t)
NEW_ALIGNED(_ZnamSt11align_val_t)
NEW_ALIGNED_NOTHROW(_ZnwmSt11align_val_tRKSt9nothrow_t)
NEW_ALIGNED_NOTHROW(_ZnamSt11align_val_tRKSt9nothrow_t)
DELETE(_ZdlPv)
DELETE(_ZdaPv)
DELETE_NOTHROW(_ZdlPvRKSt9nothrow_t)
DELETE_NOTHROW(_ZdaPvRKSt9nothrow_t)
DELETE_SIZED(_ZdlPvm)
DELETE_SIZED(_ZdaPvm)
DELETE_ALIGNED(_ZdlPvSt11align_val_t)
DELETE_ALIGNED(_ZdaPvSt11align_val_t)
DELETE_SIZED_ALIGNED(_ZdlPvmSt11align_val_t)
DELETE_SIZED_ALIGNED(_ZdaPvmSt11align_val_t)
DELETE_ALIGNED_NOTHROW(_ZdlPvSt11align_val_tRKSt9nothrow_t)
DELETE_ALIGNED_NOTHROW(_ZdaPvSt11align_val_tRKSt9nothrow_t)
