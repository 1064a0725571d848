/* SPDX-License-Identifier: MIT */
/* `rthooks pprof raw`: everything a profile holds, as text. */

#include "cmd/pprof.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void print_labels(const struct rth_pprof_document *document,
                         const struct rth_pprof_sample_row *sample)
{
    for (uint32_t i = 0; i < sample->label_count; i++) {
        const struct rth_pprof_label_row *label = &document->labels[sample->first_label + i];
        fputs("                ", stdout);
        print_clean(label->key);
        putchar('=');
        if (label->text[0] != '\0')
            print_clean(label->text);
        else
            printf("%" PRId64, label->number);
        if (label->text[0] == '\0' && label->unit[0] != '\0') {
            putchar(' ');
            print_clean(label->unit);
        }
        putchar('\n');
    }
}

static void print_samples(const struct rth_pprof_document *document, const bool *wanted)
{
    puts("Samples:");
    for (uint32_t i = 0; i < document->type_count; i++) {
        print_clean(document->types[i].type);
        putchar('/');
        print_clean(document->types[i].unit);
        putchar(i + 1 < document->type_count ? ' ' : '\n');
    }
    for (uint32_t row = 0; row < document->sample_count; row++) {
        const struct rth_pprof_sample_row *sample = &document->samples[row];
        if (!wanted[row])
            continue;
        for (uint32_t i = 0; i < document->type_count; i++)
            printf(" %10" PRId64, document->values[(size_t)row * document->type_count + i]);
        putchar(':');
        for (uint32_t i = 0; i < sample->location_count; i++)
            printf(" %" PRIu64,
                   document->locations[document->sample_locations[sample->first_location + i]].id);
        putchar('\n');
        print_labels(document, sample);
    }
}

static void print_locations(const struct profile *profile)
{
    const struct rth_pprof_document *document = &profile->document;
    puts("Locations");
    for (uint32_t row = 0; row < document->location_count; row++) {
        const struct rth_pprof_location_row *location = &document->locations[row];
        const struct frames *frames = &profile->locations[row];
        printf("%6" PRIu64 ": 0x%" PRIx64 " ", location->id, location->address);
        if (location->mapping != RTH_PPROF_NO_ROW)
            printf("M=%" PRIu64 " ", document->mappings[location->mapping].id);
        for (uint32_t i = 0; i < frames->count; i++) {
            fputs(i > 0 ? "             " : "", stdout);
            print_clean(frames->list[i].name);
            if (frames->list[i].file[0] != '\0') {
                putchar(' ');
                print_clean(frames->list[i].file);
                printf(":%" PRId64, frames->list[i].line);
            }
            putchar('\n');
        }
    }
}

static void print_mappings(const struct rth_pprof_document *document)
{
    puts("Mappings");
    for (uint32_t row = 0; row < document->mapping_count; row++) {
        const struct rth_pprof_mapping_row *mapping = &document->mappings[row];
        printf("%" PRIu64 ": 0x%" PRIx64 "/0x%" PRIx64 "/0x%" PRIx64 " ", mapping->id,
               mapping->start, mapping->limit, mapping->file_offset);
        print_clean(mapping->file);
        putchar(' ');
        print_clean(mapping->build_id);
        printf("%s%s%s%s\n", mapping->has_functions ? " [FN]" : "",
               mapping->has_filenames ? " [FL]" : "", mapping->has_line_numbers ? " [LN]" : "",
               mapping->has_inline_frames ? " [IN]" : "");
    }
}

static void print_text(const struct profile *profile, const bool *wanted)
{
    const struct rth_pprof_document *document = &profile->document;
    for (uint32_t i = 0; i < document->comment_count; i++) {
        fputs("Comment: ", stdout);
        print_clean(document->comments[i]);
        putchar('\n');
    }
    fputs("PeriodType: ", stdout);
    print_clean(document->period_type.type);
    putchar(' ');
    print_clean(document->period_type.unit);
    printf("\nPeriod: %" PRId64 "\n", document->period);
    if (document->time_ns != 0)
        printf("TimeNanos: %" PRId64 "\n", document->time_ns);
    if (document->duration_ns != 0)
        printf("DurationNanos: %" PRId64 "\n", document->duration_ns);
    if (document->default_type[0] != '\0') {
        fputs("DefaultSampleType: ", stdout);
        print_clean(document->default_type);
        putchar('\n');
    }
    print_samples(document, wanted);
    print_locations(profile);
    print_mappings(document);
}

static json_t *types_json(const struct rth_pprof_type_row *types, uint32_t count)
{
    json_t *list = json_array();
    for (uint32_t i = 0; i < count; i++) {
        json_t *type = json_object();
        json_object_set_new(type, "type", json_text(types[i].type));
        json_object_set_new(type, "unit", json_text(types[i].unit));
        json_array_append_new(list, type);
    }
    return list;
}

