/* SPDX-License-Identifier: MIT */
/* One of two libraries of the same size, for swap_modules. */
#pragma GCC optimize("O1", "no-optimize-sibling-calls")
__attribute__((visibility("default"))) unsigned long burn_in_module(int rounds);

static volatile unsigned long sink;

static __attribute__((noinline)) unsigned long burning_in_second(int rounds)
{
    for (int i = 0; i < rounds; i++)
        sink = sink * 6364136223846793005u + 1442695040888963407u;
    return sink;
}

unsigned long burn_in_module(int rounds)
{
    return burning_in_second(rounds) + 1;
}
