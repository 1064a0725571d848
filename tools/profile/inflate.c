/* SPDX-License-Identifier: MIT */
#include "profile/inflate.h"

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#define FIRST_BYTES ((size_t)64 * 1024)
#define GZIP_WINDOW (15 + 16) /* zlib's way to ask for gzip framing */

bool is_gzip(const void *bytes, size_t size_bytes)
{
    return size_bytes >= 2 && memcmp(bytes, "\x1f\x8b", 2) == 0;
}

struct output {
    char *bytes;
    size_t used, capacity, limit;
};

/* Room for more. -E2BIG at the limit. */
static int make_room(struct output *output)
{
    if (output->used < output->capacity)
        return 0;
    if (output->capacity >= output->limit)
        return -E2BIG;
    size_t wanted = output->capacity > 0 ? 2 * output->capacity : FIRST_BYTES;
    if (wanted > output->limit)
        wanted = output->limit;
    char *grown = realloc(output->bytes, wanted);
    if (grown == NULL)
        return -ENOMEM;
    output->bytes = grown;
    output->capacity = wanted;
    return 0;
}

/* One step of zlib. 1 to go on, 0 when all is read, -EBADMSG. */
static int step(z_stream *stream, struct output *output)
{
    stream->next_out = (Bytef *)output->bytes + output->used;
    stream->avail_out = (uInt)(output->capacity - output->used);
    int code = inflate(stream, Z_NO_FLUSH);
    output->used = output->capacity - stream->avail_out;
    if (code == Z_STREAM_END) {
        if (stream->avail_in == 0)
            return 0;
        return inflateReset(stream) == Z_OK ? 1 : -EBADMSG;
    }
    if (code == Z_OK && (stream->avail_in > 0 || stream->avail_out == 0))
        return 1;
    return -EBADMSG;
}

int inflate_gzip(const void *bytes, size_t size_bytes, size_t limit_bytes, char **ret_bytes,
                 size_t *ret_size_bytes, char *ret_message, size_t message_size)
{
    struct output output = {.limit = limit_bytes};
    z_stream stream = {.next_in = (z_const Bytef *)(uintptr_t)bytes, .avail_in = (uInt)size_bytes};
    if (size_bytes > UINT32_MAX || inflateInit2(&stream, GZIP_WINDOW) != Z_OK) {
        snprintf(ret_message, message_size, "no memory to decompress the profile");
        return -ENOMEM;
    }
    int result;
    do {
        result = make_room(&output);
        if (result == 0)
            result = step(&stream, &output);
    } while (result == 1);
    if (result == -EBADMSG)
        snprintf(ret_message, message_size, "the compressed data is cut or broken%s%s",
                 stream.msg != NULL ? ": " : "", stream.msg != NULL ? stream.msg : "");
    else if (result == -E2BIG)
        snprintf(ret_message, message_size, "decompressed it is larger than %zu MiB",
                 limit_bytes >> 20);
    else if (result != 0)
        snprintf(ret_message, message_size, "no memory to decompress the profile");
    (void)inflateEnd(&stream);
    if (result != 0) {
        free(output.bytes);
        return result;
    }
    *ret_bytes = output.bytes;
    *ret_size_bytes = output.used;
    return 0;
}
