/* SPDX-License-Identifier: MIT */
#include "helper/unit.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "formats/pprof_read.h"

/* ---- messages as a file has them ---- */

struct bytes {
    uint8_t data[4096];
    size_t count;
};

static void put_varint(struct bytes *bytes, uint64_t value)
{
    for (; value >= 0x80; value >>= 7)
        bytes->data[bytes->count++] = (uint8_t)(value | 0x80);
    bytes->data[bytes->count++] = (uint8_t)value;
}

static void put_number(struct bytes *bytes, unsigned field, uint64_t value)
{
    put_varint(bytes, field << 3);
    put_varint(bytes, value);
}

static void put_block(struct bytes *bytes, unsigned field, const void *data, size_t count)
{
    put_varint(bytes, field << 3 | 2);
    put_varint(bytes, count);
    memcpy(bytes->data + bytes->count, data, count);
    bytes->count += count;
}

static void put_text(struct bytes *bytes, const char *text)
{
    put_block(bytes, 6, text, strlen(text));
}

static void put_message(struct bytes *bytes, unsigned field, const struct bytes *inner)
{
    put_block(bytes, field, inner->data, inner->count);
}

/* A message of numbers: pairs of field and value, up to field 0. */
static struct bytes numbers(const uint64_t *pairs)
{
    struct bytes bytes = {.count = 0};
    for (; pairs[0] != 0; pairs += 2)
        put_number(&bytes, (unsigned)pairs[0], pairs[1]);
    return bytes;
}
#define NUMBERS(...) numbers((const uint64_t[]){__VA_ARGS__, 0})

static void put_numbers(struct bytes *bytes, unsigned field, struct bytes inner)
{
    put_message(bytes, field, &inner);
}

enum { NOTHING, SAMPLES, COUNT, CPU, NANOSECONDS, MAIN, FILE_NAME, BUILD_ID, KEY, VALUE, COMMENT };

/* Types and strings of a file; the strings come last, as most writers have them. */
static void put_types(struct bytes *bytes)
{
    put_numbers(bytes, 1, NUMBERS(1, SAMPLES, 2, COUNT));
    put_numbers(bytes, 1, NUMBERS(1, CPU, 2, NANOSECONDS));
}

static void put_strings(struct bytes *bytes)
{
    static const char *const texts[] = {"",         "samples", "count", "cpu", "nanoseconds",
                                        "main",     "/bin/x",  "ab12",  "key", "value",
                                        "a comment"};
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
        put_text(bytes, texts[i]);
}

/* ---- reading ---- */

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

static void *no_alloc(void *userdata, size_t size_bytes)
{
    (void)userdata;
    (void)size_bytes;
    return NULL;
}

static const struct rth_allocator allocator = {.alloc = count_alloc, .free = count_free};

static void read_well(const struct bytes *bytes, struct rth_pprof_document *ret_document)
{
    char message[200] = "";
    /* An exact block, so that a sanitizer sees a read past the end. */
    uint8_t *copy = malloc(bytes->count);
    memcpy(copy, bytes->data, bytes->count);
    int error =
        rth__pprof_read(copy, bytes->count, &allocator, ret_document, message, sizeof(message));
    memset(copy, 0xaa, bytes->count);
    free(copy);
    assert_string_equal(message, "");
    assert_int_equal(error, 0);
}

static void refuse(const struct bytes *bytes, const char *expected)
{
    struct rth_pprof_document document;
    char message[200] = "";
    assert_int_equal(
        rth__pprof_read(bytes->data, bytes->count, &allocator, &document, message, sizeof(message)),
        -EBADMSG);
    if (strstr(message, expected) == NULL)
        fail_msg("'%s' does not say '%s'", message, expected);
    assert_int_equal(taken_bytes, 0);
}

