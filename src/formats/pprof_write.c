/* SPDX-License-Identifier: MIT */
/*
 * profile.proto, written in one pass.
 *
 * A string gets its number, and goes into the output, the first time it is used: strings may stand
 * between other messages as long as their own order is that of the numbers. So nothing but the
 * strings is kept. A message's size precedes it, hence each is measured first (sizes of varints)
 * and then written; strings are numbered before either.
 *
 * Threads: one at a time per object. Failure: the sink's error. Cost: tens of nanoseconds per
 * number; memory is that of the distinct strings plus 28 bytes each.
 */
#include "formats/pprof_write.h"

#include <errno.h>
#include <string.h>

#define STRINGS_FIRST      256u
#define STRING_BLOCK_BYTES 16384u
#define VARINT_BYTES       10

/* Field numbers of profile.proto. */
enum {
    PROFILE_SAMPLE_TYPE = 1,
    PROFILE_SAMPLE = 2,
    PROFILE_MAPPING = 3,
    PROFILE_LOCATION = 4,
    PROFILE_FUNCTION = 5,
    PROFILE_STRING_TABLE = 6,
    PROFILE_DROP_FRAMES = 7,
    PROFILE_KEEP_FRAMES = 8,
    PROFILE_TIME_NANOS = 9,
    PROFILE_DURATION_NANOS = 10,
    PROFILE_PERIOD_TYPE = 11,
    PROFILE_PERIOD = 12,
    PROFILE_COMMENT = 13,
    PROFILE_DEFAULT_SAMPLE_TYPE = 14,

    VALUE_TYPE_TYPE = 1,
    VALUE_TYPE_UNIT = 2,

    SAMPLE_LOCATION_ID = 1,
    SAMPLE_VALUE = 2,
    SAMPLE_LABEL = 3,

    LABEL_KEY = 1,
    LABEL_STR = 2,
    LABEL_NUM = 3,
    LABEL_NUM_UNIT = 4,

    LOCATION_ID = 1,
    LOCATION_MAPPING_ID = 2,
    LOCATION_ADDRESS = 3,
    LOCATION_LINE = 4,

    LINE_FUNCTION_ID = 1,
    LINE_LINE = 2,
};

enum {
    WIRE_VARINT = 0,
    WIRE_BYTES = 2,
};

struct rth_pprof_string_entry {
    const char *text; /* in a block; not terminated */
    uint32_t size_bytes;
    uint32_t hash;
};

struct rth_pprof_string_block {
    struct rth_pprof_string_block *next;
    size_t size_bytes; /* of the whole block */
    size_t used_bytes; /* of text */
    char text[];
};

static void *take(struct rth_pprof *pprof, size_t size_bytes)
{
    void *block = pprof->allocator->alloc(pprof->allocator->userdata, size_bytes);
    if (block == NULL && pprof->sink->error == 0)
        pprof->sink->error = -ENOMEM;
    return block;
}

static void give_back(struct rth_pprof *pprof, void *block, size_t size_bytes)
{
    if (block != NULL)
        pprof->allocator->free(pprof->allocator->userdata, block, size_bytes);
}

static void flush(struct rth_pprof *pprof)
{
    (void)rth__sink_write(pprof->sink, pprof->staged, pprof->staged_bytes);
    pprof->staged_bytes = 0;
}

static void put_bytes(struct rth_pprof *pprof, const void *data, size_t size_bytes)
{
    if (size_bytes > sizeof(pprof->staged) - pprof->staged_bytes)
        flush(pprof);
    if (size_bytes > sizeof(pprof->staged)) {
        (void)rth__sink_write(pprof->sink, data, size_bytes);
        return;
    }
    memcpy(pprof->staged + pprof->staged_bytes, data, size_bytes);
    pprof->staged_bytes += size_bytes;
}

static size_t varint_bytes(uint64_t value)
{
    size_t bytes = 1;
    while (value >= 0x80) {
        value >>= 7;
        bytes++;
    }
    return bytes;
}

static void put_varint(struct rth_pprof *pprof, uint64_t value)
{
    unsigned char text[VARINT_BYTES];
    size_t bytes = 0;
    while (value >= 0x80) {
        text[bytes++] = (unsigned char)(value | 0x80);
        value >>= 7;
    }
    text[bytes++] = (unsigned char)value;
    put_bytes(pprof, text, bytes);
}

static void put_tag(struct rth_pprof *pprof, unsigned field, unsigned wire)
{
    put_varint(pprof, (uint64_t)field << 3 | wire);
}

/* Every field number is below 16: a tag is one byte. */
static size_t number_bytes(uint64_t value)
{
    return value != 0 ? 1 + varint_bytes(value) : 0;
}

