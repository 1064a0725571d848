/* SPDX-License-Identifier: MIT */
/*
 * A program with an allocator inside: jemalloc's archive, its functions renamed to je_*, as
 * programs bundle it. Reads one command a line and answers "done COMMAND"; ends with its input.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

extern void *je_malloc(size_t size_bytes);
extern void je_free(void *block);

#define BLOCKS      1024
#define BLOCK_BYTES ((size_t)64 << 10)

static void *cache[BLOCKS];

static __attribute__((noinline)) void fill_cache(void)
{
    for (int i = 0; i < BLOCKS; i++) {
        cache[i] = je_malloc(BLOCK_BYTES);
        if (cache[i] == NULL)
            abort();
        memset(cache[i], 'x', BLOCK_BYTES);
    }
}

int main(void)
{
    char line[64];
    setvbuf(stdout, NULL, _IOLBF, 0);
    je_free(je_malloc(100));
    puts("ready");
    while (fgets(line, sizeof(line), stdin) != NULL) {
        line[strcspn(line, "\n")] = '\0';
        if (strcmp(line, "fill") == 0)
            fill_cache();
        printf("done %s\n", line);
    }
    return 0;
}
