/* SPDX-License-Identifier: MIT */
#include "os/rundir.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "os/dir.h"
#include "os/fd.h"
#include "os/rawsys.h"

#ifndef SYS_openat2
#define SYS_openat2 437
#endif
/* linux/openat2.h, which older kernel headers lack. */
#define RESOLVE_IN_ROOT_FLAG       0x10u
#define RESOLVE_NO_MAGICLINKS_FLAG 0x02u

struct open_how_v0 {
    uint64_t flags, mode, resolve;
};

/* Names swept in one go: a sweep runs on a thread that has other things to do. */
#define SWEEP_MAX 512

int rth__rundir_candidate(unsigned index, uint32_t euid, const char *xdg_runtime_dir,
                          char *ret_path, size_t path_size)
{
    char path[RTH_RUNDIR_PATH_BYTES];
    int length = -1;
    if (index == 0) {
        if (xdg_runtime_dir == NULL || xdg_runtime_dir[0] != '/')
            return -ENOENT;
        length = snprintf(path, sizeof(path), "%s/rthooks", xdg_runtime_dir);
    } else if (index == 1) {
        length = snprintf(path, sizeof(path), "/run/user/%u/rthooks", euid);
    } else if (index == 2) {
        length = snprintf(path, sizeof(path), "/tmp/rthooks-%u", euid);
    } else {
        return -ENOENT;
    }
    if (length < 0 || (size_t)length >= sizeof(path) || (size_t)length >= path_size)
        return -ENAMETOOLONG;
    memcpy(ret_path, path, (size_t)length + 1);
    return 0;
}

/* Opens a folder below root_fd. Symbolic links on the way stay below root_fd where the kernel can
 * promise it (Linux 5.6): the root may be that of a hostile container. */
static int open_below(int root_fd, const char *path)
{
    struct open_how_v0 how = {
        .flags = O_PATH | O_DIRECTORY | O_CLOEXEC,
        .resolve = RESOLVE_IN_ROOT_FLAG | RESOLVE_NO_MAGICLINKS_FLAG,
    };
    long fd = RTH__RAW(SYS_openat2, root_fd, path, &how, sizeof(how));
    if (fd == -ENOSYS || fd == -EPERM)
        return rth__openat(root_fd, path, O_PATH | O_DIRECTORY);
    return (int)fd;
}

/* The folder itself: no symlink, ours, 0700. */
static int open_checked(int parent_fd, const char *name, uint32_t euid)
{
    int fd = rth__openat(parent_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
    if (fd < 0)
        return fd;
    struct stat status;
    int error = fstat(fd, &status) != 0 ? -errno : 0;
    if (error == 0 && (status.st_uid != euid || (status.st_mode & 0777) != 0700))
        error = -EPERM;
    if (error != 0) {
        (void)rth__close(fd);
        return error;
    }
    return fd;
}

int rth__rundir_open(int root_fd, const char *path, uint32_t euid, bool create)
{
    char parent[RTH_RUNDIR_PATH_BYTES];
    size_t length = strlen(path);
    if (path[0] != '/' || length >= sizeof(parent))
        return -EINVAL;
    memcpy(parent, path, length + 1);
    char *slash = strrchr(parent, '/');
    const char *name = path + (slash - parent) + 1;
    if (*name == '\0')
        return -EINVAL;
    *slash = '\0';
    RTH__AUTO_CLOSE int parent_fd = open_below(root_fd, parent[0] != '\0' ? parent + 1 : ".");
    if (parent_fd < 0)
        return parent_fd;
    int fd = open_checked(parent_fd, name, euid);
    if (fd != -ENOENT || !create)
        return fd;
    if (mkdirat(parent_fd, name, 0700) != 0 && errno != EEXIST)
        return -errno;
    fd = open_checked(parent_fd, name, euid);
    if (fd == -EPERM || fd == -EACCES) {
        /* Made by us under a umask that takes the owner's bits. */
        struct stat status;
        if (fstatat(parent_fd, name, &status, AT_SYMLINK_NOFOLLOW) == 0 &&
            S_ISDIR(status.st_mode) && status.st_uid == euid && (status.st_mode & 077) == 0 &&
            fchmodat(parent_fd, name, 0700, 0) == 0)
            fd = open_checked(parent_fd, name, euid);
    }
    return fd;
}

void rth__rundir_socket_name(int pid, char *ret_name, size_t name_size)
{
    (void)snprintf(ret_name, name_size, "%d.sock", pid);
}

/* A socket address holds 108 bytes of path; a folder's fd makes any path short. */
static int short_address(int dir_fd, const char *name, struct sockaddr_un *ret_address)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int length = snprintf(address.sun_path, sizeof(address.sun_path), "/proc/thread-self/fd/%d/%s",
                          dir_fd, name);
    if (length < 0 || (size_t)length >= sizeof(address.sun_path))
        return -ENAMETOOLONG;
    *ret_address = address;
    return 0;
}

