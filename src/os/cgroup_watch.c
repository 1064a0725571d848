/* SPDX-License-Identifier: MIT */
/*
 * Limits and usage for a caller that looks often: found once, then read from descriptors that stay
 * open. What they cannot tell is told by the text of /proc/PID/cgroup (the process was moved) and
 * by -ENODEV (its cgroup was removed); a controller that is enabled later needs a new watch, so the
 * caller opens one every now and then all the same.
 *
 * Threads: one at a time; the descriptors belong to its table. Locks: none. Failure: a file that
 * could not be opened is unreadable until the next watch. Cost: 4 descriptors per level (two less
 * at the top of version 2), and 4; a refresh preads them all, a look at usage two.
 */
#include <errno.h>
#include <string.h>

#include "os/cgroup_level.h"
#include "os/fd.h"

static bool is_kept(const struct rth_cgroup_place *place)
{
    return place->version != 0 && place->levels <= RTH_CGROUP_WATCH_LEVELS;
}

static void open_levels(struct rth_cgroup_watch *watch, const struct rth_cgroup_place *place,
                        enum rth_cgroup_file first, enum rth_cgroup_file last)
{
    for (unsigned level = 0; is_kept(place) && level < place->levels; level++) {
        for (unsigned file = first; file <= last; file++)
            watch->limit_fds[level][file] =
                rth__cgroup_level_open(watch->root_fd, place, level, (enum rth_cgroup_file)file);
    }
}

static void open_usage(struct rth_cgroup_watch *watch)
{
    const char *folder = watch->memory.usage_folder;
    int version = folder[0] != '\0' ? watch->cgroups.memory.version : 0;

    (void)rth__close(watch->usage_fd);
    (void)rth__close(watch->memory_stat_fd);
    watch->usage_fd = watch->memory_stat_fd = -ENODATA;
    if (version == 0)
        return;
    watch->usage_fd = rth__cgroup_open(watch->root_fd, folder, rth__cgroup_usage_names[version]);
    watch->memory_stat_fd = rth__cgroup_open(watch->root_fd, folder, "memory.stat");
}

static void open_throttling(struct rth_cgroup_watch *watch)
{
    (void)rth__close(watch->cpu_stat_fd);
    watch->cpu_stat_fd =
        watch->cgroups.cpu.version != 0
            ? rth__cgroup_open(watch->root_fd, watch->cpu.throttle_folder, "cpu.stat")
            : -ENODATA;
}

int rth__cgroup_watch_open(struct rth_cgroup_watch *watch, int root_fd, int pid,
                           uint64_t total_bytes)
{
    watch->root_fd = root_fd;
    watch->pid = pid;
    watch->total_bytes = total_bytes;
    watch->usage_fd = watch->memory_stat_fd = watch->cpu_stat_fd = -ENODATA;
    for (unsigned level = 0; level < RTH_CGROUP_WATCH_LEVELS; level++) {
        for (unsigned file = 0; file < RTH_CGROUP_FILE_COUNT; file++)
            watch->limit_fds[level][file] = -ENOENT;
    }
    watch->membership_fd = rth__cgroup_membership_open(root_fd, pid);
    int error = rth__cgroups_find(root_fd, pid, &watch->cgroups);
    rth__cgroup_memory_limits_read(root_fd, &watch->cgroups, total_bytes, &watch->memory);
    rth__cgroup_cpu_limits_read(root_fd, pid, &watch->cgroups, &watch->cpu);
    open_levels(watch, &watch->cgroups.memory, RTH_CGROUP_FILE_MAX, RTH_CGROUP_FILE_SWAP);
    open_levels(watch, &watch->cgroups.cpu, RTH_CGROUP_FILE_QUOTA, RTH_CGROUP_FILE_PERIOD);
    open_usage(watch);
    open_throttling(watch);
    return error;
}

void rth__cgroup_watch_close(struct rth_cgroup_watch *watch)
{
    watch->membership_fd = rth__close(watch->membership_fd);
    watch->usage_fd = rth__close(watch->usage_fd);
    watch->memory_stat_fd = rth__close(watch->memory_stat_fd);
    watch->cpu_stat_fd = rth__close(watch->cpu_stat_fd);
    for (unsigned level = 0; level < RTH_CGROUP_WATCH_LEVELS; level++) {
        for (unsigned file = 0; file < RTH_CGROUP_FILE_COUNT; file++)
            watch->limit_fds[level][file] = rth__close(watch->limit_fds[level][file]);
    }
}

