/* SPDX-License-Identifier: MIT */
#ifndef RTH_PROFILE_ROW_LIST_H
#define RTH_PROFILE_ROW_LIST_H

/* The rows of a profile while it is put together, with the values and labels they point to. */

#include <stddef.h>
#include <stdint.h>

#include "profile/encode.h"

struct rth_row_labels; /* internal */

struct rth_row_list {
    struct rth_profile_row *rows;
    size_t count, capacity;
    unsigned value_count; /* of a row */
    int64_t *values;
    struct rth_row_labels *labels;
};

/* Room for that many rows. 0 or -ENOMEM; freed in both cases. */
int rth__row_list_init(struct rth_row_list *list, size_t capacity, unsigned value_count);
/* One more row, which there is room for. Its labels are `own`, then those of the set whose keys
 * differ: a sample has one value per key. Returns where its values go, zero so far; NULL when
 * memory is short. */
int64_t *rth__row_list_add(struct rth_row_list *list, const rth_frame *frames, unsigned frame_count,
                           uint32_t label_set, const struct rth_pprof_label *own, size_t own_count);
void rth__row_list_free(struct rth_row_list *list);

#endif /* RTH_PROFILE_ROW_LIST_H */
