/* SPDX-License-Identifier: MIT */
#ifndef RTH_EPISODE_PREVIOUS_H
#define RTH_EPISODE_PREVIOUS_H

/*
 * What an earlier process left behind: it is said once, in the log of the first process that finds
 * it. An episode is worth a line when its process went while it was collected, or when it was about
 * memory and its process did not come to its end by itself afterwards.
 */

#include "episode/name.h"

/* This process has taken one. rth-work. */
void rth__previous_remember(const char *folder_path, const struct rth_episode_name *name);
/* This process ends by itself: what it had to say of memory was not its last word. Any thread, in
 * the host's table of descriptors; errno is kept. Cost: nothing, or one small file. */
void rth__previous_note_end(void);
void rth__previous_child_reset(void);
/* Looks for what others left, and logs it. rth-work. */
void rth__previous_report(int folder_fd, const char *folder_path);

#endif /* RTH_EPISODE_PREVIOUS_H */
