/* SPDX-License-Identifier: MIT */
#include "client/target.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "os/fd.h"
#include "os/rundir.h"

#define ENVIRONMENT_BYTES_MAX (4u << 20)

static bool is_number(const char *text)
{
    return text[0] != '\0' && text[strspn(text, "0123456789")] == '\0';
}

/* HOST:PORT, [V6]:PORT */
static bool is_host_and_port(const char *text)
{
    const char *colon = strrchr(text, ':');
    return colon != NULL && colon != text && is_number(colon + 1) && strlen(colon + 1) <= 5 &&
           strchr(text, '/') == NULL;
}

static bool has_url_scheme(const char *text)
{
    return strncmp(text, "http://", 7) == 0 || strncmp(text, "https://", 8) == 0;
}

int target_parse(const char *text, struct target *ret_target, char *ret_message,
                 size_t message_size)
{
    struct target target = {.folder_fd = -1};
    struct stat info;
    const char *path = strncmp(text, "unix:", 5) == 0 ? text + 5 : text;
    bool is_url = has_url_scheme(text);
    bool is_address = !is_url && stat(path, &info) < 0 && is_host_and_port(text);
    int length =
        snprintf(target.text, sizeof(target.text), "%s%s", is_address ? "http://" : "", path);
    if (length >= (int)sizeof(target.text)) {
        snprintf(ret_message, message_size, "the target is too long");
        return -ENAMETOOLONG;
    }
    if (is_number(text)) {
        char *end;
        errno = 0;
        long pid = strtol(text, &end, 10);
        if (errno != 0 || pid <= 0 || pid > INT_MAX) {
            snprintf(ret_message, message_size, "'%s' is no process id", text);
            return -EINVAL;
        }
        target.kind = TARGET_PID;
        target.pid = (pid_t)pid;
    } else if (is_url || is_address) {
        target.kind = TARGET_URL;
        while (length > 0 && target.text[length - 1] == '/')
            target.text[--length] = '\0';
    } else if (strstr(text, "://") != NULL) {
        snprintf(ret_message, message_size, "'%s': only http:// and https:// are understood", text);
        return -EINVAL;
    } else if (stat(path, &info) < 0) {
        int error = errno;
        snprintf(ret_message, message_size, "%s: %s", path, strerror(error));
        return -error;
    } else {
        target.kind = S_ISSOCK(info.st_mode) ? TARGET_SOCKET : TARGET_FILE;
    }
    *ret_target = target;
    return 0;
}

void target_close(struct target *target)
{
    target->folder_fd = rth__close(target->folder_fd);
}

/* Removes what dead processes of this user left. */
static void sweep_own_folders(int root_fd)
{
    for (unsigned i = 0; i < RTH_RUNDIR_CANDIDATES; i++) {
        char path[RTH_RUNDIR_PATH_BYTES];
        if (rth__rundir_candidate(i, geteuid(), getenv("XDG_RUNTIME_DIR"), path, sizeof(path)) != 0)
            continue;
        RTH__AUTO_CLOSE int folder_fd = rth__rundir_open(root_fd, path, geteuid(), false);
        if (folder_fd >= 0)
            (void)rth__rundir_sweep(folder_fd);
    }
}

int target_process(struct target *target, char *ret_message, size_t message_size)
{
    RTH__AUTO_CLOSE int root_fd = rth__openat(AT_FDCWD, "/", O_PATH | O_DIRECTORY);
    int error =
        root_fd < 0 ? root_fd : rth__proc_status_read(root_fd, target->pid, 0, &target->status);
    if (error == -ENOENT || error == -ESRCH) {
        if (root_fd >= 0)
            sweep_own_folders(root_fd);
        snprintf(ret_message, message_size, "process %d does not exist", (int)target->pid);
        return -ESRCH;
    }
    if (error != 0) {
        snprintf(ret_message, message_size, "cannot read /proc/%d/status: %s", (int)target->pid,
                 strerror(-error));
        return error;
    }
    if (target->status.tgid != target->pid) {
        snprintf(ret_message, message_size, "%d is a thread of process %d", (int)target->pid,
                 target->status.tgid);
        return -ESRCH;
    }
    return 0;
}

