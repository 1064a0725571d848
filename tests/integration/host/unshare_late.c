/* SPDX-License-Identifier: MIT */
/* Runs for a while, then makes namespaces, then stays until it is ended. */
#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

int main(void)
{
    printf("running\n");
    fflush(stdout);
    char line[16];
    if (read(0, line, sizeof(line)) < 0)
        return 1;
    int error = unshare(CLONE_NEWUSER) == 0 ? 0 : errno;
    printf("unshare: %s\n", error ? strerror(error) : "ok");
    fflush(stdout);
    for (;;)
        pause();
}
