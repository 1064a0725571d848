/* SPDX-License-Identifier: MIT */
#include "profile/memory.h"

#include <stdlib.h>
#include <string.h>

#include "cmd/cmd.h"

#define POOL_BLOCK_BYTES ((size_t)64 * 1024)

struct pool_block {
    struct pool_block *next;
    size_t size_bytes;
    _Alignas(16) char data[];
};

static void *must(void *block)
{
    if (block == NULL)
        exit(fail(EXIT_UNREACHABLE, "no memory for this profile"));
    return block;
}

void *take(size_t count, size_t row_bytes)
{
    return must(calloc(count + 1, row_bytes));
}

void *grow(void *rows, size_t count, size_t *capacity, size_t row_bytes)
{
    if (count < *capacity)
        return rows;
    *capacity = *capacity > 0 ? 2 * *capacity : 64;
    return must(reallocarray(rows, *capacity, row_bytes));
}

static void *malloc_alloc(void *userdata, size_t size_bytes)
{
    (void)userdata;
    return calloc(1, size_bytes);
}

static void malloc_free(void *userdata, void *block, size_t size_bytes)
{
    (void)userdata;
    (void)size_bytes;
    free(block);
}

const struct rth_allocator malloc_allocator = {.alloc = malloc_alloc, .free = malloc_free};

void *pool_take(struct pool *pool, size_t size_bytes)
{
    size_t wanted = (size_bytes + 16) & ~(size_t)15;
    if (wanted > pool->free_bytes) {
        size_t block_bytes = wanted > POOL_BLOCK_BYTES ? wanted : POOL_BLOCK_BYTES;
        struct pool_block *block = must(calloc(1, sizeof(*block) + block_bytes));
        block->next = pool->blocks;
        block->size_bytes = pool->free_bytes = block_bytes;
        pool->blocks = block;
    }
    char *place = pool->blocks->data + pool->blocks->size_bytes - pool->free_bytes;
    pool->free_bytes -= wanted;
    return place;
}

const char *pool_text(struct pool *pool, const char *text, size_t length)
{
    char *copy = pool_take(pool, length + 1);
    memcpy(copy, text, length);
    copy[length] = '\0';
    return copy;
}

void pool_free(struct pool *pool)
{
    for (struct pool_block *next, *block = pool->blocks; block != NULL; block = next) {
        next = block->next;
        free(block);
    }
    *pool = (struct pool){0};
}
