/* SPDX-License-Identifier: MIT */
#ifndef RTH_TESTS_HELPER_COUNTING_ALLOCATOR_H
#define RTH_TESTS_HELPER_COUNTING_ALLOCATOR_H

/*
 * malloc behind struct rth_allocator: counts what is out, knows each block's size, and refuses the
 * n-th request when told so.
 */

#include <stdlib.h>

#include "formats/allocator.h"

struct counting_allocator {
    struct rth_allocator allocator;
    size_t requests, refuse_at; /* refuse_at: 0 for never */
    size_t blocks_out, bytes_out, bytes_most;
    int wrong_sizes;
};

static inline void *counting_alloc(void *userdata, size_t size_bytes)
{
    struct counting_allocator *counting = userdata;
    if (++counting->requests == counting->refuse_at)
        return NULL;
    size_t *block = calloc(1, 16 + size_bytes);
    if (block == NULL)
        return NULL;
    block[0] = size_bytes;
    counting->blocks_out++;
    counting->bytes_out += size_bytes;
    if (counting->bytes_out > counting->bytes_most)
        counting->bytes_most = counting->bytes_out;
    return block + 2;
}

static inline void counting_free(void *userdata, void *pointer, size_t size_bytes)
{
    struct counting_allocator *counting = userdata;
    size_t *block = (size_t *)pointer - 2;
    counting->wrong_sizes += block[0] != size_bytes;
    counting->blocks_out--;
    counting->bytes_out -= block[0];
    free(block);
}

static inline void counting_init(struct counting_allocator *counting, size_t refuse_at)
{
    *counting = (struct counting_allocator){
        .allocator = {.alloc = counting_alloc, .free = counting_free, .userdata = counting},
        .refuse_at = refuse_at,
    };
}

#endif /* RTH_TESTS_HELPER_COUNTING_ALLOCATOR_H */
