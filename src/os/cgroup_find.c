/* SPDX-License-Identifier: MIT */
/*
 * Where a process's cgroups are. /proc/PID/cgroup names them, /proc/PID/mountinfo says where what
 * part of which hierarchy is mounted, and the two may contradict each other: namespaces, bind
 * mounts and moved processes change what a path means. So every mount that could be the one is
 * tried, by looking whether the folder is there, and what shows most of the hierarchy wins.
 *
 * Threads: any, no state. Locks: none. Failure: each place has its own error; nothing is guessed
 * without a note. Cost: two files of /proc and one fstatat per cgroup mount, some 50 µs.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#include "os/cgroup_level.h"
#include "os/cgroup_parse.h"
#include "os/fd.h"
#include "os/procfs.h"
#include "os/procfs_path.h"
#include "os/rawsys.h"

#define PIECE_BYTES  1024
#define PLACES_COUNT 4
#define PREFERRED    "sys/fs/cgroup"

/* How sure it is that a folder is the process's, the surest last. */
enum quality {
    QUALITY_NONE,
    QUALITY_MOUNT, /* the path is of somewhere else: all that the mount shows is above or beside */
    QUALITY_ABOVE, /* the path is below the mount, and the nearest folder that is there */
    QUALITY_RELATIVE, /* there, when the path is taken from the mount on */
    QUALITY_EXACT,
};

static const char *const notes[] = {
    [QUALITY_MOUNT] = "outside of the mount",
    [QUALITY_ABOVE] = "not below the mount: the nearest folder above",
    [QUALITY_RELATIVE] = "taken relative to the mount",
    [QUALITY_EXACT] = NULL,
};

struct candidate {
    enum quality quality;
    unsigned levels;   /* of the hierarchy that are visible */
    unsigned stripped; /* of the path's folders, because they are not there */
    char folder[RTH_CGROUP_PATH_BYTES];
};

/* The best so far. Folder and mount are in the place. */
struct choice {
    enum quality quality;
    unsigned levels, stripped;
    char root[RTH_CGROUP_PATH_BYTES];
};

static bool is_folder(int root_fd, const char *folder)
{
    struct stat status;
    int saved_errno = errno;
    bool is_there = fstatat(root_fd, folder, &status, 0) == 0
                        ? S_ISDIR(status.st_mode)
                        : errno != ENOENT && errno != ENOTDIR; /* hidden from us, not absent */
    errno = saved_errno;
    return is_there;
}

static unsigned count_components(const char *path)
{
    unsigned count = 0;
    for (; *path != '\0'; path++)
        count += path[0] == '/' && path[1] != '/' && path[1] != '\0';
    return count;
}

/* What of path is below root, by whole components: "" or "/…"; NULL when it is elsewhere. */
static const char *below(const char *root, const char *path)
{
    size_t size_bytes = strcmp(root, "/") == 0 ? 0 : strlen(root);
    if (strncmp(path, root, size_bytes) != 0 ||
        (path[size_bytes] != '/' && path[size_bytes] != '\0'))
        return NULL;
    path += size_bytes;
    return strcmp(path, "/") == 0 ? "" : path;
}

/* False where it does not fit. The mount without its leading '/'. */
static bool join(const char *mount, const char *relative, char ret_folder[RTH_CGROUP_PATH_BYTES])
{
    int size_bytes = snprintf(ret_folder, RTH_CGROUP_PATH_BYTES, "%s%s", mount, relative);
    return size_bytes < RTH_CGROUP_PATH_BYTES;
}

static const char *mount_path(const struct rth_cgroup_mount *mount)
{
    return mount->mount[1] != '\0' ? mount->mount + 1 : ".";
}

/* The readings of one path at one mount, the surest first. -ENAMETOOLONG, else 0. */
static int try_mount(int root_fd, const char *path, const struct rth_cgroup_mount *mount,
                     struct candidate *ret_candidate)
{
    const char *point = mount_path(mount);
    const char *relative = below(mount->root, path);

