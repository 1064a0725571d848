/* SPDX-License-Identifier: MIT */
#ifndef RTH_OS_CGROUP_PARSE_H
#define RTH_OS_CGROUP_PARSE_H

/*
 * The texts that os/cgroup.h is made of, each parser apart from its reader. Of the files of
 * os/cgroup*.c, of what shows every level by itself, of tests and fuzzers. Nothing is written on
 * failure unless it says so; a text that the kernel would not write, and one that does not end with
 * a newline (it was cut), are -EBADMSG.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "os/cgroup.h"

/* ---- Characters of a text in memory, or of a file read in pieces: lines may be of any length ----
 */

struct rth_chars {
    int fd; /* -1: text in memory */
    const char *at, *end;
    char *buffer;
    size_t capacity_bytes;
    int error; /* of reading; the text ends there */
};
void rth__chars_of_text(struct rth_chars *chars, const char *text, size_t size_bytes);
/* The fd stays the caller's. */
void rth__chars_of_fd(struct rth_chars *chars, int fd, char *buffer, size_t capacity_bytes);

/* ---- /proc/PID/cgroup and /proc/PID/mountinfo ---- */

/*
 * Fills version and hierarchy of all places, or their error, and membership. A controller that a
 * version 1 line names is there, whatever else is; each other one is where the "0::" line says,
 * wherever that line stands, unless a line was malformed: it may have been the one. Returns 0 or
 * the error of reading, which all places then have.
 */
int rth__cgroup_membership_parse(struct rth_chars *chars, struct rth_cgroups *cgroups);

/* Whether ".." is one of its components: a place that no mount shows. */
bool rth__cgroup_path_has_parent(const char *path);

#define RTH_CGROUP_MEMORY 1u
#define RTH_CGROUP_CPU    2u
#define RTH_CGROUP_CPUSET 4u

struct rth_cgroup_mount {
    int version;
    unsigned controllers;              /* RTH_CGROUP_*, of version 1 */
    char root[RTH_CGROUP_PATH_BYTES];  /* what of the hierarchy is mounted: "/", "/docker/…" */
    char mount[RTH_CGROUP_PATH_BYTES]; /* where, with the leading '/' */
};
/*
 * The next cgroup mount. 1; 0 at the end; -EBADMSG for a malformed line, -ENAMETOOLONG for a cgroup
 * mount whose paths do not fit: go on calling; chars->error when reading failed, and then always.
 * *ret_mount is written in any case.
 */
int rth__cgroup_mount_next(struct rth_chars *chars, struct rth_cgroup_mount *ret_mount);

/* ---- Files of a cgroup ---- */

/* LONG_MAX in whole pages, of 64 KiB at most: how version 1 writes that there is no limit. */
#define RTH_CGROUP_NO_LIMIT_BYTES ((uint64_t)INT64_MAX - 0xffff)

/* All three: 1 with a value, 0 for no limit, -EBADMSG. */
int rth__cgroup_memory_limit_parse(const char *text, size_t size_bytes, uint64_t *ret_bytes);
int rth__cgroup_cpu_max_parse(const char *text, size_t size_bytes, uint64_t *ret_quota_us,
                              uint64_t *ret_period_us);
int rth__cgroup_cfs_quota_parse(const char *text, size_t size_bytes, uint64_t *ret_quota_us);
/* One number and a newline: 0 or -EBADMSG. */
int rth__cgroup_number_parse(const char *text, size_t size_bytes, uint64_t *ret_number);
/* Whether a list of words ("cpuset cpu memory") has this one. */
bool rth__cgroup_word_is_in(const char *text, size_t size_bytes, const char *word);

#define RTH_CGROUP_KEYS_MAX 6
struct rth_cgroup_key {
    const char *name;
    size_t size_bytes;
};
#define RTH_CGROUP_KEY(literal)                                                                    \
    {                                                                                              \
        literal, sizeof(literal) - 1                                                               \
    }
/*
 * "key value" lines, whole ones; may be called piece by piece. Writes values[i] of the keys that
 * are there (the caller sets them to UINT64_MAX before the first piece), also before it fails.
 * Returns how many are known now, or -EBADMSG: no number, above INT64_MAX, or a key of ours twice.
 */
int rth__cgroup_keys_parse(const char *text, size_t size_bytes, const struct rth_cgroup_key *keys,
                           unsigned count, uint64_t *values);

int rth__meminfo_total_parse(const char *text, size_t size_bytes, uint64_t *ret_total_bytes);

#define RTH_CPUS_WORDS 256 /* 8192 processors: the most that Linux can be built for */
struct rth_cpus {
    uint32_t words[RTH_CPUS_WORDS];
};
/* "ff,00000001" (no newline) and "0-3,7\n". 0 or -EBADMSG; *ret_cpus is written in any case. */
int rth__cpus_mask_parse(const char *text, size_t size_bytes, struct rth_cpus *ret_cpus);
int rth__cpus_list_parse(const char *text, size_t size_bytes, struct rth_cpus *ret_cpus);

#endif /* RTH_OS_CGROUP_PARSE_H */
