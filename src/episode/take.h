/* SPDX-License-Identifier: MIT */
#ifndef RTH_EPISODE_TAKE_H
#define RTH_EPISODE_TAKE_H

/* Who may have an episode now, and what came of those that were asked for. */

#include <stdbool.h>
#include <stdint.h>

#include "episode/episode.h"
#include "episode/folder.h"
#include "episode/record.h"

enum rth_episode_refusal {
    RTH_EPISODE_TAKEN, /* it is not refused */
    RTH_EPISODE_REFUSED_BUSY,
    RTH_EPISODE_REFUSED_TOO_SOON,
    RTH_EPISODE_REFUSED_TOO_MANY,
    RTH_EPISODE_REFUSED_DANGER,
    RTH_EPISODE_REFUSED_NO_FOLDER,
    RTH_EPISODE_REFUSAL_COUNT,
};
const char *rth__episode_refusal_name(enum rth_episode_refusal refusal);

/* ---- how often: no clock, no lock of its own ----------------------------------------------- */

#define RTH_EPISODE_TRIGGER_MAX  24
#define RTH_EPISODE_GAP_NS       (30 * RTH_NS_PER_S)
#define RTH_EPISODE_PER_HOUR_MAX 6

struct rth_episode_rates {
    struct rth_episode_rate {
        const char *name;
        int64_t at_ns[RTH_EPISODE_PER_HOUR_MAX]; /* the last ones, the newest first */
        unsigned count;
    } triggers[RTH_EPISODE_TRIGGER_MAX];
    size_t trigger_count;
};
/* Counts one when it may be: at least the gap after the last one of that trigger, and no more of it
 * within an hour than the maximum, which does not count for the last gasp. */
enum rth_episode_refusal rth__episode_rates_take(struct rth_episode_rates *rates,
                                                 const struct rth_trigger *trigger, int64_t now_ns);

/* ---- the row's state ----------------------------------------------------------------------- */

/* named: RTHOOKS_CRASH_DIR, NULL when it is not set. On the starting thread. */
void rth__episode_take_start(const char *named);
void rth__episode_take_stop(void);
void rth__episode_take_child_reset(void);
/* Hands over what waits for the threads. rth-work, rth-admin in an adopted child. */
void rth__episode_take_tick(void);

/* What was asked for in a request, at once. rth-work. What is returned lives until the next
 * episode. */
enum rth_episode_refusal rth__episode_take_now(const struct rth_trigger *trigger,
                                               const char *reason,
                                               const struct rth_episode_record **ret_record,
                                               const char **ret_folder);

struct rth_episode_counts {
    uint64_t taken, refused[RTH_EPISODE_REFUSAL_COUNT];
    char last_id[RTH_EPISODE_ID_BYTES]; /* "" before the first */
};
void rth__episode_counts_read(struct rth_episode_counts *ret_counts);

/* The folders, in order, as they were found last; looks again when they may have changed. rth-work.
 * ret_used: the one that is used, NULL when none is usable. */
const struct rth_episode_folder *rth__episode_folders(size_t *ret_count,
                                                      const struct rth_episode_folder **ret_used);
/* Opens the one that is used. An fd; -ENOENT when it is not made yet; -ENOTSUP: there is none. */
int rth__episode_folder_fd(const struct rth_episode_folder **ret_used);
/* The reasons of all of them, as one line. */
void rth__episode_folders_why(char *ret_text, size_t text_size);

#endif /* RTH_EPISODE_TAKE_H */
