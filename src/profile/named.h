/* SPDX-License-Identifier: MIT */
#ifndef RTH_PROFILE_NAMED_H
#define RTH_PROFILE_NAMED_H

/* What the routes of named profiles (/debug/pprof/NAME) have in common: Go's parameters. */

#include <stdbool.h>
#include <stdint.h>

#include "core/artefact.h"
#include "profile/encode.h"

#define RTH_NAMED_SECONDS_MAX 300

struct rth_named_request {
    int debug;       /* 0: profile.proto; text otherwise */
    int64_t seconds; /* 0: at once; else the difference over that time */
    bool symbols;
};

/* Reads the parameters and shapes the head of the answer: content type, file name. delta_filename:
 * of the answer with seconds=; NULL when the profile has no such thing. 0 or, with the call failed,
 * a negative errno. */
int rth__named_request_read(struct rth_call *call, const char *delta_filename,
                            struct rth_named_request *ret_request);

/* Names for what is written to sink, given up when nobody wants it any more. */
struct rth_profile_naming rth__named_naming(bool symbols, struct rth_sink *sink);

#endif /* RTH_PROFILE_NAMED_H */
