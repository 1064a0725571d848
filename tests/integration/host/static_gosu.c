/* SPDX-License-Identifier: MIT */
/* Drops to UID:GID and executes the rest of its arguments: what entrypoints of images use,
 * statically linked. */
#include <grp.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

int main(int argc, char **argv)
{
    if (argc < 4) {
        fprintf(stderr, "usage: static_gosu UID GID PROGRAM [ARGUMENT]...\n");
        return 2;
    }
    gid_t gid = (gid_t)atoi(argv[2]);
    if (setgroups(1, &gid) != 0 || setgid(gid) != 0 || setuid((uid_t)atoi(argv[1])) != 0) {
        perror("static_gosu");
        return 1;
    }
    execvp(argv[3], argv + 3);
    perror(argv[3]);
    return 127;
}
