/* SPDX-License-Identifier: MIT */
#ifndef RTH_FORMATS_SINK_H
#define RTH_FORMATS_SINK_H

/*
 * Where an artefact goes: an HTTP response, a file, a bundle entry. The writer only sees this.
 * Errors are sticky: after the first one every write returns it, so a writer may ignore the
 * results and let its caller read sink->error once at the end.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "rthooks/base.h"

struct rth_sink {
    /* Takes all of data or returns a negative errno. */
    int (*write)(struct rth_sink *sink, const void *data, size_t size_bytes);
    /* True once nobody wants the rest (the client hung up); NULL when that cannot happen. */
    bool (*cancelled)(struct rth_sink *sink);
    int error;              /* first error, 0 while fine */
    uint64_t written_bytes; /* accepted so far */
};

int rth__sink_write(struct rth_sink *sink, const void *data, size_t size_bytes);
int rth__sink_puts(struct rth_sink *sink, const char *text);
/* Formats into 1 KiB on the stack; longer text is -EMSGSIZE, never cut silently. */
int rth__sink_printf(struct rth_sink *sink, const char *format, ...) RTH_PRINTF(2, 3);
bool rth__sink_cancelled(struct rth_sink *sink);

/* A sink into caller's memory; -ENOSPC when full. What fitted stays, NUL-terminated. */
struct rth_buffer_sink {
    struct rth_sink sink;
    char *data;
    size_t capacity_bytes; /* includes the NUL */
};
void rth__buffer_sink_init(struct rth_buffer_sink *sink, char *data, size_t capacity_bytes);

#endif /* RTH_FORMATS_SINK_H */
