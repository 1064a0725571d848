/* SPDX-License-Identifier: MIT */
#include "profile/held.h"

#include <errno.h>
#include <string.h>

#include "core/arena.h"
#include "profile/labels.h"
#include "profile/text.h"

enum { ALLOC_OBJECTS, ALLOC_SPACE, INUSE_OBJECTS, INUSE_SPACE, COLUMNS };

static const struct rth_profile_value_type column_types[COLUMNS] = {
    {"alloc_objects", "count"},
    {"alloc_space", "bytes"},
    {"inuse_objects", "count"},
    {"inuse_space", "bytes"},
};

/* Of one site; labels are the program's, and the size of its blocks. */
struct held_row {
    int64_t values[COLUMNS];
    struct rth_pprof_label labels[RTH_LABELS_MAX + 1];
};

struct memory {
    struct held_row *held;
    struct rth_profile_row *rows;
    size_t held_bytes, rows_bytes, count;
};

static bool memory_take(struct memory *memory, size_t count)
{
    *memory = (struct memory){
        .held_bytes = (count + 1) * sizeof(struct held_row),
        .rows_bytes = (count + 1) * sizeof(struct rth_profile_row),
    };
    memory->held = rth__arena_alloc_nomalloc(memory->held_bytes);
    memory->rows = rth__arena_alloc_nomalloc(memory->rows_bytes);
    return memory->held != NULL && memory->rows != NULL;
}

static void memory_give(struct memory *memory)
{
    rth__arena_free_nomalloc(memory->held, memory->held_bytes);
    rth__arena_free_nomalloc(memory->rows, memory->rows_bytes);
}

/* False when nothing is left to show. */
static bool values_of(const struct rth_held_profile *profile, const struct rth_site_row *row,
                      const struct rth_site_values *then, int64_t ret_values[COLUMNS])
{
    const struct rth_site_values *now = &row->values;
    unsigned shift = profile->count_shift;
    ret_values[ALLOC_OBJECTS] =
        rth__site_count_rounded(now->added_count - then->added_count, shift);
    ret_values[ALLOC_SPACE] = (int64_t)(now->added_amount - then->added_amount);
    ret_values[INUSE_OBJECTS] =
        rth__site_count_rounded(now->added_count - now->removed_count, shift);
    ret_values[INUSE_SPACE] = (int64_t)(now->added_amount - now->removed_amount);
    for (int i = 0; i < COLUMNS; i++)
        if (ret_values[i] != 0)
            return true;
    return false;
}

static size_t labels_of(const struct rth_site_row *row, const int64_t values[COLUMNS],
                        struct rth_pprof_label ret_labels[RTH_LABELS_MAX + 1])
{
    size_t count = rth__profile_labels_read(row->label_set, ret_labels);
    bool is_taken = false;
    for (size_t i = 0; i < count; i++)
        is_taken = is_taken || strcmp(ret_labels[i].key, "bytes") == 0;
    const int64_t *pair =
        values[ALLOC_OBJECTS] > 0 ? &values[ALLOC_OBJECTS] : &values[INUSE_OBJECTS];
    if (pair[0] > 0 && !is_taken)
        ret_labels[count++] = (struct rth_pprof_label){.key = "bytes", .number = pair[1] / pair[0]};
    return count;
}

/* What rows of the base held that have made room since: it is in the row without a stack now. */
static struct rth_site_values evicted_of(const struct rth_held_profile *profile,
                                         const struct rth_sites_copy *now,
                                         const struct rth_sites_copy *base)
{
    struct rth_site_values sum = {0};
    for (size_t i = 0; i < base->count; i++) {
        const struct rth_site_row *row = &base->rows[i];
        if (row->kind != profile->kind || rth__sites_copy_find(now, row->identity) != NULL)
            continue;
        sum.added_count += row->values.added_count;
        sum.added_amount += row->values.added_amount;
    }
    return sum;
}

