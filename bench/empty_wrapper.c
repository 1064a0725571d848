/* SPDX-License-Identifier: MIT */
/*
 * The least that an LD_PRELOAD library around malloc and free can do: jump to the original. What
 * bench_heap compares the wrappers of rthooks with.
 */
#include <dlfcn.h>
#include <stdlib.h>

#define EXPORT __attribute__((visibility("default")))

static void *malloc_first(size_t size_bytes);
static void free_first(void *block);
static void *(*malloc_real)(size_t size_bytes) = malloc_first;
static void (*free_real)(void *block) = free_first;

static void *malloc_first(size_t size_bytes)
{
    malloc_real = (void *(*)(size_t))dlsym(RTLD_NEXT, "malloc");
    return malloc_real(size_bytes);
}

static void free_first(void *block)
{
    free_real = (void (*)(void *))dlsym(RTLD_NEXT, "free");
    free_real(block);
}

EXPORT void *malloc(size_t size_bytes)
{
    return malloc_real(size_bytes);
}

EXPORT void free(void *block)
{
    free_real(block);
}
