/* SPDX-License-Identifier: MIT */
#ifndef RTH_PROFILE_COMMENTS_H
#define RTH_PROFILE_COMMENTS_H

/*
 * The comments that a profile carries: what it was taken with, what it lost and why it may be
 * incomplete. One text buffer, cut into lines.
 */

#include <stdbool.h>

#include "rthooks/base.h"

#define RTH_COMMENTS_MAX        24u
#define RTH_COMMENTS_TEXT_BYTES 4096u

struct rth_comments {
    const char *lines[RTH_COMMENTS_MAX];
    unsigned count;
    unsigned used_bytes;
    char text[RTH_COMMENTS_TEXT_BYTES];
};

/* Starts with what every profile says: version and capabilities that run. */
void rth__comments_init(struct rth_comments *comments);
/* A line; one that does not fit any more is left out. */
void rth__comments_add(struct rth_comments *comments, const char *format, ...) RTH_PRINTF(2, 3);

#endif /* RTH_PROFILE_COMMENTS_H */
