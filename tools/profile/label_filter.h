/* SPDX-License-Identifier: MIT */
#ifndef RTH_TOOLS_PROFILE_LABEL_FILTER_H
#define RTH_TOOLS_PROFILE_LABEL_FILTER_H

/*
 * Samples by their labels, with the grammar and the meaning of pprof's -tagfocus and -tagignore:
 *
 *   KEY=A,B      a text of KEY matches A or B
 *   A,B          every one of A and B matches some "KEY:TEXT" of the sample
 *   KEY=64kb     a number of KEY is that much
 *   KEY=32kb:    at least; KEY=:64kb at most; KEY=32kb:64kb from and to, both included
 *   64kb         the same for a number of any key
 *
 * What can be read as a range is one. A label in bytes or time matches only ranges of its kind, so
 * none without a unit; other labels are compared by their number, whatever the range's unit. A and
 * B are POSIX extended regular expressions.
 */

#include <regex.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "profile/profile.h"

struct label_filter {
    bool is_given;
    char *key; /* NULL: any */
    bool is_range;
    double least, most; /* of a range, both included */
    const char *unit;   /* theirs, as units.h names it */
    char *unit_letters; /* as it was written */
    regex_t *patterns;
    size_t pattern_count;
};

/* An empty spec is none. 0; -EINVAL or -ERANGE with one line in ret_message. */
int label_filter_parse(const char *spec, struct label_filter *ret_filter, char *ret_message,
                       size_t message_size);
/* Zeros are fine. */
void label_filter_free(struct label_filter *filter);

/* The filter is given. */
bool label_filter_matches(const struct label_filter *filter, const struct profile *profile,
                          uint32_t sample);

#endif /* RTH_TOOLS_PROFILE_LABEL_FILTER_H */
