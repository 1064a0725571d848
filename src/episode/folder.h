/* SPDX-License-Identifier: MIT */
#ifndef RTH_EPISODE_FOLDER_H
#define RTH_EPISODE_FOLDER_H

/*
 * Where episodes go: the folder that was named, then /var/lib/rthooks, then /var/tmp/rthooks-EUID;
 * the first that is ours alone to write to, and not memory in disguise. All functions on rth-work.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define RTH_EPISODE_FOLDER_MAX   3
#define RTH_EPISODE_PATH_BYTES   320
#define RTH_EPISODE_REASON_BYTES 160

struct rth_episode_folder {
    char path[RTH_EPISODE_PATH_BYTES];
    bool is_named; /* by the user */
    bool is_made;  /* by us, where it is missing */
    /* As it was found last. */
    bool is_usable;                        /* is there, or can be made */
    char reason[RTH_EPISODE_REASON_BYTES]; /* why it is not, "" */
};

/* 0 for a path that can name a folder of episodes: absolute, not "/", no "." or ".." at its end,
 * not too long; else -EINVAL. */
int rth__episode_path_check(const char *path);
/* Fills ret_folders in the order of their being asked; named: NULL for none. Returns how many. */
size_t rth__episode_folders_fill(const char *named, uint32_t euid,
                                 struct rth_episode_folder ret_folders[RTH_EPISODE_FOLDER_MAX]);
/*
 * Opens one below root_fd, when it is a folder and no symbolic link, belongs to euid, nobody else
 * may write to it, it is on no filesystem that lives in memory, and RTH_EPISODE_FREE_PERCENT of
 * that is free. create: makes it where it is missing and that is allowed. Returns an fd; -ENOENT:
 * not there, and is_usable says whether it would be made; another negative errno. is_usable and
 * reason are written.
 */
int rth__episode_folder_open(int root_fd, uint32_t euid, bool create,
                             struct rth_episode_folder *folder);

/* Whose part of the filesystem stays free, whatever is collected. */
#define RTH_EPISODE_FREE_PERCENT 10
/* Bytes that may still be written to the filesystem of fd; UINT64_MAX when it does not say. */
uint64_t rth__episode_room_bytes(int fd);

#endif /* RTH_EPISODE_FOLDER_H */
