/* SPDX-License-Identifier: MIT */
#include "helper/unit.h"

#include <errno.h>
#include <string.h>

#include "helper/failing_arena.h"
#include "helper/fake_modules.h"
#include "profile/text.h"

static char text[1 << 20];
static struct rth_buffer_sink buffer;
static struct rth_profile_naming naming;

static void make_modules(void)
{
    counting_init(&failing_arena, 0);
    memset(fake_modules, 0, sizeof(fake_modules));
    memset(fake_symbols, 0, sizeof(fake_symbols));
    naming = (struct rth_profile_naming){.root_fd = -1, .symbols = true};
    fake_module(1, "/lib/libc.so.6", 0x7f0000000000, 0x7f0000026000, 0x7f0000180000, 0x26000);
    fake_module(2, "/usr/bin/program", 0x500000, 0x502000, 0x508000, 0x2000);
    fake_module(3, "/opt/a\nb\x7f/gone (deleted)", 0x10000000, 0x10001000, 0x10002000, 0x1000);
    fake_modules[3].loaded = false;
    fake_modules[2].build_id_bytes = 3;
    memcpy(fake_modules[2].build_id, "\x01\xab\xf0", 3);
    fake_symbol(0, 1, 0x30000, 0x100, "read");
    fake_symbol(1, 2, 0x2100, 0x80, "_ZN3foo3barEi");
    fake_symbol(2, 2, 0x2200, 0x80, "main");
    fake_symbol(3, 2, 0x2300, 0x80, "_Zbroken\nname");
}

#define FRAME(module_id, vaddr) ((uint64_t)(module_id) << 48 | (vaddr))

static const rth_frame in_read[] = {FRAME(1, 0x30010), FRAME(2, 0x2110), FRAME(2, 0x2210)};
static const rth_frame in_bar[] = {FRAME(2, 0x2120), FRAME(2, 0x2210)};
static const int64_t one[] = {1}, two[] = {2};

static int write_text(const struct rth_profile_row *rows, size_t count, const char *const *comments,
                      unsigned comment_count)
{
    const struct rth_profile_rows all = {rows, count};
    rth__buffer_sink_init(&buffer, text, sizeof(text));
    int result =
        rth__profile_text_counts("goroutine", &all, &naming, comments, comment_count, &buffer.sink);
    assert_int_equal(fake_sets_out, 0);
    assert_int_equal(failing_arena.blocks_out, 0);
    assert_int_equal(failing_arena.wrong_sizes, 0);
    return result;
}

static void equal_stacks_are_one_group_and_the_largest_comes_first(void **state)
{
    (void)state;
    make_modules();
    const struct rth_profile_row rows[] = {
        {in_read, 3, one, NULL, 0}, {in_bar, 2, two, NULL, 0},      {in_read, 3, one, NULL, 0},
        {in_bar, 2, one, NULL, 0},  {in_read + 1, 1, one, NULL, 0},
    };
    assert_int_equal(write_text(rows, 5, NULL, 0), 0);
    assert_string_equal(text,
                        "goroutine profile: total 6\n"
                        "3 @ 0x502120 0x502211\n"
                        "#\t0x502120\tfoo::bar(int)+0x20\t/usr/bin/program\n"
                        "#\t0x502210\tmain+0x10\t/usr/bin/program\n"
                        "\n"
                        "2 @ 0x7f0000030010 0x502111 0x502211\n"
                        "#\t0x7f0000030010\tread+0x10\t/lib/libc.so.6\n"
                        "#\t0x502110\tfoo::bar(int)+0x10\t/usr/bin/program\n"
                        "#\t0x502210\tmain+0x10\t/usr/bin/program\n"
                        "\n"
                        "1 @ 0x502110\n"
                        "#\t0x502110\tfoo::bar(int)+0x10\t/usr/bin/program\n"
                        "\n"
                        "# module 0x7f0000026000-0x7f0000180000 0x26000 /lib/libc.so.6\n"
                        "# module 0x502000-0x508000 0x2000 /usr/bin/program build-id 01abf0\n");
}

