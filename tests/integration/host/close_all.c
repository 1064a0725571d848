/* SPDX-License-Identifier: MIT */
/* A daemon of the thorough kind: closes every descriptor, then opens its own files, which become
 * 0 to 20, in the folder given. Stays until it is ended. Whatever appears in those files was
 * written by somebody else. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

int main(int argc, char **argv)
{
    if (argc != 3 || chdir(argv[1]) != 0)
        return 1;
    usleep((useconds_t)atoi(argv[2]) * 1000);
    for (int fd = 0; fd < 4096; fd++)
        close(fd);
    for (int number = 0; number <= 20; number++) {
        char name[32];
        snprintf(name, sizeof(name), "file-%d", number);
        if (open(name, O_RDWR | O_CREAT | O_TRUNC, 0600) != number)
            _exit(2);
    }
    close(open("ready", O_WRONLY | O_CREAT, 0600));
    for (;;)
        usleep(10000);
}
