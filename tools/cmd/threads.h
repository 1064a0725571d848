/* SPDX-License-Identifier: MIT */
#ifndef RTH_TOOLS_CMD_THREADS_H
#define RTH_TOOLS_CMD_THREADS_H

/* What the files of `rthooks threads` share. */

#include <stddef.h>

#include "cmd/cmd.h"
#include "profile/waits.h"

struct stacks_options {
    struct common_options common;
    bool diff;
    long seconds; /* with diff and one target: between two dumps; 0: not given */
};

/* --stacks TARGET, --diff OLD NEW, --diff --seconds N TARGET. Returns the exit status. */
int threads_stacks(char **targets, size_t count, const struct stacks_options *options);

/* The waits of a document as of /debug/runtime/threads, solved. */
void threads_waits_read(const json_t *document, struct waits *waits);
/* Deadlocks, then contended locks, each behind an empty line; nothing where there are none. */
void threads_waits_print(const struct waits *waits);
/* Both as members of the document. */
void threads_waits_json(const struct waits *waits, json_t *document);

#endif /* RTH_TOOLS_CMD_THREADS_H */
