/* SPDX-License-Identifier: MIT */
#ifndef RTH_TOOLS_CLIENT_LIBRARIES_H
#define RTH_TOOLS_CLIENT_LIBRARIES_H

/* Where the two libraries are: the runtime is the one this command itself runs with. */

#include <limits.h>
#include <stddef.h>

struct libraries {
    char runtime[PATH_MAX];
    char interposer[PATH_MAX];
};

/*
 * Finds both and checks that LD_PRELOAD can carry their paths. Returns 0 or a negative errno with
 * one line in ret_message: -ENOENT a library is missing, -EINVAL the path has a space or a ':'.
 */
int libraries_find(struct libraries *ret_libraries, char *ret_message, size_t message_size);

#endif /* RTH_TOOLS_CLIENT_LIBRARIES_H */
