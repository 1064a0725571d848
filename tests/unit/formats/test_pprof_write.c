/* SPDX-License-Identifier: MIT */
#include "helper/unit.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "formats/pprof_write.h"
#include "helper/counting_allocator.h"
#include "helper/pprof_parse.h"

static struct counting_allocator counting;
static struct rth_buffer_sink buffer;
static struct rth_pprof pprof;
static char written[4 * 1024 * 1024];

static void start_refusing(size_t refuse_at, size_t capacity_bytes)
{
    counting_init(&counting, refuse_at);
    rth__buffer_sink_init(&buffer, written, capacity_bytes);
    rth__pprof_init(&pprof, &buffer.sink, &counting.allocator);
}

static void start(void)
{
    start_refusing(0, sizeof(written));
}

static int stop(void)
{
    int error = rth__pprof_finish(&pprof);
    rth__pprof_release(&pprof);
    assert_int_equal(counting.blocks_out, 0);
    assert_int_equal(counting.bytes_out, 0);
    assert_int_equal(counting.wrong_sizes, 0);
    return error;
}

static void bytes_are(const void *wanted, size_t wanted_bytes)
{
    assert_int_equal(stop(), 0);
    assert_int_equal(buffer.sink.written_bytes, wanted_bytes);
    assert_memory_equal(written, wanted, wanted_bytes);
}

#define BYTES_ARE(wanted) bytes_are(wanted, sizeof(wanted) - 1)

static void an_empty_profile_is_its_empty_string(void **state)
{
    (void)state;
    start();
    BYTES_ARE("\x32\x00");
}

static void the_header_has_these_bytes(void **state)
{
    (void)state;
    start();
    rth__pprof_sample_type(&pprof, "cpu", "ns");
    rth__pprof_default_sample_type(&pprof, "cpu");
    rth__pprof_times(&pprof, 300, 0);
    rth__pprof_period(&pprof, "cpu", "ns", 10000000);
    rth__pprof_comment(&pprof, "hi");
    rth__pprof_drop_frames(&pprof, "a");
    rth__pprof_keep_frames(&pprof, "b");
    BYTES_ARE("\x32\x00"
              "\x32\x03"
              "cpu"
              "\x32\x02"
              "ns"
              "\x0a\x04\x08\x01\x10\x02"
              "\x70\x01"
              "\x48\xac\x02"
              "\x5a\x04\x08\x01\x10\x02"
              "\x60\x80\xad\xe2\x04"
              "\x32\x02"
              "hi"
              "\x68\x03"
              "\x32\x01"
              "a"
              "\x38\x04"
              "\x32\x01"
              "b"
              "\x40\x05");
}

static void a_sample_has_these_bytes(void **state)
{
    (void)state;
    const uint64_t ids[] = {1, 300};
    const int64_t values[] = {5, -1, 0};
    const struct rth_pprof_label labels[] = {{.key = "k", .text = "v"},
                                             {.key = "n", .number = 7, .unit = "ms"}};
    start();
    rth__pprof_sample(&pprof, &(struct rth_pprof_sample){ids, 2, values, 3, labels, 2});
    BYTES_ARE("\x32\x00"
              "\x32\x01"
              "k"
              "\x32\x01"
              "v"
              "\x32\x01"
              "n"
              "\x32\x02"
              "ms"
              "\x12\x21"
              "\x0a\x03\x01\xac\x02"
              "\x12\x0c\x05\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01\x00"
              "\x1a\x04\x08\x01\x10\x02"
              "\x1a\x06\x08\x03\x18\x07\x20\x04");
}

static void mappings_functions_and_locations_have_these_bytes(void **state)
{
    (void)state;
    const struct rth_pprof_line lines[] = {{1, 12}, {2, 0}};
    start();
    rth__pprof_mapping(&pprof, &(struct rth_pprof_mapping){
                                   .id = 1,
                                   .start = 0x400000,
                                   .limit = 0x401000,
                                   .file_offset = 0x1000,
                                   .file = "/x",
                                   .build_id = "ab",
                                   .has_functions = true,
                                   .has_filenames = true,
                                   .has_line_numbers = true,
                                   .has_inline_frames = true,
                               });
    rth__pprof_function(&pprof, &(struct rth_pprof_function){1, "f", "f", "f.c", 3});
    rth__pprof_location(&pprof, &(struct rth_pprof_location){1, 1, 0x400123, lines, 2});
    BYTES_ARE("\x32\x00"
              "\x32\x02"
              "/x"
              "\x32\x02"
              "ab"
              "\x1a\x1b\x08\x01\x10\x80\x80\x80\x02\x18\x80\xa0\x80\x02\x20\x80\x20\x28\x01\x30\x02"
              "\x38\x01\x40\x01\x48\x01\x50\x01"
              "\x32\x01"
              "f"
              "\x32\x03"
              "f.c"
              "\x2a\x0a\x08\x01\x10\x03\x18\x03\x20\x04\x28\x03"
              "\x22\x13\x08\x01\x10\x01\x18\xa3\x82\x80\x02\x22\x04\x08\x01\x10\x0c"
              "\x22\x02\x08\x02");
}

