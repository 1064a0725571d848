/* SPDX-License-Identifier: MIT */
#ifndef RTH_TOOLS_CMD_THREADS_H
#define RTH_TOOLS_CMD_THREADS_H

/* What the files of `rthooks threads` share. */

#include <stddef.h>

#include "cmd/cmd.h"

struct stacks_options {
    struct common_options common;
    bool diff;
    long seconds; /* with diff and one target: between two dumps; 0: not given */
};

/* --stacks TARGET, --diff OLD NEW, --diff --seconds N TARGET. Returns the exit status. */
int threads_stacks(char **targets, size_t count, const struct stacks_options *options);

#endif /* RTH_TOOLS_CMD_THREADS_H */
