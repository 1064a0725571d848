/* SPDX-License-Identifier: MIT */
#ifndef RTH_TOOLS_PROFILE_MEMORY_H
#define RTH_TOOLS_PROFILE_MEMORY_H

/*
 * Memory of a command that reads profiles. When there is none the command ends with a message and
 * status 3: nothing half-done is ever printed as an answer.
 */

#include <stddef.h>
#include <stdint.h>

#include "formats/allocator.h"

/* Zeroed; never NULL, also for a count of 0. free gives it back. */
void *take(size_t count, size_t row_bytes);
/* Room for at least one more row than count: doubles *capacity when it is full. */
void *grow(void *rows, size_t count, size_t *capacity, size_t row_bytes);

/* For the readers of formats/. */
extern const struct rth_allocator malloc_allocator;

/* Small things that live as long as their profile. Zeros are an empty pool. */
struct pool_block;
struct pool {
    struct pool_block *blocks;
    size_t free_bytes; /* at the end of the first block */
};
void *pool_take(struct pool *pool, size_t size_bytes);
const char *pool_text(struct pool *pool, const char *text, size_t length);
void pool_free(struct pool *pool);

#endif /* RTH_TOOLS_PROFILE_MEMORY_H */
