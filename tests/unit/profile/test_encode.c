/* SPDX-License-Identifier: MIT */
#include "helper/unit.h"

#include <errno.h>
#include <string.h>

#include "helper/failing_arena.h"
#include "helper/fake_modules.h"
#include "helper/gunzip.h"
#include "helper/pprof_parse.h"
#include "profile/encode.h"

static char packed[1 << 20], plain[1 << 20];
static struct rth_buffer_sink buffer;

static const struct rth_profile_value_type sample_types[] = {{"samples", "count"},
                                                             {"cpu", "nanoseconds"}};
static const char *const comments[] = {"hz=100", "lost=0"};
static const struct rth_profile_description description = {
    .sample_types = sample_types,
    .sample_type_count = 2,
    .period_type = {"cpu", "nanoseconds"},
    .period = 10000000,
    .time_ns = 1700000000000000000,
    .duration_ns = 5000000000,
    .comments = comments,
    .comment_count = 2,
};
static struct rth_profile_naming naming = {.root_fd = -1, .symbols = true};

/* Module 1 is a library, 2 the program, 3 has no names, 4 is loaded but not met; 5 is gone. */
static void make_modules(void)
{
    counting_init(&failing_arena, 0);
    memset(fake_modules, 0, sizeof(fake_modules));
    memset(fake_symbols, 0, sizeof(fake_symbols));
    fake_resolve_result = 0;
    naming = (struct rth_profile_naming){.root_fd = -1, .symbols = true};
    fake_module(1, "/lib/libc.so.6", 0x7f0000000000, 0x7f0000026000, 0x7f0000180000, 0x26000);
    fake_module(2, "/usr/bin/program", 0x555555554000, 0x555555556000, 0x555555558000, 0x2000);
    fake_module(3, "/usr/bin/stripped", 0x10000000, 0x10001000, 0x10002000, 0x1000);
    fake_module(4, "/lib/idle.so", 0x20000000, 0x20001000, 0x20002000, 0x1000);
    fake_module(5, "/lib/plugin.so (deleted)", 0x30000000, 0x30001000, 0x30002000, 0x1000);
    fake_modules[5].loaded = false;
    fake_modules[2].build_id_bytes = 3;
    memcpy(fake_modules[2].build_id, "\x01\xab\xf0", 3);
    fake_executable_id = 2;
    fake_symbol(0, 1, 0x30000, 0x100, "read");
    fake_symbol(1, 2, 0x2100, 0x80, "_ZN3foo3barEi");
    fake_symbol(2, 2, 0x2200, 0x80, "main");
    fake_symbol(3, 5, 0x1100, 0x80, "plugin_run");
}

static void nothing_is_left(void)
{
    assert_int_equal(fake_sets_out, 0);
    assert_int_equal(failing_arena.blocks_out, 0);
    assert_int_equal(failing_arena.wrong_sizes, 0);
}

static int encode(const struct rth_profile_row *rows, size_t count)
{
    const struct rth_profile_rows all = {rows, count};
    rth__buffer_sink_init(&buffer, packed, sizeof(packed));
    int result = rth__profile_encode(&description, &all, &naming, &buffer.sink);
    nothing_is_left();
    return result;
}

static void encode_and_parse(const struct rth_profile_row *rows, size_t count)
{
    assert_int_equal(encode(rows, count), 0);
    long plain_bytes = gunzip(packed, buffer.sink.written_bytes, plain, sizeof(plain));
    assert_true(plain_bytes > 0);
    parse_profile(plain, (size_t)plain_bytes);
}

#define FRAME(module_id, vaddr) ((uint64_t)(module_id) << 48 | (vaddr))

static const rth_frame frames_one[] = {FRAME(1, 0x30010), FRAME(2, 0x2110), FRAME(2, 0x2210)};
static const rth_frame frames_two[] = {FRAME(2, 0x2120), FRAME(2, 0x2210)};
static const int64_t values_one[] = {3, 30000000}, values_two[] = {1, 10000000};
static const struct rth_pprof_label labels[] = {{.key = "thread", .text = "worker"}};
static const struct rth_profile_row two_rows[] = {
    {frames_one, 3, values_one, NULL, 0},
    {frames_two, 2, values_two, labels, 1},
};

static const struct parsed_message *mapping_of(const char *file)
{
    for (size_t i = 0; i < parsed.mapping_count; i++) {
        if (string_is(parsed.mappings[i].numbers[5], file))
            return &parsed.mappings[i];
    }
    return NULL;
}

