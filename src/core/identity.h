/* SPDX-License-Identifier: MIT */
#ifndef RTH_CORE_IDENTITY_H
#define RTH_CORE_IDENTITY_H

/*
 * Who this process is: service, version, revision, build-id, start. Read once at start, on the
 * starting thread, before a drop of privileges can hide /proc/self/exe; constant afterwards but
 * for the pid of an adopted child.
 */

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "core/option.h"

struct rth_identity {
    char service[RTH_OPTION_TEXT_BYTES];
    char version[RTH_OPTION_TEXT_BYTES];  /* "" when nobody said */
    char revision[RTH_OPTION_TEXT_BYTES]; /* "" when nobody said */
    char executable[512];                 /* "" when the kernel does not say */
    char build_id[136];                   /* lower hex, "" when the executable has none */
    char compiler[128];                   /* of the executable, "" when it was stripped off */
    pid_t pid;
    uint64_t starttime_ticks; /* since boot */
    int64_t start_unix_ns;    /* of the process, to the kernel's tick */
};

#define RTH_IDENTITY_OPTION_COUNT 3
extern const struct rth_option rth__identity_options[RTH_IDENTITY_OPTION_COUNT];

/* environment: for OTEL_RESOURCE_ATTRIBUTES. root_fd: "/" in the caller's table. 0 or errno. */
int rth__identity_init(int root_fd, const char *const *environment);
int rth__identity_child_reset(int root_fd);
const struct rth_identity *rth__identity(void);

#endif /* RTH_CORE_IDENTITY_H */
