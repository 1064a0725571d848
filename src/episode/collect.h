/* SPDX-License-Identifier: MIT */
#ifndef RTH_EPISODE_COLLECT_H
#define RTH_EPISODE_COLLECT_H

/* Collects one episode, from the first document to the folder's final name. rth-work. */

#include <stdbool.h>
#include <stdint.h>

#include "episode/record.h"

/* What an episode, and all of them together, may come to. */
struct rth_episode_caps {
    uint64_t artefact_bytes, episode_bytes, folder_bytes;
    size_t folder_episodes;
    int64_t duration_ns;
};
extern struct rth_episode_caps rth__episode_caps;

/* While true the episode that is collected ends; any thread. */
bool rth__episode_is_in_danger(void);
void rth__episode_danger_store(bool is_in_danger);

/*
 * record: name, reason and unix_ns are set by the caller. artefacts: as in struct rth_trigger.
 * 0 when there is an episode, whatever was left out of it; a negative errno when there is none, and
 * then nothing of it is left in the folder.
 */
int rth__episode_collect(int folder_fd, const char *const *artefacts,
                         struct rth_episode_record *record);

#endif /* RTH_EPISODE_COLLECT_H */
