/* SPDX-License-Identifier: MIT */
#include "formats/sink.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define PRINTF_BYTES 1024

int rth__sink_write(struct rth_sink *sink, const void *data, size_t size_bytes)
{
    if (sink->error != 0 || size_bytes == 0)
        return sink->error;
    int result = sink->write(sink, data, size_bytes);
    if (result < 0)
        sink->error = result;
    else
        sink->written_bytes += size_bytes;
    return sink->error;
}

int rth__sink_puts(struct rth_sink *sink, const char *text)
{
    return rth__sink_write(sink, text, strlen(text));
}

int rth__sink_printf(struct rth_sink *sink, const char *format, ...)
{
    char text[PRINTF_BYTES];
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    if (sink->error != 0)
        return sink->error;
    if (length < 0 || (size_t)length >= sizeof(text)) {
        sink->error = -EMSGSIZE;
        return sink->error;
    }
    return rth__sink_write(sink, text, (size_t)length);
}

bool rth__sink_cancelled(struct rth_sink *sink)
{
    return sink->cancelled != NULL && sink->cancelled(sink);
}

/* The part that fits is kept and counted, so that written_bytes is the length of the text. */
static int buffer_sink_write(struct rth_sink *sink, const void *data, size_t size_bytes)
{
    struct rth_buffer_sink *buffer_sink = (struct rth_buffer_sink *)sink;
    if (buffer_sink->capacity_bytes == 0)
        return -ENOSPC;
    size_t room = buffer_sink->capacity_bytes - 1 - (size_t)sink->written_bytes;
    size_t taken = size_bytes < room ? size_bytes : room;
    memcpy(buffer_sink->data + sink->written_bytes, data, taken);
    buffer_sink->data[sink->written_bytes + taken] = '\0';
    if (taken == size_bytes)
        return 0;
    sink->written_bytes += taken;
    return -ENOSPC;
}

void rth__buffer_sink_init(struct rth_buffer_sink *sink, char *data, size_t capacity_bytes)
{
    *sink = (struct rth_buffer_sink){
        .sink = {.write = buffer_sink_write},
        .data = data,
        .capacity_bytes = capacity_bytes,
    };
    if (capacity_bytes > 0)
        data[0] = '\0';
}