static void comments_stand_below_the_first_line(void **state)
{
    (void)state;
    make_modules();
    const char *const comments[] = {"7 of 9 threads answered", "a\nb"};
    assert_int_equal(write_text(NULL, 0, comments, 2), 0);
    assert_string_equal(text, "goroutine profile: total 0\n"
                              "# 7 of 9 threads answered\n"
                              "# a?b\n");
}

static void labels_divide_groups_and_are_sorted_and_quoted(void **state)
{
    (void)state;
    make_modules();
    const struct rth_pprof_label labels[] = {{.key = "name", .text = "a \"b\"\n"},
                                             {.key = "id", .number = 7}};
    const struct rth_pprof_label other[] = {{.key = "name", .text = "c"}};
    const struct rth_profile_row rows[] = {
        {in_bar + 1, 1, one, labels, 2},
        {in_bar + 1, 1, one, other, 1},
        {in_bar + 1, 1, one, labels, 2},
    };
    naming.symbols = false;
    assert_int_equal(write_text(rows, 3, NULL, 0), 0);
    assert_string_equal(text,
                        "goroutine profile: total 3\n"
                        "2 @ 0x502210\n"
                        "# labels: {\"id\":7, \"name\":\"a \\\"b\\\"\\n\"}\n"
                        "#\t0x502210\tprogram+0x2210\t/usr/bin/program\n"
                        "\n"
                        "1 @ 0x502210\n"
                        "# labels: {\"name\":\"c\"}\n"
                        "#\t0x502210\tprogram+0x2210\t/usr/bin/program\n"
                        "\n"
                        "# module 0x502000-0x508000 0x2000 /usr/bin/program build-id 01abf0\n");
}

static void frames_without_a_name_show_module_and_file_address(void **state)
{
    (void)state;
    make_modules();
    const rth_frame frames[] = {FRAME(0, 0x7fff1234), FRAME(1, 0x99999)};
    const struct rth_profile_row row = {frames, 2, one, NULL, 0};
    assert_int_equal(write_text(&row, 1, NULL, 0), 0);
    assert_non_null(strstr(text, "#\t0x7fff1234\n"));
    assert_non_null(strstr(text, "#\t0x7f0000099999\tlibc.so.6+0x99999\t/lib/libc.so.6\n"));
}

static void a_hostile_name_forges_no_line(void **state)
{
    (void)state;
    make_modules();
    const rth_frame frames[] = {FRAME(2, 0x2300), FRAME(3, 0x1500)};
    const struct rth_profile_row row = {frames, 2, one, NULL, 0};
    assert_int_equal(write_text(&row, 1, NULL, 0), 0);
    assert_non_null(strstr(text, "\t_Zbroken?name+0x0\t"));
    assert_non_null(strstr(text, "\t/opt/a?b?/gone (deleted)\n"));
    assert_non_null(strstr(text, " /opt/a?b?/gone (deleted) (unloaded)\n"));
    int lines = 0;
    for (const char *at = text; (at = strchr(at, '\n')) != NULL; at++)
        lines++;
    assert_int_equal(lines, 7);
}

static void the_name_alone_is_for_other_texts(void **state)
{
    (void)state;
    make_modules();
    rth__buffer_sink_init(&buffer, text, sizeof(text));
    rth__profile_text_name(&buffer.sink, NULL, FRAME(2, 0x2110));
    rth__profile_text_name(&buffer.sink, NULL, FRAME(0, 0x2110));
    assert_string_equal(text, "program+0x21100x2110");
}

static uint32_t seed;

static uint32_t any_below(uint32_t limit)
{
    seed = seed * 1664525u + 1013904223u;
    return (seed >> 8) % limit;
}

