/* SPDX-License-Identifier: MIT */
#ifndef RTH_PROFILE_HELD_H
#define RTH_PROFILE_HELD_H

/*
 * Sites as a profile of what is held, in the shape of Go's heap profile: allocated objects and
 * space since the start, and what of it is in use. rth-work.
 */

#include "profile/comments.h"
#include "profile/encode.h"
#include "record/sites.h"

struct rth_held_profile {
    uint32_t kind;                   /* rows of this kind */
    unsigned count_shift;            /* site counts are in units of 2^-count_shift */
    const char *default_sample_type; /* NULL: inuse_space */
    int64_t period_bytes;
    int64_t time_ns, duration_ns; /* of the start, since 1970; duration 0: an instant */
    int debug;                    /* as in struct rth_named_request */
    const struct rth_comments *comments;
    struct rth_profile_naming naming;
};

/*
 * Writes `now`. base: what the allocated columns are counted from, NULL: the start; what is in use
 * is never a difference. Returns what rth__profile_encode does.
 */
int rth__held_profile_write(const struct rth_held_profile *profile,
                            const struct rth_sites_copy *now, const struct rth_sites_copy *base,
                            struct rth_sink *sink);

#endif /* RTH_PROFILE_HELD_H */
