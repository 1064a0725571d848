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
#define RTH__ENTRY_IS_LATE true
#include "interpose/entry.h"

#include <string.h>

/* ---- in their place, where they are not -------------------------------------------------------
 */

static void *aligned_block(size_t size_bytes, size_t alignment, bool zeroed)
{
    if (alignment <= _Alignof(max_align_t))
        return zeroed ? rth__alloc_real.calloc(1, size_bytes) : rth__alloc_real.malloc(size_bytes);
    void *block = rth__alloc_real.memalign(alignment, size_bytes);
    return block != NULL && zeroed ? memset(block, 0, size_bytes) : block;
}

/* zeroed: what the block is longer than before, as far as its size is known. */
static void *moved_block(void *block, size_t size_bytes, size_t alignment, bool zeroed)
{
    if (block == NULL)
        return aligned_block(size_bytes, alignment, zeroed);
    size_t before = rth__alloc_real.malloc_usable_size(block);
    void *moved;
    if (alignment <= _Alignof(max_align_t)) {
        moved = rth__alloc_real.realloc(block, size_bytes);
    } else {
        moved = rth__alloc_real.memalign(alignment, size_bytes);
        if (moved != NULL) {
            memcpy(moved, block, before < size_bytes ? before : size_bytes);
            rth__alloc_real.free(block);
        }
    }
    if (moved != NULL && zeroed && size_bytes > before)
        memset((unsigned char *)moved + before, 0, size_bytes - before);
    return moved;
}

static bool multiplied(size_t count, size_t size_bytes, size_t *ret_total)
{
    if (!__builtin_mul_overflow(count, size_bytes, ret_total))
        return true;
    errno = ENOMEM;
    return false;
}

static void *counted_block(size_t count, size_t size_bytes, size_t alignment)
{
    size_t total;
    return multiplied(count, size_bytes, &total) ? aligned_block(total, alignment, true) : NULL;
}

static void *moved_counted_block(void *block, size_t count, size_t size_bytes)
{
    size_t total;
    return multiplied(count, size_bytes, &total) ? moved_block(block, total, 0, true) : NULL;
}

static char *copied_text(const char *text, size_t length_max)
{
    size_t length = strnlen(text, length_max);
    char *copy = rth__alloc_real.malloc(length + 1);
    if (copy == NULL)
        return NULL;
    memcpy(copy, text, length);
    copy[length] = '\0';
    return copy;
}

/* ---- jemalloc ------------------------------------------------------------------------------ */

/* Of its flags those that change what the caller gets: log2 of the alignment, and zeroes. */
static size_t flags_alignment(int flags)
{
    return (size_t)1 << (flags & 63);
}
#define FLAG_ZERO 64

RTH__ENTRY_ALLOC(mallocx, (size_t size_bytes, int flags), (size_bytes, flags), size_bytes,
                 aligned_block(size_bytes, flags_alignment(flags), (flags & FLAG_ZERO) != 0))
RTH__ENTRY_MOVE(rallocx, (void *block, size_t size_bytes, int flags), (block, size_bytes, flags),
                size_bytes, false,
                moved_block(block, size_bytes, flags_alignment(flags), (flags & FLAG_ZERO) != 0))
RTH__ENTRY_FREE(dallocx, (void *block, int flags), (block, flags))
RTH__ENTRY_FREE(sdallocx, (void *block, size_t size_bytes, int flags), (block, size_bytes, flags))

/* In place: returns the size the block has then, whatever that is. */
RTH__ENTRY_ORIGINAL(xallocx, size_t,
                    (void *block, size_t size_bytes, size_t extra_bytes, int flags))
RTH__HEAP_CODE size_t xallocx(void *block, size_t size_bytes, size_t extra_bytes, int flags)
{
    xallocx_type *original = RTH__ENTRY_FIND(xallocx);
    if (original == NULL)
        return rth__alloc_real.malloc_usable_size(block);
    size_t before_bytes = rth__alloc_real.malloc_usable_size(block);
    struct rth__heap_move move;
    rth__heap_move_begin(&move, block);
    size_t usable_bytes = original(block, size_bytes, extra_bytes, flags);
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
#define MI_MOVE_ALIGNED(NAME, ZEROED)                                                              \
    RTH__ENTRY_MOVE(NAME, (void *block, size_t size_bytes, size_t alignment),                      \
                    (block, size_bytes, alignment), size_bytes, false,                             \
                    moved_block(block, size_bytes, alignment, ZEROED))

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
RTH__ENTRY_ALLOC(mi_zalloc_aligned, (size_t size_bytes, size_t alignment), (size_bytes, alignment),
                 size_bytes, aligned_block(size_bytes, alignment, true))
MI_ALIGNED(mi_new_aligned)
MI_ALIGNED(mi_new_aligned_nothrow)
MI_ALIGNED_AT(mi_malloc_aligned_at)
MI_ALIGNED_AT(mi_zalloc_aligned_at)
RTH__ENTRY_ALLOC(mi_calloc_aligned, (size_t count, size_t size_bytes, size_t alignment),
                 (count, size_bytes, alignment), count *size_bytes,
                 counted_block(count, size_bytes, alignment))
RTH__ENTRY_ALLOC(mi_memalign, (size_t alignment, size_t size_bytes), (alignment, size_bytes),
                 size_bytes, rth__entry_aligned(alignment, size_bytes))
RTH__ENTRY_ALLOC(mi_aligned_alloc, (size_t alignment, size_t size_bytes), (alignment, size_bytes),
                 size_bytes, rth__alloc_real.aligned_alloc(alignment, size_bytes))
RTH__ENTRY_STORE(mi_posix_memalign)
RTH__ENTRY_ALLOC(mi_strdup, (const char *text), (text), block != NULL ? strlen(block) + 1 : 0,
                 copied_text(text, PTRDIFF_MAX))
RTH__ENTRY_ALLOC(mi_strndup, (const char *text, size_t bytes_max), (text, bytes_max),
                 block != NULL ? strlen(block) + 1 : 0, copied_text(text, bytes_max))
MI_MOVE(mi_realloc, false)
MI_MOVE(mi_reallocf, true) /* frees the block where it fails */
RTH__ENTRY_MOVE(mi_rezalloc, (void *block, size_t size_bytes), (block, size_bytes), size_bytes,
                false, moved_block(block, size_bytes, 0, true))
MI_MOVE(mi_new_realloc, false)
MI_MOVE_COUNTED(mi_reallocn)
RTH__ENTRY_MOVE(mi_recalloc, (void *block, size_t count, size_t size_bytes),
                (block, count, size_bytes), count *size_bytes, false,
                moved_counted_block(block, count, size_bytes))
MI_MOVE_COUNTED(mi_new_reallocn)
MI_MOVE_COUNTED(mi_reallocarray)
MI_MOVE_ALIGNED(mi_realloc_aligned, false)
MI_MOVE_ALIGNED(mi_rezalloc_aligned, true)
RTH__ENTRY_FREE(mi_free, (void *block), (block))
RTH__ENTRY_FREE(mi_cfree, (void *block), (block))
RTH__ENTRY_FREE(mi_free_size, (void *block, size_t size_bytes), (block, size_bytes))
RTH__ENTRY_FREE(mi_free_aligned, (void *block, size_t alignment), (block, alignment))
RTH__ENTRY_FREE(mi_free_size_aligned, (void *block, size_t size_bytes, size_t alignment),
                (block, size_bytes, alignment))
