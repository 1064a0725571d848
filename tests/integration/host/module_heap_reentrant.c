/* SPDX-License-Identifier: MIT */
/* An allocator that a signal handler may enter while its thread is in it, and a child whatever the
 * other threads were at: a thread's own free lists, left alone while it is busy with them, over a
 * reserve that only grows. It never takes a lock. */
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define CLASSES       40
#define RESERVE_BYTES ((size_t)1 << 36)

static unsigned char *reserve;
static size_t reserve_used;
static __thread struct {
    void *first[CLASSES];
    int busy;
} lists __attribute__((tls_model("initial-exec")));

static unsigned class_of(size_t size_bytes)
{
    unsigned class = 5;
    while (((size_t)1 << class) < size_bytes)
        class ++;
    return class;
}

static unsigned char *reserved(void)
{
    unsigned char *known = __atomic_load_n(&reserve, __ATOMIC_ACQUIRE);
    if (known != NULL)
        return known;
    void *fresh = mmap(NULL, RESERVE_BYTES, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (fresh == MAP_FAILED)
        return NULL;
    if (!__atomic_compare_exchange_n(&reserve, &known, fresh, 0, __ATOMIC_ACQ_REL,
                                     __ATOMIC_ACQUIRE)) {
        (void)munmap(fresh, RESERVE_BYTES);
        return known;
    }
    return fresh;
}

/* The 16 bytes before a block hold its class. */
static void *carve(size_t size_bytes, size_t alignment)
{
    unsigned class = class_of(size_bytes + 16);
    if (alignment <= 16 && class < CLASSES && !lists.busy) {
        lists.busy = 1;
        void *block = lists.first[class];
        if (block != NULL)
            memcpy(&lists.first[class], block, sizeof(void *));
        lists.busy = 0;
        if (block != NULL)
            return block;
    }
    unsigned char *base = reserved();
    if (base == NULL || class >= CLASSES)
        return NULL;
    size_t room = ((size_t)1 << class) + alignment;
    size_t at = __atomic_fetch_add(&reserve_used, (room + 15) & ~(size_t)15, __ATOMIC_RELAXED);
    if (at + room > RESERVE_BYTES)
        return NULL;
    uintptr_t start = ((uintptr_t)base + at + 16 + alignment - 1) & ~(uintptr_t)(alignment - 1);
    uint64_t word = class;
    memcpy((void *)(start - 16), &word, sizeof(word));
    return (void *)start;
}

static size_t usable(void *block)
{
    uint64_t class;
    memcpy(&class, (unsigned char *)block - 16, sizeof(class));
    return ((size_t)1 << class) - 16;
}

void *malloc(size_t size_bytes)
{
    void *block = size_bytes > RESERVE_BYTES ? NULL : carve(size_bytes, 16);
    if (block == NULL)
        errno = ENOMEM;
    return block;
}

void free(void *block)
{
    if (block == NULL || lists.busy)
        return;
    uint64_t class;
    memcpy(&class, (unsigned char *)block - 16, sizeof(class));
    lists.busy = 1;
    memcpy(block, &lists.first[class], sizeof(void *));
    lists.first[class] = block;
    lists.busy = 0;
}

void *calloc(size_t count, size_t size_bytes)
{
    void *block = malloc(count * size_bytes);
    return block != NULL ? memset(block, 0, count * size_bytes) : NULL;
}

void *realloc(void *block, size_t size_bytes)
{
    void *moved = malloc(size_bytes);
    if (moved != NULL && block != NULL) {
        size_t before = usable(block);
        memcpy(moved, block, before < size_bytes ? before : size_bytes);
        free(block);
    }
    return moved;
}

void *memalign(size_t alignment, size_t size_bytes)
{
    return carve(size_bytes, alignment < 16 ? 16 : alignment);
}

void *aligned_alloc(size_t alignment, size_t size_bytes)
{
    return memalign(alignment, size_bytes);
}

int posix_memalign(void **ret_block, size_t alignment, size_t size_bytes)
{
    *ret_block = memalign(alignment, size_bytes);
    return *ret_block != NULL ? 0 : ENOMEM;
}

size_t malloc_usable_size(void *block)
{
    return block != NULL ? usable(block) : 0;
}

void *reallocarray(void *block, size_t count, size_t size_bytes)
{
    return realloc(block, count * size_bytes);
}

void *valloc(size_t size_bytes)
{
    return memalign(4096, size_bytes);
}

void *pvalloc(size_t size_bytes)
{
    return memalign(4096, (size_bytes + 4095) & ~(size_t)4095);
}
