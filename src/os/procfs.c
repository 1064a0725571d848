/* SPDX-License-Identifier: MIT */
/*
 * Readers of /proc. The structured files have a file each: procfs_stat.c, procfs_status.c,
 * procfs_tables.c; here are paths and the files that are one value.
 *
 * Threads: any, no state. Locks: none. Failure: a process that ends while it is read gives -ENOENT
 * or -ESRCH, whichever the kernel says; a foreign one may give -EACCES. Cost: open, read, close; a
 * page or less of text each, but for the fd directory.
 */
#include "os/procfs.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/magic.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#include "os/dir.h"
#include "os/fd.h"
#include "os/procfs_path.h"

#define KERNEL_SYMBOL_BYTES 520 /* KSYM_NAME_LEN, and a newline */

void rth__proc_path(int pid, int tid, const char *name, char ret_path[RTH_PROC_PATH_BYTES])
{
    char process[16] = "self";

    /* A negative id makes a path that doesn't exist, never "self". */
    if (pid != 0)
        (void)snprintf(process, sizeof(process), "%d", pid);
    if (tid != 0)
        (void)snprintf(ret_path, RTH_PROC_PATH_BYTES, "proc/%s/task/%d/%s", process, tid, name);
    else
        (void)snprintf(ret_path, RTH_PROC_PATH_BYTES, "proc/%s/%s", process, name);
}

ssize_t rth__proc_file_read(int root_fd, int pid, int tid, const char *name, char *buffer,
                            size_t capacity_bytes)
{
    char path[RTH_PROC_PATH_BYTES];

    rth__proc_path(pid, tid, name, path);
    return rth__read_file_at(root_fd, path, buffer, capacity_bytes);
}

int rth__proc_wchan_read(int root_fd, int pid, int tid, char *ret_wchan, size_t wchan_size)
{
    char text[KERNEL_SYMBOL_BYTES];
    ssize_t size_bytes = rth__proc_file_read(root_fd, pid, tid, "wchan", text, sizeof(text));

    if (size_bytes < 0)
        return (int)size_bytes;
    while (size_bytes > 0 && text[size_bytes - 1] == '\n')
        text[--size_bytes] = '\0';
    /* "0" is what the kernel writes for a running thread, and for every one where it hides them. */
    if (strcmp(text, "0") == 0)
        size_bytes = 0;
    if ((size_t)size_bytes >= wchan_size)
        return -ENAMETOOLONG;
    memcpy(ret_wchan, text, (size_t)size_bytes);
    ret_wchan[size_bytes] = '\0';
    return 0;
}

ssize_t rth__proc_cmdline_read(int root_fd, int pid, char *ret_cmdline, size_t capacity_bytes)
{
    char path[RTH_PROC_PATH_BYTES];

    rth__proc_path(pid, 0, "cmdline", path);
    RTH__AUTO_CLOSE int fd = rth__openat(root_fd, path, O_RDONLY);
    if (fd < 0)
        return fd;
    return rth__read_full(fd, ret_cmdline, capacity_bytes);
}

/* Linux 6.2 and later tell the number as the directory's size, in constant time; before, it is 0.
 */
static int fd_count_of_size(int root_fd, const char *path)
{
    struct stat status;

    if (fstatat(root_fd, path, &status, 0) < 0 || status.st_size > INT_MAX)
        return 0;
    return (int)status.st_size;
}

int rth__proc_fd_count(int root_fd, int pid)
{
    char path[RTH_PROC_PATH_BYTES];
    struct rth_dir dir;
    int count = 0;

    rth__proc_path(pid, 0, "fd", path);
    /* Before the directory is opened, so that its own descriptor is not counted. */
    int ready_count = fd_count_of_size(root_fd, path);
    int error = rth__dir_open(&dir, root_fd, path);
    if (error < 0)
        return error;
    struct statfs filesystem;
    if (ready_count > 0 && fstatfs(dir.fd, &filesystem) == 0 &&
        filesystem.f_type == PROC_SUPER_MAGIC) {
        rth__dir_close(&dir);
        return ready_count;
    }
    /* Not rth__dir_next_number: descriptor 0 counts. From a thread whose table is the one listed,
     * the listing's own descriptor is among them, as in every such count. */
    const char *name;
    while ((name = rth__dir_next(&dir, &error)))
        count += name[0] >= '0' && name[0] <= '9';
    rth__dir_close(&dir);
    return error < 0 ? error : count;
}

int rth__proc_exe_read(int root_fd, int pid, char *ret_path, size_t path_size, bool *ret_deleted)
{
    static const char suffix[] = " (deleted)";
    const size_t suffix_bytes = sizeof(suffix) - 1;
    char path[RTH_PROC_PATH_BYTES];
    char target[4096];
    bool deleted = false;

    rth__proc_path(pid, 0, "exe", path);
    ssize_t size_bytes = readlinkat(root_fd, path, target, sizeof(target));
    if (size_bytes < 0)
        return -errno;
    if (size_bytes == (ssize_t)sizeof(target))
        return -ENAMETOOLONG;
    if ((size_t)size_bytes > suffix_bytes &&
        memcmp(target + size_bytes - suffix_bytes, suffix, suffix_bytes) == 0) {
        size_bytes -= (ssize_t)suffix_bytes;
        deleted = true;
    }
    if ((size_t)size_bytes >= path_size)
        return -ENAMETOOLONG;
    memcpy(ret_path, target, (size_t)size_bytes);
    ret_path[size_bytes] = '\0';
    *ret_deleted = deleted;
    return 0;
}
