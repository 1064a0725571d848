/* SPDX-License-Identifier: MIT */
/*
 * Raw system calls: an object that the host preloads to redirect open or read must not see ours,
 * and libc's versions are cancellation points.
 */
#include "os/fd.h"

#include <errno.h>
#include <fcntl.h>

#include "os/rawsys.h"

#define CREATE_MODE 0600 /* of files made with O_CREAT: nobody else's business */

int rth__openat(int dirfd, const char *path, int flags)
{
    long fd;
    do {
        fd = RTH__RAW(SYS_openat, dirfd, path, flags | O_CLOEXEC, CREATE_MODE);
    } while (fd == -EINTR);
    return (int)fd;
}

int rth__close(int fd)
{
    /* Never retried: Linux frees the number even when it answers EINTR. */
    if (fd >= 0)
        (void)RTH__RAW(SYS_close, fd);
    return -1;
}

ssize_t rth__read_some(int fd, void *buffer, size_t capacity_bytes)
{
    long got;
    do {
        got = RTH__RAW(SYS_read, fd, buffer, capacity_bytes);
    } while (got == -EINTR);
    return (ssize_t)got;
}

ssize_t rth__read_full(int fd, void *buffer, size_t capacity_bytes)
{
    size_t total = 0;
    while (total < capacity_bytes) {
        ssize_t got = rth__read_some(fd, (char *)buffer + total, capacity_bytes - total);
        if (got < 0)
            return got;
        if (got == 0)
            break;
        total += (size_t)got;
    }
    return (ssize_t)total;
}

ssize_t rth__write_full(int fd, const void *data, size_t size_bytes)
{
    size_t total = 0;
    while (total < size_bytes) {
        long put = RTH__RAW(SYS_write, fd, (const char *)data + total, size_bytes - total);
        if (put == -EINTR)
            continue;
        if (put < 0)
            return (ssize_t)put;
        if (put == 0)
            return -EIO;
        total += (size_t)put;
    }
    return (ssize_t)total;
}

ssize_t rth__read_file_at(int dirfd, const char *path, char *buffer, size_t capacity_bytes)
{
    if (capacity_bytes == 0)
        return -EINVAL;
    buffer[0] = '\0';
    RTH__AUTO_CLOSE int fd = rth__openat(dirfd, path, O_RDONLY);
    if (fd < 0)
        return fd;
    ssize_t length = rth__read_full(fd, buffer, capacity_bytes - 1);
    buffer[length > 0 ? length : 0] = '\0';
    if (length < 0 || (size_t)length < capacity_bytes - 1)
        return length;
    char beyond;
    ssize_t more = rth__read_some(fd, &beyond, sizeof(beyond));
    if (more < 0)
        return more;
    return more > 0 ? -EFBIG : length;
}
