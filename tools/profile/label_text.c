/* SPDX-License-Identifier: MIT */
#include "profile/label_text.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "profile/intern.h"
#include "profile/units.h"

enum label_kind label_kind(const struct rth_pprof_label_row *label)
{
    if (label->text[0] != '\0')
        return LABEL_TEXT;
    return label->number != 0 || label->unit[0] != '\0' ? LABEL_NUMBER : LABEL_NONE;
}

static const char *unit_of_key(const char *key)
{
    bool in_bytes = strcmp(key, "alignment") == 0 || strcmp(key, "request") == 0;
    return in_bytes ? "bytes" : key;
}

void profile_take_label_units(struct profile *profile)
{
    const struct rth_pprof_document *document = &profile->document;
    struct intern keys = {0};
    /* There are at most as many keys as labels. */
    const char **units = take(document->label_count, sizeof(*units));
    uint32_t *key_of_label = take(document->label_count, sizeof(*key_of_label));
    for (uint32_t row = 0; row < document->label_count; row++) {
        const struct rth_pprof_label_row *label = &document->labels[row];
        uint32_t key = intern_number(&keys, label->key, strlen(label->key));
        key_of_label[row] = key;
        if (units[key] == NULL && label_kind(label) == LABEL_NUMBER && label->unit[0] != '\0')
            units[key] = label->unit;
    }
    profile->label_units =
        pool_take(&profile->pool, document->label_count * sizeof(*profile->label_units));
    for (uint32_t row = 0; row < document->label_count; row++) {
        const char *unit = units[key_of_label[row]];
        profile->label_units[row] = unit != NULL ? unit : unit_of_key(document->labels[row].key);
    }
    intern_free(&keys);
    free(units);
    free(key_of_label);
}

const char *label_text(const struct rth_pprof_label_row *label, const char *unit,
                       char number_text[static LABEL_NUMBER_BYTES])
{
    if (label_kind(label) == LABEL_TEXT)
        return label->text;
    return unit_text(label->number, unit, UNIT_AUTO, number_text, LABEL_NUMBER_BYTES);
}

void label_buffer_free(struct label_buffer *buffer)
{
    free(buffer->text);
    *buffer = (struct label_buffer){0};
}

static void append(struct label_buffer *buffer, const char *text)
{
    size_t used = buffer->text != NULL ? strlen(buffer->text) : 0, length = strlen(text);
    if (used + length + 2 > buffer->capacity) {
        buffer->capacity = 2 * (used + length + 2);
        char *larger = take(buffer->capacity, 1);
        if (used > 0)
            memcpy(larger, buffer->text, used);
        free(buffer->text);
        buffer->text = larger;
    }
    if (used > 0)
        buffer->text[used++] = ',';
    memcpy(buffer->text + used, text, length + 1);
}

const char *labels_of_sample(const struct profile *profile, uint32_t sample, const char *key,
                             bool by_key, struct label_buffer *buffer)
{
    const struct rth_pprof_document *document = &profile->document;
    const struct rth_pprof_sample_row *row = &document->samples[sample];
    char number_text[LABEL_NUMBER_BYTES];
    bool found = false;
    if (buffer->text != NULL)
        buffer->text[0] = '\0';
    for (enum label_kind kind = LABEL_TEXT; kind <= LABEL_NUMBER; kind++) {
        for (uint32_t at = row->first_label; at < row->first_label + row->label_count; at++) {
            const struct rth_pprof_label_row *label = &document->labels[at];
            if (label_kind(label) != kind || strcmp(label->key, key) != 0)
                continue;
            const char *unit = by_key ? profile->label_units[at] : label->unit;
            append(buffer, label_text(label, unit, number_text));
            found = true;
        }
    }
    return found ? buffer->text : NULL;
}
