/* SPDX-License-Identifier: MIT */
#ifndef RTH_EPISODE_EPISODE_H
#define RTH_EPISODE_EPISODE_H

/*
 * Evidence collected by triggers: a folder per episode, with artefacts as files.
 */

#include <stdbool.h>
#include <stdint.h>

#include "core/capability.h"

/* The row "episode": /debug/episodes. */
extern const struct rth_capability rth__episode_capability;

/* May begin even when collecting is not allowed any more by rate: the last one before an end. */
#define RTH_TRIGGER_LAST_GASP 1u

struct rth_trigger {
    const char *name;             /* "memory-critical": part of the folder's name */
    const char *const *artefacts; /* names of artefact rows, in order of worth; NULL-terminated */
    uint32_t flags;
};

/*
 * Asks for an episode; rth-work collects it. trigger: static; its names of artefacts may carry a
 * query, "threads?debug=2", and are at most 16. reason: one line of text, copied (at most 400
 * bytes). Never waits: refused episodes (rate, one is being collected, danger zone, no folder) are
 * counted.
 * 0; -EBUSY: one is waited for or collected; -EAGAIN: rate, or danger zone; -ENOTSUP: no folder, or
 * the row does not run. Thread: any of ours. Cost: microseconds.
 */
int rth__episode_trigger(const struct rth_trigger *trigger, const char *reason);
/* Whether -EBUSY is what a trigger would get: for who asks again later. Any thread. */
bool rth__episode_is_busy(void);
/* While it is on, the episode being collected ends with what it has and none begins. */
void rth__episode_danger_set(bool is_in_danger);
/* The process ends by itself, after main: on its thread. */
void rth__episode_note_end(void);

#endif /* RTH_EPISODE_EPISODE_H */
