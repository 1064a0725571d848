/* SPDX-License-Identifier: MIT */
#ifndef RTH_OS_DIR_H
#define RTH_OS_DIR_H

/* Directory listing by getdents64 into a caller's buffer: opendir(3) allocates. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define RTH_DIR_BUFFER_BYTES 4096

struct rth_dir {
    int fd;
    int used_bytes; /* of the buffer, as the kernel filled it */
    int offset_bytes;
    _Alignas(8) char buffer[RTH_DIR_BUFFER_BYTES];
};

/* Opens path below dirfd (O_DIRECTORY). Returns 0 or a negative errno. */
int rth__dir_open(struct rth_dir *dir, int dirfd, const char *path);
/* Next name but "." and ".."; NULL at the end or on error (ret_error, may be NULL, says which:
 * 0 or a negative errno). The name is valid until the next call. */
const char *rth__dir_next(struct rth_dir *dir, int *ret_error);
/* As above, only names that are whole decimal numbers > 0 (pids, tids, fds); 0 at the end. */
int rth__dir_next_number(struct rth_dir *dir, int *ret_error);
void rth__dir_close(struct rth_dir *dir);

#endif /* RTH_OS_DIR_H */
