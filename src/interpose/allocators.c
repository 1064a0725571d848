/* SPDX-License-Identifier: MIT */
/*
 * The entry points that jemalloc, tcmalloc and mimalloc export beside malloc, for programs that
 * call them by name.
 *
 * Left out on purpose are those whose blocks may go without a call for each: mimalloc's heaps
 * (mi_heap_destroy frees them together) and whatever allocates in them. A jemalloc arena that is
 * reset through mallctl takes its blocks along too: sampled ones stay in the profile until their
 * addresses are used again.
 */
#include "interpose/entry.h"

#include <string.h>

/* ---- jemalloc ------------------------------------------------------------------------------ */

RTH__ENTRY_ALLOC(mallocx, (size_t size_bytes, int flags), (size_bytes, flags), size_bytes,
                 rth__alloc_real.malloc(size_bytes))
RTH__ENTRY_MOVE(rallocx, (void *block, size_t size_bytes, int flags), (block, size_bytes, flags),
                size_bytes, false, rth__alloc_real.realloc(block, size_bytes))
RTH__ENTRY_FREE(dallocx, (void *block, int flags), (block, flags))
RTH__ENTRY_FREE(sdallocx, (void *block, size_t size_bytes, int flags), (block, size_bytes, flags))

/* In place: returns the size the block has then, whatever that is. */
RTH__ENTRY_ORIGINAL(xallocx, size_t,
                    (void *block, size_t size_bytes, size_t extra_bytes, int flags))
RTH__HEAP_CODE size_t xallocx(void *block, size_t size_bytes, size_t extra_bytes, int flags)
{
    if (!has_xallocx())
        return rth__alloc_real.malloc_usable_size(block);
    size_t before_bytes = rth__alloc_real.malloc_usable_size(block);
    struct rth__heap_move move;
    rth__heap_move_begin(&move, block);
    size_t usable_bytes = original_xallocx(block, size_bytes, extra_bytes, flags);
    rth__heap_move_end(&move, block, usable_bytes != before_bytes ? block : NULL, usable_bytes,
                       false);
    return usable_bytes;
}

/* ---- tcmalloc ------------------------------------------------------------------------------ */

#define TC_NEW(NAME)                                                                               \
    RTH__ENTRY_ALLOC(NAME, (size_t size_bytes), (size_bytes), size_bytes,                          \
                     rth__alloc_real.malloc(size_bytes))
#define TC_NEW_NOTHROW(NAME)                                                                       \
    RTH__ENTRY_ALLOC(NAME, (size_t size_bytes, const void *tag), (size_bytes, tag), size_bytes,    \
                     rth__alloc_real.malloc(size_bytes))
#define TC_NEW_ALIGNED(NAME)                                                                       \
    RTH__ENTRY_ALLOC(NAME, (size_t size_bytes, size_t alignment), (size_bytes, alignment),         \
                     size_bytes, rth__entry_aligned(alignment, size_bytes))
#define TC_NEW_ALIGNED_NOTHROW(NAME)                                                               \
    RTH__ENTRY_ALLOC(NAME, (size_t size_bytes, size_t alignment, const void *tag),                 \
                     (size_bytes, alignment, tag), size_bytes,                                     \
                     rth__entry_aligned(alignment, size_bytes))
#define TC_DELETE(NAME)         RTH__ENTRY_FREE(NAME, (void *block), (block))
#define TC_DELETE_NUMBER(NAME)  RTH__ENTRY_FREE(NAME, (void *block, size_t number), (block, number))
#define TC_DELETE_NOTHROW(NAME) RTH__ENTRY_FREE(NAME, (void *block, const void *tag), (block, tag))
#define TC_DELETE_TWO(NAME, TYPE)                                                                  \
    RTH__ENTRY_FREE(NAME, (void *block, size_t number, TYPE second), (block, number, second))

