/* SPDX-License-Identifier: MIT */
#ifndef RTH_TOOLS_PROFILE_TALLY_H
#define RTH_TOOLS_PROFILE_TALLY_H

/*
 * Values by function, or by source line: flat is what a row's own frames cost, cum what they cost
 * with everything they called. Several profiles may be added; one added with a negative factor
 * makes it a difference.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "profile/intern.h"
#include "profile/profile.h"
#include "profile/selection.h"

struct tally_row {
    const char *label; /* the function, with file:line when by line */
    struct frame frame;
    int64_t flat, cum;
    bool inlined;         /* into a caller, at least once */
    bool called;          /* from a frame of its own, at least once */
    uint64_t last_sample; /* for counting cum once per sample */
};

struct tally {
    bool by_line;
    struct intern labels;
    struct tally_row *rows;
    size_t row_count, row_capacity;
    /* Of all samples, those that are not selected too: what percentages refer to. */
    int64_t total;
    uint64_t samples_seen, samples_selected;
    struct pool pool;
};

/* The profile's frames are named, and it outlives the tally. */
void tally_add(struct tally *tally, const struct profile *profile, int type, double factor,
               const struct selection *selection);
void tally_free(struct tally *tally);

/* Sum of the absolute values of a type. */
int64_t profile_total(const struct profile *profile, int type);

/* Pointers to the rows, largest first, by absolute value; free gives them back. Rows whose cum is
 * not above floor are left out and counted in *ret_dropped; rows of nothing but zeros always. */
struct tally_row **tally_sorted(struct tally *tally, bool by_cum, int64_t cutoff, size_t *ret_count,
                                size_t *ret_dropped);

#endif /* RTH_TOOLS_PROFILE_TALLY_H */
