/* SPDX-License-Identifier: MIT */
#ifndef RTH_TOOLS_PROFILE_LABEL_FRAMES_H
#define RTH_TOOLS_PROFILE_LABEL_FRAMES_H

/* Labels as if they were functions: with a key at the root, a graph is divided by its values before
 * anything else; with one at the leaf, every function is. */

#include <stdbool.h>
#include <stddef.h>

#include "profile/profile.h"

/* So many samples as a file can hold never come to more locations than a row number counts. */
#define LABEL_KEYS_MAX 16

/* "handler,tenant": empty ones are left out. */
struct label_keys {
    char *text; /* what names points into */
    const char *names[LABEL_KEYS_MAX];
    size_t count;
};

/* False: there are more than LABEL_KEYS_MAX. */
bool label_keys_parse(const char *text, struct label_keys *ret_keys);
void label_keys_free(struct label_keys *keys);

/*
 * Gives every sample one more location per key, named by the value and in a file named by the key:
 * the first of roots is the new root, the last of leaves the new leaf. A sample without the key
 * gets
 * "<unknown>". The frames are named already, and the keys outlive the profile.
 */
void profile_add_label_frames(struct profile *profile, const struct label_keys *roots,
                              const struct label_keys *leaves);

#endif /* RTH_TOOLS_PROFILE_LABEL_FRAMES_H */
