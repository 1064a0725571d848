/* SPDX-License-Identifier: MIT */
#include "episode/folder.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#include "os/fd.h"
#include "rthooks/error.h"

/* linux/magic.h; f_type is signed where it has 32 bits. */
#define TMPFS_TYPE     UINT32_C(0x01021994)
#define RAMFS_TYPE     UINT32_C(0x858458f6)
#define HUGETLBFS_TYPE UINT32_C(0x958458f6)

static int refuse(struct rth_episode_folder *folder, int error, const char *format, ...)
    RTH_PRINTF(3, 4);
static int refuse(struct rth_episode_folder *folder, int error, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(folder->reason, sizeof(folder->reason), format, arguments);
    va_end(arguments);
    folder->is_usable = false;
    return error;
}

int rth__episode_path_check(const char *path)
{
    size_t length = strnlen(path, RTH_EPISODE_PATH_BYTES);
    if (length == RTH_EPISODE_PATH_BYTES || path[0] != '/')
        return -EINVAL;
    while (length > 1 && path[length - 1] == '/')
        length--;
    const char *last = path + length;
    while (last[-1] != '/')
        last--;
    size_t last_length = (size_t)(path + length - last);
    bool is_dots = last_length <= 2 && memcmp(last, "..", last_length) == 0;
    return last_length == 0 || is_dots ? -EINVAL : 0;
}

static void fill(struct rth_episode_folder *folder, const char *path, bool is_named, bool is_made)
{
    *folder = (struct rth_episode_folder){.is_named = is_named, .is_made = is_made};
    size_t length = strnlen(path, sizeof(folder->path) - 1);
    memcpy(folder->path, path, length);
    while (length > 1 && folder->path[length - 1] == '/')
        folder->path[--length] = '\0';
}

size_t rth__episode_folders_fill(const char *named, uint32_t euid,
                                 struct rth_episode_folder ret_folders[RTH_EPISODE_FOLDER_MAX])
{
    char own[64];
    size_t count = 0;
    if (named != NULL)
        fill(&ret_folders[count++], named, true, true);
    fill(&ret_folders[count++], "/var/lib/rthooks", false, false);
    (void)snprintf(own, sizeof(own), "/var/tmp/rthooks-%u", euid);
    fill(&ret_folders[count++], own, false, true);
    return count;
}

uint64_t rth__episode_room_bytes(int fd)
{
    struct statfs filesystem;
    if (fstatfs(fd, &filesystem) != 0 || filesystem.f_blocks == 0 || filesystem.f_bsize <= 0)
        return UINT64_MAX;
    uint64_t kept = (uint64_t)filesystem.f_blocks / 100 * RTH_EPISODE_FREE_PERCENT;
    uint64_t available = (uint64_t)filesystem.f_bavail, bytes;
    if (available <= kept)
        return 0;
    if (__builtin_mul_overflow(available - kept, (uint64_t)filesystem.f_bsize, &bytes))
        return UINT64_MAX;
    return bytes;
}

/* What any folder of ours needs of the filesystem it is on, or will be. */
static int check_filesystem(int fd, struct rth_episode_folder *folder)
{
    struct statfs filesystem;
    if (fstatfs(fd, &filesystem) != 0)
        return refuse(folder, -errno, "cannot be looked at: %s", rth_strerror(-errno));
    uint32_t type = (uint32_t)filesystem.f_type;
    const char *name = type == TMPFS_TYPE       ? "a tmpfs"
                       : type == RAMFS_TYPE     ? "a ramfs"
                       : type == HUGETLBFS_TYPE ? "a hugetlbfs"
                                                : NULL;
    if (name != NULL)
        return refuse(folder, -EPERM,
                      "is on %s: what is written there is memory of the process's "
                      "own cgroup",
                      name);
    if (rth__episode_room_bytes(fd) == 0)
        return refuse(folder, -ENOSPC, "less than %d %% of its filesystem is free",
                      RTH_EPISODE_FREE_PERCENT);
    /* A filter of system calls may answer anything here; making the episode's folder tells. */
    if (faccessat(fd, ".", W_OK | X_OK, AT_EACCESS) != 0 && (errno == EACCES || errno == EROFS))
        return refuse(folder, -errno,
                      errno == EROFS ? "is on a filesystem mounted read-only"
                                     : "may not be written to");
    return 0;
}

