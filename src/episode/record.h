/* SPDX-License-Identifier: MIT */
#ifndef RTH_EPISODE_RECORD_H
#define RTH_EPISODE_RECORD_H

/*
 * What is known of an episode: what its collector fills in, and what is read back from its
 * episode.json (docs/formats/episode.md).
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "episode/name.h"

struct rth_sink;

#define RTH_EPISODE_ARTEFACT_MAX      16
#define RTH_EPISODE_REASON_TEXT_BYTES 401 /* with the NUL */
#define RTH_EPISODE_FORMAT_VERSION    1

/* "threads?debug=2": an artefact of the capability table, and with what it is asked. */
struct rth_episode_entry {
    const char *spec;
    char file[RTH_EPISODE_FILE_BYTES]; /* "" when there is none */
    char why[240];                     /* why there is none */
    uint64_t bytes;
    int64_t duration_ns;
};

struct rth_episode_record {
    struct rth_episode_name name;
    char reason[RTH_EPISODE_REASON_TEXT_BYTES];
    int64_t unix_ns;
    int64_t duration_ns;
    bool is_over;
    const char *ended_by; /* what cut it short, NULL when nothing did */
    struct rth_episode_entry entries[RTH_EPISODE_ARTEFACT_MAX];
    size_t entry_count; /* known so far; the rest of the entries is only planned */
    size_t planned_count;
    uint64_t bytes; /* of the files of artefacts */
};

/* The document. rth-work. */
int rth__episode_record_write(const struct rth_episode_record *record, struct rth_sink *sink);

/* What of an episode.json tells one episode from another. */
struct rth_episode_summary {
    char state[16]; /* "collecting", "complete", "stopped"; "unreadable" for anything else */
    char reason[RTH_EPISODE_REASON_TEXT_BYTES];
    char time[32];
    char service[256];
    char host[72];
    uint64_t starttime_ticks; /* of the process */
    uint64_t duration_ms;     /* 0 while it is collected */
};

/* Never fails: what cannot be read has the state "unreadable" and nothing else. */
void rth__episode_summary_read(const char *document, size_t size_bytes,
                               struct rth_episode_summary *ret_summary);
/* Name of this host, as the kernel has it. */
void rth__episode_host(char ret_host[72]);

#endif /* RTH_EPISODE_RECORD_H */
