/* SPDX-License-Identifier: MIT */
/*
 * What the levels of a place allow: the smallest of each over all that can be seen, for what a
 * parent allows is shared by all its children, whatever theirs say.
 *
 * Threads: any, no state. Locks: none. Failure: a level that cannot be read, or says what the
 * kernel would not, is told beside what the others say; no number is made up for it. Cost: about 6
 * µs per file where it has to be opened, 1 µs where it is kept open: levels times three files for
 * memory, one (version 1: two) for the CPU.
 */
#include <errno.h>
#include <string.h>

#include "os/cgroup_level.h"
#include "os/cgroup_parse.h"
#include "os/fd.h"

#define VALUE_BYTES 64 /* two numbers and a newline */

static int read_memory_limit(const struct rth_cgroup_reader *reader, unsigned level,
                             enum rth_cgroup_file file, uint64_t *ret_bytes)
{
    char text[VALUE_BYTES];
    ssize_t size_bytes = rth__cgroup_level_read(reader, level, file, text, sizeof(text));

    if (size_bytes == -ENOENT)
        return 0;
    return size_bytes < 0 ? (int)size_bytes
                          : rth__cgroup_memory_limit_parse(text, (size_t)size_bytes, ret_bytes);
}

static void fold_memory(const struct rth_cgroup_reader *reader, enum rth_cgroup_file file,
                        uint64_t total_bytes, struct rth_cgroup_fold *fold, bool *is_gone)
{
    const char *name = rth__cgroup_file_name(reader->place->version, file);

    for (unsigned level = 0; name != NULL && level < reader->place->levels; level++) {
        uint64_t bytes = 0;
        int parsed = read_memory_limit(reader, level, file, &bytes);
        *is_gone |= parsed == -ENODEV;
        if (parsed == 1 && total_bytes > 0 && bytes >= total_bytes)
            parsed = 0;
        rth__cgroup_fold_add(fold, parsed, level, name, bytes, 0);
    }
}

/* Version 1 tells what levels beyond the mount allow, which no file of theirs can. It is read again
 * where it decides: between two files a limit may have been changed. */
static void fold_hierarchical(const struct rth_cgroup_reader *reader, uint64_t total_bytes,
                              struct rth_cgroup_fold *max)
{
    for (int look = 0; look < 2; look++) {
        struct rth_cgroup_fold again = {.is_set = false};
        bool is_gone = false;
        uint64_t bytes;
        int parsed = rth__cgroup_hierarchical_limit_read(reader->root_fd, reader->place, &bytes);

        if (parsed < 0)
            rth__cgroup_fold_add(max, parsed, 0, NULL, 0, 0);
        if (parsed != 1 || (total_bytes > 0 && bytes >= total_bytes) ||
            (max->is_set && bytes >= max->value))
            return;
        if (look == 1) {
            rth__cgroup_fold_add(max, 1, reader->place->levels, "memory.stat", bytes, 0);
            return;
        }
        fold_memory(reader, RTH_CGROUP_FILE_MAX, total_bytes, &again, &is_gone);
        *max = again;
    }
}

/* The one that is met first; NULL: none is set. */
static const struct rth_cgroup_limit *tighter_of(const struct rth_cgroup_limit *max,
                                                 const struct rth_cgroup_limit *high)
{
    if (high->kind == RTH_LIMIT_SET && (max->kind != RTH_LIMIT_SET || high->value < max->value))
        return high;
    return max->kind == RTH_LIMIT_SET ? max : NULL;
}

/* A level without a memory controller is charged to the one above. */
static void find_usage_folder(int root_fd, const struct rth_cgroup_place *place,
                              struct rth_cgroup_memory_limits *limits)
{
    const struct rth_cgroup_limit *limit = tighter_of(&limits->max, &limits->high);
    const unsigned top = place->levels - 1;

    if (limit != NULL) {
        rth__cgroup_level_folder(place, limit->level < top ? limit->level : top,
                                 limits->usage_folder);
        return;
    }
    for (unsigned level = 0; level <= top; level++) {
        rth__cgroup_level_folder(place, level, limits->usage_folder);
        int fd = rth__cgroup_open(root_fd, limits->usage_folder,
                                  rth__cgroup_usage_names[place->version]);
        (void)rth__close(fd);
        if (fd != -ENOENT)
            return;
    }
    limits->usage_folder[0] = '\0';
}

bool rth__cgroup_memory_limits_fold(const struct rth_cgroup_reader *reader, uint64_t total_bytes,
                                    struct rth_cgroup_memory_limits *limits, bool *ret_is_gone)
{
    const struct rth_cgroup_place *place = reader->place;
    struct rth_cgroup_fold max = {.is_set = false}, high = max, swap = max;

