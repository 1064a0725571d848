/* SPDX-License-Identifier: MIT */
/*
 * A descriptor table of our own. A daemon that closes every descriptor, a shell that moves them
 * about, a child that inherits them: none of it may reach our sockets, and none of the host's
 * pipes may be held open by us.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "core/service_thread.h"
#include "os/dir.h"
#include "os/fd.h"
#include "os/rawsys.h"

#ifndef SYS_close_range
#define SYS_close_range 436
#endif
#ifndef CLOSE_RANGE_UNSHARE
#define CLOSE_RANGE_UNSHARE 2u
#endif

static int root_fd = -1;

/* Kernels before 5.9. The directory's own fd is the only one left afterwards, closed last. */
static int close_by_listing(void)
{
    struct rth_dir dir;
    int error = rth__dir_open(&dir, AT_FDCWD, "/proc/thread-self/fd");
    if (error != 0)
        return error;
    for (;;) {
        bool closed_any = false;
        int fd;
        while ((fd = rth__dir_next_number(&dir, &error)) != 0) {
            if (fd < 3 || fd == dir.fd)
                continue;
            (void)close(fd);
            closed_any = true;
        }
        /* Closing while listing may skip entries: list again until a pass finds nothing. */
        if (!closed_any || error != 0 || lseek(dir.fd, 0, SEEK_SET) != 0)
            break;
        dir.used_bytes = dir.offset_bytes = 0;
    }
    rth__dir_close(&dir);
    return error;
}

int rth__service_thread_private_fds(void)
{
    long result = RTH__RAW(SYS_close_range, 3u, ~0u, CLOSE_RANGE_UNSHARE);
    if (result == -ENOSYS || result == -EINVAL || result == -EPERM) {
        /* The system call itself: the interposed unshare would stop our threads. */
        result = RTH__RAW(SYS_unshare, CLONE_FILES);
        if (result == 0)
            result = close_by_listing();
    }
    if (result != 0)
        return (int)result;
    int null_fd = rth__openat(AT_FDCWD, "/dev/null", O_RDWR);
    for (int fd = 0; fd < 3; fd++) {
        /* Without /dev/null (a bare chroot) the numbers stay closed rather than the host's. */
        if (null_fd < 0)
            (void)close(fd);
        else if (null_fd != fd)
            (void)dup2(null_fd, fd);
    }
    if (null_fd > 2)
        (void)close(null_fd);
    root_fd = rth__openat(AT_FDCWD, "/", O_RDONLY | O_DIRECTORY);
    return root_fd < 0 ? root_fd : 0;
}

int rth__root_fd(void)
{
    return root_fd;
}