static void the_header_says_what_was_described(void **state)
{
    (void)state;
    make_modules();
    encode_and_parse(two_rows, 2);
    assert_int_equal(parsed.sample_type_count, 2);
    assert_true(string_is(parsed.sample_types[0].numbers[1], "samples"));
    assert_true(string_is(parsed.sample_types[0].numbers[2], "count"));
    assert_true(string_is(parsed.sample_types[1].numbers[1], "cpu"));
    assert_true(string_is(parsed.sample_types[1].numbers[2], "nanoseconds"));
    assert_true(string_is(parsed.period_type.numbers[1], "cpu"));
    assert_true(string_is(parsed.period_type.numbers[2], "nanoseconds"));
    assert_int_equal(parsed.numbers[12], 10000000);
    assert_true(parsed.numbers[9] == 1700000000000000000u);
    assert_true(parsed.numbers[10] == 5000000000u);
    assert_int_equal(parsed.numbers[14], 0);
    assert_int_equal(parsed.comment_count, 2);
    assert_true(string_is(parsed.comments[0], "hz=100"));
    assert_true(string_is(parsed.comments[1], "lost=0"));
}

static void samples_keep_stacks_values_and_labels(void **state)
{
    (void)state;
    make_modules();
    encode_and_parse(two_rows, 2);
    assert_int_equal(parsed.sample_count, 2);
    for (size_t i = 0; i < 2; i++) {
        const struct parsed_message *sample = &parsed.samples[i];
        assert_int_equal(sample->id_count, two_rows[i].frame_count);
        assert_memory_equal(sample->values, two_rows[i].values, 2 * sizeof(int64_t));
        for (size_t k = 0; k < sample->id_count; k++)
            assert_int_equal(parsed.locations[sample->ids[k] - 1].numbers[3],
                             rth__frame_address(two_rows[i].frames[k]));
    }
    assert_int_equal(parsed.samples[0].child_count, 0);
    assert_int_equal(parsed.samples[1].child_count, 1);
    const struct parsed_message *label = &parsed.children[parsed.samples[1].child_at];
    assert_true(string_is(label->numbers[1], "thread"));
    assert_true(string_is(label->numbers[2], "worker"));
}

static void equal_frames_are_one_location_and_one_function_serves_many(void **state)
{
    (void)state;
    make_modules();
    encode_and_parse(two_rows, 2);
    assert_int_equal(parsed.location_count, 4); /* main's frame is shared */
    assert_int_equal(parsed.function_count, 3); /* both frames of foo::bar lie in it */
    assert_int_equal(parsed.samples[0].ids[2], parsed.samples[1].ids[1]);
}

static void names_stay_mangled_in_both_fields(void **state)
{
    (void)state;
    make_modules();
    encode_and_parse(two_rows, 2);
    const struct parsed_message *location = &parsed.locations[parsed.samples[0].ids[1] - 1];
    assert_int_equal(location->child_count, 1);
    uint64_t function_id = parsed.children[location->child_at].numbers[1];
    const struct parsed_message *function = &parsed.functions[function_id - 1];
    assert_true(string_is(function->numbers[2], "_ZN3foo3barEi"));
    assert_true(string_is(function->numbers[3], "_ZN3foo3barEi"));
    assert_int_equal(function->numbers[4], 0);
}

static void the_executable_is_the_first_mapping_and_mappings_are_exact(void **state)
{
    (void)state;
    make_modules();
    encode_and_parse(two_rows, 2);
    assert_int_equal(parsed.mapping_count, 2);
    const struct parsed_message *program = &parsed.mappings[0], *libc = &parsed.mappings[1];
    assert_true(string_is(program->numbers[5], "/usr/bin/program"));
    assert_true(string_is(program->numbers[6], "01abf0"));
    assert_true(program->numbers[2] == 0x555555556000);
    assert_true(program->numbers[3] == 0x555555558000);
    assert_true(program->numbers[4] == 0x2000);
    assert_true(string_is(libc->numbers[5], "/lib/libc.so.6"));
    assert_int_equal(libc->numbers[6], 0);
    assert_int_equal(parsed.locations[parsed.samples[0].ids[0] - 1].numbers[2], 2);
    assert_int_equal(parsed.locations[parsed.samples[0].ids[1] - 1].numbers[2], 1);
}