/* The value of XDG_RUNTIME_DIR in the environment the process was started with. */
static bool read_runtime_dir(pid_t pid, char *ret_path, size_t path_size)
{
    static const char key[] = "XDG_RUNTIME_DIR=";
    char name[64];
    snprintf(name, sizeof(name), "/proc/%d/environ", (int)pid);
    RTH__AUTO_CLOSE int fd = rth__openat(AT_FDCWD, name, O_RDONLY);
    if (fd < 0)
        return false;
    char *text = malloc(ENVIRONMENT_BYTES_MAX);
    ssize_t got = text != NULL ? rth__read_full(fd, text, ENVIRONMENT_BYTES_MAX) : -1;
    bool found = false;
    for (ssize_t at = 0; at < got && !found;) {
        size_t length = strnlen(text + at, (size_t)(got - at));
        if (length > sizeof(key) - 1 && length - (sizeof(key) - 1) < path_size &&
            strncmp(text + at, key, sizeof(key) - 1) == 0) {
            snprintf(ret_path, path_size, "%.*s", (int)(length - (sizeof(key) - 1)),
                     text + at + sizeof(key) - 1);
            found = true;
        }
        at += (ssize_t)length + 1;
    }
    free(text);
    return found;
}

/* True with the runtime folder of a thread that keeps a folder "rthooks" open: rth-admin does. */
static bool folder_of_thread(const char *fds_path, char *ret_path, size_t path_size)
{
    static const char ending[] = "/rthooks";
    DIR *fds = opendir(fds_path);
    bool found = false;
    struct dirent *entry;
    while (fds != NULL && !found && (entry = readdir(fds)) != NULL) {
        char link[RTH_RUNDIR_PATH_BYTES];
        ssize_t length = readlinkat(dirfd(fds), entry->d_name, link, sizeof(link) - 1);
        ssize_t folder_length = length - (ssize_t)(sizeof(ending) - 1);
        if (length < 0 || folder_length <= 0 || (size_t)folder_length >= path_size)
            continue;
        link[length] = '\0';
        found = link[0] == '/' && strcmp(link + folder_length, ending) == 0;
        if (found)
            snprintf(ret_path, path_size, "%.*s", (int)folder_length, link);
    }
    if (fds != NULL)
        (void)closedir(fds);
    return found;
}

/* A program may have written over its environment (redis makes its title of it): then the
 * descriptors of our threads tell. What is found is checked like any other candidate. */
static bool find_runtime_dir(pid_t pid, char *ret_path, size_t path_size)
{
    char tasks_path[64];
    snprintf(tasks_path, sizeof(tasks_path), "/proc/%d/task", (int)pid);
    DIR *tasks = opendir(tasks_path);
    bool found = false;
    struct dirent *entry;
    while (tasks != NULL && !found && (entry = readdir(tasks)) != NULL) {
        char path[128], name[32] = "";
        snprintf(path, sizeof(path), "%s/%.20s/comm", tasks_path, entry->d_name);
        if (entry->d_name[0] == '.' || rth__read_file_at(AT_FDCWD, path, name, sizeof(name)) <= 0 ||
            strncmp(name, "rth-admin\n", sizeof(name)) != 0)
            continue;
        snprintf(path, sizeof(path), "%s/%.20s/fd", tasks_path, entry->d_name);
        found = folder_of_thread(path, ret_path, path_size);
    }
    if (tasks != NULL)
        (void)closedir(tasks);
    return found;
}

/* The number by which the process itself knows this user: inside a user namespace it differs. */
static uint32_t uid_inside(pid_t pid, uint32_t uid)
{
    char name[64], text[4096];
    snprintf(name, sizeof(name), "/proc/%d/uid_map", (int)pid);
    if (rth__read_file_at(AT_FDCWD, name, text, sizeof(text)) <= 0)
        return uid;
    char *rest = text;
    for (char *line; (line = strsep(&rest, "\n")) != NULL;) {
        uint32_t inside, outside, count;
        if (sscanf(line, "%" SCNu32 " %" SCNu32 " %" SCNu32, &inside, &outside, &count) == 3 &&
            uid >= outside && uid - outside < count)
            return inside + (uid - outside);
    }
    return uid;
}

