/* SPDX-License-Identifier: MIT */
/* `rthooks pprof tags`: which labels a profile has, and how its total divides among their values,
 * in pprof's layout. */

#include "cmd/pprof.h"

#include <stdlib.h>
#include <string.h>

#include "formats/utf8.h"
#include "profile/amount.h"
#include "profile/label_tally.h"
#include "profile/units.h"

struct tags {
    const struct pprof_input *inputs;
    const struct pprof_options *options;
    struct label_table *table;
    const char *unit;
};

/* Letters, as far as a terminal is concerned. */
static size_t width_of(const char *text)
{
    size_t width = 0, length = strlen(text);
    for (size_t at = 0; at < length; width++) {
        size_t bytes = rth__utf8_length((const unsigned char *)text + at, length - at);
        at += bytes > 0 ? bytes : 1;
    }
    return width;
}

static const char *value_text(const struct tags *tags, int64_t value, char text[static 64])
{
    return unit_text(value, tags->unit, UNIT_AUTO, text, 64);
}

static void amount_text(const struct tags *tags, int64_t value, char text[static 128])
{
    char amount[64], percent[32];
    snprintf(text, 128, "%s (%s):", value_text(tags, value, amount),
             percent_text(value, tags->table->total, percent, sizeof(percent)));
}

static size_t limited(const struct tags *tags, size_t count)
{
    size_t limit = (size_t)tags->options->limit;
    return limit > 0 && limit < count ? limit : count;
}

static void print_key(const struct tags *tags, struct label_sums *sums)
{
    char text[128], all[64], percent[32];
    size_t count, widest = 0, indent = width_of(sums->key) + 2;
    struct label_row **rows = label_sums_sorted(sums, false, &count);
    size_t shown = limited(tags, count);
    int64_t key_total = 0;
    for (size_t i = 0; i < count; i++)
        key_total = amount_add(key_total, rows[i]->values[SIDE_NEW]);
    for (size_t i = 0; i < shown; i++) {
        amount_text(tags, rows[i]->values[SIDE_NEW], text);
        widest = strlen(text) > widest ? strlen(text) : widest;
    }
    putchar(' ');
    print_clean(sums->key);
    printf(": Total %s of ", value_text(tags, key_total, text));
    printf("%s (%s)\n", value_text(tags, tags->table->total, all),
           percent_text(key_total, tags->table->total, percent, sizeof(percent)));
    for (size_t i = 0; i < shown; i++) {
        amount_text(tags, rows[i]->values[SIDE_NEW], text);
        printf("%*s%*s ", (int)indent, "", (int)widest + 1, text);
        print_clean(rows[i]->text);
        putchar('\n');
    }
    if (shown < count)
        printf("%*s %zu more values\n", (int)indent, "", count - shown);
    if (sums->without.samples > 0) {
        amount_text(tags, sums->without.values[SIDE_NEW], text);
        printf("%*s%*s [no ", (int)indent, "", (int)widest + 1, text);
        print_clean(sums->key);
        printf(", %llu row%s]\n", (unsigned long long)sums->without.samples,
               sums->without.samples > 1 ? "s" : "");
    }
    putchar('\n');
    free(rows);
}

static json_t *row_json(const struct tags *tags, const struct label_row *row)
{
    json_t *one = json_object();
    if (row->text != NULL)
        json_object_set_new(one, "value", json_text(row->text));
    if (row->number_unit != NULL) {
        json_object_set_new(one, "number", json_integer(row->number));
        json_object_set_new(one, "unit", json_text(row->number_unit));
    }
    json_object_set_new(one, "total", json_integer(row->values[SIDE_NEW]));
    json_object_set_new(one, "share",
                        json_real(amount_share(row->values[SIDE_NEW], tags->table->total)));
    json_object_set_new(one, "samples", json_integer((json_int_t)row->samples));
    return one;
}

static json_t *key_json(const struct tags *tags, struct label_sums *sums)
{
    json_t *one = json_object(), *values = json_array();
    int64_t key_total = 0;
    size_t count;
    struct label_row **rows = label_sums_sorted(sums, false, &count);
    for (size_t i = 0; i < count; i++) {
        key_total = amount_add(key_total, rows[i]->values[SIDE_NEW]);
        if (i < limited(tags, count))
            json_array_append_new(values, row_json(tags, rows[i]));
    }
    free(rows);
    json_object_set_new(one, "key", json_text(sums->key));
    json_object_set_new(one, "total", json_integer(key_total));
    json_object_set_new(one, "share", json_real(amount_share(key_total, tags->table->total)));
    json_object_set_new(one, "count", json_integer((json_int_t)count));
    json_object_set_new(one, "values", values);
    json_object_set_new(one, "without", row_json(tags, &sums->without));
    return one;
}

static int print_tags_json(const struct tags *tags)
{
    json_t *answer = json_object(), *keys = json_array();
    json_object_set_new(answer, "type", json_text(pprof_type_row(&tags->inputs[0])->type));
    json_object_set_new(answer, "unit", json_text(tags->unit));
    json_object_set_new(answer, "total", json_integer(tags->table->total));
    json_object_set_new(answer, "comments", comments_json(&tags->inputs[0].profile));
    for (size_t i = 0; i < tags->table->key_count; i++)
        json_array_append_new(keys, key_json(tags, &tags->table->sums[i]));
    json_object_set_new(answer, "keys", keys);
    return print_json(answer) ? EXIT_FINE : EXIT_UNREACHABLE;
}

int pprof_tags(struct pprof_input *inputs, size_t count, const struct pprof_options *options)
{
    struct label_table table = {0};
    struct tags tags = {.inputs = inputs,
                        .options = options,
                        .table = &table,
                        .unit = pprof_type_row(&inputs[0])->unit};
    int status = EXIT_FINE;
    for (size_t i = 0; i < count; i++)
        label_table_add(&table, &inputs[i].profile, inputs[i].type, &options->selection);
    label_table_end(&table);
    if (table.total == 0 || table.samples_selected == 0) {
        status = pprof_say_empty(inputs, count);
    } else if (options->common.json) {
        status = print_tags_json(&tags);
    } else {
        pprof_print_head(inputs, count, options, table.total, UNIT_AUTO);
        putchar('\n');
        if (table.key_count == 0)
            printf("No label in %llu row%s\n", (unsigned long long)table.samples_selected,
                   table.samples_selected > 1 ? "s" : "");
        for (size_t i = 0; i < table.key_count; i++)
            print_key(&tags, &table.sums[i]);
    }
    label_table_free(&table);
    return status;
}
