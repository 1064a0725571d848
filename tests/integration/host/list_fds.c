/* SPDX-License-Identifier: MIT */
/* Prints the open descriptors below 1024: of itself, of a forked child, of an executed child.
 * An argument delays all of it by so many milliseconds. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static void print_open(const char *who)
{
    printf("%s:", who);
    for (int fd = 0; fd < 1024; fd++) {
        int flags = fcntl(fd, F_GETFD);
        if (flags >= 0)
            printf(" %d%s", fd, flags & FD_CLOEXEC ? "c" : "");
    }
    printf("\n");
    fflush(stdout);
}

int main(int argc, char **argv)
{
    if (argc > 1 && strcmp(argv[1], "child") == 0) {
        print_open("executed");
        return 0;
    }
    if (argc > 1)
        usleep((useconds_t)atoi(argv[1]) * 1000);
    print_open("self");
    if (fork() == 0) {
        print_open("forked");
        _exit(0);
    }
    wait(NULL);
    if (fork() == 0) {
        execl("/proc/self/exe", "list_fds", "child", (char *)NULL);
        _exit(1);
    }
    wait(NULL);
    return 0;
}
