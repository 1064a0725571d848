/* SPDX-License-Identifier: MIT */
#ifndef RTH_CORE_POOL_H
#define RTH_CORE_POOL_H

/*
 * Objects of one size for code of the host that may run in a child nobody has adopted: no lock that
 * a thread of the parent could have held, and memory that a child has a copy of. Freed objects are
 * reused; pages are never given back.
 */

#include <stddef.h>
#include <stdint.h>

#define RTH_POOL_CHUNKS_MAX    256u
#define RTH_POOL_CHUNK_OBJECTS 1024u

/* What an object begins with. */
struct rth_pool_object {
    _Atomic uint32_t next; /* number of the next free one; 0: none */
    uint32_t number;       /* its own, from 1 on */
};

struct rth_pool {
    size_t object_bytes;     /* a multiple of 8 */
    _Atomic uint64_t free;   /* times it was changed << 32 | number of the first free object */
    _Atomic uint32_t handed; /* objects that were ever handed out */
    char *_Atomic chunks[RTH_POOL_CHUNKS_MAX];
};

/* NULL when memory or numbers (262,144) are used up. What follows the rth_pool_object is as its
 * last user left it, or zero. Any thread, lock-free. */
void *rth__pool_take_nomalloc(struct rth_pool *pool);
void rth__pool_give_nomalloc(struct rth_pool *pool, void *object);

/* For whoever keeps numbers in place of pointers, or looks at all: objects handed out so far, given
 * back or not, and the one with that number; NULL when it never was. Any thread. */
uint32_t rth__pool_handed(const struct rth_pool *pool);
void *rth__pool_at(struct rth_pool *pool, uint32_t number);

#endif /* RTH_CORE_POOL_H */
