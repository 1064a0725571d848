/* SPDX-License-Identifier: MIT */
/* A library that keeps blocks, from its constructor on. */
#include <stdlib.h>

void *leak_in_library(size_t bytes);
void *leak_in_library_constructor(size_t bytes);
__attribute__((visibility("default"))) void run_library(void);

#define SITE(name)                                                                                 \
    __attribute__((noinline)) void *name(size_t bytes)                                             \
    {                                                                                              \
        void *block = malloc(bytes);                                                               \
        __asm__ volatile("" : "+r"(block));                                                        \
        return block;                                                                              \
    }
SITE(leak_in_library)
SITE(leak_in_library_constructor)

static void *kept[32];

__attribute__((constructor)) static void at_load(void)
{
    for (int i = 0; i < 10; i++)
        kept[i] = leak_in_library_constructor(70);
}

void run_library(void)
{
    for (int i = 10; i < 30; i++)
        kept[i] = leak_in_library(80);
}
