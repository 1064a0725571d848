/* SPDX-License-Identifier: MIT */

/*
 * Three passes over the input. The first counts rows and bytes of text and checks the framing of
 * every message, so that one block of the right size can be asked for. The second reads strings,
 * then everything that names only strings: types, mappings, functions. The third reads locations,
 * which name mappings and functions, then samples, which name locations. Fields may stand in any
 * order in the file; most writers put the strings last.
 */

#include "formats/pprof_read_internal.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

/* ---- second pass: strings and what names only them ---- */

static void read_string(struct rth_pprof_reader *reader, size_t row, struct rth_pprof_wire bytes,
                        char **text)
{
    size_t length = (size_t)(bytes.end - bytes.at);
    reader->strings[row] = *text;
    for (size_t i = 0; i < length; i++)
        (*text)[i] = bytes.at[i] != '\0' ? (char)bytes.at[i] : '?';
    (*text)[length] = '\0';
    *text += length + 1;
}

static int read_strings(struct rth_pprof_reader *reader)
{
    struct rth_pprof_wire wire = reader->input;
    struct rth_pprof_field field;
    size_t row = 0;
    /* lay_out left the place of the text there; written to by nobody else. */
    char *text = (char *)(uintptr_t)reader->strings[0];
    while (rth__pprof_next_field(&wire, &field) == 1) {
        if (field.number == PROFILE_STRING)
            read_string(reader, row++, field.bytes, &text);
    }
    if (reader->strings[0][0] != '\0')
        return rth__pprof_broken(reader, "not a profile: its first string is not empty");
    return 0;
}

/* A string by its number in a field. */
static int take_string(struct rth_pprof_reader *reader, struct rth_pprof_field field,
                       const char *where, size_t row, const char **ret_text)
{
    if (field.type != WIRE_VARINT)
        return rth__pprof_broken(reader, "%s %zu: field %" PRIu64 " is no string number", where,
                                 row + 1, field.number);
    if (field.value >= reader->counts.strings)
        return rth__pprof_broken(reader, "%s %zu names string %" PRIu64 " of %zu", where, row + 1,
                                 field.value, reader->counts.strings);
    *ret_text = reader->strings[field.value];
    return 0;
}

static int read_type(struct rth_pprof_reader *reader, struct rth_pprof_wire wire, const char *where,
                     size_t row, struct rth_pprof_type_row *ret_type)
{
    struct rth_pprof_field field;
    int more, error = 0;
    *ret_type = (struct rth_pprof_type_row){reader->strings[0], reader->strings[0]};
    while (error == 0 && (more = rth__pprof_next_field(&wire, &field)) != 0) {
        if (more < 0)
            return rth__pprof_broken(reader, "%s %zu is cut or malformed", where, row + 1);
        if (field.number == 1)
            error = take_string(reader, field, where, row, &ret_type->type);
        else if (field.number == 2)
            error = take_string(reader, field, where, row, &ret_type->unit);
    }
    return error;
}

static int read_mapping(struct rth_pprof_reader *reader, struct rth_pprof_wire wire, size_t row)
{
    struct rth_pprof_mapping_row *mapping = &reader->document.mappings[row];
    struct rth_pprof_field field;
    int more, error = 0;
    *mapping =
        (struct rth_pprof_mapping_row){.file = reader->strings[0], .build_id = reader->strings[0]};
    while (error == 0 && (more = rth__pprof_next_field(&wire, &field)) != 0) {
        if (more < 0 || (field.number <= 10 && field.type != WIRE_VARINT))
            return rth__pprof_broken(reader, "mapping %zu is cut or malformed", row + 1);
        switch (field.number) {
        case 1:
            mapping->id = field.value;
            break;
        case 2:
            mapping->start = field.value;
            break;
        case 3:
            mapping->limit = field.value;
            break;
        case 4:
            mapping->file_offset = field.value;
            break;
        case 5:
            error = take_string(reader, field, "mapping", row, &mapping->file);
            break;
        case 6:
            error = take_string(reader, field, "mapping", row, &mapping->build_id);
            break;
        case 7:
            mapping->has_functions = field.value != 0;
            break;
        case 8:
            mapping->has_filenames = field.value != 0;
            break;
        case 9:
            mapping->has_line_numbers = field.value != 0;
            break;
        case 10:
            mapping->has_inline_frames = field.value != 0;
            break;
        default:
            break;
        }
    }
    reader->mapping_ids[row] = (struct rth_pprof_id_row){mapping->id, (uint32_t)row};
    return error;
}

