/* SPDX-License-Identifier: MIT */
#ifndef RTH_TOOLS_BUDGET_COLLECT_H
#define RTH_TOOLS_BUDGET_COLLECT_H

/*
 * Copies what discovery and doctor read of /proc and /sys into a folder, each file at its path, so
 * that `--root` can read it elsewhere: what a bug report attaches. No command line, no environment,
 * no file's contents but the kernel's own numbers. Bounded: 1 MiB a file, 64 MiB in all.
 */

#include <stddef.h>
#include <stdio.h>

#include "budget/look.h"

struct collection {
    int folder_fd;
    FILE *manifest;
    size_t file_count, byte_count;
    size_t failure_count; /* what could not be read, or was left out for its size */
};

/* folder must not exist, or be empty. Returns 0, or a negative errno with a line in ret_message:
 * -ENOTEMPTY and -ENOTDIR are the user's mistake. */
int collection_open(struct collection *collection, const char *folder, char *ret_message,
                    size_t message_size);
/* Everything of the process that place names. Returns 0, or the negative errno of writing. */
int collection_take(struct collection *collection, const struct look_place *place);
/* One more file, whose text is not a copy; why it is missing where text is NULL. */
int collection_add(struct collection *collection, const char *path, const char *text, size_t size,
                   const char *why_not);
/* Ends the manifest. Returns 0 or a negative errno. */
int collection_close(struct collection *collection);

#endif /* RTH_TOOLS_BUDGET_COLLECT_H */