static void flags_that_are_not_set_are_left_out(void **state)
{
    (void)state;
    start();
    rth__pprof_mapping(&pprof, &(struct rth_pprof_mapping){.id = 1, .build_id = ""});
    BYTES_ARE("\x32\x00\x1a\x02\x08\x01");
}

static void a_string_is_written_once(void **state)
{
    (void)state;
    char text[32];
    start();
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < 3000; i++) {
            (void)snprintf(text, sizeof(text), "string %d", i);
            rth__pprof_function(&pprof, &(struct rth_pprof_function){
                                            .id = (uint64_t)(round * 3000 + i + 1),
                                            .name = text,
                                            .system_name = text,
                                        });
        }
    }
    assert_int_equal(stop(), 0);
    const uint8_t *at = (const uint8_t *)written, *end = at + buffer.sink.written_bytes;
    int strings = 0, functions = 0;
    while (at < end) {
        uint64_t tag = parse_varint(&at, end), size_bytes = parse_varint(&at, end);
        strings += tag == 0x32;
        functions += tag == 0x2a;
        at += size_bytes;
    }
    assert_int_equal(strings, 3001);
    assert_int_equal(functions, 9000);
}

static uint32_t seed = 1;

static uint32_t any_below(uint32_t limit)
{
    seed = seed * 1664525u + 1013904223u;
    return (seed >> 8) % limit;
}

static const char *any_string(char text[64])
{
    uint32_t size_bytes = any_below(40);
    for (uint32_t i = 0; i < size_bytes; i++)
        text[i] = (char)('a' + any_below(3));
    text[size_bytes] = '\0';
    return text;
}

static uint64_t any_number(void)
{
    uint64_t bits = (uint64_t)any_below(1u << 24) << 40 | (uint64_t)any_below(1u << 24) << 16;
    return bits >> any_below(64);
}

/* What the profile that was written last must hold. */
static struct {
    uint64_t addresses[40];
    char names[40][64];
    uint64_t ids[50][100];
    size_t id_count[50], label_count[50];
    int64_t values[50][2];
} expected;

static void write_any_profile(void)
{
    char one[64], other[64];
    rth__pprof_sample_type(&pprof, "a", "b");
    rth__pprof_sample_type(&pprof, "c", "b");
    for (uint64_t id = 1; id <= 40; id++) {
        expected.addresses[id - 1] = any_number();
        rth__pprof_function(&pprof, &(struct rth_pprof_function){
                                        .id = id,
                                        .name = any_string(expected.names[id - 1]),
                                        .system_name = any_string(other),
                                    });
        struct rth_pprof_line lines[2] = {{1 + any_below((uint32_t)id), any_below(9)}, {1, 0}};
        rth__pprof_location(&pprof, &(struct rth_pprof_location){
                                        .id = id,
                                        .address = expected.addresses[id - 1],
                                        .lines = lines,
                                        .line_count = any_below(3),
                                    });
    }
    for (int i = 0; i < 50; i++) {
        expected.id_count[i] = any_below(100);
        for (size_t k = 0; k < expected.id_count[i]; k++)
            expected.ids[i][k] = 1 + any_below(40);
        expected.values[i][0] = (int64_t)any_number();
        expected.values[i][1] = -(int64_t)(any_number() >> 1);
        expected.label_count[i] = any_below(3);
        struct rth_pprof_label labels[2] = {
            {.key = any_string(one), .text = any_string(other)},
            {.key = "n", .number = expected.values[i][1], .unit = "bytes"}};
        rth__pprof_sample(&pprof, &(struct rth_pprof_sample){
                                      .location_ids = expected.ids[i],
                                      .location_count = expected.id_count[i],
                                      .values = expected.values[i],
                                      .value_count = 2,
                                      .labels = labels,
                                      .label_count = expected.label_count[i],
                                  });
    }
}