static int read_function(struct rth_pprof_reader *reader, struct rth_pprof_wire wire, size_t row)
{
    const char *none = reader->strings[0];
    struct rth_pprof_function_row *function = &reader->document.functions[row];
    struct rth_pprof_field field;
    int more, error = 0;
    *function = (struct rth_pprof_function_row){.name = none, .system_name = none, .file = none};
    while (error == 0 && (more = rth__pprof_next_field(&wire, &field)) != 0) {
        if (more < 0 || (field.number <= 5 && field.type != WIRE_VARINT))
            return rth__pprof_broken(reader, "function %zu is cut or malformed", row + 1);
        if (field.number == 1)
            function->id = field.value;
        else if (field.number == 2)
            error = take_string(reader, field, "function", row, &function->name);
        else if (field.number == 3)
            error = take_string(reader, field, "function", row, &function->system_name);
        else if (field.number == 4)
            error = take_string(reader, field, "function", row, &function->file);
        else if (field.number == 5)
            function->start_line = (int64_t)field.value;
    }
    reader->function_ids[row] = (struct rth_pprof_id_row){function->id, (uint32_t)row};
    return error;
}

static int read_comments(struct rth_pprof_reader *reader, struct rth_pprof_field field)
{
    struct rth_pprof_field one = {.number = field.number, .type = WIRE_VARINT};
    int error = 0;
    while (error == 0 && rth__pprof_next_number(&field, &one.value) == 1) {
        uint32_t row = reader->document.comment_count++;
        error = take_string(reader, one, "comment", row, &reader->document.comments[row]);
    }
    return error;
}

static int read_scalar(struct rth_pprof_reader *reader, struct rth_pprof_field field)
{
    struct rth_pprof_document *document = &reader->document;
    if (field.number == PROFILE_DROP_FRAMES)
        return take_string(reader, field, "drop_frames", 0, &document->drop_frames);
    if (field.number == PROFILE_KEEP_FRAMES)
        return take_string(reader, field, "keep_frames", 0, &document->keep_frames);
    if (field.number == PROFILE_DEFAULT_TYPE)
        return take_string(reader, field, "default sample type", 0, &document->default_type);
    if (field.number == PROFILE_DOC_URL)
        return take_string(reader, field, "doc_url", 0, &document->doc_url);
    int64_t *number = field.number == PROFILE_TIME       ? &document->time_ns
                      : field.number == PROFILE_DURATION ? &document->duration_ns
                      : field.number == PROFILE_PERIOD   ? &document->period
                                                         : NULL;
    if (number != NULL && field.type != WIRE_VARINT)
        return rth__pprof_broken(reader, "not a profile: field %" PRIu64 " is no number",
                                 field.number);
    if (number != NULL)
        *number = (int64_t)field.value;
    return 0;
}

static int read_tables(struct rth_pprof_reader *reader)
{
    struct rth_pprof_wire wire = reader->input;
    struct rth_pprof_document *document = &reader->document;
    struct rth_pprof_field field;
    int error = 0;
    while (error == 0 && rth__pprof_next_field(&wire, &field) == 1) {
        if (field.number == PROFILE_SAMPLE_TYPE) {
            uint32_t row = document->type_count++;
            error = read_type(reader, field.bytes, "sample type", row, &document->types[row]);
        } else if (field.number == PROFILE_PERIOD_TYPE) {
            error = read_type(reader, field.bytes, "period type", 0, &document->period_type);
        } else if (field.number == PROFILE_MAPPING) {
            error = read_mapping(reader, field.bytes, document->mapping_count++);
        } else if (field.number == PROFILE_FUNCTION) {
            error = read_function(reader, field.bytes, document->function_count++);
        } else if (field.number == PROFILE_COMMENT) {
            error = read_comments(reader, field);
        } else {
            error = read_scalar(reader, field);
        }
    }
    if (error == 0)
        error =
            rth__pprof_order_ids(reader, reader->mapping_ids, document->mapping_count, "mapping");
    if (error == 0)
        error = rth__pprof_order_ids(reader, reader->function_ids, document->function_count,
                                     "function");
    return error;
}

