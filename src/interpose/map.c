/* SPDX-License-Identifier: MIT */
/*
 * mmap, munmap, mremap and sbrk: pass through, and tell the runtime which memory the host got and
 * gave back. That is how an allocator shows whose functions nothing can wrap, because they are
 * inside the program: it takes its memory from here.
 *
 * What never comes here: libc's own mappings and its own breaks (its allocator's, thread stacks,
 * stdio's) and the dynamic loader's, which call the kernel without these names; and raw system
 * calls. brk itself is left alone: whoever moves the break uses sbrk.
 *
 * Allocators call these under their own locks, the dynamic loader's look-ups may allocate, and
 * signal handlers do map memory. So nothing here resolves anything: before the originals are known
 * the kernel answers.
 *
 * Order. An address is the next thread's as soon as the kernel has freed it, so the runtime is
 * asked for a mark before memory goes: what it hears of after that is not what went.
 */
#include "interpose/ops.h"
#include "interpose/real.h"

#include <stdarg.h>

static inline const struct rth_interpose_ops *listener(void)
{
    const struct rth_interpose_ops *ops = rth__ops();
    return ops != NULL && *ops->enabled != 0 ? ops : NULL;
}

/* The originals, NULL while they are not known. */
static inline const struct rth__real *known_originals(void)
{
    return __builtin_expect(__atomic_load_n(&rth__real_resolved, __ATOMIC_ACQUIRE), 1)
               ? &rth__real_table
               : NULL;
}

/* ---- mmap ---------------------------------------------------------------------------------- */

static inline void tell_mapped(void *mapped, size_t length, int flags, uintptr_t caller)
{
    const struct rth_interpose_ops *ops = listener();
    if (ops != NULL && mapped != MAP_FAILED)
        ops->map_added_nomalloc((uintptr_t)mapped, length, (flags & MAP_ANONYMOUS) != 0, caller);
}

RTH__EXPORT void *mmap(void *address, size_t length, int protection, int flags, int fd,
                       off_t offset)
{
    const struct rth__real *real = known_originals();
    void *mapped = real != NULL
                       ? real->mmap(address, length, protection, flags, fd, offset)
                       : (void *)syscall(SYS_mmap, address, length, protection, flags, fd, offset);
    tell_mapped(mapped, length, flags, (uintptr_t)__builtin_return_address(0));
    return mapped;
}

RTH__EXPORT void *mmap64(void *address, size_t length, int protection, int flags, int fd,
                         off64_t offset)
{
    const struct rth__real *real = known_originals();
    void *mapped = real != NULL
                       ? real->mmap64(address, length, protection, flags, fd, offset)
                       : (void *)syscall(SYS_mmap, address, length, protection, flags, fd, offset);
    tell_mapped(mapped, length, flags, (uintptr_t)__builtin_return_address(0));
    return mapped;
}

/* ---- munmap -------------------------------------------------------------------------------- */

RTH__EXPORT int munmap(void *address, size_t length)
{
    const struct rth_interpose_ops *ops = listener();
    const struct rth__real *real = known_originals();
    uint64_t mark = ops != NULL ? ops->map_mark_nomalloc() : 0;
    int result =
        real != NULL ? real->munmap(address, length) : (int)syscall(SYS_munmap, address, length);
    if (ops != NULL && result == 0)
        ops->map_removed_nomalloc(mark, (uintptr_t)address, length);
    return result;
}

/* ---- mremap -------------------------------------------------------------------------------- */

#ifndef MREMAP_DONTUNMAP
#define MREMAP_DONTUNMAP 4
#endif

/* The kernel looks at new_address under some flags only; libc hands it on under all. */
RTH__EXPORT void *mremap(void *address, size_t length, size_t new_length, int flags, ...)
{
    va_list arguments;
    va_start(arguments, flags);
    void *new_address = va_arg(arguments, void *);
    va_end(arguments);

    const struct rth_interpose_ops *ops = listener();
    const struct rth__real *real = known_originals();
    bool known = ops != NULL && ops->map_is_known_nomalloc((uintptr_t)address);
    uint64_t mark = ops != NULL ? ops->map_mark_nomalloc() : 0;
    void *moved =
        real != NULL ? real->mremap(address, length, new_length, flags, new_address)
                     : (void *)syscall(SYS_mremap, address, length, new_length, flags, new_address);
    if (ops != NULL && moved != MAP_FAILED) {
        /* Nothing of the old place goes with that flag, and with length 0 there is a second view
         * of it. */
        bool stays = (flags & MREMAP_DONTUNMAP) != 0;
        ops->map_moved_nomalloc(mark, known, (uintptr_t)address, stays ? 0 : length,
                                (uintptr_t)moved, new_length,
                                (uintptr_t)__builtin_return_address(0));
    }
    return moved;
}

/* ---- sbrk ---------------------------------------------------------------------------------- */

/* libc's under its other name, for early calls: where the break is only libc knows. */
extern void *__sbrk(intptr_t increment);

RTH__EXPORT void *sbrk(intptr_t increment)
{
    const struct rth_interpose_ops *ops = increment != 0 ? listener() : NULL;
    const struct rth__real *real = known_originals();
    uint64_t mark = ops != NULL ? ops->map_mark_nomalloc() : 0;
    char *before = real != NULL ? real->sbrk(increment) : __sbrk(increment);
    if (ops == NULL || before == (void *)-1)
        return before;
    if (increment > 0)
        ops->map_added_nomalloc((uintptr_t)before, (size_t)increment, true,
                                (uintptr_t)__builtin_return_address(0));
    else
        ops->map_removed_nomalloc(mark, (uintptr_t)before - (size_t)-increment, (size_t)-increment);
    return before;
}
