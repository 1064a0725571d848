/* SPDX-License-Identifier: MIT */
#include "work.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

static uint64_t thread_cpu_ns(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (uint64_t)now.tv_sec * UINT64_C(1000000000) + (uint64_t)now.tv_nsec;
}

__attribute__((noinline)) void burn_cpu(uint64_t cpu_ms)
{
    volatile uint64_t state = 1;
    uint64_t until_ns = thread_cpu_ns() + cpu_ms * UINT64_C(1000000);
    while (thread_cpu_ns() < until_ns)
        for (int i = 0; i < 10000; i++)
            state = state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
}

__attribute__((noinline)) void *take_memory(size_t bytes)
{
    void *memory = malloc(bytes);
    if (memory)
        memset(memory, 0x5a, bytes);
    return memory;
}