/* ---- third pass: locations, then samples ---- */

static int read_line(struct rth_pprof_reader *reader, struct rth_pprof_wire wire, size_t location)
{
    struct rth_pprof_line_row *line = &reader->document.lines[reader->document.line_count++];
    struct rth_pprof_field field;
    int more;
    *line = (struct rth_pprof_line_row){.function = RTH_PPROF_NO_ROW};
    while ((more = rth__pprof_next_field(&wire, &field)) != 0) {
        if (more < 0 || (field.number <= 2 && field.type != WIRE_VARINT))
            return rth__pprof_broken(reader, "a line of location %zu is cut or malformed",
                                     location + 1);
        if (field.number == 2)
            line->line = (int64_t)field.value;
        else if (field.number == 1 && field.value != 0 &&
                 !rth__pprof_find_row(reader->function_ids, reader->counts.functions, field.value,
                                      &line->function))
            return rth__pprof_broken(reader,
                                     "location %zu names function %" PRIu64 ", which is not there",
                                     location + 1, field.value);
    }
    return 0;
}

static int read_location(struct rth_pprof_reader *reader, struct rth_pprof_wire wire, size_t row)
{
    struct rth_pprof_location_row *location = &reader->document.locations[row];
    struct rth_pprof_field field;
    int more, error = 0;
    *location = (struct rth_pprof_location_row){.mapping = RTH_PPROF_NO_ROW,
                                                .first_line = reader->document.line_count};
    while (error == 0 && (more = rth__pprof_next_field(&wire, &field)) != 0) {
        enum rth_pprof_wire_type wanted = field.number == LOCATION_LINE ? WIRE_BYTES : WIRE_VARINT;
        if (more < 0 || (field.number <= LOCATION_IS_FOLDED && field.type != wanted))
            return rth__pprof_broken(reader, "location %zu is cut or malformed", row + 1);
        if (field.number == LOCATION_ID)
            location->id = field.value;
        else if (field.number == LOCATION_ADDRESS)
            location->address = field.value;
        else if (field.number == LOCATION_IS_FOLDED)
            location->is_folded = field.value != 0;
        else if (field.number == LOCATION_LINE)
            error = read_line(reader, field.bytes, row);
        else if (field.number == LOCATION_MAPPING && field.value != 0 &&
                 !rth__pprof_find_row(reader->mapping_ids, reader->counts.mappings, field.value,
                                      &location->mapping))
            return rth__pprof_broken(reader,
                                     "location %zu names mapping %" PRIu64 ", which is not there",
                                     row + 1, field.value);
    }
    location->line_count = reader->document.line_count - location->first_line;
    reader->location_ids[row] = (struct rth_pprof_id_row){location->id, (uint32_t)row};
    return error;
}

static int read_label(struct rth_pprof_reader *reader, struct rth_pprof_wire wire, size_t sample)
{
    const char *none = reader->strings[0];
    struct rth_pprof_label_row *label = &reader->document.labels[reader->document.label_count++];
    struct rth_pprof_field field;
    int more, error = 0;
    *label = (struct rth_pprof_label_row){.key = none, .text = none, .unit = none};
    while (error == 0 && (more = rth__pprof_next_field(&wire, &field)) != 0) {
        if (more < 0 || (field.number == 3 && field.type != WIRE_VARINT))
            return rth__pprof_broken(reader, "a label of sample %zu is cut or malformed",
                                     sample + 1);
        if (field.number == 1)
            error = take_string(reader, field, "sample", sample, &label->key);
        else if (field.number == 2)
            error = take_string(reader, field, "sample", sample, &label->text);
        else if (field.number == 3)
            label->number = (int64_t)field.value;
        else if (field.number == 4)
            error = take_string(reader, field, "sample", sample, &label->unit);
    }
    return error;
}

