/* SPDX-License-Identifier: MIT */
#include "budget/collect.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <time.h>

#include "os/cgroup.h"
#include "os/dir.h"
#include "os/fd.h"

#define FILE_BYTES_MAX ((size_t)1 << 20)
#define ALL_BYTES_MAX  ((size_t)64 << 20)

/* What is kept of a process: no command line, no environment, no maps. */
static const char *const process_files[] = {
    "cgroup", "status", "limits", "stat", "statm", "smaps_rollup", "oom_score", "oom_score_adj",
};
static const char *const system_files[] = {
    "proc/meminfo",
    "proc/cpuinfo",
    "proc/version",
    "proc/swaps",
    "proc/uptime",
    "proc/loadavg",
    "proc/pressure/memory",
    "proc/pressure/cpu",
    "proc/pressure/io",
    "proc/sys/kernel/osrelease",
    "proc/sys/kernel/perf_event_paranoid",
    "proc/sys/kernel/yama/ptrace_scope",
    "proc/sys/vm/overcommit_memory",
    "proc/sys/vm/swappiness",
    "sys/devices/system/cpu/online",
    "sys/kernel/mm/transparent_hugepage/enabled",
};
/* Of a cgroup's folder: these by prefix, … */
static const char *const cgroup_prefixes[] = {"memory.", "cpu.", "cpuset.", "cpuacct."};
/* … and these. Lists of processes are not among them. */
static const char *const cgroup_files[] = {
    "cgroup.controllers", "cgroup.subtree_control", "cgroup.type", "cgroup.events", "cgroup.stat",
    "io.pressure",        "irq.pressure",           "pids.max",    "pids.current",
};

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static void say(struct collection *collection, const char *path, const char *why_not)
{
    collection->failure_count++;
    fprintf(collection->manifest, "missing  %s: %s\n", path, why_not);
}

