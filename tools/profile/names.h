/* SPDX-License-Identifier: MIT */
#ifndef RTH_TOOLS_PROFILE_NAMES_H
#define RTH_TOOLS_PROFILE_NAMES_H

/* Function names for people: demangled, then without parameters, template arguments and the return
 * type that goes with them, as pprof shows them. */

#include <stddef.h>

#include "profile/intern.h"
#include "profile/memory.h"

struct name_cache {
    struct pool *pool; /* of the results */
    struct intern known;
    const char **names;
    size_t capacity;
};

/* name must live as long as the cache; the result lives as long as the pool. */
const char *name_for_people(struct name_cache *cache, const char *name);
void name_cache_free(struct name_cache *cache);

/* Shortens a demangled C++ name in place. */
void shorten_cxx_name(char *name);

#endif /* RTH_TOOLS_PROFILE_NAMES_H */