/* A socket that refuses belongs to no one any more. */
static int check_answers(struct target *target, char *ret_message, size_t message_size)
{
    int fd = rth__rundir_connect(target->folder_fd, target->socket_name, false);
    if (fd >= 0) {
        (void)close(fd);
        return 0;
    }
    if (fd == -ECONNREFUSED) {
        int removed = rth__rundir_sweep(target->folder_fd);
        snprintf(ret_message, message_size, "nobody listens on %s any more%s", target->socket_path,
                 removed > 0 ? " (removed)" : "");
    } else {
        snprintf(ret_message, message_size, "cannot connect to %s: %s", target->socket_path,
                 strerror(-fd));
    }
    target_close(target);
    return fd;
}

static int find_socket_of_process(struct target *target, char *ret_message, size_t message_size)
{
    int error = target_process(target, ret_message, message_size);
    if (error != 0)
        return error;
    char root[64], runtime_dir[RTH_RUNDIR_PATH_BYTES] = "";
    snprintf(root, sizeof(root), "/proc/%d/root", (int)target->pid);
    RTH__AUTO_CLOSE int root_fd = rth__openat(AT_FDCWD, root, O_PATH | O_DIRECTORY);
    if (root_fd < 0) {
        snprintf(ret_message, message_size,
                 "process %d belongs to uid %u: only that user and root may ask it (%s)",
                 (int)target->pid, (unsigned)target->status.uid[1], strerror(-root_fd));
        return root_fd;
    }
    uint32_t euid = target->status.uid[1];
    rth__rundir_socket_name(target->status.ns_pid, target->socket_name,
                            sizeof(target->socket_name));
    bool has_runtime_dir = read_runtime_dir(target->pid, runtime_dir, sizeof(runtime_dir)) ||
                           find_runtime_dir(target->pid, runtime_dir, sizeof(runtime_dir));
    for (unsigned i = 0; i < RTH_RUNDIR_CANDIDATES; i++) {
        char path[RTH_RUNDIR_PATH_BYTES];
        struct stat info;
        if (rth__rundir_candidate(i, uid_inside(target->pid, euid),
                                  has_runtime_dir ? runtime_dir : NULL, path, sizeof(path)) != 0)
            continue;
        int folder_fd = rth__rundir_open(root_fd, path, euid, false);
        if (folder_fd < 0)
            continue;
        if (fstatat(folder_fd, target->socket_name, &info, AT_SYMLINK_NOFOLLOW) < 0 ||
            !S_ISSOCK(info.st_mode)) {
            (void)close(folder_fd);
            continue;
        }
        target->folder_fd = folder_fd;
        snprintf(target->socket_path, sizeof(target->socket_path), "%s/%s", path,
                 target->socket_name);
        return check_answers(target, ret_message, message_size);
    }
    snprintf(ret_message, message_size,
             "process %d has no admin socket: rthooks does not run in it, or RTHOOKS_ADMIN=off",
             (int)target->pid);
    return -ENOENT;
}

static int find_socket_of_path(struct target *target, char *ret_message, size_t message_size)
{
    char folder[PATH_MAX];
    const char *slash = strrchr(target->text, '/');
    snprintf(folder, sizeof(folder), "%.*s", slash != NULL ? (int)(slash - target->text) : 1,
             slash != NULL ? target->text : ".");
    snprintf(target->socket_path, sizeof(target->socket_path), "%s", target->text);
    snprintf(target->socket_name, sizeof(target->socket_name), "%.*s", NAME_MAX,
             slash != NULL ? slash + 1 : target->text);
    target->folder_fd =
        rth__openat(AT_FDCWD, folder[0] != '\0' ? folder : "/", O_RDONLY | O_DIRECTORY);
    if (target->folder_fd < 0) {
        int error = target->folder_fd;
        target->folder_fd = -1;
        snprintf(ret_message, message_size, "%s: %s", folder, strerror(-error));
        return error;
    }
    int fd = rth__rundir_connect(target->folder_fd, target->socket_name, false);
    if (fd >= 0) {
        (void)close(fd);
        return 0;
    }
    /* Only sockets in our own folders are ours to remove; target_process and the processes
     * themselves sweep those. */
    snprintf(ret_message, message_size, "%s: %s", target->socket_path, strerror(-fd));
    target_close(target);
    return fd;
}

int target_find_socket(struct target *target, char *ret_message, size_t message_size)
{
    if (target->kind == TARGET_PID)
        return find_socket_of_process(target, ret_message, message_size);
    return find_socket_of_path(target, ret_message, message_size);
}