static void put_number(struct rth_pprof *pprof, unsigned field, uint64_t value)
{
    if (value == 0)
        return;
    put_tag(pprof, field, WIRE_VARINT);
    put_varint(pprof, value);
}

static size_t message_bytes(size_t body_bytes)
{
    return 1 + varint_bytes(body_bytes) + body_bytes;
}

static void put_message_head(struct rth_pprof *pprof, unsigned field, size_t body_bytes)
{
    put_tag(pprof, field, WIRE_BYTES);
    put_varint(pprof, body_bytes);
}

static uint32_t hash_of(const char *text, size_t size_bytes)
{
    uint64_t hash = UINT64_C(0xcbf29ce484222325); /* FNV-1a */
    for (size_t i = 0; i < size_bytes; i++)
        hash = (hash ^ (unsigned char)text[i]) * UINT64_C(0x100000001b3);
    return (uint32_t)(hash ^ hash >> 32);
}

/* The slot that holds the string, or the empty one where it belongs. */
static uint32_t *slot_of(struct rth_pprof *pprof, const char *text, size_t size_bytes,
                         uint32_t hash)
{
    uint32_t at = hash & (pprof->slot_count - 1);
    while (pprof->slots[at] != 0) {
        const struct rth_pprof_string_entry *entry = &pprof->entries[pprof->slots[at]];
        if (entry->hash == hash && entry->size_bytes == size_bytes &&
            memcmp(entry->text, text, size_bytes) == 0)
            break;
        at = (at + 1) & (pprof->slot_count - 1);
    }
    return &pprof->slots[at];
}

/* Twice the entries, with two slots for each. */
static bool grow_strings(struct rth_pprof *pprof)
{
    uint32_t capacity = pprof->entry_capacity != 0 ? pprof->entry_capacity * 2 : STRINGS_FIRST;
    uint32_t slot_count = capacity * 2;
    if (capacity > RTH_PPROF_STRINGS_MAX) {
        pprof->sink->error = -ENOMEM;
        return false;
    }
    struct rth_pprof_string_entry *entries = take(pprof, capacity * sizeof(*entries));
    uint32_t *slots = entries != NULL ? take(pprof, slot_count * sizeof(*slots)) : NULL;
    if (slots == NULL) {
        give_back(pprof, entries, capacity * sizeof(*entries));
        return false;
    }
    for (uint32_t i = 1; i < pprof->entry_count; i++) {
        uint32_t at = pprof->entries[i].hash & (slot_count - 1);
        while (slots[at] != 0)
            at = (at + 1) & (slot_count - 1);
        slots[at] = i;
        entries[i] = pprof->entries[i];
    }
    give_back(pprof, pprof->entries, pprof->entry_capacity * sizeof(*entries));
    give_back(pprof, pprof->slots, pprof->slot_count * sizeof(*slots));
    pprof->entries = entries;
    pprof->slots = slots;
    pprof->entry_capacity = capacity;
    pprof->slot_count = slot_count;
    return true;
}

static const char *keep_text(struct rth_pprof *pprof, const char *text, size_t size_bytes)
{
    struct rth_pprof_string_block *block = pprof->blocks;
    if (size_bytes > RTH_PPROF_STRING_BYTES_MAX - pprof->text_bytes) {
        pprof->sink->error = -ENOMEM;
        return NULL;
    }
    if (block == NULL || block->size_bytes - sizeof(*block) - block->used_bytes < size_bytes) {
        size_t block_bytes = sizeof(*block) + size_bytes;
        if (block_bytes < STRING_BLOCK_BYTES)
            block_bytes = STRING_BLOCK_BYTES;
        block = take(pprof, block_bytes);
        if (block == NULL)
            return NULL;
        block->size_bytes = block_bytes;
        block->next = pprof->blocks;
        pprof->blocks = block;
    }
    char *kept = block->text + block->used_bytes;
    memcpy(kept, text, size_bytes);
    block->used_bytes += size_bytes;
    pprof->text_bytes += size_bytes;
    return kept;
}

static void put_string(struct rth_pprof *pprof, const char *text, size_t size_bytes)
{
    put_message_head(pprof, PROFILE_STRING_TABLE, size_bytes);
    put_bytes(pprof, text, size_bytes);
}

