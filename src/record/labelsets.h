/* SPDX-License-Identifier: MIT */
#ifndef RTH_RECORD_LABELSETS_H
#define RTH_RECORD_LABELSETS_H

/*
 * Label sets: every distinct set of labels once, by a number. A number never means another set in
 * this process or a child of it, so it may be kept anywhere: in a thread's context, in a counted
 * row, at a call site.
 *
 * Bounded: RTH_LABELS_MAX labels a set, keys and values cut at a character, memory fixed. A set
 * that finds no room is RTH_LABEL_SET_OVERFLOW, whose one label says so. What was left out is
 * counted per cause.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "record/counted.h"

#define RTH_LABELS_MAX            16u
#define RTH_LABEL_KEY_BYTES_MAX   64u
#define RTH_LABEL_VALUE_BYTES_MAX 256u

/* RTH_LABEL_SET_NONE (record/counted.h) is the empty set. */
#define RTH_LABEL_SET_OVERFLOW   1u
#define RTH_LABEL_OVERFLOW_KEY   "rthooks"
#define RTH_LABEL_OVERFLOW_VALUE "label sets overflowed"

/* A label by its strings; value RTH_STRING_NONE takes the key away. */
struct rth_label_pair {
    uint32_t key, value;
};

/* Makes the tables at the first call. False when there is no memory, or when whoever makes them
 * does not get on: then there are no labels yet. Any thread. */
bool rth__label_sets_ready(void);

/* Interns label_count pairs of NUL-terminated strings, {key, value, key, value, …}. Labels without
 * a key are left out; a value that is NULL or "" takes its key away; bytes that are not UTF-8
 * become '?'. Returns how many were written, at most RTH_LABELS_MAX; -ENOSPC when a string found no
 * room. Any thread; the tables are ready. */
int rth__label_pairs_intern(const char *const *keys_and_values, size_t label_count,
                            struct rth_label_pair ret_pairs[RTH_LABELS_MAX]);

/* The set of parent with the pairs put on top, later ones last. Labels beyond RTH_LABELS_MAX are
 * left out. Any thread, lock-free; the tables are ready. Cost: about 20 ns. */
uint32_t rth__label_set_with(uint32_t parent, const struct rth_label_pair *pairs, unsigned count);

struct rth_label {
    const char *key, *value; /* valid for ever */
};
/* The labels of a set, in no order that means anything; returns their number, 0 for the empty set
 * and for numbers never given. Any thread. */
unsigned rth__label_set_read(uint32_t label_set, struct rth_label ret_labels[RTH_LABELS_MAX]);

struct rth_label_counts {
    uint32_t sets, strings;        /* in the tables */
    uint64_t overflowed_strings;   /* blocks that found no room for a string */
    uint64_t overflowed_sets;      /* blocks that found no room for their set */
    uint64_t too_many;             /* labels beyond RTH_LABELS_MAX */
    uint64_t keys_cut, values_cut; /* longer than is kept */
    uint64_t without_key;          /* labels left out */
};
void rth__label_counts_read(struct rth_label_counts *ret_counts);

/* In a child: the tables stay. */
void rth__label_sets_child_reset(void);

#endif /* RTH_RECORD_LABELSETS_H */
