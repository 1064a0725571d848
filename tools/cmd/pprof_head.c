/* SPDX-License-Identifier: MIT */
/* What stands above the tables of `rthooks pprof`: which profile it is and how it was taken. */

#include "cmd/pprof.h"

#include <string.h>
#include <time.h>

#include "profile/units.h"

static void print_time(const struct pprof_input *inputs, size_t count, int64_t total,
                       const char *shown_unit)
{
    const char *total_unit = pprof_type_row(&inputs[0])->unit;
    char text[64];
    struct tm local;
    int64_t earliest_ns = 0, duration_ns = 0;
    for (size_t i = 0; i < count; i++) {
        const struct rth_pprof_document *document = &inputs[i].profile.document;
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
    double total_ns = unit_scale(total, total_unit, "nanoseconds", &unit);
    printf("Duration: %s, ", unit_text(duration_ns, "nanoseconds", UNIT_AUTO, text, sizeof(text)));
    printf("Total samples = %s", unit_text(total, total_unit, shown_unit, text, sizeof(text)));
    if (strcmp(unit, "ns") == 0 && total_ns >= 1)
        printf(" (%s)", percent_text((int64_t)total_ns, duration_ns, percent, sizeof(percent)));
    putchar('\n');
}

static void print_named(const char *name, const char *text)
{
    if (text == NULL || text[0] == '\0')
        return;
    fputs(name, stdout);
    print_clean(text);
    putchar('\n');
}

const struct rth_pprof_type_row *pprof_type_row(const struct pprof_input *input)
{
    return &input->profile.document.types[input->type];
}

void pprof_print_head(const struct pprof_input *inputs, size_t count,
                      const struct pprof_options *options, int64_t total, const char *shown_unit)
{
    const struct rth_pprof_document *document = &inputs[0].profile.document;
    print_named("File: ", profile_program(&inputs[0].profile));
    if (document->mapping_count > 0)
        print_named("Build ID: ", document->mappings[0].build_id);
    for (size_t i = 0; i < count; i++) {
        document = &inputs[i].profile.document;
        for (uint32_t k = 0; k < document->comment_count; k++) {
            print_clean(document->comments[k]);
            putchar('\n');
        }
    }
    printf("Type: ");
    print_clean(pprof_type_row(&inputs[0])->type);
    putchar('\n');
    print_time(inputs, count, total, shown_unit);
    print_named("Only: ", options->focus_pattern);
    print_named("Without: ", options->ignore_pattern);
    print_named("Only labels: ", options->tag_focus_spec);
    print_named("Without labels: ", options->tag_ignore_spec);
}
