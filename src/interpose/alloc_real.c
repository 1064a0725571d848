/* SPDX-License-Identifier: MIT */
#include "interpose/alloc_real.h"

#include "interpose/heap.h"
#include "interpose/real.h"

#include <dlfcn.h>
#include <errno.h>
#include <string.h>

/* ---- the arena ----------------------------------------------------------------------------- */

#define BOOT_ALIGNMENT 16u
/* That of the arena; who asks for more gets nothing. */
#define BOOT_ALIGNMENT_MAX 4096u

/* Before each block its size. */
_Alignas(BOOT_ALIGNMENT_MAX) unsigned char rth__boot_memory[RTH__BOOT_BYTES];
static size_t boot_used;

size_t rth__boot_size(const void *block)
{
    size_t size_bytes;
    memcpy(&size_bytes, (const unsigned char *)block - BOOT_ALIGNMENT, sizeof(size_bytes));
    return size_bytes;
}

void *rth__boot_alloc(size_t size_bytes, size_t alignment)
{
    if (alignment < BOOT_ALIGNMENT)
        alignment = BOOT_ALIGNMENT;
    if (size_bytes > RTH__BOOT_BYTES || alignment > BOOT_ALIGNMENT_MAX)
        return NULL;
    size_t used = __atomic_load_n(&boot_used, __ATOMIC_RELAXED), offset;
    do {
        offset = (used + BOOT_ALIGNMENT + alignment - 1) & ~(alignment - 1);
        if (offset + size_bytes > RTH__BOOT_BYTES)
            return NULL;
    } while (!__atomic_compare_exchange_n(&boot_used, &used, offset + size_bytes, true,
                                          __ATOMIC_RELAXED, __ATOMIC_RELAXED));
    memcpy(rth__boot_memory + offset - BOOT_ALIGNMENT, &size_bytes, sizeof(size_bytes));
    return rth__boot_memory + offset;
}

static void *boot_or_fail(void *block)
{
    if (block == NULL)
        errno = ENOMEM;
    return block;
}

static void *boot_move(const void *block, size_t size_bytes, void *moved)
{
    if (moved != NULL && block != NULL) {
        size_t before = rth__boot_size(block);
        memcpy(moved, block, before < size_bytes ? before : size_bytes);
    }
    return moved;
}

/* ---- after the look-up: in front of the originals where the arena was used ------------------- */

static struct rth__alloc_real next;

static void free_behind_boot(void *block)
{
    if (!rth__boot_owns(block))
        next.free(block);
}

static void *realloc_behind_boot(void *block, size_t size_bytes)
{
    if (block == NULL || !rth__boot_owns(block))
        return next.realloc(block, size_bytes);
    return boot_move(block, size_bytes, next.malloc(size_bytes));
}

static void *reallocarray_behind_boot(void *block, size_t count, size_t size_bytes)
{
    size_t total;
    if (block == NULL || !rth__boot_owns(block))
        return next.reallocarray(block, count, size_bytes);
    if (__builtin_mul_overflow(count, size_bytes, &total))
        return boot_or_fail(NULL);
    return realloc_behind_boot(block, total);
}

static size_t malloc_usable_size_behind_boot(void *block)
{
    return block != NULL && rth__boot_owns(block) ? rth__boot_size(block)
                                                  : next.malloc_usable_size(block);
}

/* Where libc lacks them. */
static void free_sized_by_free(void *block, size_t size_bytes)
{
    (void)size_bytes;
    rth__alloc_real.free(block);
}

static void free_aligned_sized_by_free(void *block, size_t alignment, size_t size_bytes)
{
    (void)alignment;
    (void)size_bytes;
    rth__alloc_real.free(block);
}

static void free_sized_behind_boot(void *block, size_t size_bytes)
{
    if (!rth__boot_owns(block))
        next.free_sized(block, size_bytes);
}

static void free_aligned_sized_behind_boot(void *block, size_t alignment, size_t size_bytes)
{
    if (!rth__boot_owns(block))
        next.free_aligned_sized(block, alignment, size_bytes);
}

/* ---- before it ------------------------------------------------------------------------------ */

#define KNOWN(name) (rth__alloc_resolve() && next.name != NULL)

static void *malloc_first(size_t size_bytes)
{
    if (KNOWN(malloc))
        return rth__alloc_real.malloc(size_bytes);
    return boot_or_fail(rth__boot_alloc(size_bytes, 0));
}

static void free_first(void *block)
{
    if (block != NULL && !rth__boot_owns(block) && KNOWN(free))
        rth__alloc_real.free(block);
}

/* Blocks of the arena were never anybody else's, so they are zero. */
static void *calloc_first(size_t count, size_t size_bytes)
{
    size_t total;
    if (KNOWN(calloc))
        return rth__alloc_real.calloc(count, size_bytes);
    if (__builtin_mul_overflow(count, size_bytes, &total))
        return boot_or_fail(NULL);
    return boot_or_fail(rth__boot_alloc(total, 0));
}

