/* SPDX-License-Identifier: MIT */
/* Prints its environment as it was given, one entry a line. */
#include <stdio.h>

int main(int argc, char **argv, char **envp)
{
    (void)argv;
    printf("argc=%d\n", argc);
    for (; *envp != NULL; envp++)
        printf("%s\n", *envp);
    return 0;
}
