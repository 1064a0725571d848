/* SPDX-License-Identifier: MIT */
#ifndef RTH_EPISODE_STORE_H
#define RTH_EPISODE_STORE_H

/*
 * The folder of episodes, whoever wrote them: what is there, and what is kept of it. Everything
 * here works in the scratch of episode/file.h, so no file is open meanwhile. rth-work.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "episode/record.h"

struct rth_episode_found {
    struct rth_episode_name name;
    uint64_t bytes; /* of its files */
};

/* The episodes below folder_fd that belong to euid, oldest first; in the scratch. Returns how many.
 */
size_t rth__episode_scan(int folder_fd, uint32_t euid, struct rth_episode_found **ret_found);
/* Opens one of them. An fd, or a negative errno when it is not there, or not ours. */
int rth__episode_open(int folder_fd, uint32_t euid, const struct rth_episode_name *name);
/* Whether some process is collecting it at this moment. */
bool rth__episode_is_being_collected(int episode_fd);
/* Takes it for the collector: until the fd is closed, the above is true. */
void rth__episode_mark_collecting(int episode_fd);
/* Reads its document; what scan found stays where it is. */
void rth__episode_summary_of(int episode_fd, struct rth_episode_summary *ret_summary);
/* The next file that may be shown; NULL at the end. dir: of the episode. */
struct rth_dir;
const char *rth__episode_next_file(struct rth_dir *dir, uint64_t *ret_bytes);

/*
 * Removes episodes until no more than count_max, with no more than bytes_max, are left: the oldest
 * first, but never the first, the last, the one before, the largest, or one that is being
 * collected. Returns how many were removed.
 */
unsigned rth__episode_keep(int folder_fd, uint32_t euid, size_t count_max, uint64_t bytes_max);
/* Removes a folder of files. 0 or a negative errno. */
int rth__episode_remove(int folder_fd, uint32_t euid, const struct rth_episode_name *name);

#endif /* RTH_EPISODE_STORE_H */
