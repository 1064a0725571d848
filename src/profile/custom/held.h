/* SPDX-License-Identifier: MIT */
#ifndef RTH_PROFILE_CUSTOM_HELD_H
#define RTH_PROFILE_CUSTOM_HELD_H

/* A profile of values that are held, as its routes answer it. rth-work. */

#include "profile/custom/values.h"
#include "profile/named.h"

struct rth_held {
    struct rth_profile *profile;
    const char *noun; /* of what is held, for the comments: "values" */
    const struct rth_named_request *request;
    /* NULL: what is held now. Else what was held then is taken off: what came and went since. */
    const struct rth_sites_copy *base;
    int64_t duration_ns; /* since the base */
};

/* Unwind rows for the code that values wait for, and for what was loaded since. */
void rth__held_refresh(void);
/* As profile.proto, or as text for debug other than 0. */
int rth__held_write(const struct rth_held *held, struct rth_sink *sink);

#endif /* RTH_PROFILE_CUSTOM_HELD_H */
