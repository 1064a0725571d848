/* SPDX-License-Identifier: MIT */
#ifndef RTH_TOOLS_SYMBOLIZE_SYMBOLIZE_H
#define RTH_TOOLS_SYMBOLIZE_SYMBOLIZE_H

/*
 * Gives the frames of a profile what they lack: names, files and lines, and the functions inlined
 * at an address, from the files the profile's mappings name. The files are read in children with a
 * deadline; whatever goes wrong there leaves the frames as they came and is said on standard error.
 */

#include <stdbool.h>
#include <sys/types.h>

#include "profile/profile.h"

enum symbolize_want {
    WANT_NOTHING,
    WANT_NAMES, /* for locations without any function name */
    WANT_LINES, /* for locations without any line */
};

struct symbolize_options {
    enum symbolize_want want;
    pid_t pid;             /* the process the profile is of, when it is on this machine; else 0 */
    const char *debug_dir; /* NULL: none */
    bool debuginfod;       /* ask the servers of DEBUGINFOD_URLS */
    bool quiet;            /* says nothing of modules without lines */
};

/* Before profile_name_frames. */
void symbolize(struct profile *profile, const struct symbolize_options *options);

#endif /* RTH_TOOLS_SYMBOLIZE_SYMBOLIZE_H */
