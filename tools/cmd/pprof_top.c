/* SPDX-License-Identifier: MIT */
/* Tables by function or line: `rthooks pprof top`, `lines` and `diff`, in pprof's layout. */

#include "cmd/pprof.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "profile/amount.h"
#include "profile/units.h"

/* Rows with a smaller share, in cum, are only counted. */
#define SMALLEST_SHARE 0.005

struct table {
    const struct pprof_input *inputs;
    size_t input_count;
    const struct pprof_options *options;
    struct tally_row **rows;
    size_t shown, kept, dropped; /* kept: before the limit */
    int64_t total, cutoff;
    const char *unit, *shown_unit;
};

static const char *value_text(const struct table *table, int64_t value, char text[static 64])
{
    return unit_text(value, table->unit, table->shown_unit, text, 64);
}

static void print_head(const struct table *table, int64_t accounted)
{
    char value[64], total[64], percent[32];
    pprof_print_head(table->inputs, table->input_count, table->options, table->total,
                     table->shown_unit);
    percent_text(accounted, table->total, percent, sizeof(percent));
    printf("Showing nodes accounting for %s, %s of %s total\n", value_text(table, accounted, value),
           percent + strspn(percent, " "), value_text(table, table->total, total));
    if (table->dropped > 0)
        printf("Dropped %zu node%s (cum <= %s)\n", table->dropped, table->dropped > 1 ? "s" : "",
               value_text(table, table->cutoff, value));
    if (table->shown < table->kept)
        printf("Showing top %zu nodes out of %zu\n", table->shown, table->kept);
}

/* ---- rows ---- */

static const char *inline_mark(const struct tally_row *row)
{
    if (!row->inlined)
        return "";
    return row->called ? " (partial-inline)" : " (inline)";
}

static void print_rows(const struct table *table)
{
    char flat[64], cum[64], flat_percent[32], sum_percent[32], cum_percent[32];
    int64_t sum = 0;
    printf("%10s %5s%% %5s%% %10s %5s%%\n", "flat", "flat", "sum", "cum", "cum");
    for (size_t i = 0; i < table->shown; i++) {
        const struct tally_row *row = table->rows[i];
        sum = (int64_t)((uint64_t)sum + (uint64_t)row->flat);
        printf("%10s %s %s %10s %s  ", value_text(table, row->flat, flat),
               percent_text(row->flat, table->total, flat_percent, sizeof(flat_percent)),
               percent_text(sum, table->total, sum_percent, sizeof(sum_percent)),
               value_text(table, row->cum, cum),
               percent_text(row->cum, table->total, cum_percent, sizeof(cum_percent)));
        print_clean(row->label);
        printf("%s\n", inline_mark(row));
    }
}

static int print_table_json(const struct table *table)
{
    json_t *answer = json_object(), *rows = json_array();
    json_object_set_new(answer, "type", json_text(pprof_type_row(&table->inputs[0])->type));
    json_object_set_new(answer, "unit", json_text(table->unit));
    json_object_set_new(answer, "total", json_integer(table->total));
    json_object_set_new(answer, "comments", comments_json(&table->inputs[0].profile));
    json_object_set_new(answer, "dropped", json_integer((json_int_t)table->dropped));
    for (size_t i = 0; i < table->shown; i++) {
        const struct tally_row *row = table->rows[i];
        json_t *one = json_object();
        json_object_set_new(one, "function", json_text(row->frame.name));
        if (table->options->by_line && row->frame.file[0] != '\0') {
            json_object_set_new(one, "file", json_text(row->frame.file));
            json_object_set_new(one, "line", json_integer(row->frame.line));
        }
        json_object_set_new(one, "flat", json_integer(row->flat));
        json_object_set_new(one, "flat_share", json_real(amount_share(row->flat, table->total)));
        json_object_set_new(one, "cum", json_integer(row->cum));
        json_object_set_new(one, "cum_share", json_real(amount_share(row->cum, table->total)));
        json_object_set_new(one, "inlined", json_boolean(row->inlined));
        json_array_append_new(rows, one);
    }
    json_object_set_new(answer, "rows", rows);
    return print_json(answer) ? EXIT_FINE : EXIT_UNREACHABLE;
}

