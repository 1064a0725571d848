/* SPDX-License-Identifier: MIT */
#include "os/lines.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>

#include "os/fd.h"

void rth__lines_of_text(struct rth_lines *lines, const char *text, size_t size_bytes)
{
    *lines = (struct rth_lines){.fd = -1, .text = text, .used_bytes = size_bytes};
}

void rth__lines_of_fd(struct rth_lines *lines, int fd, char *buffer, size_t capacity_bytes)
{
    *lines = (struct rth_lines){
        .fd = fd, .text = buffer, .buffer = buffer, .capacity_bytes = capacity_bytes};
}

/* Makes room by moving the unread part to the front, then reads once more. Bytes, 0 at the end. */
static ssize_t refill(struct rth_lines *lines)
{
    if (lines->fd < 0)
        return 0;
    size_t rest = lines->used_bytes - lines->offset_bytes;
    memmove(lines->buffer, lines->buffer + lines->offset_bytes, rest);
    lines->offset_bytes = 0;
    lines->used_bytes = rest;
    ssize_t got = rth__read_some(lines->fd, lines->buffer + rest, lines->capacity_bytes - rest);
    if (got > 0)
        lines->used_bytes += (size_t)got;
    return got;
}

int rth__lines_next(struct rth_lines *lines, const char **ret_line, size_t *ret_size)
{
    bool skipping = false;
    for (;;) {
        const char *start = lines->text + lines->offset_bytes;
        size_t rest = lines->used_bytes - lines->offset_bytes;
        const char *newline = rest > 0 ? memchr(start, '\n', rest) : NULL;
        if (newline != NULL) {
            size_t size = (size_t)(newline - start);
            lines->offset_bytes += size + 1;
            if (skipping)
                return -EMSGSIZE;
            *ret_line = start;
            *ret_size = size;
            return 1;
        }
        if (lines->fd >= 0 && rest == lines->capacity_bytes)
            skipping = true;
        if (skipping)
            lines->offset_bytes = lines->used_bytes;
        ssize_t got = refill(lines);
        if (got < 0)
            return (int)got;
        if (got == 0)
            return rest > 0 || skipping ? -EBADMSG : 0;
    }
}
