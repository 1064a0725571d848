/* SPDX-License-Identifier: MIT */
#ifndef RTH_PROFILE_CONTENTION_ROWS_H
#define RTH_PROFILE_CONTENTION_ROWS_H

/* Rows of waited time as a profile in the shape of Go's mutex and block profiles. rth-work. */

#include "profile/comments.h"
#include "profile/encode.h"
#include "record/sites.h"

struct rth_waited_profile {
    uint32_t kind; /* rows of this kind; its name in the text */
    const char *text_name;
    bool has_period;              /* the text has the line "sampling period" */
    unsigned count_shift;         /* site counts are in units of 2^-count_shift */
    int64_t time_ns, duration_ns; /* of the start, since 1970; duration 0: since the start */
    int debug;                    /* as in struct rth_named_request */
    const struct rth_comments *comments;
    struct rth_profile_naming naming;
};

/* Writes now minus base, or now where base is NULL. Returns what rth__profile_encode does. */
int rth__waited_profile_write(const struct rth_waited_profile *profile,
                              const struct rth_sites_copy *now, const struct rth_sites_copy *base,
                              struct rth_sink *sink);

#endif /* RTH_PROFILE_CONTENTION_ROWS_H */
