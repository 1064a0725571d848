/* SPDX-License-Identifier: MIT */
/* Waits as a list of threads has them: anybody may have written it. */
#include <string.h>

#include "helper/unit.h"
#include "profile/waits.h"

static struct waits waits;

static void add(int tid, const char *reason, const char *object, int holder_tid)
{
    struct waiting_thread thread = {
        .tid = tid,
        .name = "worker",
        .reason = reason,
        .object = object,
        .held_by = "",
        .holder_tid = holder_tid,
        .seconds = -1,
        .place = "transfer",
    };
    waits_add(&waits, &thread);
}

static void a_circle_is_found_whatever_order_the_threads_come_in(void **state)
{
    (void)state;
    waits = (struct waits){0};
    add(30, "rwlock write", "0x3", 10);
    add(10, "mutex", "0x1", 20);
    add(40, "", "", 0);
    add(20, "rwlock read", "0x2", 30);
    waits_solve(&waits);
    assert_int_equal(waits.count, 4);
    assert_int_equal(waits.graph.cycle_count, 1);
    uint32_t first = rth__wait_graph_cycle_first(&waits.graph, 1);
    assert_int_equal(waits.threads[first].tid, 10);
    assert_int_equal(rth__wait_graph_cycle_length(&waits.graph, first), 3);
    assert_int_equal(waits.threads[waits.graph.holder[first]].tid, 20);
    waits_free(&waits);
}

static void conditions_and_calls_are_no_locks(void **state)
{
    (void)state;
    waits = (struct waits){0};
    assert_true(waits_is_lock("mutex"));
    static const char *const others[] = {"condition", "semaphore", "futex", "poll", "", "mutex2"};
    for (int i = 0; i < 6; i++) {
        assert_false(waits_is_lock(others[i]));
        add(2 * i + 1, others[i], "0x1", 2 * i + 2);
        add(2 * i + 2, others[i], "0x2", 2 * i + 1);
    }
    waits_solve(&waits);
    assert_int_equal(waits.graph.cycle_count, 0);
    assert_int_equal(waits.graph.object_count, 0);
    waits_free(&waits);
}

static void numbers_that_are_none_and_come_twice_do_no_harm(void **state)
{
    (void)state;
    waits = (struct waits){0};
    add(0, "mutex", "0x1", 1);
    add(-5, "mutex", "0x1", -5);
    add(7, "mutex", "no number", 8);
    add(8, "mutex", "0xffffffffffffffffffffffff", 7);
    add(8, "mutex", "0x2", 9);
    add(9, "mutex", "0x2", 9);
    waits_solve(&waits);
    assert_int_equal(waits.count, 3);
    for (size_t i = 0; i < waits.count; i++)
        assert_int_equal(waits.threads[i].tid, 7 + i);
    assert_int_equal(waits.graph.cycle_count, 1);
    assert_int_equal(rth__wait_graph_cycle_first(&waits.graph, 1), 2);
    waits_free(&waits);
}

static void an_empty_list_has_no_waits(void **state)
{
    (void)state;
    waits = (struct waits){0};
    waits_solve(&waits);
    assert_int_equal(waits.count, 0);
    assert_int_equal(waits.graph.cycle_count, 0);
    waits_free(&waits);
    waits_free(&waits);
}

static void texts_outlive_where_they_came_from(void **state)
{
    (void)state;
    char name[16] = "before";
    waits = (struct waits){0};
    struct waiting_thread thread = {
        .tid = 1, .name = name, .reason = name, .object = name, .held_by = name, .place = name};
    waits_add(&waits, &thread);
    memset(name, 'x', sizeof(name) - 1);
    waits_solve(&waits);
    assert_string_equal(waits.threads[0].name, "before");
    assert_string_equal(waits.threads[0].place, "before");
    assert_string_equal(waits.threads[0].held_by, "before");
    waits_free(&waits);
}

RTH_TEST_MAIN(cmocka_unit_test(a_circle_is_found_whatever_order_the_threads_come_in),
              cmocka_unit_test(conditions_and_calls_are_no_locks),
              cmocka_unit_test(numbers_that_are_none_and_come_twice_do_no_harm),
              cmocka_unit_test(an_empty_list_has_no_waits),
              cmocka_unit_test(texts_outlive_where_they_came_from))
