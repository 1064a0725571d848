/* SPDX-License-Identifier: MIT */
#include "os/fd.h"

#include <errno.h>
#include <fcntl.h>

int rth__openat(int dirfd, const char *path, int flags)
{
    int fd;

    do {
        fd = openat(dirfd, path, flags | O_CLOEXEC, 0600);
    } while (fd < 0 && errno == EINTR);
    return fd < 0 ? -errno : fd;
}

int rth__close(int fd)
{
    /* Never retried: Linux frees the number even when close is interrupted. */
    if (fd >= 0)
        (void)close(fd);
    return -1;
}

ssize_t rth__read_full(int fd, void *buffer, size_t capacity_bytes)
{
    size_t used_bytes = 0;

    while (used_bytes < capacity_bytes) {
        ssize_t got = read(fd, (char *)buffer + used_bytes, capacity_bytes - used_bytes);

        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return -errno;
        if (got == 0)
            break;
        used_bytes += (size_t)got;
    }
    return (ssize_t)used_bytes;
}

ssize_t rth__write_full(int fd, const void *data, size_t size_bytes)
{
    size_t done_bytes = 0;

    while (done_bytes < size_bytes) {
        ssize_t put = write(fd, (const char *)data + done_bytes, size_bytes - done_bytes);

        if (put < 0 && errno == EINTR)
            continue;
        if (put < 0)
            return -errno;
        done_bytes += (size_t)put;
    }
    return (ssize_t)done_bytes;
}

ssize_t rth__read_file_at(int dirfd, const char *path, char *buffer, size_t capacity_bytes)
{
    if (capacity_bytes == 0)
        return -EINVAL;

    RTH__AUTO_CLOSE int fd = rth__openat(dirfd, path, O_RDONLY);
    if (fd < 0)
        return fd;

    /* One byte stays for the NUL; a file that fills the rest may go on, so it is asked. */
    ssize_t size_bytes = rth__read_full(fd, buffer, capacity_bytes - 1);
    if (size_bytes < 0)
        return size_bytes;
    buffer[size_bytes] = '\0';
    if ((size_t)size_bytes == capacity_bytes - 1) {
        char more;
        ssize_t more_bytes = rth__read_full(fd, &more, 1);

        if (more_bytes != 0)
            return more_bytes < 0 ? more_bytes : -EFBIG;
    }
    return size_bytes;
}
