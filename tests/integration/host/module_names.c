/* SPDX-License-Identifier: MIT */
/* A library with a function that is exported and one that is not. */
#define EXPORTED __attribute__((visibility("default")))

EXPORTED const void *address_of_static(void);
EXPORTED int exported_in_module(int number);

static __attribute__((noinline)) int static_in_module(int number)
{
    __asm__ volatile("" : "+r"(number));
    return number * 7;
}

__attribute__((noinline)) int exported_in_module(int number)
{
    return static_in_module(number) + 1;
}

const void *address_of_static(void)
{
    return (const void *)static_in_module;
}
