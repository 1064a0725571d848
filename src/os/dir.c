/* SPDX-License-Identifier: MIT */
#include "os/dir.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>

#include "os/fd.h"
#include "os/rawsys.h"
#include "os/scan.h"

/* As getdents64(2) fills it. */
struct kernel_dirent64 {
    uint64_t inode;
    int64_t next_offset;
    unsigned short record_bytes;
    unsigned char type;
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

/* Bytes read, 0 at the end, negative errno. */
static int refill(struct rth_dir *dir)
{
    long got;
    do {
        got = RTH__RAW(SYS_getdents64, dir->fd, dir->buffer, sizeof(dir->buffer));
    } while (got == -EINTR);
    dir->offset_bytes = 0;
    dir->used_bytes = got > 0 ? (int)got : 0;
    return (int)got;
}

const char *rth__dir_next(struct rth_dir *dir, int *ret_error)
{
    int result = 0;
    for (;;) {
        if (dir->offset_bytes >= dir->used_bytes) {
            result = refill(dir);
            if (result <= 0)
                break;
        }
        const struct kernel_dirent64 *entry =
            (const struct kernel_dirent64 *)(const void *)(dir->buffer + dir->offset_bytes);
        dir->offset_bytes += entry->record_bytes;
        if (strcmp(entry->name, ".") != 0 && strcmp(entry->name, "..") != 0)
            return entry->name;
    }
    if (ret_error != NULL)
        *ret_error = result;
    return NULL;
}

int rth__dir_next_number(struct rth_dir *dir, int *ret_error)
{
    const char *name;
    while ((name = rth__dir_next(dir, ret_error)) != NULL) {
        struct rth_scan scan = {.at = name, .end = name + strlen(name)};
        uint64_t number;
        /* The kernel writes no leading zero. */
        if (name[0] != '0' && rth__scan_uint(&scan, 10, INT_MAX, &number) &&
            rth__scan_at_end(&scan))
            return (int)number;
    }
    return 0;
}

void rth__dir_close(struct rth_dir *dir)
{
    dir->fd = rth__close(dir->fd);
}
