/* SPDX-License-Identifier: MIT */
/* A library that burns CPU time in a function that it exports and in one that it does not. */
#pragma GCC optimize("O1", "no-optimize-sibling-calls")
#include <stdint.h>

__attribute__((visibility("default"))) uint64_t burn_in_module(int rounds);

static volatile uint64_t sink;

static __attribute__((noinline)) uint64_t static_in_module(int rounds)
{
    for (int i = 0; i < rounds; i++)
        sink = sink * 6364136223846793005u + 1442695040888963407u;
    return sink;
}

uint64_t burn_in_module(int rounds)
{
    return static_in_module(rounds) + 1;
}
