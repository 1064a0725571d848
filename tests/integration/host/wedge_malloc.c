/* SPDX-License-Identifier: MIT */
/*
 * Brings its own malloc, a plain bump allocator, which blocks every caller for ever from the
 * moment a line arrives on standard input. Prints "running", then "wedged".
 */
#include <errno.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#define POOL_BYTES (64u << 20)

static _Alignas(64) unsigned char pool[POOL_BYTES];
static atomic_size_t used;
static atomic_int blocked;
static atomic_int blocked_callers;

static void pass(void)
{
    if (!atomic_load(&blocked))
        return;
    atomic_fetch_add(&blocked_callers, 1);
    for (;;)
        pause();
}

static void *take(size_t alignment, size_t size)
{
    pass();
    size_t need = size + alignment + 64;
    size_t start = atomic_fetch_add(&used, need);
    if (start + need > POOL_BYTES) {
        errno = ENOMEM;
        return NULL;
    }
    uintptr_t block = ((uintptr_t)pool + start + 32 + alignment - 1) & ~(uintptr_t)(alignment - 1);
    memcpy((void *)(block - sizeof(size)), &size, sizeof(size));
    return (void *)block;
}

void *malloc(size_t size)
{
    return take(16, size);
}

void free(void *block)
{
    (void)block;
    pass();
}

void *calloc(size_t count, size_t size)
{
    return take(16, count * size);
}

void *realloc(void *block, size_t size)
{
    void *other = take(16, size);
    if (block && other) {
        size_t old;
        memcpy(&old, (unsigned char *)block - sizeof(old), sizeof(old));
        memcpy(other, block, old < size ? old : size);
    }
    return other;
}

void *memalign(size_t alignment, size_t size)
{
    return take(alignment, size);
}

void *aligned_alloc(size_t alignment, size_t size)
{
    return take(alignment, size);
}

int posix_memalign(void **ret_block, size_t alignment, size_t size)
{
    void *block = take(alignment, size);
    if (!block)
        return ENOMEM;
    *ret_block = block;
    return 0;
}

int main(void)
{
    static const char running[] = "running\n", wedged[] = "wedged\n";
    char line[16];
    if (write(1, running, sizeof(running) - 1) < 0 || read(0, line, sizeof(line)) <= 0)
        return 1;
    atomic_store(&blocked, 1);
    if (write(1, wedged, sizeof(wedged) - 1) < 0)
        return 1;
    for (;;)
        pause();
}
