/* SPDX-License-Identifier: MIT */
#include "client/process.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "interpose/abi.h"
#include "os/maps.h"

/* "NAME" or "NAME.…" */
static bool is_library(const char *file, const char *name)
{
    size_t length = strlen(name);
    return strncmp(file, name, length) == 0 && (file[length] == '\0' || file[length] == '.');
}

struct process_maps process_maps(int root_fd, pid_t pid)
{
    struct process_maps facts = {0};
    struct rth_maps_reader *reader = malloc(sizeof(*reader));
    if (reader == NULL || rth__maps_open(reader, root_fd, pid) != 0) {
        free(reader);
        return facts;
    }
    int got;
    while ((got = rth__maps_next(reader)) > 0) {
        const char *slash = strrchr(reader->map.path, '/');
        if (slash == NULL)
            continue;
        const char *file = slash + 1;
        facts.readable = true;
        facts.runtime = facts.runtime || is_library(file, RTH_LIB_RUNTIME);
        facts.interposer = facts.interposer || is_library(file, RTH_LIB_INTERPOSE);
        facts.glibc =
            facts.glibc || is_library(file, "libc.so.6") || (strncmp(file, "libc-2.", 7) == 0);
        facts.musl = facts.musl || strncmp(file, "ld-musl-", 8) == 0 ||
                     strstr(reader->map.path, "-linux-musl/libc.so") != NULL;
    }
    rth__maps_close(reader);
    free(reader);
    return facts;
}

double boot_seconds(void)
{
    struct timespec now = {0};
    (void)clock_gettime(CLOCK_BOOTTIME, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

void duration_text(double seconds, char *ret_text, size_t text_size)
{
    uint64_t s = seconds > 0 ? (uint64_t)seconds : 0;
    if (s < 60)
        snprintf(ret_text, text_size, "%us", (unsigned)s);
    else if (s < 3600)
        snprintf(ret_text, text_size, "%um%02us", (unsigned)(s / 60), (unsigned)(s % 60));
    else if (s < 86400)
        snprintf(ret_text, text_size, "%uh%02um", (unsigned)(s / 3600), (unsigned)(s / 60 % 60));
    else
        snprintf(ret_text, text_size, "%llud%02uh", (unsigned long long)(s / 86400),
                 (unsigned)(s / 3600 % 24));
}
