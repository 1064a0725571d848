/* SPDX-License-Identifier: MIT */
/*
 * Threads that allocate, resize and free each other's blocks as fast as they can: heap_churn
 * THREADS STEPS. At a line on standard input it does so and prints "site churn ALLOC_OBJECTS
 * ALLOC_SPACE INUSE_OBJECTS INUSE_SPACE" and "held"; at the next one it frees the rest and prints
 * "freed"; ends at the third.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SLOTS       512
#define THREADS_MAX 32

/* A block begins with its size. */
static size_t *_Atomic slots[SLOTS];
static _Atomic unsigned long allocs, bytes;
static long steps;
static const size_t too_many = PTRDIFF_MAX;

static void counted(const void *block, size_t size)
{
    if (block == NULL)
        exit(3);
    allocs++;
    bytes += size;
}

static size_t *resized(size_t *block, size_t size)
{
    size_t *volatile moved = realloc(block, size);
    counted(moved, size);
    return moved;
}

static size_t *made(uint64_t random, size_t size)
{
    void *block = NULL;
    if (random % 4 == 0)
        block = calloc(1, size);
    else if (random % 4 == 1 && posix_memalign(&block, 64, size) != 0)
        exit(3);
    else if (random % 4 >= 2)
        block = malloc(size);
    counted(block, size);
    return block;
}

__attribute__((noinline)) void *churn(void *number);
void *churn(void *number)
{
    uint64_t seed = 88172645463325252u * (uint64_t)(uintptr_t)number;
    for (long i = 0; i < steps; i++) {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        size_t size = 8 + (seed >> 20) % (seed % 64 == 0 ? 300000 : 700);
        size_t *block = atomic_exchange(&slots[(seed >> 40) % SLOTS], NULL);
        if (block != NULL && seed % 3 == 0) {
            free(block);
            continue;
        }
        if (block != NULL && seed % 5 == 0) {
            size_t *volatile none = realloc(block, too_many);
            if (none != NULL)
                exit(3);
        }
        block = block != NULL ? resized(block, size) : made(seed >> 8, size);
        *block = size;
        block = atomic_exchange(&slots[(seed >> 50) % SLOTS], block);
        free(block);
    }
    return NULL;
}

static void wait_for_line(const char *said)
{
    (void)puts(said);
    (void)fflush(stdout);
    for (int c = getchar(); c != '\n' && c != EOF; c = getchar())
        ;
}

int main(int argc, char **argv)
{
    pthread_t threads[THREADS_MAX];
    int count = argc > 2 ? (int)strtol(argv[1], NULL, 10) : 0;
    steps = argc > 2 ? strtol(argv[2], NULL, 10) : 0;
    if (count < 1 || count > THREADS_MAX)
        return 2;
    wait_for_line("ready");
    for (int i = 0; i < count; i++)
        if (pthread_create(&threads[i], NULL, churn, (void *)(uintptr_t)(i + 1)) != 0)
            return 3;
    for (int i = 0; i < count; i++)
        if (pthread_join(threads[i], NULL) != 0)
            return 3;
    unsigned long held = 0, held_bytes = 0;
    for (int i = 0; i < SLOTS; i++)
        if (slots[i] != NULL) {
            held++;
            held_bytes += *slots[i];
        }
    (void)printf("site churn %lu %lu %lu %lu\n", allocs, bytes, held, held_bytes);
    wait_for_line("held");
    for (int i = 0; i < SLOTS; i++)
        free(atomic_exchange(&slots[i], NULL));
    wait_for_line("freed");
    return 0;
}