static int read_sample(struct rth_pprof_reader *reader, struct rth_pprof_wire wire, size_t row)
{
    struct rth_pprof_document *document = &reader->document;
    struct rth_pprof_sample_row *sample = &document->samples[row];
    struct rth_pprof_field field;
    size_t value_count = 0;
    uint64_t number;
    int error = 0;
    *sample = (struct rth_pprof_sample_row){.first_location = document->sample_location_count,
                                            .first_label = document->label_count};
    /* The first pass saw that the framing and the packed numbers hold. */
    while (error == 0 && rth__pprof_next_field(&wire, &field) == 1) {
        if (field.number == SAMPLE_LABEL && field.type != WIRE_BYTES)
            return rth__pprof_broken(reader, "sample %zu is cut or malformed", row + 1);
        if (field.number == SAMPLE_LABEL)
            error = read_label(reader, field.bytes, row);
        while (field.number == SAMPLE_VALUE && rth__pprof_next_number(&field, &number) == 1) {
            if (value_count == document->type_count)
                return rth__pprof_broken(reader, "sample %zu has more values than there are types",
                                         row + 1);
            document->values[row * document->type_count + value_count++] = (int64_t)number;
        }
        while (field.number == SAMPLE_LOCATION && rth__pprof_next_number(&field, &number) == 1) {
            uint32_t *place = &document->sample_locations[document->sample_location_count++];
            if (!rth__pprof_find_row(reader->location_ids, document->location_count, number, place))
                return rth__pprof_broken(
                    reader, "sample %zu names location %" PRIu64 ", which is not there", row + 1,
                    number);
        }
    }
    if (error == 0 && value_count != document->type_count)
        return rth__pprof_broken(reader, "sample %zu has %zu values for %" PRIu32 " types", row + 1,
                                 value_count, document->type_count);
    sample->location_count = document->sample_location_count - sample->first_location;
    sample->label_count = document->label_count - sample->first_label;
    return error;
}

static int read_stacks(struct rth_pprof_reader *reader)
{
    struct rth_pprof_document *document = &reader->document;
    struct rth_pprof_wire wire = reader->input;
    struct rth_pprof_field field;
    int error = 0;
    while (error == 0 && rth__pprof_next_field(&wire, &field) == 1) {
        if (field.number == PROFILE_LOCATION)
            error = read_location(reader, field.bytes, document->location_count++);
    }
    if (error == 0)
        error = rth__pprof_order_ids(reader, reader->location_ids, document->location_count,
                                     "location");
    wire = reader->input;
    while (error == 0 && rth__pprof_next_field(&wire, &field) == 1) {
        if (field.number == PROFILE_SAMPLE)
            error = read_sample(reader, field.bytes, document->sample_count++);
    }
    return error;
}

int rth__pprof_read(const void *input, size_t input_bytes, const struct rth_allocator *allocator,
                    struct rth_pprof_document *ret_document, char *ret_message, size_t message_size)
{
    const uint8_t *bytes = input;
    struct rth_pprof_reader reader = {.message = ret_message, .message_size = message_size};
    if (input_bytes > RTH_PPROF_INPUT_BYTES_MAX) {
        snprintf(ret_message, message_size, "the profile has %zu bytes, at most %u are read",
                 input_bytes, RTH_PPROF_INPUT_BYTES_MAX);
        return -E2BIG;
    }
    if (input_bytes == 0)
        return rth__pprof_broken(&reader, "not a profile: it is empty");
    reader.input = (struct rth_pprof_wire){bytes, bytes + input_bytes};
    int error = rth__pprof_count_all(&reader);
    if (error != 0)
        return error;
    size_t block_bytes = rth__pprof_lay_out(&reader, NULL);
    char *block = allocator->alloc(allocator->userdata, block_bytes);
    if (block == NULL) {
        snprintf(ret_message, message_size, "no memory for a profile of %zu bytes", input_bytes);
        return -ENOMEM;
    }
    (void)rth__pprof_lay_out(&reader, block);
    struct rth_pprof_document *document = &reader.document;
    document->block = block;
    document->block_bytes = block_bytes;
    error = read_strings(&reader);
    if (error == 0) {
        const char *none = reader.strings[0];
        document->period_type = (struct rth_pprof_type_row){none, none};
        document->default_type = document->drop_frames = none;
        document->keep_frames = document->doc_url = none;
        error = read_tables(&reader);
    }
    if (error == 0)
        error = read_stacks(&reader);
    if (error != 0)
        rth__pprof_document_free(document, allocator);
    else
        *ret_document = *document;
    return error;
}

void rth__pprof_document_free(struct rth_pprof_document *document,
                              const struct rth_allocator *allocator)
{
    if (document->block != NULL)
        allocator->free(allocator->userdata, document->block, document->block_bytes);
    *document = (struct rth_pprof_document){0};
}