static void groups_of_any_rows_are_in_order_and_complete(void **state)
{
    (void)state;
    make_modules();
    naming.symbols = false;
    static rth_frame frames[600][2];
    static struct rth_profile_row rows[600];
    for (seed = 1; seed < 40; seed += 3) {
        uint32_t kept = seed, kinds = 1 + any_below(100);
        int64_t wanted = 0;
        for (size_t i = 0; i < 600; i++) {
            frames[i][0] = FRAME(0, 0x1000 + any_below(kinds));
            frames[i][1] = FRAME(0, 0x1000 + any_below(2));
            rows[i] = (struct rth_profile_row){frames[i], 1 + any_below(2),
                                               any_below(2) ? one : two, NULL, 0};
            wanted += rows[i].values[0];
        }
        assert_int_equal(write_text(rows, 600, NULL, 0), 0);
        long long total = 0, previous = INT64_MAX, count = 0, sum = 0;
        assert_int_equal(sscanf(text, "goroutine profile: total %lld", &total), 1);
        assert_int_equal(total, wanted);
        for (const char *line = text; (line = strchr(line, '\n')) != NULL && *++line != '\0';) {
            if (*line < '0' || *line > '9')
                continue;
            assert_int_equal(sscanf(line, "%lld @", &count), 1);
            assert_true(count <= previous);
            previous = count;
            sum += count;
            /* The same stack does not come again. */
            char stack[64];
            size_t length = strcspn(line, "\n") - (size_t)(strchr(line, '@') - line);
            (void)snprintf(stack, sizeof(stack), "%.*s\n", (int)length, strchr(line, '@'));
            assert_null(strstr(line + strlen(stack), stack));
        }
        assert_int_equal(sum, wanted);
        seed = kept;
    }
}

static bool never_wanted(void *userdata)
{
    (void)userdata;
    return true;
}

static void a_dump_nobody_wants_ends_as_cancelled(void **state)
{
    (void)state;
    make_modules();
    const struct rth_profile_row row = {in_bar, 2, one, NULL, 0};
    naming.cancelled = never_wanted;
    assert_int_equal(write_text(&row, 1, NULL, 0), -ECANCELED);
    naming.symbols = false;
    assert_int_equal(write_text(&row, 1, NULL, 0), -ECANCELED);
}

static void each_refused_allocation_is_enomem_and_no_leak(void **state)
{
    (void)state;
    make_modules();
    const struct rth_profile_row row = {in_bar, 2, one, NULL, 0};
    int refused = 0;
    for (size_t refuse_at = 1;; refuse_at++) {
        counting_init(&failing_arena, refuse_at);
        int result = write_text(&row, 1, NULL, 0);
        if (result == 0)
            break;
        assert_int_equal(result, -ENOMEM);
        assert_int_equal(buffer.sink.written_bytes, 0);
        refused++;
    }
    assert_int_equal(refused, 4);
}

static void the_sinks_error_is_returned(void **state)
{
    (void)state;
    make_modules();
    const struct rth_profile_row row = {in_bar, 2, one, NULL, 0};
    const struct rth_profile_rows all = {&row, 1};
    rth__buffer_sink_init(&buffer, text, 40);
    assert_int_equal(rth__profile_text_counts("x", &all, &naming, NULL, 0, &buffer.sink), -ENOSPC);
    assert_int_equal(failing_arena.blocks_out, 0);
}

RTH_TEST_MAIN(cmocka_unit_test(equal_stacks_are_one_group_and_the_largest_comes_first),
              cmocka_unit_test(comments_stand_below_the_first_line),
              cmocka_unit_test(labels_divide_groups_and_are_sorted_and_quoted),
              cmocka_unit_test(frames_without_a_name_show_module_and_file_address),
              cmocka_unit_test(a_hostile_name_forges_no_line),
              cmocka_unit_test(the_name_alone_is_for_other_texts),
              cmocka_unit_test(groups_of_any_rows_are_in_order_and_complete),
              cmocka_unit_test(a_dump_nobody_wants_ends_as_cancelled),
              cmocka_unit_test(each_refused_allocation_is_enomem_and_no_leak),
              cmocka_unit_test(the_sinks_error_is_returned))