static void *realloc_first(void *block, size_t size_bytes)
{
    if (KNOWN(realloc))
        return rth__alloc_real.realloc(block, size_bytes);
    if (block != NULL && !rth__boot_owns(block))
        return boot_or_fail(NULL); /* somebody else's, while nobody knows whose */
    return boot_or_fail(boot_move(block, size_bytes, rth__boot_alloc(size_bytes, 0)));
}

static void *reallocarray_first(void *block, size_t count, size_t size_bytes)
{
    size_t total;
    if (KNOWN(reallocarray))
        return rth__alloc_real.reallocarray(block, count, size_bytes);
    if (__builtin_mul_overflow(count, size_bytes, &total))
        return boot_or_fail(NULL);
    return realloc_first(block, total);
}

static void *memalign_first(size_t alignment, size_t size_bytes)
{
    if (KNOWN(memalign))
        return rth__alloc_real.memalign(alignment, size_bytes);
    return boot_or_fail(rth__boot_alloc(size_bytes, alignment));
}

static void *aligned_alloc_first(size_t alignment, size_t size_bytes)
{
    if (KNOWN(aligned_alloc))
        return rth__alloc_real.aligned_alloc(alignment, size_bytes);
    return boot_or_fail(rth__boot_alloc(size_bytes, alignment));
}

static int posix_memalign_first(void **ret_block, size_t alignment, size_t size_bytes)
{
    if (KNOWN(posix_memalign))
        return rth__alloc_real.posix_memalign(ret_block, alignment, size_bytes);
    void *block = rth__boot_alloc(size_bytes, alignment);
    if (block == NULL)
        return ENOMEM;
    *ret_block = block;
    return 0;
}

static void *valloc_first(size_t size_bytes)
{
    if (KNOWN(valloc))
        return rth__alloc_real.valloc(size_bytes);
    return boot_or_fail(rth__boot_alloc(size_bytes, 4096));
}

static void *pvalloc_first(size_t size_bytes)
{
    if (KNOWN(pvalloc))
        return rth__alloc_real.pvalloc(size_bytes);
    return boot_or_fail(rth__boot_alloc((size_bytes + 4095) & ~(size_t)4095, 4096));
}

static size_t malloc_usable_size_first(void *block)
{
    if (block == NULL)
        return 0;
    if (rth__boot_owns(block))
        return rth__boot_size(block);
    return KNOWN(malloc_usable_size) ? rth__alloc_real.malloc_usable_size(block) : 0;
}

static void free_sized_first(void *block, size_t size_bytes)
{
    (void)size_bytes;
    free_first(block);
}

static void free_aligned_sized_first(void *block, size_t alignment, size_t size_bytes)
{
    (void)alignment;
    (void)size_bytes;
    free_first(block);
}

#define FIRST_OF(name, type, parameters) .name = name##_first,
RTH__HOT_DATA struct rth__alloc_real rth__alloc_real = {RTH__ALLOC_NAMES(FIRST_OF)};
#undef FIRST_OF

/* ---- the look-up ---------------------------------------------------------------------------- */

static __thread bool resolving __attribute__((tls_model("initial-exec")));

/* See rth__real_resolve: never inlined, results used after the call. */
__attribute__((noinline)) void *rth__alloc_find(const char *name)
{
    void *found = dlsym(RTLD_NEXT, name);
    __asm__ volatile("" ::: "memory");
    return found;
}

static void put_boot_in_front(struct rth__alloc_real *table)
{
    table->free = free_behind_boot;
    table->realloc = realloc_behind_boot;
    table->reallocarray = reallocarray_behind_boot;
    table->malloc_usable_size = malloc_usable_size_behind_boot;
    if (next.free_sized != NULL)
        table->free_sized = free_sized_behind_boot;
    if (next.free_aligned_sized != NULL)
        table->free_aligned_sized = free_aligned_sized_behind_boot;
}

/* Threads that meet here do the same work with the same result. */
bool rth__alloc_resolve(void)
{
    static bool resolved;
    if (__atomic_load_n(&resolved, __ATOMIC_ACQUIRE))
        return true;
    if (resolving)
        return false;
    resolving = true;
    int saved_errno = errno;
    struct rth__alloc_real found;
#define FIND(name, type, parameters) found.name = (type(*) parameters)rth__alloc_find(#name);
    RTH__ALLOC_NAMES(FIND)
#undef FIND
    next = found;
    struct rth__alloc_real table = found;
    if (table.free_sized == NULL)
        table.free_sized = free_sized_by_free;
    if (table.free_aligned_sized == NULL)
        table.free_aligned_sized = free_aligned_sized_by_free;
    if (__atomic_load_n(&boot_used, __ATOMIC_RELAXED) != 0)
        put_boot_in_front(&table);
        /* A name that this libc lacks keeps its first function, which serves from the arena. */
#define TAKE(name, type, parameters)                                                               \
    if (table.name != NULL)                                                                        \
        __atomic_store_n(&rth__alloc_real.name, table.name, __ATOMIC_RELEASE);
    RTH__ALLOC_NAMES(TAKE)
#undef TAKE
    __atomic_store_n(&resolved, true, __ATOMIC_RELEASE);
    errno = saved_errno;
    resolving = false;
    return true;
}

const struct rth__alloc_real *rth__alloc_next(void)
{
    (void)rth__alloc_resolve();
    return &next;
}
