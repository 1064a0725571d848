/* SPDX-License-Identifier: MIT */
#ifndef RTH_TOOLS_PROFILE_LABEL_TALLY_H
#define RTH_TOOLS_PROFILE_LABEL_TALLY_H

/* Values by what a label says: of one key, for tables instead of functions, or of every key. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "profile/intern.h"
#include "profile/memory.h"
#include "profile/profile.h"
#include "profile/selection.h"

enum label_side {
    SIDE_OLD,
    SIDE_NEW, /* where there is only one, too */
    SIDE_COUNT,
};

struct label_row {
    const char *text; /* NULL: the samples without the key */
    int64_t values[SIDE_COUNT];
    uint64_t samples;
    /* When all labels of this row are one number: it, and its unit, else NULL. */
    int64_t number;
    const char *number_unit;
};

struct label_sums {
    const char *key;
    struct intern texts;
    struct label_row *rows;
    size_t row_count, row_capacity;
    struct label_row without;
    /* For label_table: of samples that have the key, each counted once. */
    int64_t with_value;
    uint64_t with_samples, last_sample;
};

/* Adds the selected samples, several labels of the key as one, "a,b". Texts go to the pool, which
 * outlives the sums. */
void label_sums_add(struct label_sums *sums, const struct profile *profile, int type, double factor,
                    enum label_side side, const struct selection *selection, struct pool *pool);
void label_sums_free(struct label_sums *sums);

/* Pointers to the rows, the largest difference first, then the largest value, then by text; free
 * gives them back. The row without the key is among them when it has samples and is asked for. */
struct label_row **label_sums_sorted(struct label_sums *sums, bool with_without, size_t *ret_count);
int64_t label_row_delta(const struct label_row *row);

struct label_table {
    struct intern keys;
    struct label_sums *sums; /* by number of the key; label_table_end sorts them by name */
    size_t key_count, key_capacity;
    int64_t total; /* of all samples, magnitudes */
    int64_t selected_value;
    uint64_t samples_seen, samples_selected;
    struct pool pool;
};

/* A sample with two labels of one key counts for both. The frames are named if the selection needs
 * names; the profile outlives the table. */
void label_table_add(struct label_table *table, const struct profile *profile, int type,
                     const struct selection *selection);
/* Completes the rows without; nothing may be added afterwards. */
void label_table_end(struct label_table *table);
void label_table_free(struct label_table *table);

#endif /* RTH_TOOLS_PROFILE_LABEL_TALLY_H */