static json_t *samples_json(const struct rth_pprof_document *document, const bool *wanted)
{
    json_t *list = json_array();
    for (uint32_t row = 0; row < document->sample_count; row++) {
        const struct rth_pprof_sample_row *sample = &document->samples[row];
        if (!wanted[row])
            continue;
        json_t *one = json_object(), *values = json_array(), *locations = json_array();
        json_t *labels = json_array();
        for (uint32_t i = 0; i < document->type_count; i++)
            json_array_append_new(
                values, json_integer(document->values[(size_t)row * document->type_count + i]));
        /* Row numbers of the list of locations: ids need not fit a JSON number. */
        for (uint32_t i = 0; i < sample->location_count; i++)
            json_array_append_new(
                locations, json_integer(document->sample_locations[sample->first_location + i]));
        for (uint32_t i = 0; i < sample->label_count; i++) {
            const struct rth_pprof_label_row *label = &document->labels[sample->first_label + i];
            json_t *entry = json_object();
            json_object_set_new(entry, "key", json_text(label->key));
            json_object_set_new(entry, "value",
                                label->text[0] != '\0' ? json_text(label->text)
                                                       : json_integer(label->number));
            if (label->unit[0] != '\0')
                json_object_set_new(entry, "unit", json_text(label->unit));
            json_array_append_new(labels, entry);
        }
        json_object_set_new(one, "values", values);
        json_object_set_new(one, "locations", locations);
        json_object_set_new(one, "labels", labels);
        json_array_append_new(list, one);
    }
    return list;
}

static json_t *hexadecimal(uint64_t value)
{
    char text[24];
    snprintf(text, sizeof(text), "0x%" PRIx64, value);
    return json_string(text);
}

static json_t *locations_json(const struct profile *profile)
{
    const struct rth_pprof_document *document = &profile->document;
    json_t *list = json_array();
    for (uint32_t row = 0; row < document->location_count; row++) {
        const struct frames *frames = &profile->locations[row];
        uint32_t mapping = document->locations[row].mapping;
        json_t *one = json_object(), *lines = json_array();
        json_object_set_new(one, "address", hexadecimal(document->locations[row].address));
        json_object_set_new(one, "mapping",
                            mapping != RTH_PPROF_NO_ROW ? json_integer(mapping) : json_null());
        for (uint32_t i = 0; i < frames->count; i++) {
            json_t *line = json_object();
            json_object_set_new(line, "function", json_text(frames->list[i].name));
            json_object_set_new(line, "file", json_text(frames->list[i].file));
            json_object_set_new(line, "line", json_integer(frames->list[i].line));
            json_array_append_new(lines, line);
        }
        json_object_set_new(one, "lines", lines);
        json_array_append_new(list, one);
    }
    return list;
}

static json_t *mappings_json(const struct rth_pprof_document *document)
{
    json_t *list = json_array();
    for (uint32_t row = 0; row < document->mapping_count; row++) {
        const struct rth_pprof_mapping_row *mapping = &document->mappings[row];
        json_t *one = json_object();
        json_object_set_new(one, "start", hexadecimal(mapping->start));
        json_object_set_new(one, "limit", hexadecimal(mapping->limit));
        json_object_set_new(one, "offset", hexadecimal(mapping->file_offset));
        json_object_set_new(one, "file", json_text(mapping->file));
        json_object_set_new(one, "build_id", json_text(mapping->build_id));
        json_array_append_new(list, one);
    }
    return list;
}

static int print_raw_json(const struct profile *profile, const bool *wanted)
{
    const struct rth_pprof_document *document = &profile->document;
    json_t *answer = json_object();
    json_object_set_new(answer, "sample_types", types_json(document->types, document->type_count));
    json_object_set_new(answer, "period_type", types_json(&document->period_type, 1));
    json_object_set_new(answer, "period", json_integer(document->period));
    json_object_set_new(answer, "time_nanos", json_integer(document->time_ns));
    json_object_set_new(answer, "duration_nanos", json_integer(document->duration_ns));
    json_object_set_new(answer, "comments", comments_json(profile));
    json_object_set_new(answer, "samples", samples_json(document, wanted));
    json_object_set_new(answer, "locations", locations_json(profile));
    json_object_set_new(answer, "mappings", mappings_json(document));
    return print_json(answer) ? EXIT_FINE : EXIT_UNREACHABLE;
}

int pprof_raw(struct pprof_input *inputs, size_t count, const struct pprof_options *options)
{
    const struct profile *profile = &inputs[0].profile;
    bool *wanted = selection_of_samples(&options->selection, profile);
    bool any = false;
    int status = EXIT_FINE;
    (void)count;
    for (uint32_t row = 0; row < profile->document.sample_count; row++)
        any |= wanted[row];
    if (options->common.json)
        status = print_raw_json(profile, wanted);
    else
        print_text(profile, wanted);
    free(wanted);
    return status == EXIT_FINE && !any ? pprof_say_empty(inputs, 1) : status;
}
