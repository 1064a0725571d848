/* SPDX-License-Identifier: MIT */
/* `heap_fill BLOCKS BYTES`: prints "begin" and waits for a line; holds so many blocks of so many
 * bytes, prints "ready" and waits; frees them, prints "freed" and waits. */
#include <stdio.h>
#include <stdlib.h>

__attribute__((noinline)) void *fill_site(size_t size_bytes);
void *fill_site(size_t size_bytes)
{
    void *block = malloc(size_bytes);
    __asm__ volatile("" : "+r"(block));
    return block;
}

static void wait_for_line(const char *word)
{
    puts(word);
    fflush(stdout);
    while (getchar() != '\n')
        if (feof(stdin))
            exit(3);
}

int main(int argc, char **argv)
{
    if (argc != 3)
        return 2;
    size_t count = strtoul(argv[1], NULL, 10), size_bytes = strtoul(argv[2], NULL, 10);
    void **first = NULL;
    wait_for_line("begin");
    for (size_t i = 0; i < count; i++) {
        void **block = fill_site(size_bytes);
        if (block == NULL)
            return 1;
        *block = first;
        first = block;
    }
    wait_for_line("ready");
    while (first != NULL) {
        void **next = *first;
        free(first);
        first = next;
    }
    wait_for_line("freed");
    return 0;
}