/* The string's number; 0 for "" and after an error. Not while a message is being written. */
static uint32_t number_of(struct rth_pprof *pprof, const char *text)
{
    if (text == NULL || text[0] == '\0' || pprof->sink->error != 0)
        return 0;
    size_t size_bytes = strlen(text);
    uint32_t hash = hash_of(text, size_bytes);
    if (pprof->entry_count == pprof->entry_capacity || pprof->entry_capacity == 0) {
        if (!grow_strings(pprof))
            return 0;
    }
    uint32_t *slot = slot_of(pprof, text, size_bytes, hash);
    if (*slot != 0)
        return *slot;
    const char *kept = keep_text(pprof, text, size_bytes);
    if (kept == NULL)
        return 0;
    pprof->entries[pprof->entry_count] =
        (struct rth_pprof_string_entry){kept, (uint32_t)size_bytes, hash};
    *slot = pprof->entry_count++;
    put_string(pprof, text, size_bytes);
    return *slot;
}

void rth__pprof_init(struct rth_pprof *pprof, struct rth_sink *sink,
                     const struct rth_allocator *allocator)
{
    memset(pprof, 0, offsetof(struct rth_pprof, staged));
    pprof->sink = sink;
    pprof->allocator = allocator;
    pprof->entry_count = 1;
    put_string(pprof, "", 0);
}

int rth__pprof_finish(struct rth_pprof *pprof)
{
    flush(pprof);
    return pprof->sink->error;
}

void rth__pprof_release(struct rth_pprof *pprof)
{
    while (pprof->blocks != NULL) {
        struct rth_pprof_string_block *block = pprof->blocks;
        pprof->blocks = block->next;
        give_back(pprof, block, block->size_bytes);
    }
    give_back(pprof, pprof->entries, pprof->entry_capacity * sizeof(*pprof->entries));
    give_back(pprof, pprof->slots, pprof->slot_count * sizeof(*pprof->slots));
    pprof->entries = NULL;
    pprof->slots = NULL;
    pprof->entry_capacity = 0;
    pprof->slot_count = 0;
}

static void put_value_type(struct rth_pprof *pprof, unsigned field, const char *type,
                           const char *unit)
{
    uint32_t type_number = number_of(pprof, type);
    uint32_t unit_number = number_of(pprof, unit);
    put_message_head(pprof, field, number_bytes(type_number) + number_bytes(unit_number));
    put_number(pprof, VALUE_TYPE_TYPE, type_number);
    put_number(pprof, VALUE_TYPE_UNIT, unit_number);
}

void rth__pprof_sample_type(struct rth_pprof *pprof, const char *type, const char *unit)
{
    put_value_type(pprof, PROFILE_SAMPLE_TYPE, type, unit);
}

void rth__pprof_default_sample_type(struct rth_pprof *pprof, const char *type)
{
    put_number(pprof, PROFILE_DEFAULT_SAMPLE_TYPE, number_of(pprof, type));
}

void rth__pprof_period(struct rth_pprof *pprof, const char *type, const char *unit, int64_t period)
{
    put_value_type(pprof, PROFILE_PERIOD_TYPE, type, unit);
    put_number(pprof, PROFILE_PERIOD, (uint64_t)period);
}

void rth__pprof_times(struct rth_pprof *pprof, int64_t time_ns, int64_t duration_ns)
{
    put_number(pprof, PROFILE_TIME_NANOS, (uint64_t)time_ns);
    put_number(pprof, PROFILE_DURATION_NANOS, (uint64_t)duration_ns);
}

/* An element of a repeated field, not packed: "" would be number 0 and is left out. */
void rth__pprof_comment(struct rth_pprof *pprof, const char *comment)
{
    put_number(pprof, PROFILE_COMMENT, number_of(pprof, comment));
}

void rth__pprof_drop_frames(struct rth_pprof *pprof, const char *pattern)
{
    put_number(pprof, PROFILE_DROP_FRAMES, number_of(pprof, pattern));
}

void rth__pprof_keep_frames(struct rth_pprof *pprof, const char *pattern)
{
    put_number(pprof, PROFILE_KEEP_FRAMES, number_of(pprof, pattern));
}

/* Messages of numbers alone: values[i] is field i + 1. */
static void put_numbers(struct rth_pprof *pprof, unsigned field, const uint64_t *values,
                        unsigned count)
{
    size_t body_bytes = 0;
    for (unsigned i = 0; i < count; i++)
        body_bytes += number_bytes(values[i]);
    put_message_head(pprof, field, body_bytes);
    for (unsigned i = 0; i < count; i++)
        put_number(pprof, i + 1, values[i]);
}

void rth__pprof_mapping(struct rth_pprof *pprof, const struct rth_pprof_mapping *mapping)
{
    const uint64_t values[] = {
        mapping->id,
        mapping->start,
        mapping->limit,
        mapping->file_offset,
        number_of(pprof, mapping->file),
        number_of(pprof, mapping->build_id),
        mapping->has_functions,
        mapping->has_filenames,
        mapping->has_line_numbers,
        mapping->has_inline_frames,
    };
    put_numbers(pprof, PROFILE_MAPPING, values, sizeof(values) / sizeof(values[0]));
}

