/* SPDX-License-Identifier: MIT */
/* Linked into a program it takes admission away: everything is let in, and nobody but rth-reclaim
 * calls shrinkers. For the question "ablation". */
#include <rthooks/limits.h>

__attribute__((visibility("default"))) int rth_memory_admit(enum rth_memory_class memory_class,
                                                            uint64_t size_bytes)
{
    (void)memory_class, (void)size_bytes;
    return 0;
}

__attribute__((visibility("default"))) void rth_memory_release(uint64_t size_bytes)
{
    (void)size_bytes;
}