/* One of everything. */
static struct bytes full_file(void)
{
    struct bytes bytes = {.count = 0}, location = NUMBERS(1, 70, 2, 40, 3, 0x1234, 5, 1);
    struct bytes label = NUMBERS(1, KEY, 2, VALUE), sample = {.count = 0};
    put_numbers(&location, 4, NUMBERS(1, 50, 2, 99));
    put_block(&sample, 1, "\x46", 1);
    put_block(&sample, 2, "\x03\x04", 2);
    put_message(&sample, 3, &label);
    put_numbers(&sample, 3, NUMBERS(1, KEY, 3, 8, 4, COUNT));
    put_types(&bytes);
    put_message(&bytes, 2, &sample);
    put_message(&bytes, 4, &location);
    put_numbers(
        &bytes, 3,
        NUMBERS(1, 40, 2, 0x1000, 3, 0x2000, 4, 0x3000, 5, FILE_NAME, 6, BUILD_ID, 7, 1, 9, 1));
    put_numbers(&bytes, 5, NUMBERS(1, 50, 2, MAIN, 3, MAIN, 4, FILE_NAME, 5, 7));
    put_number(&bytes, 9, 1000);
    put_number(&bytes, 10, 2000);
    put_numbers(&bytes, 11, NUMBERS(1, CPU, 2, NANOSECONDS));
    put_number(&bytes, 12, 10);
    put_number(&bytes, 13, COMMENT);
    put_number(&bytes, 14, SAMPLES);
    put_strings(&bytes);
    return bytes;
}

static void reads_every_field(void **state)
{
    (void)state;
    struct bytes bytes = full_file();
    struct rth_pprof_document document;
    read_well(&bytes, &document);
    assert_int_equal(document.type_count, 2);
    assert_string_equal(document.types[1].type, "cpu");
    assert_string_equal(document.types[1].unit, "nanoseconds");
    assert_int_equal(document.sample_count, 1);
    assert_int_equal(document.values[0], 3);
    assert_int_equal(document.values[1], 4);
    assert_int_equal(document.samples[0].location_count, 1);
    assert_int_equal(document.sample_locations[0], 0);
    assert_int_equal(document.samples[0].label_count, 2);
    assert_string_equal(document.labels[0].text, "value");
    assert_string_equal(document.labels[1].text, "");
    assert_int_equal(document.labels[1].number, 8);
    assert_string_equal(document.labels[1].unit, "count");
    assert_int_equal(document.locations[0].id, 70);
    assert_int_equal(document.locations[0].mapping, 0);
    assert_int_equal(document.locations[0].address, 0x1234);
    assert_true(document.locations[0].is_folded);
    assert_int_equal(document.lines[document.locations[0].first_line].line, 99);
    assert_int_equal(document.lines[document.locations[0].first_line].function, 0);
    assert_int_equal(document.mappings[0].start, 0x1000);
    assert_int_equal(document.mappings[0].limit, 0x2000);
    assert_int_equal(document.mappings[0].file_offset, 0x3000);
    assert_string_equal(document.mappings[0].file, "/bin/x");
    assert_string_equal(document.mappings[0].build_id, "ab12");
    assert_true(document.mappings[0].has_functions && document.mappings[0].has_line_numbers);
    assert_false(document.mappings[0].has_filenames || document.mappings[0].has_inline_frames);
    assert_string_equal(document.functions[0].name, "main");
    assert_int_equal(document.functions[0].start_line, 7);
    assert_int_equal(document.time_ns, 1000);
    assert_int_equal(document.duration_ns, 2000);
    assert_string_equal(document.period_type.type, "cpu");
    assert_int_equal(document.period, 10);
    assert_string_equal(document.comments[0], "a comment");
    assert_string_equal(document.default_type, "samples");
    assert_string_equal(document.doc_url, "");
    rth__pprof_document_free(&document, &allocator);
    assert_int_equal(taken_bytes, 0);
}