void rth__pprof_function(struct rth_pprof *pprof, const struct rth_pprof_function *function)
{
    const uint64_t values[] = {
        function->id,
        number_of(pprof, function->name),
        number_of(pprof, function->system_name),
        number_of(pprof, function->filename),
        (uint64_t)function->start_line,
    };
    put_numbers(pprof, PROFILE_FUNCTION, values, sizeof(values) / sizeof(values[0]));
}

static size_t line_bytes(const struct rth_pprof_line *line)
{
    return number_bytes(line->function_id) + number_bytes((uint64_t)line->line);
}

void rth__pprof_location(struct rth_pprof *pprof, const struct rth_pprof_location *location)
{
    size_t body_bytes = number_bytes(location->id) + number_bytes(location->mapping_id) +
                        number_bytes(location->address);
    for (size_t i = 0; i < location->line_count; i++)
        body_bytes += message_bytes(line_bytes(&location->lines[i]));
    put_message_head(pprof, PROFILE_LOCATION, body_bytes);
    put_number(pprof, LOCATION_ID, location->id);
    put_number(pprof, LOCATION_MAPPING_ID, location->mapping_id);
    put_number(pprof, LOCATION_ADDRESS, location->address);
    for (size_t i = 0; i < location->line_count; i++) {
        const struct rth_pprof_line *line = &location->lines[i];
        put_message_head(pprof, LOCATION_LINE, line_bytes(line));
        put_number(pprof, LINE_FUNCTION_ID, line->function_id);
        put_number(pprof, LINE_LINE, (uint64_t)line->line);
    }
}

/* A label with its strings as numbers. */
struct numbered_label {
    uint32_t key, text, unit;
    uint64_t number;
};

static size_t label_bytes(const struct numbered_label *label)
{
    return number_bytes(label->key) + number_bytes(label->text) + number_bytes(label->number) +
           number_bytes(label->unit);
}

static void put_labels(struct rth_pprof *pprof, const struct numbered_label *labels, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        put_message_head(pprof, SAMPLE_LABEL, label_bytes(&labels[i]));
        put_number(pprof, LABEL_KEY, labels[i].key);
        put_number(pprof, LABEL_STR, labels[i].text);
        put_number(pprof, LABEL_NUM, labels[i].number);
        put_number(pprof, LABEL_NUM_UNIT, labels[i].unit);
    }
}

static size_t packed_bytes(const uint64_t *values, size_t count)
{
    size_t bytes = 0;
    for (size_t i = 0; i < count; i++)
        bytes += varint_bytes(values[i]);
    return bytes;
}

static void put_packed(struct rth_pprof *pprof, unsigned field, const uint64_t *values,
                       size_t count, size_t bytes)
{
    if (count == 0)
        return;
    put_message_head(pprof, field, bytes);
    for (size_t i = 0; i < count; i++)
        put_varint(pprof, values[i]);
}

void rth__pprof_sample(struct rth_pprof *pprof, const struct rth_pprof_sample *sample)
{
    struct numbered_label labels[RTH_PPROF_SAMPLE_LABELS_MAX];
    if (sample->label_count > RTH_PPROF_SAMPLE_LABELS_MAX) {
        if (pprof->sink->error == 0)
            pprof->sink->error = -E2BIG;
        return;
    }
    /* A negative number is its two's complement, as for every int64 of protobuf. */
    const uint64_t *values = (const uint64_t *)sample->values;
    size_t ids_bytes = packed_bytes(sample->location_ids, sample->location_count);
    size_t values_bytes = packed_bytes(values, sample->value_count);
    size_t body_bytes = sample->location_count != 0 ? message_bytes(ids_bytes) : 0;
    body_bytes += sample->value_count != 0 ? message_bytes(values_bytes) : 0;
    for (size_t i = 0; i < sample->label_count; i++) {
        const struct rth_pprof_label *label = &sample->labels[i];
        bool is_number = label->text == NULL;
        labels[i] = (struct numbered_label){
            .key = number_of(pprof, label->key),
            .text = number_of(pprof, label->text),
            .unit = is_number ? number_of(pprof, label->unit) : 0,
            .number = is_number ? (uint64_t)label->number : 0,
        };
        body_bytes += message_bytes(label_bytes(&labels[i]));
    }
    put_message_head(pprof, PROFILE_SAMPLE, body_bytes);
    put_packed(pprof, SAMPLE_LOCATION_ID, sample->location_ids, sample->location_count, ids_bytes);
    put_packed(pprof, SAMPLE_VALUE, values, sample->value_count, values_bytes);
    put_labels(pprof, labels, sample->label_count);
}
