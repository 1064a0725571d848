/* SPDX-License-Identifier: MIT */
#ifndef RTH_TESTS_HELPER_FAILING_ARENA_H
#define RTH_TESTS_HELPER_FAILING_ARENA_H

/* An arena of malloc's in the place of src/core's: refuses the n-th request when told so, and knows
 * what is out. A test that includes this links without core/arena.c. */

#include <stdlib.h>

#include "core/arena.h"
#include "helper/counting_allocator.h"

static struct counting_allocator failing_arena;

void *rth__arena_alloc_nomalloc(size_t size_bytes)
{
    return counting_alloc(&failing_arena, size_bytes);
}

void rth__arena_free_nomalloc(void *block, size_t size_bytes)
{
    if (block != NULL)
        counting_free(&failing_arena, block, size_bytes);
}

#endif /* RTH_TESTS_HELPER_FAILING_ARENA_H */
