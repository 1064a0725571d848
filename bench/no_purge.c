/* SPDX-License-Identifier: MIT */
/*
 * Preloaded in front of an allocator: its functions that give memory back are not to be found any
 * more, so rthooks knows of none. For the question "ablation".
 */
#include <stdbool.h>
#include <stddef.h>

#define EXPORT __attribute__((visibility("default")))

EXPORT int malloc_trim(size_t pad);
EXPORT int mallctl(const char *name, void *old, size_t *old_bytes, void *new_value,
                   size_t new_bytes);
EXPORT void MallocExtension_ReleaseToSystem(size_t size_bytes);
EXPORT void mi_collect(bool force);

int malloc_trim(size_t pad)
{
    (void)pad;
    return 0;
}

int mallctl(const char *name, void *old, size_t *old_bytes, void *new_value, size_t new_bytes)
{
    (void)name, (void)old, (void)old_bytes, (void)new_value, (void)new_bytes;
    return -1;
}

void MallocExtension_ReleaseToSystem(size_t size_bytes)
{
    (void)size_bytes;
}

void mi_collect(bool force)
{
    (void)force;
}