    *ret_candidate = (struct candidate){.quality = QUALITY_NONE};
    if (relative != NULL && !rth__cgroup_path_has_parent(relative)) {
        if (!join(point, relative, ret_candidate->folder))
            return -ENAMETOOLONG;
        if (is_folder(root_fd, ret_candidate->folder)) {
            ret_candidate->quality = QUALITY_EXACT;
            ret_candidate->levels = count_components(relative) + 1;
            return 0;
        }
    }
    if (strcmp(mount->root, "/") != 0 && path[1] != '\0' && !rth__cgroup_path_has_parent(path)) {
        if (!join(point, path, ret_candidate->folder))
            return -ENAMETOOLONG;
        if (is_folder(root_fd, ret_candidate->folder)) {
            ret_candidate->quality = QUALITY_RELATIVE;
            ret_candidate->levels = count_components(path) + 1;
            return 0;
        }
    }
    const size_t point_bytes = strlen(point);
    if (relative == NULL || rth__cgroup_path_has_parent(relative))
        relative = "";
    if (!join(point, relative, ret_candidate->folder))
        return -ENAMETOOLONG;
    unsigned levels = count_components(relative) + 1;
    while (!is_folder(root_fd, ret_candidate->folder)) {
        char *slash = strrchr(ret_candidate->folder + point_bytes, '/');
        if (slash == NULL)
            return 0;
        *slash = '\0';
        ret_candidate->stripped++;
        levels--;
    }
    ret_candidate->quality = levels > 1 ? QUALITY_ABOVE : QUALITY_MOUNT;
    ret_candidate->levels = levels;
    return 0;
}

static bool is_preferred(const char *mount)
{
    return strncmp(mount, PREFERRED, sizeof(PREFERRED) - 1) == 0;
}

/* A mount that shows more of what is above the process shows more limits. The last of several on
 * one point hides the others. */
static bool is_better(const struct candidate *candidate, const char *mount,
                      const struct choice *choice, const char *chosen_mount)
{
    if (candidate->quality != choice->quality)
        return candidate->quality > choice->quality;
    if (candidate->quality == QUALITY_NONE)
        return false;
    if (candidate->levels != choice->levels)
        return candidate->levels > choice->levels;
    if (is_preferred(mount) != is_preferred(chosen_mount))
        return is_preferred(mount);
    return strcmp(mount, chosen_mount) == 0;
}

static void consider(int root_fd, const struct rth_cgroup_mount *mount,
                     struct rth_cgroup_place *place, struct choice *choice)
{
    struct candidate candidate;
    int error = try_mount(root_fd, place->hierarchy, mount, &candidate);

    if (error < 0) {
        place->error = error; /* until another mount has it */
        return;
    }
    if (!is_better(&candidate, mount_path(mount), choice, place->mount))
        return;
    choice->quality = candidate.quality;
    choice->levels = candidate.levels;
    choice->stripped = candidate.stripped;
    memcpy(choice->root, mount->root, sizeof(choice->root));
    memcpy(place->folder, candidate.folder, sizeof(place->folder));
    (void)snprintf(place->mount, sizeof(place->mount), "%s", mount_path(mount));
}

static void give_up(struct rth_cgroup_place *place, int error, const char *note)
{
    place->version = 0;
    place->error = error;
    place->levels = 0;
    place->note = note;
    place->folder[0] = place->mount[0] = '\0';
}

/* Version 1 of old kernels: where a level says so, those above it do not count. */
static void end_at_unhierarchical(int root_fd, struct rth_cgroup_place *memory)
{
    char path[RTH_CGROUP_PATH_BYTES + 32], text[8];

    for (unsigned level = 1; level < memory->levels; level++) {
        int folder_bytes = rth__cgroup_level_bytes(memory->folder, level);
        (void)snprintf(path, sizeof(path), "%.*s/memory.use_hierarchy", folder_bytes,
                       memory->folder);
        ssize_t size_bytes = rth__read_file_at(root_fd, path, text, sizeof(text));
        if (size_bytes == 2 && memcmp(text, "0\n", 2) == 0)
            memory->levels = level;
    }
}

/* Whether anything in sight has the controller: what the top of the mount lists, all below may. */
static bool top_lists_controller(int root_fd, const struct rth_cgroup_place *place,
                                 const char *controller)
{
    char path[RTH_CGROUP_PATH_BYTES + 32], text[512];

    (void)snprintf(path, sizeof(path), "%s/cgroup.controllers", place->mount);
    ssize_t size_bytes = rth__read_file_at(root_fd, path, text, sizeof(text));
    /* Sandboxes that imitate a cgroup leave the list out: their files have to say it. */
    return size_bytes < 0 || rth__cgroup_word_is_in(text, (size_t)size_bytes, controller);
}

static void settle(int root_fd, struct rth_cgroup_place *place, const struct choice *choice,
                   const char *controller, int mounts_error)
{
    if (place->version == 0)
        return;
    if (choice->quality == QUALITY_NONE) {
        int error = place->error < 0 ? place->error : mounts_error < 0 ? mounts_error : -ENOENT;
        give_up(place, error, "not mounted");
        return;
    }
    place->error = 0;
    place->levels = choice->levels;
    place->note = notes[choice->quality];
    if (choice->quality == QUALITY_MOUNT)
        memcpy(place->hierarchy, choice->root, sizeof(place->hierarchy));
    else
        place->hierarchy[rth__cgroup_level_bytes(place->hierarchy, choice->stripped)] = '\0';
    if (place->version == 2 && controller != NULL &&
        !top_lists_controller(root_fd, place, controller))
        give_up(place, 0, NULL);
}

