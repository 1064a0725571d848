/* SPDX-License-Identifier: MIT */
#ifndef RTH_OS_PROCFS_PATH_H
#define RTH_OS_PROCFS_PATH_H

/* Shared by the files of the /proc readers only. */

#include <stddef.h>
#include <sys/types.h>

#define RTH_PROC_PATH_BYTES 96

/* "proc/PID/task/TID/NAME" below a root fd; 0 as in os/procfs.h. */
void rth__proc_path(int pid, int tid, const char *name, char ret_path[RTH_PROC_PATH_BYTES]);
/* The whole file, NUL-terminated. -EFBIG when it does not fit. */
ssize_t rth__proc_file_read(int root_fd, int pid, int tid, const char *name, char *buffer,
                            size_t capacity_bytes);

#endif /* RTH_OS_PROCFS_PATH_H */
