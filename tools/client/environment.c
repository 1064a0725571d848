/* SPDX-License-Identifier: MIT */
#include "client/environment.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool append(struct environment *environment, char *entry)
{
    char **grown = entry == NULL
                       ? NULL
                       : reallocarray(environment->entries, environment->count + 2, sizeof(*grown));
    if (grown == NULL) {
        free(entry);
        return false;
    }
    environment->entries = grown;
    grown[environment->count++] = entry;
    grown[environment->count] = NULL;
    return true;
}

bool environment_copy(struct environment *ret_environment, char *const *source)
{
    struct environment copy = {.entries = calloc(1, sizeof(char *))};
    if (copy.entries == NULL)
        return false;
    for (; *source != NULL; source++) {
        if (!append(&copy, strdup(*source))) {
            environment_free(&copy);
            return false;
        }
    }
    *ret_environment = copy;
    return true;
}

void environment_free(struct environment *environment)
{
    for (size_t i = 0; i < environment->count; i++)
        free(environment->entries[i]);
    free(environment->entries);
    *environment = (struct environment){0};
}

const char *environment_get(const struct environment *environment, const char *key)
{
    size_t key_bytes = strlen(key);
    for (size_t i = 0; i < environment->count; i++) {
        const char *entry = environment->entries[i];
        if (strncmp(entry, key, key_bytes) == 0 && entry[key_bytes] == '=')
            return entry + key_bytes + 1;
    }
    return NULL;
}

static void remove_where(struct environment *environment, const char *start, bool whole_key)
{
    size_t kept = 0, start_bytes = strlen(start);
    for (size_t i = 0; i < environment->count; i++) {
        char *entry = environment->entries[i];
        if (strncmp(entry, start, start_bytes) == 0 && (!whole_key || entry[start_bytes] == '='))
            free(entry);
        else
            environment->entries[kept++] = entry;
    }
    environment->count = kept;
    environment->entries[kept] = NULL;
}

void environment_remove(struct environment *environment, const char *key)
{
    remove_where(environment, key, true);
}

void environment_remove_prefix(struct environment *environment, const char *prefix)
{
    remove_where(environment, prefix, false);
}

bool environment_set(struct environment *environment, const char *key, const char *value)
{
    char *entry;
    if (asprintf(&entry, "%s=%s", key, value) < 0)
        return false;
    /* In its place, so that the order the program sees is the user's. */
    size_t key_bytes = strlen(key);
    for (size_t i = 0; environment->entries != NULL && environment->entries[i] != NULL; i++) {
        if (strncmp(environment->entries[i], key, key_bytes) != 0 ||
            environment->entries[i][key_bytes] != '=')
            continue;
        char *old = environment->entries[i];
        environment->entries[i] = entry;
        free(old);
        return true;
    }
    return append(environment, entry);
}
