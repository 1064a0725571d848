/* SPDX-License-Identifier: MIT */
/*
 * The C allocation functions.
 *
 * malloc and free are the two that matter: a thread-local pointer, two counters, one comparison,
 * and a jump to the original, so that nothing of ours lies on the stack below it. The others count
 * when their original returns (heap.h).
 * Where an original of malloc goes on through another wrapper of ours (a library around malloc that
 * calls mi_malloc by name), that wrapper counts the block a second time.
 */
#include "interpose/alloc_real.h"
#include "interpose/heap.h"
#include "interpose/real.h"

#include <malloc.h>
#include <stdlib.h>

#define EXPORT_HEAP_CODE RTH__EXPORT RTH__HEAP_CODE
/* At the start of a cache line: 0.2 to 0.6 ns of a pair, by bench/run.py heap. */
#define OWN_LINES __attribute__((aligned(64)))

RTH__EXPORT void free_sized(void *block, size_t size_bytes);
RTH__EXPORT void free_aligned_sized(void *block, size_t alignment, size_t size_bytes);

/* ---- malloc and free ----------------------------------------------------------------------- */

RTH__HEAP_CODE __attribute__((noinline)) static void *malloc_due(struct rth_thread_shared *self,
                                                                 size_t size_bytes)
{
    void *block = rth__alloc_real.malloc(size_bytes);
    if (block == NULL) {
        self->heap.allocs--;
        self->heap.bytes -= size_bytes;
        return NULL;
    }
    rth__heap_due(self, block, size_bytes);
    return block;
}

RTH__HEAP_CODE __attribute__((noinline)) static void *malloc_unseen(size_t size_bytes)
{
    uint64_t before = rth__heap_allocs();
    void *block = rth__alloc_real.malloc(size_bytes);
    rth__heap_count(before, block, size_bytes);
    return block;
}

OWN_LINES EXPORT_HEAP_CODE void *malloc(size_t size_bytes)
{
    struct rth_thread_shared *self;
    if (!rth__heap_self(&self))
        return rth__boot_alloc(size_bytes, 0);
    if (RTH__UNLIKELY(self == NULL))
        return malloc_unseen(size_bytes);
    self->heap.allocs++;
    /* Nobody gets so many bytes that the sum goes round. */
    bool is_too_many = __builtin_add_overflow(self->heap.bytes, size_bytes, &self->heap.bytes);
    if (RTH__UNLIKELY(is_too_many) ||
        RTH__UNLIKELY(self->heap.bytes >=
                      atomic_load_explicit(&self->heap.due, memory_order_relaxed)))
        return malloc_due(self, size_bytes);
    return rth__alloc_real.malloc(size_bytes);
}

RTH__HEAP_CODE __attribute__((noinline)) static void free_unseen(void *block)
{
    rth__heap_leave(block);
    rth__heap_freed_unseen();
    rth__alloc_real.free(block);
}

RTH__HEAP_CODE __attribute__((noinline)) static void free_sampled(void *block)
{
    rth__heap_leave(block);
    rth__alloc_real.free(block);
}

OWN_LINES EXPORT_HEAP_CODE void free(void *block)
{
    struct rth_thread_shared *self;
    if (block == NULL || !rth__heap_self(&self))
        return;
    if (RTH__UNLIKELY(self == NULL)) {
        free_unseen(block);
        return;
    }
    self->heap.frees++;
    if (rth__heap_might_hold(block)) {
        free_sampled(block);
        return;
    }
    rth__alloc_real.free(block);
}

/* The name `malloc` leads to whoever comes first; this one is ours alone. */
__asm__(".hidden rth__own_malloc\n.globl rth__own_malloc\n.set rth__own_malloc, malloc");
extern const char rth__own_malloc[] __attribute__((visibility("hidden")));

const void *rth__heap_own_malloc(void)
{
    return rth__own_malloc;
}

/* ---- the rest ------------------------------------------------------------------------------ */

EXPORT_HEAP_CODE void *calloc(size_t count, size_t size_bytes)
{
    size_t total = 0;
    if (!rth__heap_is_relocated())
        return __builtin_mul_overflow(count, size_bytes, &total) ? NULL : rth__boot_alloc(total, 0);
    uint64_t before = rth__heap_allocs();
    void *block = rth__alloc_real.calloc(count, size_bytes);
    rth__heap_count(before, block, count * size_bytes);
    return block;
}

