/* SPDX-License-Identifier: MIT */
#include "profile/contention/rows.h"

#include <errno.h>
#include <string.h>

#include "profile/row_list.h"
#include "profile/text.h"

enum { CONTENTIONS, DELAY, COLUMNS };

static const struct rth_profile_value_type column_types[COLUMNS] = {
    {"contentions", "count"},
    {"delay", "nanoseconds"},
};

static int fill(struct rth_row_list *list, const struct rth_waited_profile *profile,
                const struct rth_sites_copy *now, const struct rth_sites_copy *base)
{
    static const struct rth_site_values nothing;
    for (size_t i = 0; i < now->count; i++) {
        const struct rth_site_row *row = &now->rows[i];
        if (row->kind != profile->kind)
            continue;
        const struct rth_site_row *before =
            base != NULL ? rth__sites_copy_find(base, row->identity) : NULL;
        const struct rth_site_values *then = before != NULL ? &before->values : &nothing;
        uint64_t count = row->values.added_count - then->added_count;
        uint64_t delay_ns = row->values.added_amount - then->added_amount;
        if (count == 0 && delay_ns == 0)
            continue;
        int64_t *values =
            rth__row_list_add(list, row->frames, row->frame_count, row->label_set, NULL, 0);
        if (values == NULL)
            return -ENOMEM;
        values[CONTENTIONS] = rth__site_count_rounded(count, profile->count_shift);
        values[DELAY] = (int64_t)delay_ns;
    }
    return 0;
}

static int write_proto(const struct rth_waited_profile *profile, const struct rth_row_list *list,
                       struct rth_sink *sink)
{
    struct rth_profile_description description = {
        .sample_types = column_types,
        .sample_type_count = COLUMNS,
        .period_type = {"contentions", "count"},
        .period = 1,
        .time_ns = profile->time_ns,
        .duration_ns = profile->duration_ns,
        .comments = profile->comments->lines,
        .comment_count = profile->comments->count,
    };
    struct rth_profile_rows rows = {list->rows, list->count};
    return rth__profile_encode(&description, &rows, &profile->naming, sink);
}

/* ---- as text -------------------------------------------------------------------------------- */

static bool is_before(const struct rth_profile_row *a, const struct rth_profile_row *b)
{
    return a->values[DELAY] > b->values[DELAY];
}

static void sift_down(struct rth_profile_row *rows, size_t at, size_t count)
{
    struct rth_profile_row moved = rows[at];
    for (;;) {
        size_t child = 2 * at + 1;
        if (child >= count)
            break;
        if (child + 1 < count && is_before(&rows[child], &rows[child + 1]))
            child++;
        if (!is_before(&moved, &rows[child]))
            break;
        rows[at] = rows[child];
        at = child;
    }
    rows[at] = moved;
}

/* Longest delay first. Heap sort: qsort takes malloc for large arrays. */
static void sort(struct rth_profile_row *rows, size_t count)
{
    for (size_t i = count / 2; i > 0; i--)
        sift_down(rows, i - 1, count);
    for (size_t left = count; left > 1; left--) {
        struct rth_profile_row last = rows[0];
        rows[0] = rows[left - 1];
        rows[left - 1] = last;
        sift_down(rows, 0, left - 1);
    }
}

static void write_text_row(const struct rth_profile_row *row, const struct rth_symbol_set *symbols,
                           struct rth_sink *sink)
{
    (void)rth__sink_printf(sink, "%lld ", (long long)row->values[DELAY]);
    rth__profile_text_stack(sink, row->values[CONTENTIONS], row->frames, row->frame_count);
    (void)rth__sink_puts(sink, "\n");
    rth__profile_text_detail(sink, symbols, row);
}

static int write_text(const struct rth_waited_profile *profile, struct rth_row_list *list,
                      struct rth_sink *sink)
{
    struct rth_symbol_set *symbols;
    int error = rth__profile_text_symbols(&(struct rth_profile_rows){list->rows, list->count},
                                          &profile->naming, &symbols);
    if (error == 0) {
        sort(list->rows, list->count);
        (void)rth__sink_printf(sink, "--- %s:\ncycles/second=1000000000\n", profile->text_name);
        if (profile->has_period)
            (void)rth__sink_puts(sink, "sampling period=1\n");
        for (size_t i = 0; i < list->count && !rth__sink_cancelled(sink); i++)
            write_text_row(&list->rows[i], symbols, sink);
        rth__profile_text_comments(sink, profile->comments->lines, profile->comments->count);
        error = sink->error;
    }
    rth__symbol_set_free(symbols);
    return error;
}

int rth__waited_profile_write(const struct rth_waited_profile *profile,
                              const struct rth_sites_copy *now, const struct rth_sites_copy *base,
                              struct rth_sink *sink)
{
    struct rth_row_list list;
    int error = rth__row_list_init(&list, now->count, COLUMNS);
    if (error == 0)
        error = fill(&list, profile, now, base);
    if (error == 0)
        error = profile->debug == 0 ? write_proto(profile, &list, sink)
                                    : write_text(profile, &list, sink);
    rth__row_list_free(&list);
    return error;
}
