/* SPDX-License-Identifier: MIT */

/*
 * Any bytes as a profile: no crash, no more memory than the header promises, a message with every
 * refusal, and in what is accepted every row number and string within its table.
 */

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "formats/pprof_read.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static size_t taken_bytes;

static void *count_alloc(void *userdata, size_t size_bytes)
{
    (void)userdata;
    taken_bytes += size_bytes;
    return calloc(1, size_bytes);
}

static void count_free(void *userdata, void *block, size_t size_bytes)
{
    (void)userdata;
    taken_bytes -= size_bytes;
    free(block);
}

static void must(int condition)
{
    if (!condition)
        abort();
}

static size_t text_sum;

static void read_text(const char *text)
{
    must(text != NULL);
    text_sum += strlen(text);
}

static void check_locations(const struct rth_pprof_document *document)
{
    for (uint32_t row = 0; row < document->location_count; row++) {
        const struct rth_pprof_location_row *location = &document->locations[row];
        must(location->id != 0);
        must(location->mapping == RTH_PPROF_NO_ROW || location->mapping < document->mapping_count);
        must(location->first_line <= document->line_count &&
             location->line_count <= document->line_count - location->first_line);
    }
    for (uint32_t row = 0; row < document->line_count; row++)
        must(document->lines[row].function == RTH_PPROF_NO_ROW ||
             document->lines[row].function < document->function_count);
}

static void check_samples(const struct rth_pprof_document *document)
{
    int64_t sum = 0;
    for (uint32_t row = 0; row < document->sample_count; row++) {
        const struct rth_pprof_sample_row *sample = &document->samples[row];
        must(sample->first_location <= document->sample_location_count &&
             sample->location_count <= document->sample_location_count - sample->first_location);
        must(sample->first_label <= document->label_count &&
             sample->label_count <= document->label_count - sample->first_label);
        for (uint32_t i = 0; i < document->type_count; i++)
            sum ^= document->values[(size_t)row * document->type_count + i];
    }
    for (uint32_t i = 0; i < document->sample_location_count; i++)
        must(document->sample_locations[i] < document->location_count);
    text_sum += (size_t)sum;
}

static void check_texts(const struct rth_pprof_document *document)
{
    for (uint32_t row = 0; row < document->type_count; row++) {
        read_text(document->types[row].type);
        read_text(document->types[row].unit);
    }
    for (uint32_t row = 0; row < document->mapping_count; row++) {
        read_text(document->mappings[row].file);
        read_text(document->mappings[row].build_id);
    }
    for (uint32_t row = 0; row < document->function_count; row++) {
        read_text(document->functions[row].name);
        read_text(document->functions[row].system_name);
        read_text(document->functions[row].file);
    }
    for (uint32_t row = 0; row < document->label_count; row++) {
        read_text(document->labels[row].key);
        read_text(document->labels[row].text);
        read_text(document->labels[row].unit);
    }
    for (uint32_t row = 0; row < document->comment_count; row++)
        read_text(document->comments[row]);
    read_text(document->period_type.type);
    read_text(document->period_type.unit);
    read_text(document->default_type);
    read_text(document->drop_frames);
    read_text(document->keep_frames);
    read_text(document->doc_url);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct rth_allocator allocator = {.alloc = count_alloc, .free = count_free};
    struct rth_pprof_document document;
    char message[200] = "";
    int error = rth__pprof_read(data, size, &allocator, &document, message, sizeof(message));
    if (error != 0) {
        must(error == -EBADMSG && message[0] != '\0' && taken_bytes == 0);
        return 0;
    }
    must(taken_bytes <= RTH_PPROF_MEMORY_FACTOR * size + RTH_PPROF_MEMORY_EXTRA_BYTES);
    check_locations(&document);
    check_samples(&document);
    check_texts(&document);
    rth__pprof_document_free(&document, &allocator);
    must(taken_bytes == 0);
    return 0;
}
