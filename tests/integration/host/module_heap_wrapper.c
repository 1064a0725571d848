/* SPDX-License-Identifier: MIT */
/* A library around malloc, as programs bring them: counts, and goes on to the next. At the end it
 * prints "wrapper ALLOCS FREES" when the environment has WRAPPER_SAYS. */
#include <dlfcn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static void *(*next_malloc)(size_t);
static void *(*next_calloc)(size_t, size_t);
static void *(*next_realloc)(void *, size_t);
static void (*next_free)(void *);
static unsigned long allocs, frees;
static __thread int is_seeking;

/* dlsym may allocate. */
static _Alignas(16) unsigned char early[4096];
static size_t early_used;

static int is_early(const void *block)
{
    return (uintptr_t)block - (uintptr_t)early < sizeof(early);
}

static int seek(void)
{
    if (next_free != NULL)
        return 1;
    if (is_seeking)
        return 0;
    is_seeking = 1;
    next_malloc = (void *(*)(size_t))dlsym(RTLD_NEXT, "malloc");
    next_calloc = (void *(*)(size_t, size_t))dlsym(RTLD_NEXT, "calloc");
    next_realloc = (void *(*)(void *, size_t))dlsym(RTLD_NEXT, "realloc");
    next_free = (void (*)(void *))dlsym(RTLD_NEXT, "free");
    is_seeking = 0;
    return 1;
}

static void *early_block(size_t size_bytes)
{
    size_t used = early_used;
    early_used += (size_bytes + 15) & ~(size_t)15;
    return early_used <= sizeof(early) ? early + used : NULL;
}

void *malloc(size_t size_bytes)
{
    if (!seek())
        return early_block(size_bytes);
    __atomic_fetch_add(&allocs, 1, __ATOMIC_RELAXED);
    return next_malloc(size_bytes);
}

void *calloc(size_t count, size_t size_bytes)
{
    if (!seek())
        return early_block(count * size_bytes);
    __atomic_fetch_add(&allocs, 1, __ATOMIC_RELAXED);
    return next_calloc(count, size_bytes);
}

void *realloc(void *block, size_t size_bytes)
{
    (void)seek();
    return next_realloc(is_early(block) ? NULL : block, size_bytes);
}

void free(void *block)
{
    if (block == NULL || is_early(block) || !seek())
        return;
    __atomic_fetch_add(&frees, 1, __ATOMIC_RELAXED);
    next_free(block);
}

__attribute__((constructor)) static void begin(void)
{
    free(malloc(77));
}

__attribute__((destructor)) static void end(void)
{
    if (getenv("WRAPPER_SAYS") != NULL)
        dprintf(1, "wrapper %lu %lu\n", allocs, frees);
}
