/* SPDX-License-Identifier: MIT */
#include "os/dir.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/syscall.h>

#include "os/fd.h"

/* What getdents64 writes; glibc's struct dirent64 with the name as a flexible array. */
struct kernel_dirent {
    uint64_t inode;
    int64_t next_offset;
    uint16_t record_bytes;
    uint8_t type;
    char name[];
};

int rth__dir_open(struct rth_dir *dir, int dirfd, const char *path)
{
    int fd = rth__openat(dirfd, path, O_RDONLY | O_DIRECTORY);

    dir->fd = fd < 0 ? -1 : fd;
    dir->used_bytes = 0;
    dir->offset_bytes = 0;
    return fd < 0 ? fd : 0;
}

/* 1 when the buffer holds more entries, 0 at the end, or a negative errno. */
static int dir_fill(struct rth_dir *dir)
{
    long got;

    do {
        got = syscall(SYS_getdents64, dir->fd, dir->buffer, sizeof(dir->buffer));
    } while (got < 0 && errno == EINTR);
    dir->offset_bytes = 0;
    dir->used_bytes = got > 0 ? (int)got : 0;
    if (got < 0)
        return -errno;
    return got > 0;
}

const char *rth__dir_next(struct rth_dir *dir, int *ret_error)
{
    int error = 0;

    for (;;) {
        if (dir->offset_bytes >= dir->used_bytes) {
            error = dir_fill(dir);
            if (error <= 0)
                break;
        }

        const char *record = dir->buffer + dir->offset_bytes;
        uint16_t record_bytes;
        memcpy(&record_bytes, record + offsetof(struct kernel_dirent, record_bytes),
               sizeof(record_bytes));
        const char *name = record + offsetof(struct kernel_dirent, name);

        dir->offset_bytes += record_bytes;
        if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
            continue;
        return name;
    }
    if (ret_error)
        *ret_error = error;
    return NULL;
}

/* The number, or 0 when the name is not wholly one (a leading zero included). */
static int name_to_number(const char *name)
{
    int number = 0;

    if (name[0] == '0')
        return 0;
    for (; *name; name++) {
        if (*name < '0' || *name > '9')
            return 0;
        if (__builtin_mul_overflow(number, 10, &number) ||
            __builtin_add_overflow(number, *name - '0', &number))
            return 0;
    }
    return number;
}

int rth__dir_next_number(struct rth_dir *dir, int *ret_error)
{
    const char *name;

    while ((name = rth__dir_next(dir, ret_error))) {
        int number = name_to_number(name);

        if (number > 0)
            return number;
    }
    return 0;
}

void rth__dir_close(struct rth_dir *dir)
{
    dir->fd = rth__close(dir->fd);
    dir->used_bytes = 0;
    dir->offset_bytes = 0;
}
