/* SPDX-License-Identifier: MIT */
/* Waited time as Go's two profiles. */
#include "helper/unit.h"

#include <errno.h>
#include <string.h>

#include "helper/fake_modules.h"
#include "profile/contention/rows.h"

#define FRAME(module_id, vaddr) ((uint64_t)(module_id) << 48 | (vaddr))

static char text[1 << 16];
static struct rth_buffer_sink buffer;
static struct rth_comments comments;

static const rth_frame in_unlock[] = {FRAME(1, 0x30000), FRAME(2, 0x2110), FRAME(2, 0x2210)};
static const rth_frame in_lock[] = {FRAME(1, 0x30100), FRAME(2, 0x2120), FRAME(2, 0x2210)};

/* Counts in halves. */
static struct rth_site_row rows[] = {
    {.identity = 3, .kind = 0},
    {.identity = 7, .kind = 0, .frames = in_unlock, .frame_count = 3, .values = {10, 500, 0, 0}},
    {.identity = 8, .kind = 1, .frames = in_lock, .frame_count = 3, .values = {4, 100, 0, 0}},
    {.identity = 9, .kind = 0, .frames = in_lock, .frame_count = 3, .values = {3, 900, 0, 0}},
};
static const struct rth_sites_copy now = {.count = 4, .rows = rows};

static int write_rows(uint32_t kind, int debug, const struct rth_sites_copy *base)
{
    memset(fake_modules, 0, sizeof(fake_modules));
    memset(fake_symbols, 0, sizeof(fake_symbols));
    fake_module(1, "/lib/libc.so.6", 0x7f0000000000, 0x7f0000026000, 0x7f0000180000, 0x26000);
    fake_module(2, "/usr/bin/program", 0x500000, 0x502000, 0x508000, 0x2000);
    fake_symbol(0, 1, 0x30000, 0x100, "pthread_mutex_unlock");
    fake_symbol(1, 1, 0x30100, 0x100, "pthread_mutex_lock");
    fake_symbol(2, 2, 0x2100, 0x80, "_ZN3foo3barEi");
    fake_symbol(3, 2, 0x2200, 0x80, "main");
    comments = (struct rth_comments){.lines = {"one", "two"}, .count = 2};
    struct rth_waited_profile profile = {
        .kind = kind,
        .text_name = kind == 0 ? "mutex" : "contention",
        .has_period = kind == 0,
        .count_shift = 1,
        .debug = debug,
        .comments = &comments,
        .naming = {.root_fd = -1, .symbols = true},
    };
    rth__buffer_sink_init(&buffer, text, sizeof(text));
    int error = rth__waited_profile_write(&profile, &now, base, &buffer.sink);
    assert_int_equal(fake_sets_out, 0);
    return error;
}

static void the_longest_delay_comes_first_and_names_are_for_people(void **state)
{
    (void)state;
    assert_int_equal(write_rows(0, 1, NULL), 0);
    assert_string_equal(text, "--- mutex:\n"
                              "cycles/second=1000000000\n"
                              "sampling period=1\n"
                              "900 2 @ 0x7f0000030100 0x502121 0x502211\n"
                              "#\t0x7f0000030100\tpthread_mutex_lock+0x0\t/lib/libc.so.6\n"
                              "#\t0x502120\tfoo::bar(int)+0x20\t/usr/bin/program\n"
                              "#\t0x502210\tmain+0x10\t/usr/bin/program\n"
                              "\n"
                              "500 5 @ 0x7f0000030000 0x502111 0x502211\n"
                              "#\t0x7f0000030000\tpthread_mutex_unlock+0x0\t/lib/libc.so.6\n"
                              "#\t0x502110\tfoo::bar(int)+0x10\t/usr/bin/program\n"
                              "#\t0x502210\tmain+0x10\t/usr/bin/program\n"
                              "\n"
                              "# one\n"
                              "# two\n");
}

static void the_other_kind_has_its_own_rows_and_name(void **state)
{
    (void)state;
    assert_int_equal(write_rows(1, 1, NULL), 0);
    assert_memory_equal(text, "--- contention:\ncycles/second=1000000000\n100 2 @ 0x7f0000030100",
                        62);
    assert_null(strstr(text, "sampling period"));
}

static void a_difference_leaves_out_what_did_not_change(void **state)
{
    (void)state;
    struct rth_site_row before[] = {rows[1], rows[3]};
    before[0].values.added_count -= 2;
    before[0].values.added_amount -= 120;
    const struct rth_sites_copy base = {.count = 2, .rows = before};
    assert_int_equal(write_rows(0, 1, &base), 0);
    assert_non_null(strstr(text, "\n120 1 @ 0x7f0000030000 "));
    assert_null(strstr(text, "pthread_mutex_lock"));
}

static void a_row_without_a_stack_is_shown(void **state)
{
    (void)state;
    rows[0].values = (struct rth_site_values){2, 1000, 0, 0};
    assert_int_equal(write_rows(0, 1, NULL), 0);
    assert_non_null(strstr(text, "sampling period=1\n1000 1 @"));
    rows[0].values = (struct rth_site_values){0};
}

static void without_rows_there_is_still_an_answer(void **state)
{
    (void)state;
    assert_int_equal(write_rows(5, 1, NULL), 0);
    assert_string_equal(text, "--- contention:\ncycles/second=1000000000\n# one\n# two\n");
    assert_int_equal(write_rows(5, 0, NULL), 0);
    assert_memory_equal(text, "\x1f\x8b", 2);
}

RTH_TEST_MAIN(cmocka_unit_test(the_longest_delay_comes_first_and_names_are_for_people),
              cmocka_unit_test(the_other_kind_has_its_own_rows_and_name),
              cmocka_unit_test(a_difference_leaves_out_what_did_not_change),
              cmocka_unit_test(a_row_without_a_stack_is_shown),
              cmocka_unit_test(without_rows_there_is_still_an_answer))
