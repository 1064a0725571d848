/* SPDX-License-Identifier: MIT */
/* Tables by function or line: `rthooks pprof top`, `lines` and `diff`, in pprof's layout. */

#include "cmd/pprof.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

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

static const struct rth_pprof_type_row *type_of(const struct table *table)
{
    return &table->inputs[0].profile.document.types[table->inputs[0].type];
}

static const char *value_text(const struct table *table, int64_t value, char text[static 64])
{
    return unit_text(value, table->unit, table->shown_unit, text, 64);
}

/* ---- head ---- */

static void print_time(const struct table *table)
{
    char text[64];
    struct tm local;
    int64_t earliest_ns = 0, duration_ns = 0;
    for (size_t i = 0; i < table->input_count; i++) {
        const struct rth_pprof_document *document = &table->inputs[i].profile.document;
        if (document->time_ns > 0 && (earliest_ns == 0 || document->time_ns < earliest_ns))
            earliest_ns = document->time_ns;
        if (__builtin_add_overflow(duration_ns, document->duration_ns, &duration_ns))
            duration_ns = INT64_MAX;
    }
    time_t seconds = (time_t)(earliest_ns / 1000000000);
    if (earliest_ns > 0 && localtime_r(&seconds, &local) != NULL &&
        strftime(text, sizeof(text), "%Y-%m-%d %H:%M:%S %Z", &local) > 0)
        printf("Time: %s\n", text);
    if (duration_ns <= 0)
        return;
    const char *unit;
    char percent[32];
    double total_ns = unit_scale(table->total, table->unit, "nanoseconds", &unit);
    printf("Duration: %s, ", unit_text(duration_ns, "nanoseconds", UNIT_AUTO, text, sizeof(text)));
    printf("Total samples = %s", value_text(table, table->total, text));
    if (strcmp(unit, "ns") == 0 && total_ns >= 1)
        printf(" (%s)", percent_text((int64_t)total_ns, duration_ns, percent, sizeof(percent)));
    putchar('\n');
}

static void print_labelled(const char *label, const char *text)
{
    fputs(label, stdout);
    print_clean(text);
    putchar('\n');
}

static void print_head(const struct table *table, int64_t accounted)
{
    const struct rth_pprof_document *document = &table->inputs[0].profile.document;
    char value[64], total[64], percent[32];
    if (profile_program(&table->inputs[0].profile)[0] != '\0')
        print_labelled("File: ", profile_program(&table->inputs[0].profile));
    if (document->mapping_count > 0 && document->mappings[0].build_id[0] != '\0')
        print_labelled("Build ID: ", document->mappings[0].build_id);
    for (size_t i = 0; i < table->input_count; i++) {
        document = &table->inputs[i].profile.document;
        for (uint32_t k = 0; k < document->comment_count; k++)
            print_labelled("", document->comments[k]);
    }
    print_labelled("Type: ", type_of(table)->type);
    print_time(table);
    if (table->options->focus_pattern != NULL)
        print_labelled("Only: ", table->options->focus_pattern);
    if (table->options->ignore_pattern != NULL)
        print_labelled("Without: ", table->options->ignore_pattern);
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

static double share_of(int64_t value, int64_t total)
{
    return total != 0 ? (double)value / (double)total : 0;
}

static int print_table_json(const struct table *table)
{
    json_t *answer = json_object(), *rows = json_array();
    json_object_set_new(answer, "type", json_text(type_of(table)->type));
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
        json_object_set_new(one, "flat_share", json_real(share_of(row->flat, table->total)));
        json_object_set_new(one, "cum", json_integer(row->cum));
        json_object_set_new(one, "cum_share", json_real(share_of(row->cum, table->total)));
        json_object_set_new(one, "inlined", json_boolean(row->inlined));
        json_array_append_new(rows, one);
    }
    json_object_set_new(answer, "rows", rows);
    return print_json(answer) ? EXIT_FINE : EXIT_UNREACHABLE;
}

static int64_t magnitude(int64_t value)
{
    return value == INT64_MIN ? INT64_MAX : llabs(value);
}

/* A unit in which the smallest row shown and the total can both be read. */
static void choose_unit(struct table *table)
{
    int64_t smallest = 0;
    for (size_t i = 0; i < table->shown; i++) {
        const struct tally_row *row = table->rows[i];
        int64_t value = magnitude(row->flat != 0 ? row->flat : row->cum);
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
    table.unit = type_of(&table)->unit;
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
    if (base_total == 0)
        return pprof_say_empty(&inputs[0], 1);
    if (options->normalize) {
        if (new_total == 0)
            return pprof_say_empty(&inputs[1], 1);
        factor = (double)base_total / (double)new_total;
    }
    (void)count;
    tally_add(&tally, &inputs[0].profile, inputs[0].type, -1, &options->selection);
    tally_add(&tally, &inputs[1].profile, inputs[1].type, factor, &options->selection);
    int status = tally.samples_selected == 0 ? pprof_say_empty(inputs, 2)
                                             : print_tally(&tally, inputs, 2, base_total, options);
    tally_free(&tally);
    return status;
}
