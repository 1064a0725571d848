/* SPDX-License-Identifier: MIT */
/*
 * zlib between two sinks. zlib is linked in statically and hidden, and is given the caller's
 * allocator, so it shares neither code nor memory with a zlib of the host.
 * Threads: one at a time per object. Failure: the first error sticks in the sink. Cost: level 1,
 * about 100 MB/s.
 */
#include "formats/gzip.h"

#include <errno.h>
#include <limits.h>
#include <zlib.h>

#define GZIP_WINDOW_BITS (15 + 16) /* 32 KiB of history; 16: gzip and not zlib framing */
#define GZIP_MEMORY      7         /* with that window: 198 KiB */
#define OUTPUT_BYTES     4096
#define BLOCKS_MAX       8 /* zlib asks for five and gives them back without saying how large */

struct rth_gzip {
    struct rth_sink sink;
    struct rth_sink *below;
    const struct rth_allocator *allocator;
    z_stream stream;
    struct {
        void *start;
        size_t size_bytes;
    } blocks[BLOCKS_MAX];
    unsigned char output[OUTPUT_BYTES];
};

static void *zlib_alloc(void *userdata, uInt count, uInt size_bytes)
{
    struct rth_gzip *gzip = userdata;
    size_t total_bytes;
    if (__builtin_mul_overflow((size_t)count, (size_t)size_bytes, &total_bytes))
        return NULL;
    for (int i = 0; i < BLOCKS_MAX; i++) {
        if (gzip->blocks[i].start != NULL)
            continue;
        gzip->blocks[i].start = gzip->allocator->alloc(gzip->allocator->userdata, total_bytes);
        gzip->blocks[i].size_bytes = total_bytes;
        return gzip->blocks[i].start;
    }
    return NULL;
}

static void zlib_free(void *userdata, void *block)
{
    struct rth_gzip *gzip = userdata;
    for (int i = 0; i < BLOCKS_MAX; i++) {
        if (block == NULL || gzip->blocks[i].start != block)
            continue;
        gzip->allocator->free(gzip->allocator->userdata, block, gzip->blocks[i].size_bytes);
        gzip->blocks[i].start = NULL;
        return;
    }
}

/* Compresses what the stream was given; with Z_FINISH all that is inside. */
static int compress_input(struct rth_gzip *gzip, int flush)
{
    z_stream *stream = &gzip->stream;
    do {
        stream->next_out = gzip->output;
        stream->avail_out = sizeof(gzip->output);
        /* Z_BUF_ERROR: there was nothing to do, which is no error. */
        int result = deflate(stream, flush);
        if (result == Z_STREAM_ERROR)
            return -EINVAL;
        int error =
            rth__sink_write(gzip->below, gzip->output, sizeof(gzip->output) - stream->avail_out);
        if (error < 0)
            return error;
    } while (stream->avail_out == 0);
    return 0;
}

static int gzip_write(struct rth_sink *sink, const void *data, size_t size_bytes)
{
    struct rth_gzip *gzip = (struct rth_gzip *)sink;
    const unsigned char *next = data;
    while (size_bytes > 0) {
        uInt taken = size_bytes < UINT_MAX ? (uInt)size_bytes : UINT_MAX;
        gzip->stream.next_in = (z_const Bytef *)(uintptr_t)next;
        gzip->stream.avail_in = taken;
        int error = compress_input(gzip, Z_NO_FLUSH);
        if (error < 0)
            return error;
        next += taken;
        size_bytes -= taken;
    }
    return 0;
}

static bool gzip_cancelled(struct rth_sink *sink)
{
    return rth__sink_cancelled(((struct rth_gzip *)sink)->below);
}

int rth__gzip_new(struct rth_sink *below, const struct rth_allocator *allocator,
                  struct rth_gzip **ret_gzip)
{
    struct rth_gzip *gzip = allocator->alloc(allocator->userdata, sizeof(*gzip));
    if (gzip == NULL)
        return -ENOMEM;
    gzip->sink.write = gzip_write;
    gzip->sink.cancelled = gzip_cancelled;
    gzip->below = below;
    gzip->allocator = allocator;
    gzip->stream.zalloc = zlib_alloc;
    gzip->stream.zfree = zlib_free;
    gzip->stream.opaque = gzip;
    int result = deflateInit2(&gzip->stream, Z_BEST_SPEED, Z_DEFLATED, GZIP_WINDOW_BITS,
                              GZIP_MEMORY, Z_DEFAULT_STRATEGY);
    if (result != Z_OK) {
        /* zlib gave back what it took. */
        allocator->free(allocator->userdata, gzip, sizeof(*gzip));
        return result == Z_MEM_ERROR ? -ENOMEM : -EINVAL;
    }
    *ret_gzip = gzip;
    return 0;
}

struct rth_sink *rth__gzip_sink(struct rth_gzip *gzip)
{
    return &gzip->sink;
}

int rth__gzip_finish(struct rth_gzip *gzip)
{
    if (gzip->sink.error == 0) {
        gzip->stream.avail_in = 0;
        gzip->sink.error = compress_input(gzip, Z_FINISH);
    }
    return gzip->sink.error;
}

void rth__gzip_free(struct rth_gzip *gzip)
{
    if (gzip == NULL)
        return;
    /* Z_DATA_ERROR says that the member was not finished: known. */
    (void)deflateEnd(&gzip->stream);
    gzip->allocator->free(gzip->allocator->userdata, gzip, sizeof(*gzip));
}
