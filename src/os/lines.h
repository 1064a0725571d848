/* SPDX-License-Identifier: MIT */
#ifndef RTH_OS_LINES_H
#define RTH_OS_LINES_H

/*
 * Lines of a text in memory, or of a file read in pieces through the caller's buffer. A file may
 * be of any length ("Groups:" of /proc/PID/status and "intr" of /proc/stat fill pages): a line that
 * does not fit is skipped and told.
 */

#include <stddef.h>

struct rth_lines {
    int fd;           /* -1: text in memory */
    const char *text; /* buffer, or the text in memory */
    char *buffer;
    size_t capacity_bytes;
    size_t used_bytes, offset_bytes;
};

void rth__lines_of_text(struct rth_lines *lines, const char *text, size_t size_bytes);
/* The fd stays the caller's. */
void rth__lines_of_fd(struct rth_lines *lines, int fd, char *buffer, size_t capacity_bytes);
/*
 * Returns 1 with the line, without its newline, valid until the next call; 0 at the end; -EMSGSIZE
 * for a skipped line (go on calling); -EBADMSG when the last line has no newline, which the kernel
 * never leaves out: the text was cut; another negative errno when reading failed.
 */
int rth__lines_next(struct rth_lines *lines, const char **ret_line, size_t *ret_size);

#endif /* RTH_OS_LINES_H */