static struct rth_cgroup_reader reader_of(const struct rth_cgroup_watch *watch,
                                          const struct rth_cgroup_place *place)
{
    return (struct rth_cgroup_reader){
        .root_fd = watch->root_fd, .place = place, .fds = is_kept(place) ? watch->limit_fds : NULL};
}

/* -ESTALE: the process is in other cgroups than were found. */
static int check_membership(const struct rth_cgroup_watch *watch)
{
    uint64_t membership;

    if (watch->membership_fd < 0)
        return watch->cgroups.error < 0 ? 0 : -ESTALE;
    int error = rth__cgroup_membership_pread(watch->membership_fd, &membership);
    if (error < 0)
        return watch->cgroups.error < 0 ? 0 : error;
    return membership == watch->cgroups.membership ? 0 : -ESTALE;
}

static int refresh_memory(struct rth_cgroup_watch *watch)
{
    const struct rth_cgroup_reader reader = reader_of(watch, &watch->cgroups.memory);
    struct rth_cgroup_memory_limits limits;
    bool is_gone;

    if (reader.place->version == 0)
        return 0;
    memcpy(&limits, &watch->memory, sizeof(limits));
    if (!rth__cgroup_memory_limits_fold(&reader, watch->total_bytes, &limits, &is_gone))
        return is_gone ? -ENODEV : 0;
    if (is_gone)
        return -ENODEV;
    bool has_moved = strcmp(limits.usage_folder, watch->memory.usage_folder) != 0;
    memcpy(&watch->memory, &limits, sizeof(limits));
    if (has_moved)
        open_usage(watch);
    return 1;
}

static int refresh_cpu(struct rth_cgroup_watch *watch)
{
    const struct rth_cgroup_reader reader = reader_of(watch, &watch->cgroups.cpu);
    struct rth_cgroup_cpu_limits limits;
    bool is_gone = false, has_changed = false;

    memcpy(&limits, &watch->cpu, sizeof(limits));
    if (reader.place->version != 0)
        has_changed = rth__cgroup_cpu_quota_fold(&reader, &limits, &is_gone);
    if (is_gone)
        return -ENODEV;
    limits.affinity = rth__cgroup_affinity(watch->root_fd, watch->pid, &watch->cgroups.cpuset);
    has_changed |= limits.affinity != watch->cpu.affinity;
    if (!has_changed)
        return 0;
    bool has_moved = strcmp(limits.throttle_folder, watch->cpu.throttle_folder) != 0;
    memcpy(&watch->cpu, &limits, sizeof(limits));
    if (has_moved)
        open_throttling(watch);
    return 1;
}

int rth__cgroup_watch_refresh(struct rth_cgroup_watch *watch)
{
    int error = check_membership(watch);
    if (error < 0)
        return error;
    int memory = refresh_memory(watch);
    if (memory < 0)
        return memory;
    int cpu = refresh_cpu(watch);
    return cpu != 0 ? cpu : memory;
}

int rth__cgroup_watch_usage_read(struct rth_cgroup_watch *watch,
                                 struct rth_cgroup_memory_usage *ret_usage)
{
    if (watch->usage_fd < 0)
        return watch->usage_fd;
    return rth__cgroup_usage_pread(watch->cgroups.memory.version, watch->usage_fd,
                                   watch->memory_stat_fd, ret_usage);
}

int rth__cgroup_watch_usage_read_all(struct rth_cgroup_watch *watch,
                                     struct rth_cgroup_memory_usage *ret_usage)
{
    if (watch->usage_fd < 0)
        return watch->usage_fd;
    return rth__cgroup_memory_usage_read(watch->root_fd, watch->cgroups.memory.version,
                                         watch->memory.usage_folder, ret_usage);
}

int rth__cgroup_watch_throttling_read(struct rth_cgroup_watch *watch,
                                      struct rth_cgroup_throttling *ret_throttling)
{
    if (watch->cpu_stat_fd < 0)
        return watch->cpu_stat_fd == -ENOENT ? -ENODATA : watch->cpu_stat_fd;
    return rth__cgroup_throttling_pread(watch->cgroups.cpu.version, watch->cpu_stat_fd,
                                        ret_throttling);
}
