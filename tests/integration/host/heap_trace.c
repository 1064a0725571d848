/* SPDX-License-Identifier: MIT */
/*
 * A fixed series of allocations on a thread whose arena nobody else has used; every block's
 * distance from the first one and its usable size are printed, and errno where it matters. Whatever
 * is printed must not depend on who watches. Buffers of stdio are set up first, so that they are no
 * part of it.
 */
#include <errno.h>
#include <malloc.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BLOCKS 600

static char output[1 << 16];
static void *blocks[BLOCKS];

static void *trace(void *unused)
{
    unsigned long seed = 1;
    char *first = malloc(40);
    for (int round = 0; round < 20; round++) {
        for (int i = 0; i < BLOCKS; i++) {
            seed = seed * 6364136223846793005UL + 1442695040888963407UL;
            size_t size_bytes = (seed >> 33) % 3000;
            switch (seed >> 61) {
            case 0:
                free(blocks[i]);
                blocks[i] = calloc(1, size_bytes);
                break;
            case 1:
                blocks[i] = realloc(blocks[i], size_bytes + 1);
                break;
            case 2:
                free(blocks[i]);
                blocks[i] = aligned_alloc(64, (size_bytes & ~(size_t)63) + 64);
                break;
            default:
                free(blocks[i]);
                blocks[i] = malloc(size_bytes);
            }
            printf("%td %zu\n", (char *)blocks[i] - first, malloc_usable_size(blocks[i]));
            if ((uintptr_t)blocks[i] % 16 != 0)
                exit(1);
        }
    }
    errno = 77;
    free(malloc(10));
    printf("errno %d\n", errno);
    void *volatile refused = malloc(PTRDIFF_MAX - 1000);
    printf("refused %d %d\n", refused == NULL, errno);
    volatile size_t three = 3;
    void *none = NULL;
    printf("posix_memalign %d\n", posix_memalign(&none, 3, 100));
    printf("calloc %d\n", calloc(SIZE_MAX / 2, three) == NULL);
    printf("usable of nothing %zu\n", malloc_usable_size(NULL));
    for (int i = 0; i < BLOCKS; i++)
        free(blocks[i]);
    return unused;
}

int main(void)
{
    setvbuf(stdout, output, _IOFBF, sizeof(output));
    free(malloc(100)); /* the first arena is this thread's */
    pthread_t thread;
    return pthread_create(&thread, NULL, trace, NULL) != 0 || pthread_join(thread, NULL) != 0;
}
