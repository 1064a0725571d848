/* SPDX-License-Identifier: MIT */
/* Tables with a row per value of a label: `rthooks pprof top --by-label` and `diff --by-label`. */

#include "cmd/pprof.h"

#include <stdlib.h>
#include <string.h>

#include "profile/amount.h"
#include "profile/label_tally.h"
#include "profile/units.h"

struct table {
    const struct pprof_input *inputs;
    size_t input_count;
    const struct pprof_options *options;
    bool is_diff;
    struct label_row **rows;
    size_t shown, kept;
    /* Of all samples, magnitudes; in a difference of both sides. */
    int64_t total, new_total;
    int64_t
        whole; /* what percentages refer to: total, or what was not there before is all of NEW */
    const char *unit, *shown_unit;
};

static const char *value_text(const struct table *table, int64_t value, char text[static 64])
{
    return unit_text(value, table->unit, table->shown_unit, text, 64);
}

/* A unit in which the smallest value shown and the total can both be read. */
static void choose_unit(struct table *table)
{
    int64_t smallest = 0;
    for (size_t i = 0; i < table->shown; i++) {
        for (int side = 0; side < SIDE_COUNT; side++) {
            int64_t value = amount_magnitude(table->rows[i]->values[side]);
            if (value != 0 && (smallest == 0 || value < smallest))
                smallest = value;
        }
    }
    table->shown_unit =
        unit_for_range(smallest != 0 ? smallest : table->whole, table->whole, table->unit);
}

static void print_text(const struct table *table)
{
    char old[64], new[64], delta[64], percent[32];
    pprof_print_head(table->inputs, table->input_count, table->options, table->whole,
                     table->shown_unit);
    if (table->is_diff)
        printf("Total: %s before, %s after\n", value_text(table, table->total, old),
               value_text(table, table->new_total, new));
    else
        printf("Total: %s\n", value_text(table, table->total, old));
    if (table->shown < table->kept)
        printf("Showing top %zu values out of %zu\n", table->shown, table->kept);
    if (table->is_diff)
        printf("%10s %10s ", "before", "after");
    printf("%10s %5s%%  ", table->is_diff ? "delta" : "value", table->is_diff ? "delta" : "value");
    print_clean(table->options->by_label);
    putchar('\n');
    for (size_t i = 0; i < table->shown; i++) {
        const struct label_row *row = table->rows[i];
        if (table->is_diff)
            printf("%10s %10s ", value_text(table, row->values[SIDE_OLD], old),
                   value_text(table, row->values[SIDE_NEW], new));
        printf("%10s %s  ", value_text(table, label_row_delta(row), delta),
               percent_text(label_row_delta(row), table->whole, percent, sizeof(percent)));
        if (row->text != NULL) {
            print_clean(row->text);
        } else {
            fputs("[no ", stdout);
            print_clean(table->options->by_label);
            putchar(']');
        }
        putchar('\n');
    }
}

static int print_table_json(const struct table *table)
{
    json_t *answer = json_object(), *rows = json_array();
    json_object_set_new(answer, "type", json_text(pprof_type_row(&table->inputs[0])->type));
    json_object_set_new(answer, "unit", json_text(table->unit));
    json_object_set_new(answer, "label", json_text(table->options->by_label));
    json_object_set_new(answer, "total", json_integer(table->total));
    if (table->is_diff)
        json_object_set_new(answer, "new_total", json_integer(table->new_total));
    json_object_set_new(answer, "comments", comments_json(&table->inputs[0].profile));
    for (size_t i = 0; i < table->shown; i++) {
        const struct label_row *row = table->rows[i];
        json_t *one = json_object();
        int64_t delta = label_row_delta(row);
        json_object_set_new(one, "value", row->text != NULL ? json_text(row->text) : json_null());
        if (table->is_diff) {
            json_object_set_new(one, "before", json_integer(row->values[SIDE_OLD]));
            json_object_set_new(one, "after", json_integer(row->values[SIDE_NEW]));
        }
        json_object_set_new(one, table->is_diff ? "delta" : "total", json_integer(delta));
        json_object_set_new(one, "share", json_real(amount_share(delta, table->whole)));
        json_object_set_new(one, "samples", json_integer((json_int_t)row->samples));
        json_array_append_new(rows, one);
    }
    json_object_set_new(answer, "rows", rows);
    return print_json(answer) ? EXIT_FINE : EXIT_UNREACHABLE;
}

static int print_sums(struct table *table, struct label_sums *sums)
{
    table->rows = label_sums_sorted(sums, true, &table->kept);
    table->shown = table->kept;
    if (table->options->limit > 0 && (size_t)table->options->limit < table->kept)
        table->shown = (size_t)table->options->limit;
    table->unit = pprof_type_row(&table->inputs[0])->unit;
    table->whole = table->total != 0 ? table->total : table->new_total;
    choose_unit(table);
    int status = EXIT_FINE;
    if (table->kept == 0 || table->whole == 0)
        status = pprof_say_empty(table->inputs, table->input_count);
    else if (table->options->common.json)
        status = print_table_json(table);
    else
        print_text(table);
    free(table->rows);
    return status;
}

int pprof_top_by_label(const struct pprof_input *inputs, size_t count,
                       const struct pprof_options *options)
{
    struct pool pool = {0};
    struct label_sums sums = {.key = options->by_label};
    struct table table = {.inputs = inputs, .input_count = count, .options = options};
    for (size_t i = 0; i < count; i++) {
        label_sums_add(&sums, &inputs[i].profile, inputs[i].type, 1, SIDE_NEW, &options->selection,
                       &pool);
        table.total = amount_add(table.total, profile_total(&inputs[i].profile, inputs[i].type));
    }
    int status = print_sums(&table, &sums);
    label_sums_free(&sums);
    pool_free(&pool);
    return status;
}

int pprof_diff_by_label(const struct pprof_input *inputs, double factor,
                        const struct pprof_options *options)
{
    struct pool pool = {0};
    struct label_sums sums = {.key = options->by_label};
    struct table table = {.inputs = inputs, .input_count = 2, .options = options, .is_diff = true};
    label_sums_add(&sums, &inputs[0].profile, inputs[0].type, 1, SIDE_OLD, &options->selection,
                   &pool);
    label_sums_add(&sums, &inputs[1].profile, inputs[1].type, factor, SIDE_NEW, &options->selection,
                   &pool);
    table.total = profile_total(&inputs[0].profile, inputs[0].type);
    table.new_total = amount_scaled(profile_total(&inputs[1].profile, inputs[1].type), factor);
    int status = print_sums(&table, &sums);
    label_sums_free(&sums);
    pool_free(&pool);
    return status;
}
