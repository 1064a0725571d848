/* SPDX-License-Identifier: MIT */
#ifndef RTH_TOOLS_PROFILE_LABEL_TEXT_H
#define RTH_TOOLS_PROFILE_LABEL_TEXT_H

/* The labels of samples as pprof reads them. A label is a text or a number with a unit; one that is
 * neither, an empty text, counts as no label. */

#include <stdbool.h>
#include <stdint.h>

#include "profile/profile.h"

enum label_kind {
    LABEL_NONE,
    LABEL_TEXT,
    LABEL_NUMBER,
};

enum label_kind label_kind(const struct rth_pprof_label_row *label);

/* Fills profile->label_units: the first unit that a number of that key has anywhere in the profile;
 * where none has one, bytes for "alignment" and "request", else the key itself. */
void profile_take_label_units(struct profile *profile);

/* Room for the text of any number. */
#define LABEL_NUMBER_BYTES 128

/* "/checkout", "64kB": the label's text, or its number of that unit, written to number_text. */
const char *label_text(const struct rth_pprof_label_row *label, const char *unit,
                       char number_text[static LABEL_NUMBER_BYTES]);

/* Where labels_of_sample writes; used again and again. Zeros are fine. */
struct label_buffer {
    char *text;
    size_t capacity;
};
void label_buffer_free(struct label_buffer *buffer);

/* The texts of all labels of that key, "a,b" where there are several; NULL: the sample has none.
 * by_key: numbers in the unit of their key, else in their own. Good until the next call. */
const char *labels_of_sample(const struct profile *profile, uint32_t sample, const char *key,
                             bool by_key, struct label_buffer *buffer);

#endif /* RTH_TOOLS_PROFILE_LABEL_TEXT_H */
