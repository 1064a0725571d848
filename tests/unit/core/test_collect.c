/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <stdatomic.h>
#include <string.h>

#include "core/capability.h"
#include "core/collect.h"
#include "core/service_thread.h"
#include "helper/unit.h"
#include "os/clock.h"

static _Atomic int frequent_looks, rare_looks, idle_looks, is_ours;

static int64_t look_often(int64_t now_ns)
{
    (void)now_ns;
    is_ours = rth__service_thread_is_self();
    frequent_looks++;
    return RTH_NS_PER_MS;
}

static int64_t look_rarely(int64_t now_ns)
{
    (void)now_ns;
    rare_looks++;
    return 5 * RTH_NS_PER_S;
}

static int64_t look_never(int64_t now_ns)
{
    (void)now_ns;
    idle_looks++;
    return 0;
}

static int start_off(char *ret_reason, size_t reason_size)
{
    (void)ret_reason, (void)reason_size;
    return -ECANCELED;
}

static const struct rth_capability frequent = {.name = "frequent", .sample = look_often};
static const struct rth_capability rare = {.name = "rare", .sample = look_rarely};
static const struct rth_capability idle = {
    .name = "idle", .start = start_off, .sample = look_never};
static const struct rth_capability without = {.name = "without"};
static const struct rth_capability *const table[] = {&frequent, &without, &rare, &idle};

static void start(void)
{
    frequent_looks = rare_looks = idle_looks = 0;
    rth__capability_table_set(table, sizeof(table) / sizeof(table[0]));
    rth__capabilities_start();
    assert_int_equal(rth__collect_start(true, 0), 0);
}

static void wait_for(_Atomic int *count, int at_least)
{
    for (int i = 0; i < 20000 && *count < at_least; i++)
        test_pause_us(1000);
    assert_true(*count >= at_least);
}

static void rows_that_run_are_called_as_often_as_each_asks(void **state)
{
    (void)state;
    start();
    assert_true(rth__collect_is_running());
    wait_for(&frequent_looks, 20);
    assert_true(is_ours);
    assert_int_equal(rare_looks, 1);
    assert_int_equal(idle_looks, 0);
    rth__collect_stop();
    assert_false(rth__collect_is_running());
}

static void a_wake_calls_all_of_them(void **state)
{
    (void)state;
    start();
    wait_for(&rare_looks, 1);
    for (int wakes = 2; wakes < 10; wakes++) {
        rth__collect_wake_sigsafe();
        wait_for(&rare_looks, wakes);
    }
    assert_int_equal(idle_looks, 0);
    rth__collect_stop();
}

static void it_can_be_ended_before_it_began_and_started_again(void **state)
{
    (void)state;
    rth__collect_stop();
    rth__capability_table_set(table, sizeof(table) / sizeof(table[0]));
    rth__capabilities_start();
    frequent_looks = 0;
    assert_int_equal(rth__collect_start(true, 3600 * RTH_NS_PER_S), 0);
    rth__collect_stop();
    assert_int_equal(frequent_looks, 0);
    start();
    wait_for(&frequent_looks, 2);
    rth__collect_stop();
    int looks = frequent_looks;
    test_pause_us(20000);
    assert_int_equal(frequent_looks, looks);
}

RTH_TEST_MAIN(cmocka_unit_test(rows_that_run_are_called_as_often_as_each_asks),
              cmocka_unit_test(a_wake_calls_all_of_them),
              cmocka_unit_test(it_can_be_ended_before_it_began_and_started_again), )
