/* SPDX-License-Identifier: MIT */
#ifndef RTH_FORMATS_ALLOCATOR_H
#define RTH_FORMATS_ALLOCATOR_H

/*
 * Memory as a writer here asks its caller for it: in the host that is our arena, in a tool malloc.
 */

#include <stddef.h>

struct rth_allocator {
    /* Zeroed and aligned for any type; NULL when there is none. */
    void *(*alloc)(void *userdata, size_t size_bytes);
    /* size_bytes as asked for; block is never NULL. */
    void (*free)(void *userdata, void *block, size_t size_bytes);
    void *userdata;
};

#endif /* RTH_FORMATS_ALLOCATOR_H */
