/* SPDX-License-Identifier: MIT */
#include "os/cgroup_level.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "os/fd.h"
#include "os/rawsys.h"

static const char *const file_names[][RTH_CGROUP_FILE_COUNT] = {
    [1] = {[RTH_CGROUP_FILE_MAX] = "memory.limit_in_bytes",
           [RTH_CGROUP_FILE_SWAP] = "memory.memsw.limit_in_bytes",
           [RTH_CGROUP_FILE_QUOTA] = "cpu.cfs_quota_us",
           [RTH_CGROUP_FILE_PERIOD] = "cpu.cfs_period_us"},
    [2] = {[RTH_CGROUP_FILE_MAX] = "memory.max",
           [RTH_CGROUP_FILE_HIGH] = "memory.high",
           [RTH_CGROUP_FILE_SWAP] = "memory.swap.max",
           [RTH_CGROUP_FILE_QUOTA] = "cpu.max"},
};

const char *rth__cgroup_file_name(int version, enum rth_cgroup_file file)
{
    return file_names[version][file];
}

const char *rth__limit_kind_name(enum rth_limit_kind kind)
{
    return kind == RTH_LIMIT_SET ? "set" : kind == RTH_LIMIT_UNREADABLE ? "unreadable" : "none";
}

int rth__cgroup_level_bytes(const char *path, unsigned level)
{
    size_t size_bytes = strlen(path);

    for (; level > 0; level--) {
        const char *slash = memrchr(path, '/', size_bytes);
        if (slash == NULL)
            break;
        size_bytes = (size_t)(slash - path);
    }
    return size_bytes > 0 || path[0] != '/' ? (int)size_bytes : 1;
}

void rth__cgroup_level_folder(const struct rth_cgroup_place *place, unsigned level,
                              char ret_folder[RTH_CGROUP_PATH_BYTES])
{
    int size_bytes = rth__cgroup_level_bytes(place->folder, level);

    memcpy(ret_folder, place->folder, (size_t)size_bytes);
    ret_folder[size_bytes] = '\0';
}

void rth__cgroup_level_source(const struct rth_cgroup_place *place, unsigned level,
                              const char *name, char ret_source[RTH_CGROUP_PATH_BYTES])
{
    const char *ellipsis = "";
    const char *path = place->hierarchy;
    int path_bytes = rth__cgroup_level_bytes(path, level);
    const int room_bytes = RTH_CGROUP_PATH_BYTES - (int)sizeof("cgroup2:…/") - (int)strlen(name);

    if (path_bytes == 1)
        path_bytes = 0;
    if (path_bytes > room_bytes) {
        path += path_bytes - room_bytes;
        path_bytes = room_bytes;
        ellipsis = "…";
        /* Not in the middle of a character. */
        while (path_bytes > 0 && ((unsigned char)*path & 0xc0) == 0x80) {
            path++;
            path_bytes--;
        }
    }
    (void)snprintf(ret_source, RTH_CGROUP_PATH_BYTES, "cgroup%d:%s%.*s/%s", place->version,
                   ellipsis, path_bytes, path, name);
}

int rth__cgroup_open(int root_fd, const char *folder, const char *name)
{
    char path[RTH_CGROUP_PATH_BYTES + 64];
    struct stat status;

    if (snprintf(path, sizeof(path), "%s/%s", folder, name) >= (int)sizeof(path))
        return -ENAMETOOLONG;
    int fd = rth__openat(root_fd, path, O_RDONLY);
    if (fd != -ENOENT)
        return fd != -ENOTDIR ? fd : -ENODEV;
    int saved_errno = errno;
    bool is_there = fstatat(root_fd, folder, &status, 0) == 0;
    errno = saved_errno;
    return is_there ? -ENOENT : -ENODEV;
}

int rth__cgroup_level_open(int root_fd, const struct rth_cgroup_place *place, unsigned level,
                           enum rth_cgroup_file file)
{
    char folder[RTH_CGROUP_PATH_BYTES];
    const char *name = rth__cgroup_file_name(place->version, file);

    if (name == NULL)
        return -ENOENT;
    rth__cgroup_level_folder(place, level, folder);
    return rth__cgroup_open(root_fd, folder, name);
}

ssize_t rth__cgroup_pread(int fd, char *buffer, size_t capacity_bytes)
{
    long got;
    do {
        got = RTH__RAW(SYS_pread64, fd, buffer, capacity_bytes, 0L);
    } while (got == -EINTR);
    return got < (long)capacity_bytes ? (ssize_t)got : -EBADMSG;
}

ssize_t rth__cgroup_level_read(const struct rth_cgroup_reader *reader, unsigned level,
                               enum rth_cgroup_file file, char *buffer, size_t capacity_bytes)
{
    if (reader->fds != NULL) {
        int fd = reader->fds[level][file];
        if (fd >= 0)
            return rth__cgroup_pread(fd, buffer, capacity_bytes);
        if (fd == -ENOENT)
            return fd; /* what else kept it from being opened may have passed */
    }
    RTH__AUTO_CLOSE int fd = rth__cgroup_level_open(reader->root_fd, reader->place, level, file);
    return fd >= 0 ? rth__cgroup_pread(fd, buffer, capacity_bytes) : fd;
}

/* Whether one share of a period is smaller than another, without dividing. */
static bool is_tighter(uint64_t value, uint64_t period_us, const struct rth_cgroup_fold *fold)
{
    if (period_us == 0)
        return value < fold->value;
    return (unsigned __int128)value * fold->period_us < (unsigned __int128)fold->value * period_us;
}

void rth__cgroup_fold_add(struct rth_cgroup_fold *fold, int parsed, unsigned level,
                          const char *name, uint64_t value, uint64_t period_us)
{
    if (parsed < 0 && fold->error == 0)
        fold->error = parsed;
    /* Of equals the nearest: it is the one that fills up first. */
    if (parsed <= 0 || (fold->is_set && !is_tighter(value, period_us, fold)))
        return;
    fold->is_set = true;
    fold->value = value;
    fold->period_us = period_us;
    fold->level = level;
    fold->name = name;
}

bool rth__cgroup_fold_finish(const struct rth_cgroup_fold *fold,
                             const struct rth_cgroup_place *place, struct rth_cgroup_limit *limit)
{
    enum rth_limit_kind kind = fold->is_set      ? RTH_LIMIT_SET
                               : fold->error < 0 ? RTH_LIMIT_UNREADABLE
                                                 : RTH_LIMIT_NONE;

    if (limit->kind == kind && limit->value == fold->value && limit->period_us == fold->period_us &&
        limit->level == fold->level && limit->error == fold->error)
        return false;
    limit->kind = kind;
    limit->value = fold->value;
    limit->period_us = fold->period_us;
    limit->level = fold->level;
    limit->error = fold->error;
    limit->source[0] = '\0';
    if (fold->is_set)
        rth__cgroup_level_source(place, fold->level, fold->name, limit->source);
    return true;
}
