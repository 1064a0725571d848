/* SPDX-License-Identifier: MIT */
/*
 * Allocates before anybody can have looked: in a constructor, as the first thing main does, and in
 * a library right after it is loaded; then loads the library again and again (heap_early LIBRARY…).
 * Prints "ready" and ends at a line on standard input; "more LIBRARY\n" there loads one more first.
 */
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void *leak_in_constructor(size_t bytes);
void *leak_in_main(size_t bytes);

#define SITE(name)                                                                                 \
    __attribute__((noinline)) void *name(size_t bytes)                                             \
    {                                                                                              \
        void *block = malloc(bytes);                                                               \
        __asm__ volatile("" : "+r"(block));                                                        \
        return block;                                                                              \
    }
SITE(leak_in_constructor)
SITE(leak_in_main)

static void *kept[64];

__attribute__((constructor)) static void before_main(void)
{
    for (int i = 0; i < 20; i++)
        kept[i] = leak_in_constructor(50);
}

static void run(const char *library)
{
    void *handle = dlopen(library, RTLD_NOW);
    void (*function)(void) = handle != NULL ? (void (*)(void))dlsym(handle, "run_library") : NULL;
    if (function == NULL)
        exit(3);
    function();
}

int main(int argc, char **argv)
{
    char line[4096];
    for (int i = 20; i < 50; i++)
        kept[i] = leak_in_main(60);
    for (int i = 1; i < argc; i++)
        run(argv[i]);
    (void)puts("ready");
    (void)fflush(stdout);
    while (fgets(line, sizeof(line), stdin) != NULL && strncmp(line, "more ", 5) == 0) {
        line[strcspn(line, "\n")] = '\0';
        run(line + 5);
        (void)puts("loaded");
        (void)fflush(stdout);
    }
    return kept[0] == NULL;
}
