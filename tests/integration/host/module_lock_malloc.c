/* SPDX-License-Identifier: MIT */
/*
 * An allocator whose every call takes a pthread mutex, and a read-write lock inside of it, as some
 * allocators do: preloaded, its locks come through whatever wraps lock functions, at the first
 * allocation of the process, inside dlsym, and wherever a wrapper's own work would allocate.
 */
#include <errno.h>
#include <pthread.h>
#include <stddef.h>
#include <string.h>

extern void *__libc_malloc(size_t size_bytes);
extern void *__libc_calloc(size_t count, size_t size_bytes);
extern void *__libc_realloc(void *block, size_t size_bytes);
extern void *__libc_memalign(size_t alignment, size_t size_bytes);
extern void __libc_free(void *block);

#pragma GCC visibility push(default)

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_rwlock_t rwlock = PTHREAD_RWLOCK_INITIALIZER;

static void take(void)
{
    pthread_mutex_lock(&mutex);
    pthread_rwlock_wrlock(&rwlock);
}

static void give_back(void)
{
    pthread_rwlock_unlock(&rwlock);
    pthread_mutex_unlock(&mutex);
}

void *malloc(size_t size_bytes)
{
    take();
    void *block = __libc_malloc(size_bytes);
    give_back();
    return block;
}

void *calloc(size_t count, size_t size_bytes)
{
    take();
    void *block = __libc_calloc(count, size_bytes);
    give_back();
    return block;
}

void *realloc(void *block, size_t size_bytes)
{
    take();
    void *moved = __libc_realloc(block, size_bytes);
    give_back();
    return moved;
}

void *memalign(size_t alignment, size_t size_bytes)
{
    take();
    void *block = __libc_memalign(alignment, size_bytes);
    give_back();
    return block;
}

void *aligned_alloc(size_t alignment, size_t size_bytes)
{
    return memalign(alignment, size_bytes);
}

int posix_memalign(void **ret_block, size_t alignment, size_t size_bytes)
{
    void *block = memalign(alignment, size_bytes);
    if (block == NULL)
        return ENOMEM;
    *ret_block = block;
    return 0;
}

void free(void *block)
{
    take();
    __libc_free(block);
    give_back();
}
