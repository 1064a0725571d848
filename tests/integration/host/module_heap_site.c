/* SPDX-License-Identifier: MIT */
/* Code that nobody has seen yet when it allocates. */
#include <stdlib.h>

void *module_site(size_t size_bytes);

__attribute__((noinline)) void *module_site(size_t size_bytes)
{
    void *block = malloc(size_bytes);
    __asm__ volatile("" : "+r"(block));
    return block;
}
