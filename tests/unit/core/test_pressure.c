/* SPDX-License-Identifier: MIT */
#include <pthread.h>
#include <stdatomic.h>

#include "core/pressure.h"
#include "helper/unit.h"

static _Atomic unsigned woken, narrowed;

static void wake(void)
{
    atomic_fetch_add(&woken, 1);
}

static void narrow(void)
{
    narrowed++;
}

static void nobody_is_woken_while_nobody_watches(void **state)
{
    (void)state;
    assert_int_equal(rth__pressure_portion_bytes_sigsafe(), 0);
    rth__pressure_report_sigsafe(UINT64_C(1) << 40);
    assert_int_equal(woken, 0);
}

static void the_report_that_reaches_the_budget_wakes_once(void **state)
{
    (void)state;
    rth__pressure_watch(1000, 10, wake);
    assert_int_equal(rth__pressure_portion_bytes_sigsafe(), 10);
    rth__pressure_report_sigsafe(400);
    rth__pressure_report_sigsafe(599);
    assert_int_equal(woken, 0);
    assert_int_equal(rth__pressure_reported_bytes(), 999);
    rth__pressure_report_sigsafe(1);
    assert_int_equal(woken, 1);
    rth__pressure_report_sigsafe(5000);
    assert_int_equal(woken, 1);
    rth__pressure_watch(1000, 10, wake);
    assert_int_equal(rth__pressure_reported_bytes(), 0);
    rth__pressure_report_sigsafe(1 << 30);
    assert_int_equal(woken, 2);
}

static void a_watch_that_ended_wakes_nobody(void **state)
{
    (void)state;
    rth__pressure_watch(1000, 10, wake);
    rth__pressure_watch(1000, 0, wake);
    rth__pressure_report_sigsafe(2000);
    assert_int_equal(woken, 0);
    rth__pressure_watch(1000, 10, wake);
    rth__pressure_child_reset();
    rth__pressure_report_sigsafe(2000);
    assert_int_equal(woken, 0);
}

static void threads_are_told_when_they_have_to_report_sooner(void **state)
{
    (void)state;
    rth__pressure_on_narrowed(narrow);
    uint32_t number = rth__pressure_watch_number_sigsafe();
    rth__pressure_watch(1000, 100, wake);
    assert_int_equal(narrowed, 1);
    assert_int_equal(rth__pressure_watch_number_sigsafe(), number + 1);
    rth__pressure_watch(1000, 100, wake);
    rth__pressure_watch(1000, 200, wake);
    assert_int_equal(narrowed, 1);
    rth__pressure_watch(1000, 50, wake);
    assert_int_equal(narrowed, 2);
    rth__pressure_watch(1000, 0, wake);
    assert_int_equal(narrowed, 2);
    /* Who goes on watching does not begin anew. */
    assert_int_equal(rth__pressure_watch_number_sigsafe(), number + 1);
    rth__pressure_watch(1000, 100, wake);
    assert_int_equal(narrowed, 3);
    assert_int_equal(rth__pressure_watch_number_sigsafe(), number + 2);
}

static void *report_many(void *unused)
{
    for (int i = 0; i < 100000; i++)
        rth__pressure_report_sigsafe(3);
    return unused;
}

static void many_threads_wake_once_and_lose_nothing(void **state)
{
    pthread_t threads[4];
    (void)state;
    rth__pressure_watch(600001, 3, wake);
    for (int i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, report_many, NULL), 0);
    for (int i = 0; i < 4; i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    assert_int_equal(woken, 1);
    assert_int_equal(rth__pressure_reported_bytes(), 1200000);
}

RTH_TEST_MAIN(cmocka_unit_test(nobody_is_woken_while_nobody_watches),
              cmocka_unit_test(the_report_that_reaches_the_budget_wakes_once),
              cmocka_unit_test(a_watch_that_ended_wakes_nobody),
              cmocka_unit_test(threads_are_told_when_they_have_to_report_sooner),
              cmocka_unit_test(many_threads_wake_once_and_lose_nothing))
