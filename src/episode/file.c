/* SPDX-License-Identifier: MIT */
#include "episode/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "episode/folder.h"
#include "os/fd.h"
#include "rthooks/error.h"

#define PAGE_BYTES 4096

static _Alignas(PAGE_BYTES) unsigned char scratch[RTH_EPISODE_SCRATCH_BYTES];

unsigned char *rth__episode_scratch(void)
{
    return scratch;
}

void rth__episode_scratch_touch(void)
{
    for (size_t at = 0; at < sizeof(scratch); at += PAGE_BYTES)
        *(volatile unsigned char *)&scratch[at] = 0;
}

static int flush(struct rth_episode_file *file)
{
    if (file->used_bytes == 0)
        return 0;
    if (file->limit_bytes != UINT64_MAX && rth__episode_room_bytes(file->fd) < file->used_bytes) {
        file->why = "a tenth of the filesystem stays free";
        return -ENOSPC;
    }
    ssize_t written = rth__write_full(file->fd, scratch, file->used_bytes);
    if (written == -EFBIG)
        file->why = "larger than the process may make a file (RLIMIT_FSIZE)";
    if (written < 0)
        return (int)written;
    file->used_bytes = 0;
    return 0;
}

static int sink_write(struct rth_sink *sink, const void *data, size_t size_bytes)
{
    struct rth_episode_file *file = (struct rth_episode_file *)sink;
    if (sink->cancelled != NULL && sink->cancelled(sink))
        return -ECANCELED;
    if (size_bytes > file->limit_bytes - sink->written_bytes) {
        file->why = "larger than what one file or the episode may have";
        return -EFBIG;
    }
    const unsigned char *from = data;
    while (size_bytes > 0) {
        size_t room = sizeof(scratch) - file->used_bytes;
        size_t taken = size_bytes < room ? size_bytes : room;
        memcpy(scratch + file->used_bytes, from, taken);
        file->used_bytes += taken;
        from += taken;
        size_bytes -= taken;
        if (file->used_bytes < sizeof(scratch))
            continue;
        int error = flush(file);
        if (error != 0)
            return error;
    }
    return 0;
}

static void partial_name(const struct rth_episode_file *file,
                         char ret_name[RTH_EPISODE_FILE_BYTES + 8])
{
    (void)snprintf(ret_name, RTH_EPISODE_FILE_BYTES + 8, "%s" RTH_EPISODE_PARTIAL, file->name);
}

int rth__episode_file_begin(struct rth_episode_file *file, int dir_fd, const char *name,
                            uint64_t limit_bytes, bool (*cancelled)(struct rth_sink *sink))
{
    *file = (struct rth_episode_file){
        .sink = {.write = sink_write, .cancelled = cancelled},
        .dir_fd = dir_fd,
        .limit_bytes = limit_bytes,
    };
    (void)snprintf(file->name, sizeof(file->name), "%s", name);
    char partial[RTH_EPISODE_FILE_BYTES + 8];
    partial_name(file, partial);
    file->fd = rth__openat(dir_fd, partial, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW);
    if (file->fd < 0)
        return file->fd;
    (void)fchmod(file->fd, 0600); /* the umask may have taken the owner's bits */
    return 0;
}

int rth__episode_file_end(struct rth_episode_file *file, int error, const char *final_name)
{
    if (error == 0)
        error = file->sink.error;
    if (error == 0)
        error = flush(file);
    file->used_bytes = 0;
    file->fd = rth__close(file->fd);
    char partial[RTH_EPISODE_FILE_BYTES + 8];
    partial_name(file, partial);
    if (error == 0 && renameat(file->dir_fd, partial, file->dir_fd, final_name) != 0)
        error = -errno;
    if (error != 0)
        (void)unlinkat(file->dir_fd, partial, 0);
    return error;
}

const char *rth__episode_file_why(const struct rth_episode_file *file, int error)
{
    if (file->why != NULL && (error == -ENOSPC || error == -EFBIG))
        return file->why;
    switch (error) {
    case -ENOSPC:
        return "no space left on the filesystem";
    case -EDQUOT:
        return "the quota of the filesystem is used up";
    case -EROFS:
        return "the filesystem is mounted read-only";
    case -EFBIG:
        return "larger than what one file may have";
    case -ECANCELED:
        return "the episode was ended";
    default:
        return rth_strerror(error);
    }
}
