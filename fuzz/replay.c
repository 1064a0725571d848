/* SPDX-License-Identifier: MIT */
/* Feeds every file of a corpus folder to a fuzz target; fails when there is none. */

#include <dirent.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int replay(int folder_fd, const char *name)
{
    struct stat stat;
    int fd = openat(folder_fd, name, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &stat) < 0) {
        perror(name);
        return -1;
    }
    /* An exact block, so that a sanitizer sees a read past the end. */
    size_t size_bytes = (size_t)stat.st_size;
    uint8_t *data = malloc(size_bytes > 0 ? size_bytes : 1);
    int status = data != NULL && read(fd, data, size_bytes) == (ssize_t)size_bytes ? 0 : -1;
    if (status == 0)
        (void)LLVMFuzzerTestOneInput(data, size_bytes);
    else
        perror(name);
    free(data);
    (void)close(fd);
    return status;
}

int main(int argc, char **argv)
{
    DIR *folder = argc == 2 ? opendir(argv[1]) : NULL;
    if (folder == NULL) {
        (void)fprintf(stderr, "usage: %s CORPUS-FOLDER\n", argv[0]);
        return 2;
    }
    size_t count = 0;
    int failed = 0;
    for (struct dirent *entry = readdir(folder); entry != NULL; entry = readdir(folder)) {
        if (entry->d_name[0] == '.')
            continue;
        count++;
        if (replay(dirfd(folder), entry->d_name) < 0)
            failed = 1;
    }
    (void)closedir(folder);
    (void)printf("%zu inputs replayed\n", count);
    return failed || count == 0;
}