static void packed_and_single_numbers_are_the_same(void **state)
{
    (void)state;
    struct rth_pprof_document document;
    for (int form = 0; form < 3; form++) {
        struct bytes bytes = {.count = 0}, sample = {.count = 0};
        put_types(&bytes);
        if (form == 0) {
            put_block(&sample, 1, "\x01\x02\x01", 3);
            put_block(&sample, 2, "\x05\xac\x02", 3);
        } else if (form == 1) {
            sample = NUMBERS(1, 1, 1, 2, 2, 5, 1, 1, 2, 300);
        } else {
            put_block(&sample, 1, "\x01", 1);
            put_number(&sample, 2, 5);
            put_block(&sample, 1, "\x02\x01", 2);
            put_block(&sample, 2, "\xac\x02", 2);
        }
        put_message(&bytes, 2, &sample);
        put_numbers(&bytes, 4, NUMBERS(1, 2));
        put_numbers(&bytes, 4, NUMBERS(1, 1));
        put_strings(&bytes);
        read_well(&bytes, &document);
        assert_int_equal(document.samples[0].location_count, 3);
        assert_int_equal(document.sample_locations[0], 1);
        assert_int_equal(document.sample_locations[1], 0);
        assert_int_equal(document.sample_locations[2], 1);
        assert_int_equal(document.values[0], 5);
        assert_int_equal(document.values[1], 300);
        rth__pprof_document_free(&document, &allocator);
    }
}

static void ids_may_be_sparse_and_in_any_order(void **state)
{
    (void)state;
    static const uint64_t ids[] = {900, 3, UINT64_MAX, 17, 1, 5000000000, 2, 40};
    enum { IDS = sizeof(ids) / sizeof(ids[0]) };
    struct bytes bytes = {.count = 0}, sample = {.count = 0};
    struct rth_pprof_document document;
    put_types(&bytes);
    for (size_t i = 0; i < IDS; i++) {
        put_numbers(&bytes, 4, NUMBERS(1, ids[i], 3, i));
        put_number(&sample, 1, ids[IDS - 1 - i]);
    }
    put_number(&sample, 2, 1);
    put_number(&sample, 2, 1);
    put_message(&bytes, 2, &sample);
    put_strings(&bytes);
    read_well(&bytes, &document);
    for (size_t i = 0; i < IDS; i++) {
        assert_int_equal(document.locations[i].id, ids[i]);
        assert_int_equal(document.sample_locations[i], IDS - 1 - i);
    }
    rth__pprof_document_free(&document, &allocator);
}

static void what_is_not_known_is_skipped(void **state)
{
    (void)state;
    struct bytes bytes = {.count = 0};
    struct rth_pprof_document document;
    put_types(&bytes);
    put_number(&bytes, 500, 7);
    put_block(&bytes, 501, "whatever", 8);
    put_block(&bytes, 502, "\x0a", 1);
    put_varint(&bytes, 503 << 3 | 1);
    put_varint(&bytes, 503 << 3 | 1);
    bytes.count += 6; /* eight bytes in all, the first two like a tag */
    put_numbers(&bytes, 4, NUMBERS(1, 1, 77, 8));
    put_strings(&bytes);
    read_well(&bytes, &document);
    assert_int_equal(document.location_count, 1);
    rth__pprof_document_free(&document, &allocator);
}

static void a_nul_inside_a_string_does_not_cut_it(void **state)
{
    (void)state;
    struct bytes bytes = {.count = 0};
    struct rth_pprof_document document;
    put_types(&bytes);
    put_number(&bytes, 13, COMMENT + 1);
    put_strings(&bytes);
    put_block(&bytes, 6, "a\0b", 3);
    read_well(&bytes, &document);
    assert_string_equal(document.comments[0], "a?b");
    rth__pprof_document_free(&document, &allocator);
}

