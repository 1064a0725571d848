/* SPDX-License-Identifier: MIT */
#ifndef RTH_TOOLS_CLIENT_ENVIRONMENT_H
#define RTH_TOOLS_CLIENT_ENVIRONMENT_H

/* The environment `rthooks run` hands to exec: a growing array that owns its strings. */

#include <stdbool.h>
#include <stddef.h>

struct environment {
    char **entries; /* NULL-terminated */
    size_t count;
};

/* A copy of source ("KEY=VALUE", NULL-terminated). false: no memory, as for all below. */
bool environment_copy(struct environment *ret_environment, char *const *source);
void environment_free(struct environment *environment);
/* NULL when it is not there. */
const char *environment_get(const struct environment *environment, const char *key);
bool environment_set(struct environment *environment, const char *key, const char *value);
/* Removes every entry of that key. */
void environment_remove(struct environment *environment, const char *key);
/* Removes every entry whose key starts with prefix. */
void environment_remove_prefix(struct environment *environment, const char *prefix);

#endif /* RTH_TOOLS_CLIENT_ENVIRONMENT_H */
