/* SPDX-License-Identifier: MIT */
#include "profile/label_tally.h"

#include <stdlib.h>
#include <string.h>

#include "profile/amount.h"
#include "profile/label_text.h"

static struct label_row *row_of(struct label_sums *sums, const char *text, struct pool *pool)
{
    uint32_t number = intern_number(&sums->texts, text, strlen(text));
    if (number == sums->row_count) {
        /* The table keeps the text, which may be written over. */
        text = sums->texts.keys[number] = pool_text(pool, text, strlen(text));
        sums->rows = grow(sums->rows, sums->row_count, &sums->row_capacity, sizeof(*sums->rows));
        sums->rows[sums->row_count++] = (struct label_row){.text = text};
    }
    return &sums->rows[number];
}

static void add_value(struct label_row *row, enum label_side side, int64_t value)
{
    row->values[side] = amount_add(row->values[side], value);
    row->samples++;
}

void label_sums_add(struct label_sums *sums, const struct profile *profile, int type, double factor,
                    enum label_side side, const struct selection *selection, struct pool *pool)
{
    bool *wanted = selection_of_samples(selection, profile);
    struct label_buffer buffer = {0};
    for (uint32_t row = 0; row < profile->document.sample_count; row++) {
        if (!wanted[row])
            continue;
        const char *text = labels_of_sample(profile, row, sums->key, true, &buffer);
        add_value(text != NULL ? row_of(sums, text, pool) : &sums->without, side,
                  amount_scaled(profile_value(profile, row, type), factor));
    }
    label_buffer_free(&buffer);
    free(wanted);
}

void label_sums_free(struct label_sums *sums)
{
    intern_free(&sums->texts);
    free(sums->rows);
    *sums = (struct label_sums){0};
}

int64_t label_row_delta(const struct label_row *row)
{
    return amount_subtract(row->values[SIDE_NEW], row->values[SIDE_OLD]);
}

static int compare_rows(const void *left_pointer, const void *right_pointer)
{
    const struct label_row *left = *(struct label_row *const *)left_pointer;
    const struct label_row *right = *(struct label_row *const *)right_pointer;
    int64_t one = amount_magnitude(label_row_delta(left));
    int64_t other = amount_magnitude(label_row_delta(right));
    if (one == other) {
        one = amount_magnitude(left->values[SIDE_NEW]);
        other = amount_magnitude(right->values[SIDE_NEW]);
    }
    if (one != other)
        return one < other ? 1 : -1;
    if (left->text == NULL || right->text == NULL)
        return (left->text == NULL) - (right->text == NULL);
    return strcmp(left->text, right->text);
}

struct label_row **label_sums_sorted(struct label_sums *sums, bool with_without, size_t *ret_count)
{
    struct label_row **sorted = take(sums->row_count + 1, sizeof(struct label_row *));
    size_t count = 0;
    for (size_t i = 0; i < sums->row_count; i++)
        sorted[count++] = &sums->rows[i];
    if (with_without && sums->without.samples > 0)
        sorted[count++] = &sums->without;
    qsort(sorted, count, sizeof(*sorted), compare_rows);
    *ret_count = count;
    return sorted;
}

/* ---- every key ---- */

static struct label_sums *sums_of(struct label_table *table, const char *key)
{
    uint32_t number = intern_number(&table->keys, key, strlen(key));
    if (number == table->key_count) {
        table->sums =
            grow(table->sums, table->key_count, &table->key_capacity, sizeof(*table->sums));
        table->sums[table->key_count++] = (struct label_sums){.key = key};
    }
    return &table->sums[number];
}

static void note_number(struct label_row *row, const struct rth_pprof_label_row *label,
                        const char *unit)
{
    bool is_number = label_kind(label) == LABEL_NUMBER;
    if (row->samples == 0 && is_number) {
        row->number = label->number;
        row->number_unit = unit;
    } else if (!is_number || row->number != label->number) {
        row->number_unit = NULL;
    }
}

static void add_labels(struct label_table *table, const struct profile *profile, uint32_t sample,
                       int64_t value)
{
    const struct rth_pprof_sample_row *row = &profile->document.samples[sample];
    char number_text[LABEL_NUMBER_BYTES];
    for (uint32_t at = row->first_label; at < row->first_label + row->label_count; at++) {
        const struct rth_pprof_label_row *label = &profile->document.labels[at];
        if (label_kind(label) == LABEL_NONE)
            continue;
        struct label_sums *sums = sums_of(table, label->key);
        const char *unit = profile->label_units[at];
        struct label_row *of_text =
            row_of(sums, label_text(label, unit, number_text), &table->pool);
        note_number(of_text, label, unit);
        add_value(of_text, SIDE_NEW, value);
        if (sums->last_sample != table->samples_seen) {
            sums->last_sample = table->samples_seen;
            sums->with_samples++;
            sums->with_value = amount_add(sums->with_value, value);
        }
    }
}

void label_table_add(struct label_table *table, const struct profile *profile, int type,
                     const struct selection *selection)
{
    bool *wanted = selection_of_samples(selection, profile);
    for (uint32_t row = 0; row < profile->document.sample_count; row++) {
        int64_t value = profile_value(profile, row, type);
        table->samples_seen++;
        table->total = amount_add(table->total, amount_magnitude(value));
        if (!wanted[row])
            continue;
        table->samples_selected++;
        table->selected_value = amount_add(table->selected_value, value);
        add_labels(table, profile, row, value);
    }
    free(wanted);
}

static int compare_keys(const void *left, const void *right)
{
    return strcmp(((const struct label_sums *)left)->key, ((const struct label_sums *)right)->key);
}

void label_table_end(struct label_table *table)
{
    for (size_t i = 0; i < table->key_count; i++) {
        struct label_sums *sums = &table->sums[i];
        sums->without = (struct label_row){
            .values[SIDE_NEW] = amount_subtract(table->selected_value, sums->with_value),
            .samples = table->samples_selected - sums->with_samples};
    }
    if (table->key_count > 0)
        qsort(table->sums, table->key_count, sizeof(*table->sums), compare_keys);
}

void label_table_free(struct label_table *table)
{
    for (size_t i = 0; i < table->key_count; i++)
        label_sums_free(&table->sums[i]);
    free(table->sums);
    intern_free(&table->keys);
    pool_free(&table->pool);
    *table = (struct label_table){0};
}
