/* SPDX-License-Identifier: MIT */
#ifndef RTH_TOOLS_PROFILE_PROFILE_H
#define RTH_TOOLS_PROFILE_PROFILE_H

/*
 * A profile in memory: the document as it was read, and beside it the frames of every location,
 * which start as the document's lines and may be replaced by better ones (symbolize/).
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "formats/pprof_read.h"
#include "profile/memory.h"

struct frame {
    const char *name; /* "": not known. After profile_name_frames always something to print. */
    const char *file; /* "": not known */
    int64_t line;     /* 0: not known */
};

struct frames {
    const struct frame *list; /* innermost first */
    uint32_t count;
};

struct profile {
    struct rth_pprof_document document;
    struct frames *locations; /* one per row of document.locations */
    /* One per row of document.labels: the unit in which its key's numbers are read (label_text.h).
     */
    const char **label_units;
    struct pool pool;
};

/*
 * Reads bytes, gzip'd or not. Returns 0 or a negative errno as rth__pprof_read, with one line in
 * ret_message.
 */
int profile_read(const void *bytes, size_t size_bytes, struct profile *ret_profile,
                 char *ret_message, size_t message_size);
void profile_free(struct profile *profile);

/* Gives every location at least one frame, and every frame a name for people: demangled, without
 * parameters and template arguments; "[FILE]" where none is known, as pprof prints it. */
void profile_name_frames(struct profile *profile);

/* The sample type of that name, or with NULL the one to show by default. -1: there is none. */
int profile_type(const struct profile *profile, const char *name);
int64_t profile_value(const struct profile *profile, uint32_t sample, int type);

/* Whether the same sample types stand in the same order: such profiles may be added. */
bool profile_same_types(const struct profile *left, const struct profile *right);

/* "redis-server", the program of the profile; "" when it does not say. */
const char *profile_program(const struct profile *profile);

/* What stands behind the last '/'. */
const char *base_name(const char *path);

#endif /* RTH_TOOLS_PROFILE_PROFILE_H */