static int proc_chars_open(int root_fd, int pid, int tid, const char *name, char *buffer,
                           struct rth_chars *ret_chars)
{
    char path[RTH_PROC_PATH_BYTES];

    rth__proc_path(pid, tid, name, path);
    int fd = rth__openat(root_fd, path, O_RDONLY);
    if (fd >= 0)
        rth__chars_of_fd(ret_chars, fd, buffer, PIECE_BYTES);
    return fd;
}

int rth__cgroup_proc_tid(int root_fd, int pid)
{
    struct rth_proc_stat stat;

    if (pid != 0 || rth__proc_stat_read(root_fd, 0, 0, &stat) < 0 ||
        (stat.state != 'Z' && stat.state != 'X'))
        return 0;
    return rth__raw_gettid_sigsafe();
}

bool rth__cgroup_root_is_live(int root_fd)
{
    struct statfs filesystem;
    int saved_errno = errno;
    RTH__AUTO_CLOSE int fd = rth__openat(root_fd, "proc", O_PATH | O_DIRECTORY);
    bool is_live =
        fd >= 0 && fstatfs(fd, &filesystem) == 0 && filesystem.f_type == PROC_SUPER_MAGIC;
    errno = saved_errno;
    return is_live;
}

int rth__cgroup_membership_open(int root_fd, int pid)
{
    char path[RTH_PROC_PATH_BYTES];

    rth__proc_path(pid, rth__cgroup_proc_tid(root_fd, pid), "cgroup", path);
    return rth__openat(root_fd, path, O_RDONLY);
}

static int find_mounts(int root_fd, struct rth_chars *chars, struct rth_cgroups *cgroups)
{
    struct rth_cgroup_place *const places[PLACES_COUNT] = {&cgroups->memory, &cgroups->cpu,
                                                           &cgroups->cpuset, &cgroups->unified};
    static const char *const controllers[PLACES_COUNT] = {"memory", "cpu", "cpuset", NULL};
    struct choice choices[PLACES_COUNT];
    struct rth_cgroup_mount mount;
    int result, problem = 0;

    memset(choices, 0, sizeof(choices));
    while ((result = rth__cgroup_mount_next(chars, &mount)) != 0) {
        if (result < 0) {
            problem = result;
            if (chars->error < 0)
                break;
            continue;
        }
        for (unsigned i = 0; i < PLACES_COUNT; i++) {
            if (places[i]->version == mount.version &&
                (mount.version == 2 || (mount.controllers & (1u << i)) != 0))
                consider(root_fd, &mount, places[i], &choices[i]);
        }
    }
    for (unsigned i = 0; i < PLACES_COUNT; i++)
        settle(root_fd, places[i], &choices[i], controllers[i], problem);
    if (cgroups->memory.version == 1)
        end_at_unhierarchical(root_fd, &cgroups->memory);
    return chars->error;
}

static int give_up_all(struct rth_cgroups *cgroups, int error)
{
    give_up(&cgroups->memory, error, NULL);
    give_up(&cgroups->cpu, error, NULL);
    give_up(&cgroups->cpuset, error, NULL);
    give_up(&cgroups->unified, error, NULL);
    cgroups->error = error;
    return error;
}

int rth__cgroups_find(int root_fd, int pid, struct rth_cgroups *ret_cgroups)
{
    char buffer[PIECE_BYTES];
    struct rth_chars chars;
    int tid = rth__cgroup_proc_tid(root_fd, pid);

    memset(ret_cgroups, 0, sizeof(*ret_cgroups));
    RTH__AUTO_CLOSE int membership_fd =
        proc_chars_open(root_fd, pid, tid, "cgroup", buffer, &chars);
    if (membership_fd < 0)
        return give_up_all(ret_cgroups, membership_fd);
    int error = rth__cgroup_membership_parse(&chars, ret_cgroups);
    if (error < 0)
        return give_up_all(ret_cgroups, error);
    /* Paths are read below root_fd, so its mounts count: ours, also for another process. */
    RTH__AUTO_CLOSE int mounts_fd = proc_chars_open(
        root_fd, rth__cgroup_root_is_live(root_fd) ? 0 : pid, tid, "mountinfo", buffer, &chars);
    if (mounts_fd < 0)
        return give_up_all(ret_cgroups, mounts_fd);
    error = find_mounts(root_fd, &chars, ret_cgroups);
    return error < 0 ? give_up_all(ret_cgroups, error) : 0;
}
