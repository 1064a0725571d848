/* SPDX-License-Identifier: MIT */
#ifndef RTH_TOOLS_PROFILE_INFLATE_H
#define RTH_TOOLS_PROFILE_INFLATE_H

#include <stdbool.h>
#include <stddef.h>

/* Whether the bytes start as gzip does. */
bool is_gzip(const void *bytes, size_t size_bytes);

/*
 * Decompresses all members of a gzip file into at most limit_bytes; free gives *ret_bytes back.
 * Returns 0; -EBADMSG, -E2BIG or -ENOMEM with one line in ret_message.
 */
int inflate_gzip(const void *bytes, size_t size_bytes, size_t limit_bytes, char **ret_bytes,
                 size_t *ret_size_bytes, char *ret_message, size_t message_size);

#endif /* RTH_TOOLS_PROFILE_INFLATE_H */
