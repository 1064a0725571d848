/* SPDX-License-Identifier: MIT */
#ifndef RTH_OS_CGROUP_LEVEL_H
#define RTH_OS_CGROUP_LEVEL_H

/*
 * One level of a place: its folder, its files, its name; and the fold of a limit over all of them.
 * Of the files of os/cgroup*.c alone.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "os/cgroup.h"

/* Length of path without its last `level` components; "/" stays. */
int rth__cgroup_level_bytes(const char *path, unsigned level);
void rth__cgroup_level_folder(const struct rth_cgroup_place *place, unsigned level,
                              char ret_folder[RTH_CGROUP_PATH_BYTES]);
/* "cgroup2:/a/b/memory.max"; the start is left out ("cgroup2:…/b/memory.max") where it is too long.
 */
void rth__cgroup_level_source(const struct rth_cgroup_place *place, unsigned level,
                              const char *name, char ret_source[RTH_CGROUP_PATH_BYTES]);

/* NULL: this version has no such file. */
const char *rth__cgroup_file_name(int version, enum rth_cgroup_file file);
/* Any file of a folder: an fd; -ENOENT where the folder is there without it; -ENODEV where the
 * folder is gone; another negative errno. */
int rth__cgroup_open(int root_fd, const char *folder, const char *name);
int rth__cgroup_level_open(int root_fd, const struct rth_cgroup_place *place, unsigned level,
                           enum rth_cgroup_file file);
/* From the start, for a file that is kept open. -EBADMSG when it does not fit. */
ssize_t rth__cgroup_pread(int fd, char *buffer, size_t capacity_bytes);

/* Where the files of the levels come from. */
struct rth_cgroup_reader {
    int root_fd;
    const struct rth_cgroup_place *place;
    const int (*fds)[RTH_CGROUP_FILE_COUNT]; /* by level; NULL: opened for each look */
};
/* Bytes; an error as of rth__cgroup_open. */
ssize_t rth__cgroup_level_read(const struct rth_cgroup_reader *reader, unsigned level,
                               enum rth_cgroup_file file, char *buffer, size_t capacity_bytes);

/* ---- A limit over the levels ---- */

struct rth_cgroup_fold {
    bool is_set;
    uint64_t value, period_us; /* period_us 0 for what is no quota */
    unsigned level;
    int error;        /* the first */
    const char *name; /* of the file that decided */
};
/* parsed: 1 with a value, 0, or a negative errno. */
void rth__cgroup_fold_add(struct rth_cgroup_fold *fold, int parsed, unsigned level,
                          const char *name, uint64_t value, uint64_t period_us);
/* Writes limit where it is another one, and says so. */
bool rth__cgroup_fold_finish(const struct rth_cgroup_fold *fold,
                             const struct rth_cgroup_place *place, struct rth_cgroup_limit *limit);

/* True: *limits is another one now. *ret_is_gone: a level that was there is not any more; what
 * *limits then says is of the others. */
bool rth__cgroup_memory_limits_fold(const struct rth_cgroup_reader *reader, uint64_t total_bytes,
                                    struct rth_cgroup_memory_limits *limits, bool *ret_is_gone);
bool rth__cgroup_cpu_quota_fold(const struct rth_cgroup_reader *reader,
                                struct rth_cgroup_cpu_limits *limits, bool *ret_is_gone);
/* As affinity in struct rth_cgroup_cpu_limits. */
unsigned rth__cgroup_affinity(int root_fd, int pid, const struct rth_cgroup_place *cpuset);

/* ---- Finding (os/cgroup_find.c) ---- */

/* A thread to ask instead of the process, whose main thread has ended: /proc shows it in no version
 * 1 cgroup and without mounts. 0: not needed. */
int rth__cgroup_proc_tid(int root_fd, int pid);
/* Whether "proc" below root_fd is the kernel's, and no copy. */
bool rth__cgroup_root_is_live(int root_fd);
/* Of the text of /proc/PID/cgroup. 0 or a negative errno. */
int rth__cgroup_membership_open(int root_fd, int pid);
int rth__cgroup_membership_pread(int fd, uint64_t *ret_membership);

/* ---- Usage (os/cgroup_usage.c) ---- */

/* current_bytes and reclaimable_bytes of two open files. stat_fd may be negative: why it is not. */
int rth__cgroup_usage_pread(int version, int usage_fd, int stat_fd,
                            struct rth_cgroup_memory_usage *ret_usage);
int rth__cgroup_throttling_pread(int version, int stat_fd,
                                 struct rth_cgroup_throttling *ret_throttling);
/* hierarchical_memory_limit of version 1. 1, 0, or a negative errno. */
int rth__cgroup_hierarchical_limit_read(int root_fd, const struct rth_cgroup_place *place,
                                        uint64_t *ret_bytes);
extern const char *const rth__cgroup_usage_names[3]; /* by version */

#endif /* RTH_OS_CGROUP_LEVEL_H */
