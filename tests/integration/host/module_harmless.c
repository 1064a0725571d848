/* SPDX-License-Identifier: MIT */
/* A library that a user preloads on his own account. */
int harmless_answer(void);

int harmless_answer(void)
{
    return 42;
}
