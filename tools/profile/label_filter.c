/* SPDX-License-Identifier: MIT */
#include "profile/label_filter.h"

#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "profile/label_text.h"
#include "profile/units.h"

struct quantity {
    int64_t number;
    bool too_large;
    const char *letters; /* of the unit */
    size_t letter_count;
};

static bool is_letter(char byte)
{
    return (byte >= 'a' && byte <= 'z') || (byte >= 'A' && byte <= 'Z');
}

/* Reads "-64kb" and moves *at behind it; false: nothing of the kind stands there. */
static bool take_quantity(const char **at, struct quantity *ret_quantity)
{
    const char *digits = *at + (**at == '-' || **at == '+');
    char *end;
    if (!isdigit((unsigned char)*digits))
        return false;
    errno = 0;
    struct quantity quantity = {.number = strtoll(*at, &end, 10), .letters = end};
    quantity.too_large = errno == ERANGE;
    while (is_letter(quantity.letters[quantity.letter_count]))
        quantity.letter_count++;
    *at = quantity.letters + quantity.letter_count;
    *ret_quantity = quantity;
    return true;
}

/* The two ends of "A", "A:", ":B" or "A:B". Returns 0 when the text has another form. */
static int take_ends(const char *text, struct quantity ends[2], bool has_end[2])
{
    const char *at = text;
    has_end[0] = take_quantity(&at, &ends[0]);
    bool has_colon = *at == ':';
    at += has_colon;
    has_end[1] = has_colon && take_quantity(&at, &ends[1]);
    if (*at != '\0' || !(has_end[0] || has_end[1]))
        return 0;
    if (!has_colon) {
        ends[1] = ends[0];
        has_end[1] = true;
    }
    return 1;
}

static char *copy_text(const char *text, size_t length)
{
    char *copy = take(length + 1, 1);
    return length > 0 ? memcpy(copy, text, length) : copy;
}

/* Returns 1 when the text is a range, 0 when it is not, -ERANGE. */
static int parse_range(const char *text, struct label_filter *filter, char *ret_message,
                       size_t message_size)
{
    struct quantity ends[2] = {0};
    bool has_end[2];
    if (take_ends(text, ends, has_end) == 0)
        return 0;
    const struct quantity *first = has_end[0] ? &ends[0] : &ends[1];
    if ((has_end[0] && ends[0].too_large) || (has_end[1] && ends[1].too_large)) {
        snprintf(ret_message, message_size, "'%s': a number in it is too large", text);
        return -ERANGE;
    }
    char *letters = copy_text(first->letters, first->letter_count);
    char *last_letters = copy_text(ends[1].letters, ends[1].letter_count);
    const char *unit, *last_unit;
    double first_value = unit_scale(first->number, letters, letters, &unit);
    filter->least = has_end[0] ? first_value : -INFINITY;
    filter->most = INFINITY;
    last_unit = unit;
    if (has_end[1])
        filter->most = unit_scale(ends[1].number, last_letters, unit, &last_unit);
    bool is_range = strcmp(unit, last_unit) == 0;
    free(last_letters);
    /* unit may point into letters. */
    filter->unit = unit;
    filter->unit_letters = letters;
    filter->is_range = is_range;
    return is_range;
}

static int parse_patterns(const char *text, struct label_filter *filter, char *ret_message,
                          size_t message_size)
{
    size_t count = 1;
    for (const char *at = text; *at != '\0'; at++)
        count += *at == ',';
    filter->patterns = take(count, sizeof(*filter->patterns));
    for (const char *at = text;; at++) {
        size_t length = strcspn(at, ",");
        char detail[128], *pattern = copy_text(at, length);
        int code =
            regcomp(&filter->patterns[filter->pattern_count], pattern, REG_EXTENDED | REG_NOSUB);
        if (code != 0) {
            (void)regerror(code, NULL, detail, sizeof(detail));
            snprintf(ret_message, message_size, "'%s' is no regular expression: %s", pattern,
                     detail);
        }
        free(pattern);
        if (code != 0)
            return -EINVAL;
        filter->pattern_count++;
        at += length;
        if (*at == '\0')
            return 0;
    }
}

int label_filter_parse(const char *spec, struct label_filter *ret_filter, char *ret_message,
                       size_t message_size)
{
    struct label_filter filter = {.is_given = spec[0] != '\0'};
    const char *equals = strchr(spec, '=');
    const char *value = equals != NULL ? equals + 1 : spec;
    if (equals != NULL && equals != spec)
        filter.key = copy_text(spec, (size_t)(equals - spec));
    int result = filter.is_given ? parse_range(value, &filter, ret_message, message_size) : 1;
    if (result == 0)
        result = parse_patterns(value, &filter, ret_message, message_size);
    if (result < 0) {
        label_filter_free(&filter);
        return result;
    }
    *ret_filter = filter;
    return 0;
}

void label_filter_free(struct label_filter *filter)
{
    for (size_t i = 0; i < filter->pattern_count; i++)
        regfree(&filter->patterns[i]);
    free(filter->patterns);
    free(filter->key);
    free(filter->unit_letters);
    *filter = (struct label_filter){0};
}

static bool range_matches(const struct label_filter *filter,
                          const struct rth_pprof_label_row *label, const char *unit)
{
    const char *scaled_unit;
    if (label_kind(label) != LABEL_NUMBER)
        return false;
    double value = unit_scale(label->number, unit, filter->unit, &scaled_unit);
    return strcmp(scaled_unit, filter->unit) == 0 && value >= filter->least &&
           value <= filter->most;
}

/* With a key the pattern is looked for in the text, else in "KEY:TEXT". */
static bool pattern_matches(const struct label_filter *filter, const regex_t *pattern,
                            const struct rth_pprof_label_row *label)
{
    if (label_kind(label) != LABEL_TEXT)
        return false;
    if (filter->key != NULL)
        return regexec(pattern, label->text, 0, NULL, 0) == 0;
    size_t size = strlen(label->key) + strlen(label->text) + 2;
    char *both = take(size, 1);
    snprintf(both, size, "%s:%s", label->key, label->text);
    bool found = regexec(pattern, both, 0, NULL, 0) == 0;
    free(both);
    return found;
}

/* Whether some label of the sample matches; pattern NULL: as a range. */
static bool any_label(const struct label_filter *filter, const regex_t *pattern,
                      const struct profile *profile, uint32_t sample)
{
    const struct rth_pprof_sample_row *row = &profile->document.samples[sample];
    for (uint32_t at = row->first_label; at < row->first_label + row->label_count; at++) {
        const struct rth_pprof_label_row *label = &profile->document.labels[at];
        if (filter->key != NULL && strcmp(filter->key, label->key) != 0)
            continue;
        if (pattern != NULL ? pattern_matches(filter, pattern, label)
                            : range_matches(filter, label, profile->label_units[at]))
            return true;
    }
    return false;
}

bool label_filter_matches(const struct label_filter *filter, const struct profile *profile,
                          uint32_t sample)
{
    if (filter->is_range)
        return any_label(filter, NULL, profile, sample);
    /* With a key one pattern is enough, without one all of them are needed. */
    bool enough = filter->key != NULL;
    for (size_t i = 0; i < filter->pattern_count; i++) {
        if (any_label(filter, &filter->patterns[i], profile, sample) == enough)
            return enough;
    }
    return !enough;
}
