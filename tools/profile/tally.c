/* SPDX-License-Identifier: MIT */
#include "profile/tally.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "profile/amount.h"

int64_t profile_total(const struct profile *profile, int type)
{
    int64_t total = 0;
    for (uint32_t row = 0; row < profile->document.sample_count; row++)
        total = amount_add(total, amount_magnitude(profile_value(profile, row, type)));
    return total;
}

static const char *label_of(struct tally *tally, const struct frame *frame)
{
    if (!tally->by_line || (frame->file[0] == '\0' && frame->line == 0))
        return frame->name;
    size_t size = strlen(frame->name) + strlen(frame->file) + 24;
    char *label = pool_take(&tally->pool, size);
    if (frame->line != 0)
        snprintf(label, size, "%s %s:%" PRId64, frame->name, frame->file, frame->line);
    else
        snprintf(label, size, "%s %s", frame->name, frame->file);
    return label;
}

static uint32_t row_of(struct tally *tally, const struct frame *frame)
{
    const char *label = label_of(tally, frame);
    uint32_t number = intern_number(&tally->labels, label, strlen(label));
    if (number == tally->row_count) {
        tally->rows =
            grow(tally->rows, tally->row_count, &tally->row_capacity, sizeof(*tally->rows));
        tally->rows[tally->row_count++] = (struct tally_row){.label = label, .frame = *frame};
    }
    return number;
}

/* Rows of the frames of every location, one after the other; starts[location] is the first. */
struct frame_rows {
    uint32_t *rows;
    size_t *starts;
};

static struct frame_rows rows_of_frames(struct tally *tally, const struct profile *profile)
{
    uint32_t locations = profile->document.location_count;
    struct frame_rows result = {.starts = take(locations + 1, sizeof(*result.starts))};
    for (uint32_t row = 0; row < locations; row++)
        result.starts[row + 1] = result.starts[row] + profile->locations[row].count;
    result.rows = take(result.starts[locations], sizeof(*result.rows));
    size_t next = 0;
    for (uint32_t row = 0; row < locations; row++) {
        for (uint32_t i = 0; i < profile->locations[row].count; i++)
            result.rows[next++] = row_of(tally, &profile->locations[row].list[i]);
    }
    return result;
}

static void add_sample(struct tally *tally, const struct rth_pprof_document *document,
                       const struct frame_rows *frames, const struct rth_pprof_sample_row *sample,
                       int64_t value)
{
    struct tally_row *callee = NULL;
    bool callee_inlined = false;
    for (uint32_t i = 0; i < sample->location_count; i++) {
        uint32_t location = document->sample_locations[sample->first_location + i];
        for (size_t at = frames->starts[location]; at < frames->starts[location + 1]; at++) {
            struct tally_row *row = &tally->rows[frames->rows[at]];
            if (callee == NULL)
                row->flat = amount_add(row->flat, value);
            if (row->last_sample != tally->samples_seen) {
                row->last_sample = tally->samples_seen;
                row->cum = amount_add(row->cum, value);
            }
            if (callee != NULL && callee != row) {
                callee->inlined |= callee_inlined;
                callee->called |= !callee_inlined;
            }
            callee = row;
            callee_inlined = at + 1 < frames->starts[location + 1];
        }
    }
}

void tally_add(struct tally *tally, const struct profile *profile, int type, double factor,
               const struct selection *selection)
{
    const struct rth_pprof_document *document = &profile->document;
    bool *wanted = selection_of_samples(selection, profile);
    struct frame_rows frames = rows_of_frames(tally, profile);
    for (uint32_t row = 0; row < document->sample_count; row++) {
        int64_t value = amount_scaled(profile_value(profile, row, type), factor);
        tally->samples_seen++;
        tally->total = amount_add(tally->total, amount_magnitude(value));
        if (!wanted[row] || value == 0)
            continue;
        tally->samples_selected++;
        add_sample(tally, document, &frames, &document->samples[row], value);
    }
    free(frames.rows);
    free(frames.starts);
    free(wanted);
}

void tally_free(struct tally *tally)
{
    intern_free(&tally->labels);
    free(tally->rows);
    pool_free(&tally->pool);
    *tally = (struct tally){0};
}

static int descending(int64_t left, int64_t right)
{
    int64_t one = amount_magnitude(left), other = amount_magnitude(right);
    return (one < other) - (one > other);
}

static int compare(const void *left_pointer, const void *right_pointer, void *by_cum)
{
    const struct tally_row *left = *(struct tally_row *const *)left_pointer;
    const struct tally_row *right = *(struct tally_row *const *)right_pointer;
    bool cum_first = *(bool *)by_cum;
    int order = cum_first ? descending(left->cum, right->cum) : descending(left->flat, right->flat);
    if (order == 0)
        order = strcmp(left->label, right->label);
    if (order == 0)
        order = cum_first ? descending(left->flat, right->flat) : descending(left->cum, right->cum);
    return order;
}

struct tally_row **tally_sorted(struct tally *tally, bool by_cum, int64_t cutoff, size_t *ret_count,
                                size_t *ret_dropped)
{
    struct tally_row **sorted = take(tally->row_count, sizeof(struct tally_row *));
    size_t count = 0, dropped = 0;
    for (size_t i = 0; i < tally->row_count; i++) {
        struct tally_row *row = &tally->rows[i];
        if (row->flat == 0 && row->cum == 0)
            continue;
        if (amount_magnitude(row->cum) < cutoff)
            dropped++;
        else
            sorted[count++] = row;
    }
    qsort_r(sorted, count, sizeof(*sorted), compare, &by_cum);
    *ret_count = count;
    *ret_dropped = dropped;
    return sorted;
}
