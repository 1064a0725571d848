/* SPDX-License-Identifier: MIT */
#ifndef RTH_RECORD_COUNTED_H
#define RTH_RECORD_COUNTED_H

/*
 * Counted rows: for one kind of profile, cumulative counters per (stack, label set). What a
 * capture shows is the difference of two snapshots, so any number of readers share one sampler.
 */

#include <stddef.h>
#include <stdint.h>

#include "record/generation.h"
#include "record/module.h"

#define RTH_COUNTED_VALUES 2
/* The label set of what has no labels. */
#define RTH_LABEL_SET_NONE 0u

struct rth_counted_rows; /* internal: the rows of one generation */

/* One kind of profile; static storage, zero but for the name. */
struct rth_counted {
    const char *name; /* at most 10 bytes: "cpu" */
    struct rth_counted_rows *rows[RTH_GENERATIONS];
};

/* Reserves the rows, and the stack table at the first use. 0 or -ENOMEM. rth-work. */
int rth__counted_init(struct rth_counted *counted);

/*
 * Adds to the row of a stack. What finds no room goes to the overflow row, whose stack is unknown.
 * Signal-safe, lock-free. Cost: about 100 ns for a stack of 30 frames.
 */
void rth__counted_add_sigsafe(struct rth_counted *counted, const rth_frame *frames, unsigned count,
                              uint32_t label_set, const uint64_t values[RTH_COUNTED_VALUES]);

/* Where a capture began. It pins the generation of that moment until it is freed. */
struct rth_snapshot;
/* NULL when memory is short. rth-work. */
struct rth_snapshot *rth__snapshot_take(struct rth_counted *counted);
void rth__snapshot_free(struct rth_snapshot *snapshot); /* NULL is fine */

struct rth_counted_delta {
    const rth_frame *frames; /* NULL with frame_count 0: the overflow row. Pinned memory */
    unsigned frame_count;
    uint32_t label_set;
    uint64_t values[RTH_COUNTED_VALUES];
};
/* What was added since the snapshot, rows with all zero left out. *ret_rows is arena memory of
 * *ret_count rows, given back with rth__counted_deltas_free; its frames stay valid until the
 * snapshot is freed. 0 or -ENOMEM. rth-work. */
int rth__snapshot_difference(const struct rth_snapshot *snapshot,
                             struct rth_counted_delta **ret_rows, size_t *ret_count);
void rth__counted_deltas_free(struct rth_counted_delta *rows); /* NULL is fine */

/* Opens the other generation when the current one is nearly full and nobody needs the other. Called
 * by rth-work now and then while something records. */
void rth__record_housekeeping(void);

/* In an adopted child: nothing is recorded, nothing is reserved. */
void rth__record_child_reset(void);

#endif /* RTH_RECORD_COUNTED_H */