    *ret_is_gone = false;
    fold_memory(reader, RTH_CGROUP_FILE_MAX, total_bytes, &max, ret_is_gone);
    fold_memory(reader, RTH_CGROUP_FILE_HIGH, total_bytes, &high, ret_is_gone);
    fold_memory(reader, RTH_CGROUP_FILE_SWAP, 0, &swap, ret_is_gone);
    if (place->version == 1 && place->levels > 0)
        fold_hierarchical(reader, total_bytes, &max);
    bool has_changed = rth__cgroup_fold_finish(&max, place, &limits->max);
    /* "memory.stat" is the process's own, though it tells of what is above all. */
    if (has_changed && max.is_set && max.level == place->levels)
        rth__cgroup_level_source(place, 0, max.name, limits->max.source);
    has_changed |= rth__cgroup_fold_finish(&high, place, &limits->high);
    if (has_changed && place->levels > 0)
        find_usage_folder(reader->root_fd, place, limits);
    has_changed |= rth__cgroup_fold_finish(&swap, place, &limits->swap);
    return has_changed;
}

static void set_unreadable(struct rth_cgroup_limit *limit, int error)
{
    limit->kind = RTH_LIMIT_UNREADABLE;
    limit->error = error;
}

void rth__cgroup_memory_limits_read(int root_fd, const struct rth_cgroups *cgroups,
                                    uint64_t total_bytes,
                                    struct rth_cgroup_memory_limits *ret_limits)
{
    const struct rth_cgroup_place *place = &cgroups->memory;
    const struct rth_cgroup_reader reader = {.root_fd = root_fd, .place = place};
    bool is_gone;

    memset(ret_limits, 0, sizeof(*ret_limits));
    if (place->error < 0) {
        set_unreadable(&ret_limits->max, place->error);
        set_unreadable(&ret_limits->high, place->error);
        set_unreadable(&ret_limits->swap, place->error);
        return;
    }
    if (place->version == 0)
        return;
    (void)rth__cgroup_memory_limits_fold(&reader, total_bytes, ret_limits, &is_gone);
    if (ret_limits->usage_folder[0] == '\0')
        find_usage_folder(root_fd, place, ret_limits);
}

/* 1 with a quota, 0, or a negative errno. */
static int read_quota(const struct rth_cgroup_reader *reader, unsigned level,
                      uint64_t *ret_quota_us, uint64_t *ret_period_us)
{
    char text[VALUE_BYTES];
    ssize_t size_bytes =
        rth__cgroup_level_read(reader, level, RTH_CGROUP_FILE_QUOTA, text, sizeof(text));

    if (size_bytes < 0)
        return size_bytes == -ENOENT ? 0 : (int)size_bytes;
    if (reader->place->version == 2)
        return rth__cgroup_cpu_max_parse(text, (size_t)size_bytes, ret_quota_us, ret_period_us);
    int parsed = rth__cgroup_cfs_quota_parse(text, (size_t)size_bytes, ret_quota_us);
    if (parsed != 1)
        return parsed;
    size_bytes = rth__cgroup_level_read(reader, level, RTH_CGROUP_FILE_PERIOD, text, sizeof(text));
    if (size_bytes < 0)
        return (int)size_bytes;
    int error = rth__cgroup_number_parse(text, (size_t)size_bytes, ret_period_us);
    if (error < 0)
        return error;
    return *ret_period_us > 0 ? 1 : -EBADMSG;
}

bool rth__cgroup_cpu_quota_fold(const struct rth_cgroup_reader *reader,
                                struct rth_cgroup_cpu_limits *limits, bool *ret_is_gone)
{
    const struct rth_cgroup_place *place = reader->place;
    const char *name = rth__cgroup_file_name(place->version, RTH_CGROUP_FILE_QUOTA);
    struct rth_cgroup_fold quota = {.is_set = false};

    *ret_is_gone = false;
    for (unsigned level = 0; level < place->levels; level++) {
        uint64_t quota_us = 0, period_us = 0;
        int parsed = read_quota(reader, level, &quota_us, &period_us);
        *ret_is_gone |= parsed == -ENODEV;
        rth__cgroup_fold_add(&quota, parsed, level, name, quota_us, period_us);
    }
    bool has_changed = rth__cgroup_fold_finish(&quota, place, &limits->quota);
    if (has_changed)
        rth__cgroup_level_folder(place, limits->quota.level, limits->throttle_folder);
    return has_changed;
}

void rth__cgroup_cpu_limits_read(int root_fd, int pid, const struct rth_cgroups *cgroups,
                                 struct rth_cgroup_cpu_limits *ret_limits)
{
    const struct rth_cgroup_reader reader = {.root_fd = root_fd, .place = &cgroups->cpu};
    bool is_gone;

    memset(ret_limits, 0, sizeof(*ret_limits));
    ret_limits->affinity = rth__cgroup_affinity(root_fd, pid, &cgroups->cpuset);
    if (cgroups->cpu.error < 0) {
        set_unreadable(&ret_limits->quota, cgroups->cpu.error);
        return;
    }
    if (cgroups->cpu.version == 0)
        return;
    rth__cgroup_level_folder(&cgroups->cpu, 0, ret_limits->throttle_folder);
    (void)rth__cgroup_cpu_quota_fold(&reader, ret_limits, &is_gone);
}
