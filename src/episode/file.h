/* SPDX-License-Identifier: MIT */
#ifndef RTH_EPISODE_FILE_H
#define RTH_EPISODE_FILE_H

/*
 * A sink into a file of an episode. The file has its own name once it is whole; until then it ends
 * in RTH_EPISODE_PARTIAL. The buffer is there from the start on: a cgroup without a page left must
 * not stop evidence. rth-work alone, one file at a time.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "episode/name.h"
#include "formats/sink.h"

#define RTH_EPISODE_SCRATCH_BYTES (64 * 1024)

/* The buffer, for who has no file open: rth-work is one thread. */
unsigned char *rth__episode_scratch(void);
/* Has its pages there from now on. In an adopted child again. */
void rth__episode_scratch_touch(void);

struct rth_episode_file {
    struct rth_sink sink; /* first */
    int dir_fd, fd;
    size_t used_bytes;    /* of the buffer */
    uint64_t limit_bytes; /* what the sink takes at most; UINT64_MAX: also of what stays free */
    const char *why;      /* what went wrong, when sink.error alone does not say; else NULL */
    char name[RTH_EPISODE_FILE_BYTES];
};

/* name: of the file without its end; cancelled as in struct rth_sink. 0 or a negative errno. */
int rth__episode_file_begin(struct rth_episode_file *file, int dir_fd, const char *name,
                            uint64_t limit_bytes, bool (*cancelled)(struct rth_sink *sink));
/* error: of who wrote, 0 when all is well. The file gets final_name, in place of one that has it,
 * or is removed. Returns the error, or what closing came to. */
int rth__episode_file_end(struct rth_episode_file *file, int error, const char *final_name);
/* What came in the way, as a part of a sentence. */
const char *rth__episode_file_why(const struct rth_episode_file *file, int error);

#endif /* RTH_EPISODE_FILE_H */