static void mappings_that_continue_the_first_are_one_with_it_others_are_not(void **state)
{
    (void)state;
    make_modules();
    fake_modules[2].more_count = 2;
    fake_modules[2].more[0] = (struct rth_module_mapping){0x555555559000, 0x55555555a000, 0x5000};
    fake_modules[2].more[1] = (struct rth_module_mapping){0x555555700000, 0x555555702000, 0x1ab000};
    const rth_frame frames[] = {FRAME(2, 0x2110), FRAME(2, 0x5010), FRAME(2, 0x1ad010),
                                FRAME(1, 0x30010)};
    const struct rth_profile_row row = {frames, 4, values_one, NULL, 0};
    encode_and_parse(&row, 1);
    assert_int_equal(parsed.mapping_count, 3);
    const struct parsed_message *first = &parsed.mappings[0], *second = &parsed.mappings[1];
    assert_true(first->numbers[2] == 0x555555556000);
    assert_true(first->numbers[3] == 0x55555555a000);
    assert_true(first->numbers[4] == 0x2000);
    assert_int_equal(second->numbers[1], 2);
    assert_true(second->numbers[2] == 0x555555700000);
    assert_true(second->numbers[3] == 0x555555702000);
    assert_true(second->numbers[4] == 0x1ab000);
    assert_true(string_is(second->numbers[5], "/usr/bin/program"));
    assert_true(string_is(second->numbers[6], "01abf0"));
    assert_true(string_is(parsed.mappings[2].numbers[5], "/lib/libc.so.6"));
    const uint64_t expected[] = {1, 1, 2, 3};
    for (size_t i = 0; i < 4; i++)
        assert_int_equal(parsed.locations[parsed.samples[0].ids[i] - 1].numbers[2], expected[i]);
}

static void the_executable_is_there_even_when_no_frame_lies_in_it(void **state)
{
    (void)state;
    make_modules();
    encode_and_parse(NULL, 0);
    assert_int_equal(parsed.mapping_count, 1);
    assert_true(string_is(parsed.mappings[0].numbers[5], "/usr/bin/program"));
    assert_int_equal(parsed.mappings[0].numbers[7], 0);
    fake_executable_id = 0;
    encode_and_parse(NULL, 0);
    assert_int_equal(parsed.mapping_count, 0);
}

static void has_functions_is_true_only_when_every_frame_has_a_name(void **state)
{
    (void)state;
    make_modules();
    const rth_frame frames[] = {FRAME(1, 0x30010), FRAME(1, 0x99999), FRAME(3, 0x1500),
                                FRAME(2, 0x2110)};
    const struct rth_profile_row row = {frames, 4, values_one, NULL, 0};
    encode_and_parse(&row, 1);
    assert_int_equal(mapping_of("/usr/bin/program")->numbers[7], 1);
    assert_int_equal(mapping_of("/lib/libc.so.6")->numbers[7], 0);
    assert_int_equal(mapping_of("/usr/bin/stripped")->numbers[7], 0);
    for (unsigned flag = 8; flag <= 10; flag++)
        assert_int_equal(mapping_of("/usr/bin/program")->numbers[flag], 0);
    assert_int_equal(parsed.locations[0].child_count, 1);
    assert_int_equal(parsed.locations[1].child_count, 0);
    assert_int_equal(parsed.locations[2].child_count, 0);
    assert_int_equal(parsed.locations[2].numbers[3], 0x10001500);
}

static void without_symbols_there_are_bare_addresses(void **state)
{
    (void)state;
    make_modules();
    naming.symbols = false;
    encode_and_parse(two_rows, 2);
    assert_int_equal(parsed.function_count, 0);
    assert_int_equal(parsed.location_count, 4);
    for (size_t i = 0; i < parsed.location_count; i++)
        assert_int_equal(parsed.locations[i].child_count, 0);
    for (size_t i = 0; i < parsed.mapping_count; i++)
        assert_int_equal(parsed.mappings[i].numbers[7], 0);
    assert_true(string_is(parsed.mappings[0].numbers[6], "01abf0"));
}

static void code_outside_every_module_is_an_address_without_mapping(void **state)
{
    (void)state;
    make_modules();
    const rth_frame frames[] = {FRAME(0, 0x7fff12345678), FRAME(7, 0x10), FRAME(65535, 0x20)};
    const struct rth_profile_row row = {frames, 3, values_one, NULL, 0};
    encode_and_parse(&row, 1);
    assert_int_equal(parsed.location_count, 3);
    assert_true(parsed.locations[0].numbers[3] == 0x7fff12345678);
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(parsed.locations[i].numbers[2], 0);
        assert_int_equal(parsed.locations[i].child_count, 0);
    }
}

static void a_module_that_is_gone_keeps_its_place_and_names(void **state)
{
    (void)state;
    make_modules();
    const rth_frame frame = FRAME(5, 0x1110);
    const struct rth_profile_row row = {&frame, 1, values_one, NULL, 0};
    encode_and_parse(&row, 1);
    const struct parsed_message *mapping = mapping_of("/lib/plugin.so");
    assert_non_null(mapping);
    assert_int_equal(mapping->numbers[2], 0x30001000);
    assert_int_equal(mapping->numbers[7], 1);
    assert_true(string_is(parsed.functions[0].numbers[2], "plugin_run"));
}

