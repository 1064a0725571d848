/* SPDX-License-Identifier: MIT */
/* The first pass: how much there is, and the one block that holds it. */

#include "formats/pprof_read_internal.h"

#include <errno.h>
#include <inttypes.h>

static int count_numbers(struct rth_pprof_field field, size_t *count)
{
    uint64_t value;
    int more;
    while ((more = rth__pprof_next_number(&field, &value)) == 1)
        ++*count;
    return more;
}

static int count_sample(struct rth_pprof_reader *reader, struct rth_pprof_wire sample)
{
    struct rth_pprof_field field;
    int more;
    while ((more = rth__pprof_next_field(&sample, &field)) == 1) {
        int error = 0;
        if (field.number == SAMPLE_LOCATION)
            error = count_numbers(field, &reader->counts.sample_locations);
        else if (field.number == SAMPLE_VALUE)
            error = count_numbers(field, &reader->counts.values);
        else if (field.number == SAMPLE_LABEL)
            reader->counts.labels++;
        if (error != 0)
            return error;
    }
    return more;
}

static int count_location(struct rth_pprof_reader *reader, struct rth_pprof_wire location)
{
    struct rth_pprof_field field;
    int more;
    while ((more = rth__pprof_next_field(&location, &field)) == 1)
        reader->counts.lines += field.number == LOCATION_LINE;
    return more;
}

static const char *message_name(uint64_t number)
{
    static const char *const names[] = {
        [PROFILE_SAMPLE_TYPE] = "sample type", [PROFILE_SAMPLE] = "sample",
        [PROFILE_MAPPING] = "mapping",         [PROFILE_LOCATION] = "location",
        [PROFILE_FUNCTION] = "function",       [PROFILE_STRING] = "string",
        [PROFILE_PERIOD_TYPE] = "period type",
    };
    return number < sizeof(names) / sizeof(names[0]) ? names[number] : NULL;
}

static int count_field(struct rth_pprof_reader *reader, struct rth_pprof_field field)
{
    struct rth_pprof_counts *counts = &reader->counts;
    const char *name = message_name(field.number);
    if (name != NULL && field.type != WIRE_BYTES)
        return rth__pprof_broken(reader, "not a profile: field %" PRIu64 " is no %s", field.number,
                                 name);
    /* Rows are measured before they are read: what is too short for an id must not count. */
    if ((field.number == PROFILE_MAPPING || field.number == PROFILE_LOCATION ||
         field.number == PROFILE_FUNCTION) &&
        field.bytes.end - field.bytes.at < 2)
        return rth__pprof_broken(reader, "a %s has no id", name);
    switch (field.number) {
    case PROFILE_SAMPLE_TYPE:
        counts->types++;
        return 0;
    case PROFILE_SAMPLE:
        counts->samples++;
        if (count_sample(reader, field.bytes) != 0)
            return rth__pprof_broken(reader, "sample %zu is cut or malformed", counts->samples);
        return 0;
    case PROFILE_MAPPING:
        counts->mappings++;
        return 0;
    case PROFILE_LOCATION:
        counts->locations++;
        if (count_location(reader, field.bytes) != 0)
            return rth__pprof_broken(reader, "location %zu is cut or malformed", counts->locations);
        return 0;
    case PROFILE_FUNCTION:
        counts->functions++;
        return 0;
    case PROFILE_STRING:
        counts->strings++;
        counts->text_bytes += (size_t)(field.bytes.end - field.bytes.at) + 1;
        return 0;
    case PROFILE_COMMENT:
        if (count_numbers(field, &counts->comments) != 0)
            return rth__pprof_broken(reader, "the comments are malformed");
        return 0;
    default:
        return 0;
    }
}

int rth__pprof_count_all(struct rth_pprof_reader *reader)
{
    struct rth_pprof_wire wire = reader->input;
    const struct rth_pprof_counts *counts = &reader->counts;
    struct rth_pprof_field field;
    int more;
    while ((more = rth__pprof_next_field(&wire, &field)) == 1) {
        int error = count_field(reader, field);
        if (error != 0)
            return error;
    }
    if (more < 0)
        return rth__pprof_broken(reader, "not a profile, or cut short: no field at byte %zu of %zu",
                                 (size_t)(wire.at - reader->input.at),
                                 (size_t)(wire.end - reader->input.at));
    if (counts->types == 0)
        return rth__pprof_broken(reader, "not a profile: it names no sample type");
    if (counts->strings == 0)
        return rth__pprof_broken(reader, "not a profile: it has no strings");
    /* Together with the same check for each sample this keeps values from multiplying. */
    if (counts->values / counts->types != counts->samples || counts->values % counts->types != 0)
        return rth__pprof_broken(reader, "%zu samples of %zu types have %zu values",
                                 counts->samples, counts->types, counts->values);
    return 0;
}

static size_t carve(size_t *at, size_t count, size_t row_bytes)
{
    size_t offset = *at;
    *at += (count * row_bytes + 7) & ~(size_t)7;
    return offset;
}

/* The input's bound keeps every sum far from overflow. */
size_t rth__pprof_lay_out(struct rth_pprof_reader *reader, char *block)
{
    const struct rth_pprof_counts *counts = &reader->counts;
    struct rth_pprof_document *document = &reader->document;
    size_t at = 0;
#define CARVE(pointer, count)                                                                      \
    do {                                                                                           \
        size_t offset = carve(&at, count, sizeof(*(pointer)));                                     \
        if (block != NULL)                                                                         \
            (pointer) = (void *)(block + offset);                                                  \
    } while (0)
    CARVE(document->types, counts->types);
    CARVE(document->mappings, counts->mappings);
    CARVE(document->functions, counts->functions);
    CARVE(document->locations, counts->locations);
    CARVE(document->lines, counts->lines);
    CARVE(document->samples, counts->samples);
    CARVE(document->labels, counts->labels);
    CARVE(document->values, counts->values);
    CARVE(document->sample_locations, counts->sample_locations);
    CARVE(document->comments, counts->comments);
    CARVE(reader->strings, counts->strings);
    CARVE(reader->mapping_ids, counts->mappings);
    CARVE(reader->function_ids, counts->functions);
    CARVE(reader->location_ids, counts->locations);
    char *text = NULL;
    CARVE(text, counts->text_bytes);
#undef CARVE
    if (text != NULL)
        reader->strings[0] = text;
    return at;
}