EXPORT_HEAP_CODE void *realloc(void *block, size_t size_bytes)
{
    if (!rth__heap_is_relocated())
        return block == NULL ? rth__boot_alloc(size_bytes, 0) : NULL;
    struct rth__heap_move move;
    rth__heap_move_begin(&move, block);
    void *moved = rth__alloc_real.realloc(block, size_bytes);
    /* NULL for no bytes: freed, as glibc has it. Where it is a failure instead, errno says so. */
    rth__heap_move_end(&move, block, moved, size_bytes,
                       moved == NULL && size_bytes == 0 && block != NULL);
    return moved;
}

EXPORT_HEAP_CODE void *reallocarray(void *block, size_t count, size_t size_bytes)
{
    struct rth__heap_move move;
    rth__heap_move_begin(&move, block);
    void *moved = rth__alloc_real.reallocarray(block, count, size_bytes);
    bool is_empty = count == 0 || size_bytes == 0;
    rth__heap_move_end(&move, block, moved, count * size_bytes,
                       moved == NULL && is_empty && block != NULL);
    return moved;
}

EXPORT_HEAP_CODE void *memalign(size_t alignment, size_t size_bytes)
{
    if (!rth__heap_is_relocated())
        return rth__boot_alloc(size_bytes, alignment);
    uint64_t before = rth__heap_allocs();
    void *block = rth__alloc_real.memalign(alignment, size_bytes);
    rth__heap_count(before, block, size_bytes);
    return block;
}

EXPORT_HEAP_CODE void *aligned_alloc(size_t alignment, size_t size_bytes)
{
    if (!rth__heap_is_relocated())
        return rth__boot_alloc(size_bytes, alignment);
    uint64_t before = rth__heap_allocs();
    void *block = rth__alloc_real.aligned_alloc(alignment, size_bytes);
    rth__heap_count(before, block, size_bytes);
    return block;
}

EXPORT_HEAP_CODE int posix_memalign(void **ret_block, size_t alignment, size_t size_bytes)
{
    if (!rth__heap_is_relocated()) {
        *ret_block = rth__boot_alloc(size_bytes, alignment);
        return *ret_block != NULL ? 0 : ENOMEM;
    }
    uint64_t before = rth__heap_allocs();
    int error = rth__alloc_real.posix_memalign(ret_block, alignment, size_bytes);
    if (error == 0)
        rth__heap_count(before, *ret_block, size_bytes);
    return error;
}

EXPORT_HEAP_CODE void *valloc(size_t size_bytes)
{
    if (!rth__heap_is_relocated())
        return rth__boot_alloc(size_bytes, 4096);
    uint64_t before = rth__heap_allocs();
    void *block = rth__alloc_real.valloc(size_bytes);
    rth__heap_count(before, block, size_bytes);
    return block;
}

EXPORT_HEAP_CODE void *pvalloc(size_t size_bytes)
{
    if (!rth__heap_is_relocated())
        return rth__boot_alloc((size_bytes + 4095) & ~(size_t)4095, 4096);
    uint64_t before = rth__heap_allocs();
    void *block = rth__alloc_real.pvalloc(size_bytes);
    rth__heap_count(before, block, size_bytes);
    return block;
}

RTH__EXPORT size_t malloc_usable_size(void *block)
{
    return rth__alloc_real.malloc_usable_size(block);
}

EXPORT_HEAP_CODE void free_sized(void *block, size_t size_bytes)
{
    uint64_t before = rth__heap_frees();
    rth__heap_leave(block);
    rth__alloc_real.free_sized(block, size_bytes);
    rth__heap_count_free(before, block);
}

EXPORT_HEAP_CODE void free_aligned_sized(void *block, size_t alignment, size_t size_bytes)
{
    uint64_t before = rth__heap_frees();
    rth__heap_leave(block);
    rth__alloc_real.free_aligned_sized(block, alignment, size_bytes);
    rth__heap_count_free(before, block);
}