int rth__rundir_bind(int dir_fd, int pid, int backlog)
{
    char temporary[48], name[32];
    (void)snprintf(temporary, sizeof(temporary), ".%d.tmp", pid);
    rth__rundir_socket_name(pid, name, sizeof(name));
    struct sockaddr_un address;
    int error = short_address(dir_fd, temporary, &address);
    if (error != 0)
        return error;
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return -errno;
    (void)unlinkat(dir_fd, temporary, 0);
    (void)fchmod(fd, 0600); /* the mode the file is born with */
    if (bind(fd, (const struct sockaddr *)&address, sizeof(address)) != 0 ||
        fchmodat(dir_fd, temporary, 0600, 0) != 0 || listen(fd, backlog) != 0 ||
        renameat(dir_fd, temporary, dir_fd, name) != 0) {
        error = -errno;
        (void)unlinkat(dir_fd, temporary, 0);
        (void)rth__close(fd);
        return error;
    }
    return fd;
}

int rth__rundir_connect(int dir_fd, const char *name, bool nonblocking)
{
    struct sockaddr_un address;
    int error = short_address(dir_fd, name, &address);
    if (error != 0)
        return error;
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | (nonblocking ? SOCK_NONBLOCK : 0), 0);
    if (fd < 0)
        return -errno;
    if (connect(fd, (const struct sockaddr *)&address, sizeof(address)) != 0) {
        error = -errno;
        (void)rth__close(fd);
        return error;
    }
    return fd;
}

/* The number in PREFIX NUMBER SUFFIX, 0 when the name has another shape. */
static int number_in(const char *name, const char *prefix, const char *suffix)
{
    size_t prefix_length = strlen(prefix);
    if (strncmp(name, prefix, prefix_length) != 0)
        return 0;
    name += prefix_length;
    int number = 0;
    for (; *name >= '0' && *name <= '9'; name++) {
        if (number > (INT32_MAX - 9) / 10)
            return 0;
        number = number * 10 + (*name - '0');
    }
    return strcmp(name, suffix) == 0 ? number : 0;
}

static bool is_dead(int dir_fd, const char *name)
{
    int pid = number_in(name, ".", ".tmp");
    if (pid != 0) /* between bind and rename: only its process knows whether it is still at it */
        return kill(pid, 0) != 0 && errno == ESRCH;
    if (number_in(name, "", ".sock") == 0)
        return false;
    int fd = rth__rundir_connect(dir_fd, name, true);
    if (fd >= 0)
        (void)rth__close(fd);
    return fd == -ECONNREFUSED;
}

int rth__rundir_sweep(int dir_fd)
{
    struct rth_dir dir;
    int error = rth__dir_open(&dir, dir_fd, ".");
    if (error != 0)
        return error;
    int removed = 0;
    const char *name;
    for (int seen = 0; seen < SWEEP_MAX && (name = rth__dir_next(&dir, NULL)) != NULL; seen++) {
        if (is_dead(dir_fd, name) && unlinkat(dir_fd, name, 0) == 0)
            removed++;
    }
    rth__dir_close(&dir);
    return removed;
}

void rth__rundir_remove(int dir_fd, int pid)
{
    char name[32];
    rth__rundir_socket_name(pid, name, sizeof(name));
    (void)unlinkat(dir_fd, name, 0);
}
