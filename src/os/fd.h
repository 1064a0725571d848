/* SPDX-License-Identifier: MIT */
#ifndef RTH_OS_FD_H
#define RTH_OS_FD_H

/* File descriptors: whole reads and writes, scope cleanup. Always O_CLOEXEC; EINTR is retried. */

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <unistd.h>

static inline void rth__fd_close_scoped(int *fd)
{
    if (*fd >= 0)
        (void)close(*fd);
}
/* Closes at the end of the scope. */
#define RTH__AUTO_CLOSE __attribute__((cleanup(rth__fd_close_scoped)))

/* openat with O_CLOEXEC. Returns the fd or a negative errno. */
int rth__openat(int dirfd, const char *path, int flags);
/* Closes unless negative; returns -1, so that `fd = rth__close(fd)` leaves no stale number. */
int rth__close(int fd);
/* One read; may be short, 0 at the end. */
ssize_t rth__read_some(int fd, void *buffer, size_t capacity_bytes);
/* Reads from the current offset until end of file or capacity. Returns bytes or negative errno. */
ssize_t rth__read_full(int fd, void *buffer, size_t capacity_bytes);
ssize_t rth__write_full(int fd, const void *data, size_t size_bytes);
/*
 * Reads a whole small file below dirfd into buffer and NUL-terminates it. Returns the length;
 * -EFBIG when it does not fit (buffer then holds the start); another negative errno.
 */
ssize_t rth__read_file_at(int dirfd, const char *path, char *buffer, size_t capacity_bytes);

#endif /* RTH_OS_FD_H */
