/* SPDX-License-Identifier: MIT */
#ifndef RTH_LIMITS_SHRINKERS_H
#define RTH_LIMITS_SHRINKERS_H

/*
 * The program's shrinkers: who they are, in which order they are called, and what they are worth.
 * A table of places that never move; a place counts who is inside its callbacks, so that removal
 * can wait for them. No lock is held while a callback runs.
 */

#include <stdbool.h>
#include <stdint.h>

struct rth_json;

#define RTH_SHRINKERS_MAX       32u
#define RTH_SHRINKER_NAME_BYTES 32u

/* Three in a row, and it is left alone for a while; a longer one each time. */
#define RTH_SHRINKER_ZEROS_MAX      3u
#define RTH_SHRINKER_DEMOTED_NS     (INT64_C(100) * 1000 * 1000)
#define RTH_SHRINKER_DEMOTED_MAX_NS (INT64_C(60) * 1000 * 1000 * 1000)

struct rth_shrink_request {
    uint64_t wanted_bytes;
    int64_t deadline_ns; /* CLOCK_MONOTONIC, of the whole request */
    bool is_direct;      /* on a thread that asked for admission: only those flagged for it */
};

/* Calls shrinkers, those of a lower number first, those of one priority for a share of what is
 * wanted by what they say they hold, until enough was freed. Returns what they claim. Not from
 * within a shrinker: 0. */
uint64_t rth__shrinkers_call(const struct rth_shrink_request *request);
/* The calls of the last request that was not direct are judged by what was seen of them: of
 * claimed_bytes as much as seen_bytes. */
void rth__shrinkers_judge(uint64_t claimed_bytes, uint64_t seen_bytes);
/* Whether there is one at all, flagged for direct reclaim if so asked. Cheap. */
bool rth__shrinkers_exist(bool is_direct);
/* What all of them say they hold, UINT64_MAX when one does not know. */
uint64_t rth__shrinkers_held_bytes(void);
/* Whether the calling thread is inside a shrinker. */
bool rth__shrinkers_are_inside(void);
uint64_t rth__shrinker_calls_count(void);

/* The member `key`: an array. */
void rth__shrinkers_json(const char *key, struct rth_json *json);
/* They stay; whoever was inside, but for the calling thread, is not in this process. */
void rth__shrinkers_child_reset(void);

#endif /* RTH_LIMITS_SHRINKERS_H */
