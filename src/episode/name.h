/* SPDX-License-Identifier: MIT */
#ifndef RTH_EPISODE_NAME_H
#define RTH_EPISODE_NAME_H

/*
 * Names of episodes and of the files in them. Whatever is listed, read or removed was recognised
 * here first: a name that we could not have written is somebody else's.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define RTH_EPISODE_TRIGGER_BYTES 33 /* with the NUL */
#define RTH_EPISODE_ID_BYTES      96
#define RTH_EPISODE_FILE_BYTES    64
/* Behind the name of a folder or file that is being written. */
#define RTH_EPISODE_PARTIAL  ".partial"
#define RTH_EPISODE_DOCUMENT "episode.json"
/* Empty files that say something of a whole episode; no route shows them. */
#define RTH_EPISODE_ENDED    ".ended"    /* its process ended by itself, later */
#define RTH_EPISODE_REPORTED ".reported" /* a later process has said that it is there */

/* "episode-1764000000-4711-2-memory-critical" */
struct rth_episode_name {
    int64_t unix_s;
    int pid;
    uint32_t number; /* 1, 2, … within its process */
    bool is_partial; /* the folder's name ends in RTH_EPISODE_PARTIAL, which the id does not */
    char trigger[RTH_EPISODE_TRIGGER_BYTES];
    char id[RTH_EPISODE_ID_BYTES];
};

/* Lower-case letters, digits and '-' within; begins with a letter. */
bool rth__episode_trigger_name_ok(const char *text);
/* 0; -EINVAL for a trigger's name as above, or a number below 0. */
int rth__episode_name_make(int64_t unix_s, int pid, uint32_t number, const char *trigger,
                           struct rth_episode_name *ret_name);
/* False for whatever rth__episode_name_make would not have made, with or without the end of one
 * that is being written. */
bool rth__episode_name_parse(const char *text, struct rth_episode_name *ret_name);
/* The folder's name as it is now. */
void rth__episode_name_folder(const struct rth_episode_name *name,
                              char ret_folder[RTH_EPISODE_ID_BYTES + 8]);
/* Letters, digits, '.', '_' and '-'; does not begin with '.'. */
bool rth__episode_file_name_ok(const char *text);

#endif /* RTH_EPISODE_NAME_H */