static void a_row_without_frames_is_a_sample_without_locations(void **state)
{
    (void)state;
    make_modules();
    const struct rth_profile_row row = {NULL, 0, values_one, NULL, 0};
    encode_and_parse(&row, 1);
    assert_int_equal(parsed.sample_count, 1);
    assert_int_equal(parsed.samples[0].id_count, 0);
    assert_int_equal(parsed.samples[0].values[0], 3);
}

static void many_distinct_frames_are_all_there(void **state)
{
    (void)state;
    make_modules();
    static rth_frame frames[4000];
    static struct rth_profile_row rows[40];
    for (size_t i = 0; i < 4000; i++)
        frames[i] = FRAME(3, 0x1000 + 7 * i);
    for (size_t i = 0; i < 40; i++)
        rows[i] = (struct rth_profile_row){frames + 100 * i, 100, values_one, NULL, 0};
    encode_and_parse(rows, 40);
    assert_int_equal(parsed.location_count, 4000);
    for (size_t i = 0; i < 4000; i++)
        assert_int_equal(parsed.locations[parsed.samples[i / 100].ids[i % 100] - 1].numbers[3],
                         0x10001000 + 7 * i);
}

static int questions_until_cancelled;

static bool no_longer_wanted(void *userdata)
{
    assert_ptr_equal(userdata, &questions_until_cancelled);
    return questions_until_cancelled-- == 0;
}

static void a_capture_nobody_wants_ends_as_cancelled(void **state)
{
    (void)state;
    make_modules();
    static rth_frame frames[1000];
    static struct rth_profile_row rows[1000];
    for (size_t i = 0; i < 1000; i++) {
        frames[i] = FRAME(3, 0x1000 + i);
        rows[i] = (struct rth_profile_row){frames + i, 1, values_one, NULL, 0};
    }
    naming.cancelled = no_longer_wanted;
    naming.userdata = &questions_until_cancelled;
    int cancelled = 0;
    for (int asked = 0;; asked++) {
        questions_until_cancelled = asked;
        int result = encode(rows, 1000);
        if (result == 0)
            break;
        assert_int_equal(result, -ECANCELED);
        cancelled++;
    }
    assert_true(cancelled >= 5);
}

static void each_refused_allocation_is_enomem_and_no_leak(void **state)
{
    (void)state;
    make_modules();
    int refused = 0;
    for (size_t refuse_at = 1;; refuse_at++) {
        counting_init(&failing_arena, refuse_at);
        int result = encode(two_rows, 2);
        if (result == 0)
            break;
        assert_int_equal(result, -ENOMEM);
        refused++;
    }
    /* The encoder, frames, ids, symbols, five of zlib's, strings, functions. */
    assert_true(refused >= 12);
}

static void symbols_that_run_out_of_memory_end_it_before_the_first_byte(void **state)
{
    (void)state;
    make_modules();
    fake_resolve_result = -ENOMEM;
    assert_int_equal(encode(two_rows, 2), -ENOMEM);
    assert_int_equal(buffer.sink.written_bytes, 0);
}

static void the_sinks_error_is_returned(void **state)
{
    (void)state;
    make_modules();
    const struct rth_profile_rows all = {two_rows, 2};
    rth__buffer_sink_init(&buffer, packed, 50);
    assert_int_equal(rth__profile_encode(&description, &all, &naming, &buffer.sink), -ENOSPC);
    nothing_is_left();
}

RTH_TEST_MAIN(cmocka_unit_test(the_header_says_what_was_described),
              cmocka_unit_test(samples_keep_stacks_values_and_labels),
              cmocka_unit_test(equal_frames_are_one_location_and_one_function_serves_many),
              cmocka_unit_test(names_stay_mangled_in_both_fields),
              cmocka_unit_test(the_executable_is_the_first_mapping_and_mappings_are_exact),
              cmocka_unit_test(mappings_that_continue_the_first_are_one_with_it_others_are_not),
              cmocka_unit_test(the_executable_is_there_even_when_no_frame_lies_in_it),
              cmocka_unit_test(has_functions_is_true_only_when_every_frame_has_a_name),
              cmocka_unit_test(without_symbols_there_are_bare_addresses),
              cmocka_unit_test(code_outside_every_module_is_an_address_without_mapping),
              cmocka_unit_test(a_module_that_is_gone_keeps_its_place_and_names),
              cmocka_unit_test(a_row_without_frames_is_a_sample_without_locations),
              cmocka_unit_test(many_distinct_frames_are_all_there),
              cmocka_unit_test(a_capture_nobody_wants_ends_as_cancelled),
              cmocka_unit_test(each_refused_allocation_is_enomem_and_no_leak),
              cmocka_unit_test(symbols_that_run_out_of_memory_end_it_before_the_first_byte),
              cmocka_unit_test(the_sinks_error_is_returned))