TC_NEW(tc_malloc)
TC_NEW(tc_malloc_skip_new_handler)
TC_NEW(tc_new)
TC_NEW(tc_newarray)
TC_NEW_NOTHROW(tc_new_nothrow)
TC_NEW_NOTHROW(tc_newarray_nothrow)
TC_NEW_ALIGNED(tc_new_aligned)
TC_NEW_ALIGNED(tc_newarray_aligned)
TC_NEW_ALIGNED_NOTHROW(tc_new_aligned_nothrow)
TC_NEW_ALIGNED_NOTHROW(tc_newarray_aligned_nothrow)
TC_DELETE(tc_free)
TC_DELETE(tc_cfree)
TC_DELETE(tc_delete)
TC_DELETE(tc_deletearray)
TC_DELETE_NUMBER(tc_free_sized)
TC_DELETE_NUMBER(tc_delete_sized)
TC_DELETE_NUMBER(tc_deletearray_sized)
TC_DELETE_NUMBER(tc_delete_aligned)
TC_DELETE_NUMBER(tc_deletearray_aligned)
TC_DELETE_NOTHROW(tc_delete_nothrow)
TC_DELETE_NOTHROW(tc_deletearray_nothrow)
TC_DELETE_TWO(tc_delete_sized_aligned, size_t)
TC_DELETE_TWO(tc_deletearray_sized_aligned, size_t)
TC_DELETE_TWO(tc_delete_aligned_nothrow, const void *)
TC_DELETE_TWO(tc_deletearray_aligned_nothrow, const void *)
RTH__ENTRY_STORE(tc_posix_memalign)
RTH__ENTRY_ALLOC(tc_calloc, (size_t count, size_t size_bytes), (count, size_bytes),
                 count *size_bytes, rth__alloc_real.calloc(count, size_bytes))
RTH__ENTRY_ALLOC(tc_memalign, (size_t alignment, size_t size_bytes), (alignment, size_bytes),
                 size_bytes, rth__entry_aligned(alignment, size_bytes))
RTH__ENTRY_ALLOC(tc_valloc, (size_t size_bytes), (size_bytes), size_bytes,
                 rth__alloc_real.valloc(size_bytes))
RTH__ENTRY_ALLOC(tc_pvalloc, (size_t size_bytes), (size_bytes), size_bytes,
                 rth__alloc_real.pvalloc(size_bytes))
RTH__ENTRY_MOVE(tc_realloc, (void *block, size_t size_bytes), (block, size_bytes), size_bytes,
                size_bytes == 0, rth__alloc_real.realloc(block, size_bytes))
/* The name that libc itself gave up; tcmalloc and mimalloc still have it. */
RTH__ENTRY_FREE(cfree, (void *block), (block))

/* ---- mimalloc ------------------------------------------------------------------------------ */

#define MI_ALLOC(NAME, FALLBACK)                                                                   \
    RTH__ENTRY_ALLOC(NAME, (size_t size_bytes), (size_bytes), size_bytes, FALLBACK)
#define MI_COUNTED(NAME, FALLBACK)                                                                 \
    RTH__ENTRY_ALLOC(NAME, (size_t count, size_t size_bytes), (count, size_bytes),                 \
                     count *size_bytes, FALLBACK)
#define MI_ALIGNED(NAME)                                                                           \
    RTH__ENTRY_ALLOC(NAME, (size_t size_bytes, size_t alignment), (size_bytes, alignment),         \
                     size_bytes, rth__entry_aligned(alignment, size_bytes))
/* Aligned at an offset: nobody but mimalloc can, so without it there is no block. */
#define MI_ALIGNED_AT(NAME)                                                                        \
    RTH__ENTRY_ALLOC(NAME, (size_t size_bytes, size_t alignment, size_t offset),                   \
                     (size_bytes, alignment, offset), size_bytes, NULL)
#define MI_MOVE(NAME, FREED)                                                                       \
    RTH__ENTRY_MOVE(NAME, (void *block, size_t size_bytes), (block, size_bytes), size_bytes,       \
                    FREED, rth__alloc_real.realloc(block, size_bytes))