/* A unit in which the smallest row shown and the total can both be read. */
static void choose_unit(struct table *table)
{
    int64_t smallest = 0;
    for (size_t i = 0; i < table->shown; i++) {
        const struct tally_row *row = table->rows[i];
        int64_t value = amount_magnitude(row->flat != 0 ? row->flat : row->cum);
        if (smallest == 0 || value < smallest)
            smallest = value;
    }
    table->shown_unit =
        unit_for_range(smallest != 0 ? smallest : table->total, table->total, table->unit);
}

static int print_tally(struct tally *tally, const struct pprof_input *inputs, size_t count,
                       int64_t total, const struct pprof_options *options)
{
    struct table table = {
        .inputs = inputs, .input_count = count, .options = options, .total = total};
    double flat_sum = 0;
    int64_t accounted = 0;
    table.unit = pprof_type_row(&table.inputs[0])->unit;
    for (size_t i = 0; i < tally->row_count; i++)
        flat_sum += (double)tally->rows[i].flat;
    table.cutoff = (int64_t)fabs(flat_sum * SMALLEST_SHARE);
    table.rows = tally_sorted(tally, options->by_cum, table.cutoff, &table.kept, &table.dropped);
    table.shown = table.kept;
    if (options->limit > 0 && (size_t)options->limit < table.kept)
        table.shown = (size_t)options->limit;
    for (size_t i = 0; i < table.shown; i++)
        accounted = (int64_t)((uint64_t)accounted + (uint64_t)table.rows[i]->flat);
    choose_unit(&table);
    int status = EXIT_FINE;
    if (options->common.json) {
        status = print_table_json(&table);
    } else {
        print_head(&table, accounted);
        print_rows(&table);
    }
    free(table.rows);
    return status;
}

int pprof_top(struct pprof_input *inputs, size_t count, const struct pprof_options *options)
{
    if (options->by_label != NULL)
        return pprof_top_by_label(inputs, count, options);
    struct tally tally = {.by_line = options->by_line};
    for (size_t i = 0; i < count; i++)
        tally_add(&tally, &inputs[i].profile, inputs[i].type, 1, &options->selection);
    int status = tally.samples_selected == 0
                     ? pprof_say_empty(inputs, count)
                     : print_tally(&tally, inputs, count, tally.total, options);
    tally_free(&tally);
    return status;
}

/* The new profile minus the base; percentages are of the base. */
int pprof_diff(struct pprof_input *inputs, size_t count, const struct pprof_options *options)
{
    struct tally tally = {.by_line = options->by_line};
    int64_t base_total = profile_total(&inputs[0].profile, inputs[0].type);
    int64_t new_total = profile_total(&inputs[1].profile, inputs[1].type);
    double factor = 1;
    /* What was not there before is all of NEW: shares are of that then. */
    int64_t whole = base_total != 0 ? base_total : new_total;
    if (whole == 0)
        return pprof_say_empty(inputs, 2);
    if (options->normalize) {
        if (base_total == 0 || new_total == 0)
            return pprof_say_empty(&inputs[base_total == 0 ? 0 : 1], 1);
        factor = (double)base_total / (double)new_total;
    }
    (void)count;
    if (options->by_label != NULL)
        return pprof_diff_by_label(inputs, factor, options);
    tally_add(&tally, &inputs[0].profile, inputs[0].type, -1, &options->selection);
    tally_add(&tally, &inputs[1].profile, inputs[1].type, factor, &options->selection);
    int status = tally.samples_selected == 0 ? pprof_say_empty(inputs, 2)
                                             : print_tally(&tally, inputs, 2, whole, options);
    tally_free(&tally);
    return status;
}
