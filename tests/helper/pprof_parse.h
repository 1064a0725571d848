/* SPDX-License-Identifier: MIT */
#ifndef RTH_TESTS_HELPER_PPROF_PARSE_H
#define RTH_TESTS_HELPER_PPROF_PARSE_H

/*
 * A second opinion on profile.proto: reads a small profile into arrays and asserts what every
 * reader relies on. Knows nothing of the writer or of src/formats' own reader.
 */

#include "helper/unit.h"

#include <stdbool.h>
#include <string.h>

#define PARSED_MAX 4096

struct parsed_message {
    uint64_t numbers[16]; /* of single fields, by field number */
    uint64_t ids[512];    /* of field 1 when it is packed */
    uint64_t values[16];  /* of field 2 when it is packed */
    size_t id_count, value_count;
    size_t child_at, child_count; /* labels or lines, in children */
};

static struct parsed_profile {
    const char *strings[PARSED_MAX];
    size_t string_bytes[PARSED_MAX];
    size_t string_count;
    struct parsed_message sample_types[8], samples[PARSED_MAX], mappings[64], locations[PARSED_MAX],
        functions[PARSED_MAX], children[PARSED_MAX], period_type;
    size_t sample_type_count, sample_count, mapping_count, location_count, function_count,
        child_count, comment_count;
    uint64_t comments[16];
    uint64_t numbers[16];
} parsed;

static inline uint64_t parse_varint(const uint8_t **at, const uint8_t *end)
{
    uint64_t value = 0;
    for (unsigned shift = 0;; shift += 7) {
        assert_true(*at < end && shift < 70);
        uint8_t byte = *(*at)++;
        value |= shift < 64 ? (uint64_t)(byte & 0x7f) << shift : 0;
        if (byte < 0x80)
            return value;
    }
}

/* packed: fields 1 and 2 are packed numbers and 3 messages (Sample); otherwise 4 are (Location). */
static inline void parse_message(const uint8_t *at, const uint8_t *end, bool packed,
                                 struct parsed_message *message)
{
    message->child_at = parsed.child_count;
    while (at < end) {
        uint64_t tag = parse_varint(&at, end);
        unsigned field = (unsigned)(tag >> 3);
        assert_in_range(field, 1, 15);
        uint64_t value = parse_varint(&at, end);
        if ((tag & 7) == 0) {
            message->numbers[field] = value;
            continue;
        }
        assert_int_equal(tag & 7, 2);
        assert_true(value <= (uint64_t)(end - at));
        const uint8_t *limit = at + value;
        if (packed && field <= 2) {
            uint64_t *numbers = field == 1 ? message->ids : message->values;
            size_t *count = field == 1 ? &message->id_count : &message->value_count;
            while (at < limit)
                numbers[(*count)++] = parse_varint(&at, limit);
        } else {
            assert_int_equal(field, packed ? 3 : 4);
            message->child_count++;
            parse_message(at, limit, false, &parsed.children[parsed.child_count++]);
        }
        at = limit;
    }
}

static inline void parse_field(unsigned field, const uint8_t *at, const uint8_t *end)
{
    struct parsed_message *const lists[] = {NULL,
                                            parsed.sample_types,
                                            parsed.samples,
                                            parsed.mappings,
                                            parsed.locations,
                                            parsed.functions};
    size_t *const counts[] = {NULL,
                              &parsed.sample_type_count,
                              &parsed.sample_count,
                              &parsed.mapping_count,
                              &parsed.location_count,
                              &parsed.function_count};
    if (field == 6) {
        parsed.strings[parsed.string_count] = (const char *)at;
        parsed.string_bytes[parsed.string_count++] = (size_t)(end - at);
    } else if (field == 11) {
        parse_message(at, end, false, &parsed.period_type);
    } else {
        assert_in_range(field, 1, 5);
        parse_message(at, end, field == 2, &lists[field][(*counts[field])++]);
    }
}

static inline bool string_is(uint64_t number, const char *wanted)
{
    return number < parsed.string_count && parsed.string_bytes[number] == strlen(wanted) &&
           memcmp(parsed.strings[number], wanted, strlen(wanted)) == 0;
}

/* Ids are 1, 2, … as we give them, and what refers to something finds it. */
static inline void check_references(void)
{
    assert_true(string_is(0, ""));
    for (size_t i = 0; i < parsed.mapping_count; i++)
        assert_int_equal(parsed.mappings[i].numbers[1], i + 1);
    for (size_t i = 0; i < parsed.function_count; i++)
        assert_int_equal(parsed.functions[i].numbers[1], i + 1);
    for (size_t i = 0; i < parsed.location_count; i++) {
        const struct parsed_message *location = &parsed.locations[i];
        assert_int_equal(location->numbers[1], i + 1);
        assert_true(location->numbers[2] <= parsed.mapping_count);
        for (size_t k = 0; k < location->child_count; k++)
            assert_in_range(parsed.children[location->child_at + k].numbers[1], 1,
                            parsed.function_count);
    }
    for (size_t i = 0; i < parsed.sample_count; i++) {
        assert_int_equal(parsed.samples[i].value_count, parsed.sample_type_count);
        for (size_t k = 0; k < parsed.samples[i].id_count; k++)
            assert_in_range(parsed.samples[i].ids[k], 1, parsed.location_count);
    }
}

/* data must outlive the use of `parsed`. */
static inline void parse_profile(const void *data, size_t size_bytes)
{
    const uint8_t *at = data, *end = at + size_bytes;
    memset(&parsed, 0, sizeof(parsed));
    while (at < end) {
        uint64_t tag = parse_varint(&at, end);
        uint64_t value = parse_varint(&at, end);
        if ((tag & 7) == 0 && tag >> 3 == 13) {
            parsed.comments[parsed.comment_count++] = value;
        } else if ((tag & 7) == 0) {
            assert_in_range(tag >> 3, 7, 14);
            parsed.numbers[tag >> 3] = value;
        } else {
            assert_int_equal(tag & 7, 2);
            assert_true(value <= (uint64_t)(end - at));
            parse_field((unsigned)(tag >> 3), at, at + value);
            at += value;
        }
    }
    check_references();
}

#endif /* RTH_TESTS_HELPER_PPROF_PARSE_H */