#define MI_MOVE_COUNTED(NAME)                                                                      \
    RTH__ENTRY_MOVE(NAME, (void *block, size_t count, size_t size_bytes),                          \
                    (block, count, size_bytes), count *size_bytes, false,                          \
                    rth__alloc_real.reallocarray(block, count, size_bytes))
#define MI_MOVE_ALIGNED(NAME)                                                                      \
    RTH__ENTRY_MOVE(NAME, (void *block, size_t size_bytes, size_t alignment),                      \
                    (block, size_bytes, alignment), size_bytes, false, NULL)

MI_ALLOC(mi_malloc, rth__alloc_real.malloc(size_bytes))
MI_ALLOC(mi_malloc_small, rth__alloc_real.malloc(size_bytes))
MI_ALLOC(mi_zalloc, rth__alloc_real.calloc(1, size_bytes))
MI_ALLOC(mi_zalloc_small, rth__alloc_real.calloc(1, size_bytes))
MI_ALLOC(mi_new, rth__alloc_real.malloc(size_bytes))
MI_ALLOC(mi_new_nothrow, rth__alloc_real.malloc(size_bytes))
MI_ALLOC(mi_valloc, rth__alloc_real.valloc(size_bytes))
MI_ALLOC(mi_pvalloc, rth__alloc_real.pvalloc(size_bytes))
MI_COUNTED(mi_calloc, rth__alloc_real.calloc(count, size_bytes))
MI_COUNTED(mi_mallocn, rth__alloc_real.reallocarray(NULL, count, size_bytes))
MI_COUNTED(mi_new_n, rth__alloc_real.reallocarray(NULL, count, size_bytes))
MI_ALIGNED(mi_malloc_aligned)
MI_ALIGNED(mi_zalloc_aligned)
MI_ALIGNED(mi_new_aligned)
MI_ALIGNED(mi_new_aligned_nothrow)
MI_ALIGNED_AT(mi_malloc_aligned_at)
MI_ALIGNED_AT(mi_zalloc_aligned_at)
RTH__ENTRY_ALLOC(mi_calloc_aligned, (size_t count, size_t size_bytes, size_t alignment),
                 (count, size_bytes, alignment), count *size_bytes, NULL)
RTH__ENTRY_ALLOC(mi_memalign, (size_t alignment, size_t size_bytes), (alignment, size_bytes),
                 size_bytes, rth__entry_aligned(alignment, size_bytes))
RTH__ENTRY_ALLOC(mi_aligned_alloc, (size_t alignment, size_t size_bytes), (alignment, size_bytes),
                 size_bytes, rth__alloc_real.aligned_alloc(alignment, size_bytes))
RTH__ENTRY_STORE(mi_posix_memalign)
RTH__ENTRY_ALLOC(mi_strdup, (const char *text), (text), block != NULL ? strlen(block) + 1 : 0, NULL)
RTH__ENTRY_ALLOC(mi_strndup, (const char *text, size_t bytes_max), (text, bytes_max),
                 block != NULL ? strlen(block) + 1 : 0, NULL)
MI_MOVE(mi_realloc, false)
MI_MOVE(mi_reallocf, true) /* frees the block where it fails */
MI_MOVE(mi_rezalloc, false)
MI_MOVE(mi_new_realloc, false)
MI_MOVE_COUNTED(mi_reallocn)
MI_MOVE_COUNTED(mi_recalloc)
MI_MOVE_COUNTED(mi_new_reallocn)
MI_MOVE_COUNTED(mi_reallocarray)
MI_MOVE_ALIGNED(mi_realloc_aligned)
MI_MOVE_ALIGNED(mi_rezalloc_aligned)
RTH__ENTRY_FREE(mi_free, (void *block), (block))
RTH__ENTRY_FREE(mi_cfree, (void *block), (block))
RTH__ENTRY_FREE(mi_free_size, (void *block, size_t size_bytes), (block, size_bytes))
RTH__ENTRY_FREE(mi_free_aligned, (void *block, size_t alignment), (block, alignment))
RTH__ENTRY_FREE(mi_free_size_aligned, (void *block, size_t size_bytes, size_t alignment),
                (block, size_bytes, alignment))
