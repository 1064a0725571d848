/* SPDX-License-Identifier: MIT */
#ifndef RTH_TESTS_HELPER_GUNZIP_H
#define RTH_TESTS_HELPER_GUNZIP_H

/* zlib's own reader, to judge what our writer wrote. */

#include <string.h>
#include <zlib.h>

/* Unpacks exactly one gzip member that fills packed. Returns the size, -1 when it is no such. */
static inline long gunzip(const void *packed, size_t packed_bytes, void *ret_plain,
                          size_t plain_capacity_bytes)
{
    z_stream stream;
    memset(&stream, 0, sizeof(stream));
    if (inflateInit2(&stream, 15 + 16) != Z_OK)
        return -1;
    stream.next_in = (z_const Bytef *)(uintptr_t)packed;
    stream.avail_in = (uInt)packed_bytes;
    stream.next_out = ret_plain;
    stream.avail_out = (uInt)plain_capacity_bytes;
    int result = inflate(&stream, Z_FINISH);
    long plain_bytes = result == Z_STREAM_END && stream.avail_in == 0 ? (long)stream.total_out : -1;
    (void)inflateEnd(&stream);
    return plain_bytes;
}

#endif /* RTH_TESTS_HELPER_GUNZIP_H */