static int check_owner(const struct stat *status, uint32_t euid, struct rth_episode_folder *folder)
{
    if (S_ISLNK(status->st_mode))
        return refuse(folder, -ELOOP, "is a symbolic link");
    if (!S_ISDIR(status->st_mode))
        return refuse(folder, -ENOTDIR, "is no folder");
    if (status->st_uid != euid)
        return refuse(folder, -EPERM, "belongs to uid %u, not to uid %u", (unsigned)status->st_uid,
                      euid);
    if ((status->st_mode & (S_IWGRP | S_IWOTH)) != 0)
        return refuse(folder, -EPERM, "others may write to it (mode %04o)",
                      (unsigned)status->st_mode & 07777u);
    return 0;
}

static int open_existing(int parent_fd, const char *name, uint32_t euid,
                         struct rth_episode_folder *folder)
{
    struct stat status;
    if (fstatat(parent_fd, name, &status, AT_SYMLINK_NOFOLLOW) != 0)
        return refuse(folder, -errno, errno == ENOENT ? "does not exist" : "cannot be looked at");
    int error = check_owner(&status, euid, folder); /* whoever may not open it wants to know why */
    if (error != 0)
        return error;
    int fd = rth__openat(parent_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
    if (fd < 0)
        return refuse(folder, fd, "cannot be opened: %s", rth_strerror(fd));
    /* What counts is what was opened. */
    error = fstat(fd, &status) != 0 ? -errno : check_owner(&status, euid, folder);
    if (error == 0)
        error = check_filesystem(fd, folder);
    if (error != 0) {
        (void)rth__close(fd);
        return error;
    }
    folder->is_usable = true;
    folder->reason[0] = '\0';
    return fd;
}

/* The folder's parent, and its own name within. */
static int open_parent(int root_fd, struct rth_episode_folder *folder, const char **ret_name)
{
    char parent[RTH_EPISODE_PATH_BYTES];
    (void)snprintf(parent, sizeof(parent), "%s", folder->path);
    char *slash = strrchr(parent, '/');
    *ret_name = folder->path + (slash - parent) + 1;
    *slash = '\0';
    const char *below = parent;
    while (*below == '/')
        below++;
    int fd = rth__openat(root_fd, *below != '\0' ? below : ".", O_PATH | O_DIRECTORY);
    if (fd < 0)
        return refuse(folder, fd, "%.100s: %s", folder->path[0] != '\0' ? parent : "/",
                      rth_strerror(fd));
    return fd;
}

int rth__episode_folder_open(int root_fd, uint32_t euid, bool create,
                             struct rth_episode_folder *folder)
{
    const char *name;
    RTH__AUTO_CLOSE int parent_fd = open_parent(root_fd, folder, &name);
    if (parent_fd < 0)
        return parent_fd;
    int fd = open_existing(parent_fd, name, euid, folder);
    if (fd != -ENOENT || !folder->is_made)
        return fd;
    int error = check_filesystem(parent_fd, folder);
    if (error != 0)
        return error;
    if (!create) {
        folder->is_usable = true;
        folder->reason[0] = '\0';
        return -ENOENT;
    }
    if (mkdirat(parent_fd, name, 0700) == 0)
        (void)fchmodat(parent_fd, name, 0700, 0); /* the umask may take the owner's bits */
    else if (errno != EEXIST)
        return refuse(folder, -errno, "cannot be made: %s", rth_strerror(-errno));
    return open_existing(parent_fd, name, euid, folder);
}