static void compare_with_expected(void)
{
    assert_int_equal(parsed.function_count, 40);
    assert_int_equal(parsed.location_count, 40);
    assert_int_equal(parsed.sample_count, 50);
    for (size_t i = 0; i < 40; i++) {
        assert_true(parsed.locations[i].numbers[3] == expected.addresses[i]);
        assert_true(string_is(parsed.functions[i].numbers[2], expected.names[i]));
    }
    for (size_t i = 0; i < 50; i++) {
        const struct parsed_message *sample = &parsed.samples[i];
        assert_int_equal(sample->id_count, expected.id_count[i]);
        assert_memory_equal(sample->ids, expected.ids[i], sample->id_count * sizeof(uint64_t));
        assert_memory_equal(sample->values, expected.values[i], sizeof(expected.values[i]));
        assert_int_equal(sample->child_count, expected.label_count[i]);
        if (sample->child_count == 2) {
            const struct parsed_message *label = &parsed.children[sample->child_at + 1];
            assert_true(string_is(label->numbers[1], "n"));
            assert_true((int64_t)label->numbers[3] == expected.values[i][1]);
            assert_true(string_is(label->numbers[4], "bytes"));
        }
    }
}

static void another_reader_finds_what_was_written(void **state)
{
    (void)state;
    for (uint32_t round = 1; round <= 100; round++) {
        seed = round;
        start();
        write_any_profile();
        assert_int_equal(stop(), 0);
        parse_profile(written, buffer.sink.written_bytes);
        compare_with_expected();
    }
}

static void extreme_numbers_arrive(void **state)
{
    (void)state;
    const uint64_t ids[] = {1};
    const int64_t values[] = {INT64_MIN};
    start();
    rth__pprof_sample_type(&pprof, "a", "b");
    rth__pprof_location(&pprof, &(struct rth_pprof_location){.id = 1, .address = UINT64_MAX});
    rth__pprof_sample(&pprof, &(struct rth_pprof_sample){ids, 1, values, 1, NULL, 0});
    assert_int_equal(stop(), 0);
    parse_profile(written, buffer.sink.written_bytes);
    assert_true(parsed.locations[0].numbers[3] == UINT64_MAX);
    assert_true((int64_t)parsed.samples[0].values[0] == INT64_MIN);
    assert_true(string_is(parsed.sample_types[0].numbers[1], "a"));
}

static void each_refused_allocation_is_enomem_and_no_leak(void **state)
{
    (void)state;
    int refused = 0;
    for (size_t refuse_at = 1;; refuse_at++) {
        start_refusing(refuse_at, sizeof(written));
        seed = 7;
        for (int i = 0; i < 12; i++)
            write_any_profile();
        int error = stop();
        if (error == 0)
            break;
        assert_int_equal(error, -ENOMEM);
        refused++;
    }
    assert_true(refused >= 5);
}

static void the_sinks_error_sticks(void **state)
{
    (void)state;
    start_refusing(0, 1500);
    write_any_profile();
    write_any_profile();
    assert_int_equal(stop(), -ENOSPC);
}

static void a_string_longer_than_the_staging_arrives(void **state)
{
    (void)state;
    static char text[100000];
    memset(text, 'x', sizeof(text) - 1);
    start();
    rth__pprof_comment(&pprof, text);
    rth__pprof_comment(&pprof, "y");
    assert_int_equal(stop(), 0);
    parse_profile(written, buffer.sink.written_bytes);
    assert_int_equal(parsed.comment_count, 2);
    assert_true(string_is(parsed.comments[0], text));
    assert_true(string_is(parsed.comments[1], "y"));
}

static void too_many_labels_are_refused(void **state)
{
    (void)state;
    static struct rth_pprof_label labels[RTH_PPROF_SAMPLE_LABELS_MAX + 1];
    start();
    rth__pprof_sample(&pprof, &(struct rth_pprof_sample){
                                  .labels = labels,
                                  .label_count = RTH_PPROF_SAMPLE_LABELS_MAX + 1,
                              });
    assert_int_equal(stop(), -E2BIG);
}

RTH_TEST_MAIN(cmocka_unit_test(an_empty_profile_is_its_empty_string),
              cmocka_unit_test(the_header_has_these_bytes),
              cmocka_unit_test(a_sample_has_these_bytes),
              cmocka_unit_test(mappings_functions_and_locations_have_these_bytes),
              cmocka_unit_test(flags_that_are_not_set_are_left_out),
              cmocka_unit_test(a_string_is_written_once),
              cmocka_unit_test(another_reader_finds_what_was_written),
              cmocka_unit_test(extreme_numbers_arrive),
              cmocka_unit_test(each_refused_allocation_is_enomem_and_no_leak),
              cmocka_unit_test(the_sinks_error_sticks),
              cmocka_unit_test(a_string_longer_than_the_staging_arrives),
              cmocka_unit_test(too_many_labels_are_refused))