static void every_reference_to_nothing_is_named(void **state)
{
    (void)state;
    struct {
        unsigned field;
        struct bytes message;
        const char *expected;
    } cases[] = {
        {2, NUMBERS(1, 9, 2, 1, 2, 1), "sample 1 names location 9, which is not there"},
        {2, NUMBERS(2, 1), "1 samples of 2 types have 1 values"},
        {3, NUMBERS(1, 1, 5, 99), "mapping 1 names string 99 of 11"},
        {3, NUMBERS(2, 5), "mapping 1 has no id"},
        {4, NUMBERS(1, 1, 2, 8), "location 1 names mapping 8, which is not there"},
        {5, NUMBERS(1, 1, 2, UINT64_MAX), "function 1 names string 18446744073709551615 of 11"},
        {11, NUMBERS(1, 11), "period type 1 names string 11 of 11"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct bytes bytes = {.count = 0};
        put_types(&bytes);
        put_message(&bytes, cases[i].field, &cases[i].message);
        put_strings(&bytes);
        refuse(&bytes, cases[i].expected);
    }
    struct bytes bytes = {.count = 0}, location = NUMBERS(1, 1);
    put_numbers(&location, 4, NUMBERS(1, 6));
    put_types(&bytes);
    put_message(&bytes, 4, &location);
    put_strings(&bytes);
    refuse(&bytes, "location 1 names function 6, which is not there");
}

static void two_rows_of_one_id_are_refused(void **state)
{
    (void)state;
    for (unsigned field = 3; field <= 5; field++) {
        struct bytes bytes = {.count = 0};
        put_types(&bytes);
        put_numbers(&bytes, field, NUMBERS(1, 4));
        put_numbers(&bytes, field, NUMBERS(1, 2));
        put_numbers(&bytes, field, NUMBERS(1, 4));
        put_strings(&bytes);
        refuse(&bytes, "s have the id 4");
    }
}

static void values_are_as_many_as_types(void **state)
{
    (void)state;
    struct bytes bytes = {.count = 0};
    put_types(&bytes);
    put_numbers(&bytes, 2, NUMBERS(2, 1));
    put_numbers(&bytes, 2, NUMBERS(2, 1, 2, 1, 2, 1));
    put_strings(&bytes);
    refuse(&bytes, "sample 1 has 1 values for 2 types");
    struct bytes more = {.count = 0};
    put_types(&more);
    put_numbers(&more, 2, NUMBERS(2, 1, 2, 1, 2, 1));
    put_numbers(&more, 2, NUMBERS(2, 1));
    put_strings(&more);
    refuse(&more, "sample 1 has more values than there are types");
}

static void what_is_no_profile_is_said_to_be_none(void **state)
{
    (void)state;
    struct bytes bytes = {.count = 0};
    refuse(&bytes, "it is empty");
    memcpy(bytes.data, "heap profile: 1", bytes.count = 15);
    refuse(&bytes, "not a profile");
    bytes.count = 0;
    put_strings(&bytes);
    refuse(&bytes, "names no sample type");
    bytes.count = 0;
    put_types(&bytes);
    refuse(&bytes, "has no strings");
    put_text(&bytes, "not empty");
    put_strings(&bytes);
    refuse(&bytes, "first string is not empty");
    bytes.count = 0;
    put_number(&bytes, 4, 1);
    refuse(&bytes, "field 4 is no location");
}

/* Cut anywhere, or with any one byte changed: an answer of the document's bounds or a message. */
static void damage_is_never_worse_than_a_message(void **state)
{
    (void)state;
    struct bytes bytes = {.count = 0}, location = NUMBERS(1, 3, 2, 4);
    put_types(&bytes);
    put_numbers(&location, 4, NUMBERS(1, 5, 2, 6));
    put_numbers(&bytes, 2, NUMBERS(1, 3, 2, 1, 2, 1));
    put_numbers(&bytes, 3, NUMBERS(1, 4, 5, FILE_NAME));
    put_message(&bytes, 4, &location);
    put_numbers(&bytes, 5, NUMBERS(1, 5, 2, MAIN));
    put_strings(&bytes);
    unsigned refused = 0, accepted = 0;
    for (size_t at = 0; at < bytes.count; at++) {
        for (unsigned change = 0; change < 256; change++) {
            struct rth_pprof_document document;
            char message[200] = "";
            size_t count = change == 0 ? at : bytes.count;
            uint8_t *copy = malloc(count + 1);
            memcpy(copy, bytes.data, count);
            if (count > at)
                copy[at] ^= (uint8_t)change;
            int error =
                rth__pprof_read(copy, count, &allocator, &document, message, sizeof(message));
            free(copy);
            if (error == 0) {
                accepted++;
                assert_true(taken_bytes <=
                            RTH_PPROF_MEMORY_FACTOR * count + RTH_PPROF_MEMORY_EXTRA_BYTES);
                rth__pprof_document_free(&document, &allocator);
            } else {
                refused++;
                assert_int_equal(error, -EBADMSG);
                assert_true(message[0] != '\0');
            }
            assert_int_equal(taken_bytes, 0);
        }
    }
    assert_true(refused > 0 && accepted > 0);
}

static void memory_is_bounded_by_the_input(void **state)
{
    (void)state;
    /* The shortest rows there are, many of them. */
    struct bytes bytes = {.count = 0}, sample = {.count = 0}, location = NUMBERS(1, 1);
    struct rth_pprof_document document;
    put_numbers(&bytes, 1, NUMBERS(1, SAMPLES));
    for (int i = 0; i < 500; i++)
        put_block(&sample, 3, "", 0);
    put_number(&sample, 2, 1);
    for (int i = 0; i < 500; i++)
        put_block(&location, 4, "", 0);
    put_message(&bytes, 2, &sample);
    put_message(&bytes, 4, &location);
    for (unsigned i = 0; i < 100; i++)
        put_numbers(&bytes, 3, NUMBERS(1, i + 1));
    put_strings(&bytes);
    read_well(&bytes, &document);
    assert_int_equal(document.label_count, 500);
    assert_int_equal(document.line_count, 500);
    assert_true(document.block_bytes <=
                RTH_PPROF_MEMORY_FACTOR * bytes.count + RTH_PPROF_MEMORY_EXTRA_BYTES);
    rth__pprof_document_free(&document, &allocator);
}

static void short_memory_and_large_input_are_said(void **state)
{
    (void)state;
    static const struct rth_allocator nothing = {.alloc = no_alloc, .free = count_free};
    struct bytes bytes = {.count = 0};
    struct rth_pprof_document document;
    char message[200] = "";
    put_types(&bytes);
    put_strings(&bytes);
    assert_int_equal(
        rth__pprof_read(bytes.data, bytes.count, &nothing, &document, message, sizeof(message)),
        -ENOMEM);
    assert_non_null(strstr(message, "no memory"));
    assert_int_equal(rth__pprof_read(bytes.data, (size_t)RTH_PPROF_INPUT_BYTES_MAX + 1, &allocator,
                                     &document, message, sizeof(message)),
                     -E2BIG);
    assert_non_null(strstr(message, "at most"));
    document = (struct rth_pprof_document){0};
    rth__pprof_document_free(&document, &allocator);
}

RTH_TEST_MAIN(cmocka_unit_test(reads_every_field),
              cmocka_unit_test(packed_and_single_numbers_are_the_same),
              cmocka_unit_test(ids_may_be_sparse_and_in_any_order),
              cmocka_unit_test(what_is_not_known_is_skipped),
              cmocka_unit_test(a_nul_inside_a_string_does_not_cut_it),
              cmocka_unit_test(every_reference_to_nothing_is_named),
              cmocka_unit_test(two_rows_of_one_id_are_refused),
              cmocka_unit_test(values_are_as_many_as_types),
              cmocka_unit_test(what_is_no_profile_is_said_to_be_none),
              cmocka_unit_test(damage_is_never_worse_than_a_message),
              cmocka_unit_test(memory_is_bounded_by_the_input),
              cmocka_unit_test(short_memory_and_large_input_are_said))
