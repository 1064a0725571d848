/* SPDX-License-Identifier: MIT */
#ifndef RTH_PROFILE_FRAMES_H
#define RTH_PROFILE_FRAMES_H

/*
 * Distinct 64-bit keys in the order of their first appearance: frames, or symbols by the frame of
 * their start. What an encoder numbers from 1 on.
 */

#include <stddef.h>
#include <stdint.h>

#include "record/module.h"

struct rth_frame_table {
    rth_frame *frames; /* [0 … count) */
    uint32_t *slots;   /* position + 1, 0 for empty */
    uint32_t count, capacity;
};

/* Zeroed memory is an empty table. Returns the frame's position + 1; 0 when memory is short or the
 * table holds `limit` frames already. */
uint32_t rth__frame_table_add(struct rth_frame_table *table, rth_frame frame, uint32_t limit);
/* The frame's position + 1; 0 when it is not there. */
uint32_t rth__frame_table_find(const struct rth_frame_table *table, rth_frame frame);
void rth__frame_table_release(struct rth_frame_table *table);

#endif /* RTH_PROFILE_FRAMES_H */