int collection_open(struct collection *collection, const char *folder, char *ret_message,
                    size_t message_size)
{
    struct rth_dir dir;
    int error;
    *collection = (struct collection){.folder_fd = -1};
    if (mkdir(folder, 0700) < 0 && errno != EEXIST) {
        error = -errno;
        goto fail;
    }
    error = rth__dir_open(&dir, AT_FDCWD, folder);
    if (error != 0)
        goto fail;
    if (rth__dir_next(&dir, &error) != NULL)
        error = -ENOTEMPTY;
    rth__dir_close(&dir);
    if (error != 0)
        goto fail;
    collection->folder_fd = rth__openat(AT_FDCWD, folder, O_PATH | O_DIRECTORY);
    if (collection->folder_fd < 0) {
        error = collection->folder_fd;
        goto fail;
    }
    int fd = openat(collection->folder_fd, "MANIFEST.txt",
                    O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    collection->manifest = fd >= 0 ? fdopen(fd, "w") : NULL;
    if (collection->manifest != NULL)
        return 0;
    error = -errno;
    (void)rth__close(fd);
    collection->folder_fd = rth__close(collection->folder_fd);

fail:
    snprintf(ret_message, message_size, "%s: %s", folder,
             error == -ENOTEMPTY ? "there is something in it already" : strerror(-error));
    return error;
}

/* The folders above path. */
static int make_folders(int folder_fd, const char *path)
{
    char folder[2 * RTH_CGROUP_PATH_BYTES];
    if (snprintf(folder, sizeof(folder), "%s", path) >= (int)sizeof(folder))
        return -ENAMETOOLONG;
    for (char *slash = strchr(folder, '/'); slash != NULL; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        if (mkdirat(folder_fd, folder, 0700) < 0 && errno != EEXIST)
            return -errno;
        *slash = '/';
    }
    return 0;
}

/* 0; a negative errno when the folder takes no more. What is there already stays. */
static int write_file(struct collection *collection, const char *path, const char *text,
                      size_t size)
{
    int error = make_folders(collection->folder_fd, path);
    if (error != 0)
        return error;
    RTH__AUTO_CLOSE int fd = openat(collection->folder_fd, path,
                                    O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return errno == EEXIST ? 0 : -errno;
    ssize_t done = rth__write_full(fd, text, size);
    if (done < 0)
        return (int)done;
    collection->file_count++;
    collection->byte_count += size;
    fprintf(collection->manifest, "copied   %s (%zu bytes)\n", path, size);
    return 0;
}

/* keep_refused: what may not be read is an empty file in the copy, which a reader cannot take for
 * one that is not there. */
static int copy_file_as(struct collection *collection, int root_fd, const char *source,
                        const char *path, bool keep_refused)
{
    struct stat info;
    if (fstatat(collection->folder_fd, path, &info, AT_SYMLINK_NOFOLLOW) == 0)
        return 0;
    char *text = malloc(FILE_BYTES_MAX);
    if (text == NULL)
        return -ENOMEM;
    ssize_t got = rth__read_file_at(root_fd, source, text, FILE_BYTES_MAX);
    int error = 0;
    if (got == -EFBIG)
        say(collection, path, "larger than 1 MiB");
    else if (got < 0)
        say(collection, path, strerror((int)-got));
    else if (collection->byte_count + (size_t)got > ALL_BYTES_MAX)
        say(collection, path, "64 MiB are full");
    else
        error = write_file(collection, path, text, (size_t)got);
    if (keep_refused && (got == -EACCES || got == -EPERM))
        error = write_file(collection, path, text, 0);
    free(text);
    return error;
}

static int copy_file(struct collection *collection, int root_fd, const char *path)
{
    return copy_file_as(collection, root_fd, path, path, false);
}

/* The cgroups were looked for below our own mounts, so these are what a reader of the copy needs;
 * those of the process, which may have others, stand beside them. */
static int copy_mounts(struct collection *collection, const struct look_place *place)
{
    char path[64], beside[96];
    if (place->pid <= 0)
        return copy_file(collection, place->root_fd, "proc/self/mountinfo");
    snprintf(path, sizeof(path), "proc/%d/mountinfo", (int)place->pid);
    snprintf(beside, sizeof(beside), "proc/%d/mountinfo.of-the-process", (int)place->pid);
    int error = copy_file_as(collection, place->root_fd, "proc/self/mountinfo", path, false);
    return error != 0 ? error : copy_file_as(collection, place->root_fd, path, beside, false);
}

static bool is_wanted_of_cgroup(const char *name)
{
    /* For eventfds alone. */
    if (strcmp(name, "memory.pressure_level") == 0)
        return false;
    for (size_t i = 0; i < COUNT(cgroup_prefixes); i++) {
        if (strncmp(name, cgroup_prefixes[i], strlen(cgroup_prefixes[i])) == 0)
            return true;
    }
    for (size_t i = 0; i < COUNT(cgroup_files); i++) {
        if (strcmp(name, cgroup_files[i]) == 0)
            return true;
    }
    return false;
}

/* The files of one cgroup that are for reading. */
static int copy_cgroup(struct collection *collection, int root_fd, const char *folder)
{
    struct rth_dir dir;
    const char *name;
    int error = rth__dir_open(&dir, root_fd, folder), listing;
    if (error != 0) {
        say(collection, folder, strerror(-error));
        return 0;
    }
    while (error == 0 && (name = rth__dir_next(&dir, &listing)) != NULL) {
        char path[2 * RTH_CGROUP_PATH_BYTES];
        struct stat info;
        snprintf(path, sizeof(path), "%s/%s", folder, name);
        if (is_wanted_of_cgroup(name) && fstatat(root_fd, path, &info, AT_SYMLINK_NOFOLLOW) == 0 &&
            S_ISREG(info.st_mode) && (info.st_mode & 0444) != 0)
            error = copy_file_as(collection, root_fd, path, path, true);
    }
    rth__dir_close(&dir);
    return error;
}

/* All levels of a place, from the process's own up to the mount. */
static int copy_place(struct collection *collection, int root_fd,
                      const struct rth_cgroup_place *place)
{
    char folder[RTH_CGROUP_PATH_BYTES];
    int error = 0;
    if (place->version == 0 || place->error != 0)
        return 0;
    memcpy(folder, place->folder, sizeof(folder));
    for (unsigned level = 0; level < place->levels && error == 0; level++) {
        char *slash = strrchr(folder, '/');
        error = copy_cgroup(collection, root_fd, folder);
        if (slash == NULL)
            break;
        *slash = '\0';
    }
    return error;
}

static void write_head(struct collection *collection, const struct look_place *place)
{
    struct utsname name;
    char time_text[64] = "";
    time_t now = time(NULL);
    struct tm parts;
    if (gmtime_r(&now, &parts) != NULL)
        (void)strftime(time_text, sizeof(time_text), "%Y-%m-%d %H:%M:%S UTC", &parts);
    fputs("What rthooks read of /proc and /sys, copied by `rthooks doctor --collect`.\n"
          "Read it with `rthooks budget --root` or `rthooks doctor --root` and this folder.\n"
          "\n"
          "There is no command line and no environment in here, and no data of the process. There\n"
          "are names: of the process, its user's number, cgroups and mounts. Look before you\n"
          "send it.\n"
          "\n"
          "Of a process that is not self, proc/PID/mountinfo is what rthooks saw, and\n"
          "mountinfo.of-the-process beside it what the process sees. A file of a cgroup that may\n"
          "not be read is listed as missing, and is there, empty.\n"
          "\n",
          collection->manifest);
    fprintf(collection->manifest, "time     %s\n", time_text);
    if (uname(&name) == 0)
        fprintf(collection->manifest, "kernel   %s %s %s\n", name.sysname, name.release,
                name.machine);
    if (place->pid > 0)
        fprintf(collection->manifest, "process  %d\n", (int)place->pid);
    else
        fprintf(collection->manifest,
                "process  self (rthooks itself, in the container it ran in)\n");
    fputc('\n', collection->manifest);
}

int collection_take(struct collection *collection, const struct look_place *place)
{
    struct rth_cgroups cgroups;
    char path[128];
    int error = 0;
    write_head(collection, place);
    for (size_t i = 0; i < COUNT(system_files) && error == 0; i++)
        error = copy_file(collection, place->root_fd, system_files[i]);
    for (size_t i = 0; i < COUNT(process_files) && error == 0; i++) {
        if (place->pid > 0)
            snprintf(path, sizeof(path), "proc/%d/%s", (int)place->pid, process_files[i]);
        else
            snprintf(path, sizeof(path), "proc/self/%s", process_files[i]);
        error = copy_file(collection, place->root_fd, path);
    }
    if (error == 0)
        error = copy_mounts(collection, place);
    int found = rth__cgroups_find(place->root_fd, place->pid, &cgroups);
    if (found != 0)
        say(collection, "cgroups", strerror(-found));
    const struct rth_cgroup_place *const places[] = {&cgroups.memory, &cgroups.cpu, &cgroups.cpuset,
                                                     &cgroups.unified};
    for (size_t i = 0; i < COUNT(places) && error == 0 && found == 0; i++)
        error = copy_place(collection, place->root_fd, places[i]);
    return error;
}

int collection_add(struct collection *collection, const char *path, const char *text, size_t size,
                   const char *why_not)
{
    if (text != NULL && size > FILE_BYTES_MAX)
        why_not = "larger than 1 MiB";
    else if (text != NULL)
        return write_file(collection, path, text, size);
    say(collection, path, why_not);
    return 0;
}

int collection_close(struct collection *collection)
{
    fprintf(collection->manifest, "\n%zu files, %zu bytes, %zu missing\n", collection->file_count,
            collection->byte_count, collection->failure_count);
    bool is_good = ferror(collection->manifest) == 0;
    int error = fclose(collection->manifest) == 0 ? 0 : -errno;
    collection->folder_fd = rth__close(collection->folder_fd);
    return error != 0 ? error : is_good ? 0 : -EIO;
}
