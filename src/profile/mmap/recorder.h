/* SPDX-License-Identifier: MIT */
#ifndef RTH_PROFILE_MMAP_RECORDER_H
#define RTH_PROFILE_MMAP_RECORDER_H

/* The recording side of /debug/pprof/mmap; mmap.c is what is shown of it. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "record/sites.h"

/* What is shown: rows of kind 0, one count per mapping, amounts in bytes. */
extern struct rth_sites rth__map_sites;

/* Begins with nothing recorded. 0 or a negative errno. */
int rth__map_recorder_start(void);
/* Nothing is recorded any more; what was, stays to be read. */
void rth__map_recorder_stop(void);
void rth__map_recorder_child_reset(void);

/* Finds the stacks that could not be walked when they were captured, now that there may be unwind
 * rows for them. rth-work. */
void rth__map_recorder_resolve(void);

struct rth_map_counts {
    uint64_t mapped;        /* since the start */
    uint64_t pieces, bytes; /* now */
    uint64_t waiting;       /* mappings whose stack waits for unwind rows */
    uint64_t lost_nested;   /* calls from a signal handler that interrupted the recording */
    uint64_t lost_stacks;   /* mappings without one */
    uint64_t lost_pieces, lost_pieces_bytes; /* no room for them */
};
void rth__map_counts_read(struct rth_map_counts *ret_counts);

/* For struct rth_interpose_ops. */
uint64_t rth__map_mark_nomalloc(void);
bool rth__map_is_known_nomalloc(uintptr_t address);
void rth__map_added_nomalloc(uintptr_t address, size_t length, bool is_anonymous, uintptr_t caller);
void rth__map_removed_nomalloc(uint64_t mark, uintptr_t address, size_t length);
void rth__map_moved_nomalloc(uint64_t mark, bool known, uintptr_t before, size_t before_bytes,
                             uintptr_t after, size_t after_bytes, uintptr_t caller);

#endif /* RTH_PROFILE_MMAP_RECORDER_H */
