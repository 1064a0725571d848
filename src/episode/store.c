/* SPDX-License-Identifier: MIT */
#include "episode/store.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "episode/file.h"
#include "os/dir.h"
#include "os/fd.h"

/* The scratch: what was found, then room for a document. */
#define DOCUMENT_BYTES (16 * 1024)
#define FOUND_MAX      ((RTH_EPISODE_SCRATCH_BYTES - DOCUMENT_BYTES) / sizeof(struct rth_episode_found))
/* Names looked at: anybody may have put anything into a folder that was named. */
#define NAMES_MAX 4096

int rth__episode_open(int folder_fd, uint32_t euid, const struct rth_episode_name *name)
{
    char folder[RTH_EPISODE_ID_BYTES + 8];
    rth__episode_name_folder(name, folder);
    int fd = rth__openat(folder_fd, folder, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
    if (fd < 0)
        return fd;
    struct stat status;
    int error = fstat(fd, &status) != 0 ? -errno : status.st_uid != euid ? -EPERM : 0;
    if (error != 0) {
        (void)rth__close(fd);
        return error;
    }
    return fd;
}

/* A lock on the folder, which ends with the process that collects, however that ends. */
void rth__episode_mark_collecting(int episode_fd)
{
    (void)flock(episode_fd, LOCK_EX | LOCK_NB);
}

bool rth__episode_is_being_collected(int episode_fd)
{
    if (flock(episode_fd, LOCK_SH | LOCK_NB) != 0)
        return errno == EWOULDBLOCK;
    (void)flock(episode_fd, LOCK_UN);
    return false;
}

const char *rth__episode_next_file(struct rth_dir *dir, uint64_t *ret_bytes)
{
    const char *name;
    while ((name = rth__dir_next(dir, NULL)) != NULL) {
        struct stat status;
        if (!rth__episode_file_name_ok(name) ||
            fstatat(dir->fd, name, &status, AT_SYMLINK_NOFOLLOW) != 0 || !S_ISREG(status.st_mode))
            continue;
        *ret_bytes = (uint64_t)status.st_size;
        return name;
    }
    return NULL;
}

static uint64_t files_bytes(int episode_fd)
{
    struct rth_dir dir;
    uint64_t total = 0, bytes;
    if (rth__dir_open(&dir, episode_fd, ".") != 0)
        return 0;
    for (int seen = 0; seen < NAMES_MAX && rth__episode_next_file(&dir, &bytes) != NULL; seen++)
        total += bytes;
    rth__dir_close(&dir);
    return total;
}

static bool is_before(const struct rth_episode_name *one, const struct rth_episode_name *other)
{
    if (one->unix_s != other->unix_s)
        return one->unix_s < other->unix_s;
    if (one->pid != other->pid)
        return one->pid < other->pid;
    return one->number < other->number;
}

/* Puts it in its place among those that are there. */
static void insert(struct rth_episode_found *found, size_t count, struct rth_episode_found *added)
{
    size_t at = count;
    for (; at > 0 && is_before(&added->name, &found[at - 1].name); at--)
        found[at] = found[at - 1];
    found[at] = *added;
}

size_t rth__episode_scan(int folder_fd, uint32_t euid, struct rth_episode_found **ret_found)
{
    struct rth_episode_found *found = (void *)rth__episode_scratch();
    struct rth_dir dir;
    size_t count = 0;
    *ret_found = found;
    if (rth__dir_open(&dir, folder_fd, ".") != 0)
        return 0;
    const char *text;
    for (int seen = 0; seen < NAMES_MAX && (text = rth__dir_next(&dir, NULL)) != NULL; seen++) {
        struct rth_episode_found one;
        if (count == FOUND_MAX || !rth__episode_name_parse(text, &one.name))
            continue;
        RTH__AUTO_CLOSE int fd = rth__episode_open(folder_fd, euid, &one.name);
        if (fd < 0)
            continue;
        one.bytes = files_bytes(fd);
        insert(found, count++, &one);
    }
    rth__dir_close(&dir);
    return count;
}

void rth__episode_summary_of(int episode_fd, struct rth_episode_summary *ret_summary)
{
    char *document = (char *)rth__episode_scratch() + RTH_EPISODE_SCRATCH_BYTES - DOCUMENT_BYTES;
    ssize_t length = -ENOENT;
    /* Neither a link, nor something that keeps who opens it waiting. */
    RTH__AUTO_CLOSE int fd =
        rth__openat(episode_fd, RTH_EPISODE_DOCUMENT, O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
    struct stat status;
    if (fd >= 0 && fstat(fd, &status) == 0 && S_ISREG(status.st_mode))
        length = rth__read_full(fd, document, DOCUMENT_BYTES);
    /* One that fills the room was not written by us. */
    bool is_whole = length > 0 && length < DOCUMENT_BYTES;
    rth__episode_summary_read(document, is_whole ? (size_t)length : 0, ret_summary);
}

int rth__episode_remove(int folder_fd, uint32_t euid, const struct rth_episode_name *name)
{
    char folder[RTH_EPISODE_ID_BYTES + 8];
    rth__episode_name_folder(name, folder);
    RTH__AUTO_CLOSE int fd = rth__episode_open(folder_fd, euid, name);
    if (fd < 0)
        return fd;
    if (rth__episode_is_being_collected(fd))
        return -EBUSY;
    struct rth_dir dir;
    int error = rth__dir_open(&dir, fd, ".");
    if (error != 0)
        return error;
    const char *file;
    for (int seen = 0; seen < NAMES_MAX && (file = rth__dir_next(&dir, NULL)) != NULL; seen++)
        (void)unlinkat(fd, file, 0); /* a folder in it stays, and then it stays itself */
    rth__dir_close(&dir);
    return unlinkat(folder_fd, folder, AT_REMOVEDIR) != 0 ? -errno : 0;
}

static size_t largest(const struct rth_episode_found *found, size_t count)
{
    size_t best = 0;
    for (size_t i = 1; i < count; i++)
        if (found[i].bytes > found[best].bytes)
            best = i;
    return best;
}

unsigned rth__episode_keep(int folder_fd, uint32_t euid, size_t count_max, uint64_t bytes_max)
{
    struct rth_episode_found *found;
    size_t count = rth__episode_scan(folder_fd, euid, &found), left = count;
    size_t kept = largest(found, count);
    uint64_t bytes = 0;
    unsigned removed = 0;
    for (size_t i = 0; i < count; i++)
        bytes += found[i].bytes;
    /* The first one stays, and so do the last two. */
    for (size_t i = 1; i + 2 < count && (left > count_max || bytes > bytes_max); i++) {
        if (i == kept || rth__episode_remove(folder_fd, euid, &found[i].name) != 0)
            continue;
        bytes -= found[i].bytes;
        left--;
        removed++;
    }
    return removed;
}