static void fill(struct memory *memory, const struct rth_held_profile *profile,
                 const struct rth_sites_copy *now, const struct rth_sites_copy *base)
{
    static const struct rth_site_values nothing;
    for (size_t i = 0; i < now->count; i++) {
        const struct rth_site_row *row = &now->rows[i];
        struct held_row *held = &memory->held[memory->count];
        if (row->kind != profile->kind)
            continue;
        const struct rth_site_row *before =
            base != NULL ? rth__sites_copy_find(base, row->identity) : NULL;
        struct rth_site_values then = before != NULL ? before->values : nothing;
        if (base != NULL && row->frame_count == 0) {
            struct rth_site_values evicted = evicted_of(profile, now, base);
            then.added_count += evicted.added_count;
            then.added_amount += evicted.added_amount;
        }
        if (!values_of(profile, row, &then, held->values))
            continue;
        memory->rows[memory->count++] = (struct rth_profile_row){
            .frames = row->frames,
            .frame_count = row->frame_count,
            .values = held->values,
            .labels = held->labels,
            .label_count = labels_of(row, held->values, held->labels),
        };
    }
}

static int write_proto(const struct rth_held_profile *profile, const struct memory *memory,
                       struct rth_sink *sink)
{
    struct rth_profile_description description = {
        .sample_types = column_types,
        .sample_type_count = COLUMNS,
        .default_sample_type = profile->default_sample_type,
        .period_type = {"space", "bytes"},
        .period = profile->period_bytes,
        .time_ns = profile->time_ns,
        .duration_ns = profile->duration_ns,
        .comments = profile->comments->lines,
        .comment_count = profile->comments->count,
    };
    struct rth_profile_rows rows = {memory->rows, memory->count};
    return rth__profile_encode(&description, &rows, &profile->naming, sink);
}

/* ---- as text -------------------------------------------------------------------------------- */

/* What pprof takes for a heap profile with nothing to scale: the rate is half of the number. */
#define TEXT_RATE "heap/2"

static void write_record(struct rth_sink *sink, const int64_t values[COLUMNS])
{
    (void)rth__sink_printf(sink, "%lld: %lld [%lld: %lld] @", (long long)values[INUSE_OBJECTS],
                           (long long)values[INUSE_SPACE], (long long)values[ALLOC_OBJECTS],
                           (long long)values[ALLOC_SPACE]);
}

static void write_text_rows(const struct memory *memory, const struct rth_symbol_set *symbols,
                            struct rth_sink *sink)
{
    for (size_t i = 0; i < memory->count && !rth__sink_cancelled(sink); i++) {
        const struct rth_profile_row *row = &memory->rows[i];
        write_record(sink, row->values);
        /* Where the calls return to, the innermost one too: readers take one off again. */
        for (unsigned k = 0; k < row->frame_count; k++)
            (void)rth__sink_printf(sink, " 0x%llx",
                                   (unsigned long long)rth__frame_address(row->frames[k]) + 1);
        (void)rth__sink_puts(sink, "\n");
        rth__profile_text_detail(sink, symbols, row);
    }
}

static int write_text(const struct rth_held_profile *profile, const struct memory *memory,
                      struct rth_sink *sink)
{
    struct rth_symbol_set *symbols;
    int error = rth__profile_text_symbols(&(struct rth_profile_rows){memory->rows, memory->count},
                                          &profile->naming, &symbols);
    int64_t total[COLUMNS] = {0};
    for (size_t i = 0; i < memory->count; i++)
        for (int k = 0; k < COLUMNS; k++)
            total[k] += memory->rows[i].values[k];
    if (error == 0) {
        (void)rth__sink_puts(sink, "heap profile: ");
        write_record(sink, total);
        (void)rth__sink_puts(sink, " " TEXT_RATE "\n");
        write_text_rows(memory, symbols, sink);
        rth__profile_text_comments(sink, profile->comments->lines, profile->comments->count);
        error = sink->error;
    }
    rth__symbol_set_free(symbols);
    return error;
}

int rth__held_profile_write(const struct rth_held_profile *profile,
                            const struct rth_sites_copy *now, const struct rth_sites_copy *base,
                            struct rth_sink *sink)
{
    struct memory memory;
    int error = memory_take(&memory, now->count) ? 0 : -ENOMEM;
    if (error == 0) {
        fill(&memory, profile, now, base);
        error = profile->debug == 0 ? write_proto(profile, &memory, sink)
                                    : write_text(profile, &memory, sink);
    }
    memory_give(&memory);
    return error;
}
