/* SPDX-License-Identifier: MIT */
#ifndef RTH_INTERPOSE_ALLOC_REAL_H
#define RTH_INTERPOSE_ALLOC_REAL_H

/*
 * The originals of the C allocation functions, apart from real.h: malloc is called before anything
 * is resolved, by the look-up itself, and even before this object is relocated. Until the
 * originals are known, blocks come from a small arena of our own; they are never given back.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* clang-format off */
#define RTH__ALLOC_NAMES(X)                                                                        \
    X(malloc, void *, (size_t size_bytes))                                                         \
    X(free, void, (void *block))                                                                   \
    X(calloc, void *, (size_t count, size_t size_bytes))                                           \
    X(realloc, void *, (void *block, size_t size_bytes))                                           \
    X(reallocarray, void *, (void *block, size_t count, size_t size_bytes))                        \
    X(memalign, void *, (size_t alignment, size_t size_bytes))                                     \
    X(aligned_alloc, void *, (size_t alignment, size_t size_bytes))                                \
    X(posix_memalign, int, (void **ret_block, size_t alignment, size_t size_bytes))                \
    X(valloc, void *, (size_t size_bytes))                                                         \
    X(pvalloc, void *, (size_t size_bytes))                                                        \
    X(malloc_usable_size, size_t, (void *block))                                                   \
    X(free_sized, void, (void *block, size_t size_bytes))                                          \
    X(free_aligned_sized, void, (void *block, size_t alignment, size_t size_bytes))
/* clang-format on */

struct rth__alloc_real {
#define RTH__ALLOC_MEMBER(name, type, parameters) type(*name) parameters;
    RTH__ALLOC_NAMES(RTH__ALLOC_MEMBER)
#undef RTH__ALLOC_MEMBER
};

/* What the wrappers call: at first functions that resolve; none is ever NULL. */
extern struct rth__alloc_real rth__alloc_real __attribute__((visibility("hidden")));

/* Looks the originals up, any thread, any time. False while this very thread is at it. */
bool rth__alloc_resolve(void);
/* The originals as found, behind what rth__alloc_real may put before them; NULL members where this
 * libc has none. */
const struct rth__alloc_real *rth__alloc_next(void);
/* The original of any other allocation function, NULL when nobody else defines it. */
void *rth__alloc_find(const char *name);

/* The arena, for who is called too early. alignment: a power of two; 0 for the usual one. */
void *rth__boot_alloc(size_t size_bytes, size_t alignment);
#define RTH__BOOT_BYTES (64u * 1024)
extern unsigned char rth__boot_memory[RTH__BOOT_BYTES] __attribute__((visibility("hidden")));
static inline bool rth__boot_owns(const void *block)
{
    return (uintptr_t)block - (uintptr_t)rth__boot_memory < RTH__BOOT_BYTES;
}
size_t rth__boot_size(const void *block);

#endif /* RTH_INTERPOSE_ALLOC_REAL_H */
