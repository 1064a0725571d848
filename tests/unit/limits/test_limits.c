/* SPDX-License-Identifier: MIT */
/* rthooks/limits.h over the whole runtime, without an endpoint: rth-collect is on its own. */
#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>

#include "core/collect.h"
#include "helper/unit.h"
#include "rthooks/limits.h"
#include "rthooks/rthooks.h"

#define MIB (INT64_C(1) << 20)

static _Atomic int calls;
static _Atomic int64_t told_limit;
static char called_on[16];
static struct rth_limits_watch *_Atomic removes;

static void changed(const struct rth_limits *limits, void *userdata)
{
    (void)userdata;
    (void)prctl(PR_GET_NAME, called_on);
    if (removes != NULL)
        rth_limits_on_change_remove(removes);
    told_limit = limits->memory_limit_bytes;
    calls++;
}

static void start(void)
{
    assert_int_equal(setenv("RTHOOKS_ADMIN", "off", 1), 0);
    assert_int_equal(setenv("RTHOOKS_CRASH_DIR", "off", 1), 0);
    assert_int_equal(rth_start(NULL), 0);
}

static void wait_for_limit(int64_t limit_bytes)
{
    for (int i = 0; i < 20000 && told_limit != limit_bytes; i++)
        test_pause_us(1000);
    assert_int_equal(told_limit, limit_bytes);
}

static void before_it_runs_nothing_is_known_but_the_affinity(void **state)
{
    (void)state;
    char line[4096];
    struct rth_limits limits = RTH_LIMITS_INIT;
    assert_int_equal(rth_limits_read(&limits), -EAGAIN);
    assert_int_equal(rth_budget_line(line, sizeof(line)), -EAGAIN);
    assert_true(rth_cpu_workers() >= 1);
}

static void what_is_in_force_is_read(void **state)
{
    (void)state;
    char line[4096];
    struct rth_limits limits = RTH_LIMITS_INIT;
    start();
    int64_t before = rth_memory_limit_set(64 * 1024 * MIB);
    assert_int_equal(rth_limits_read(&limits), 0);
    assert_true(limits.memory_limit_bytes == 64 * 1024 * MIB ||
                limits.memory_limit_bytes == limits.memory_hard_bytes);
    assert_int_equal(limits.cpu_workers, rth_cpu_workers());
    assert_int_equal(limits.struct_size, sizeof(limits));
    assert_true(limits.memory_usage_bytes > 0);
    int length = rth_budget_line(line, sizeof(line));
    assert_true(length > 0 && (size_t)length == strlen(line));
    assert_memory_equal(line, "rthooks budget memory_limit=", 28);
    assert_int_equal(rth_budget_line(line, 10), -ENOSPC);
    (void)rth_memory_limit_set(before);
    assert_int_equal(rth_stop(), 0);
    assert_int_equal(rth_limits_read(&limits), -EAGAIN);
}

static void a_caller_of_an_older_build_gets_what_it_knows(void **state)
{
    (void)state;
    struct rth_limits limits;
    start();
    memset(&limits, 0x55, sizeof(limits));
    limits.struct_size = offsetof(struct rth_limits, memory_usage_bytes);
    assert_int_equal(rth_limits_read(&limits), 0);
    assert_true(limits.memory_hard_bytes != 0x5555555555555555);
    assert_int_equal(limits.memory_usage_bytes, 0x5555555555555555);
    limits.struct_size = 3;
    assert_int_equal(rth_limits_read(&limits), -EINVAL);
    assert_int_equal(rth_limits_read(NULL), -EINVAL);
    assert_int_equal(rth_budget_line(NULL, 5), -EINVAL);
    assert_int_equal(rth_stop(), 0);
}

static void a_change_is_told_on_rth_call(void **state)
{
    (void)state;
    struct rth_limits_watch *watch = NULL;
    start();
    assert_int_equal(rth_limits_on_change_add(NULL, NULL, &watch), -EINVAL);
    assert_int_equal(rth_limits_on_change_add(changed, NULL, NULL), -EINVAL);
    assert_int_equal(rth_limits_on_change_add(changed, NULL, &watch), 0);
    (void)rth_memory_limit_set(50 * MIB);
    wait_for_limit(50 * MIB);
    assert_string_equal(called_on, "rth-call");
    (void)rth_memory_limit_set(60 * MIB);
    wait_for_limit(60 * MIB);
    rth_limits_on_change_remove(watch);
    int so_far = calls;
    (void)rth_memory_limit_set(70 * MIB);
    test_pause_us(50000);
    assert_int_equal(calls, so_far);
    rth_limits_on_change_remove(NULL);
    assert_int_equal(rth_stop(), 0);
}

static void a_callback_may_remove_its_own_watch(void **state)
{
    (void)state;
    struct rth_limits_watch *watch = NULL;
    start();
    assert_int_equal(rth_limits_on_change_add(changed, NULL, &watch), 0);
    removes = watch;
    (void)rth_memory_limit_set(80 * MIB);
    wait_for_limit(80 * MIB);
    removes = NULL;
    int so_far = calls;
    (void)rth_memory_limit_set(90 * MIB);
    test_pause_us(50000);
    assert_int_equal(calls, so_far);
    assert_int_equal(rth_stop(), 0);
}

static void a_watch_may_be_made_before_it_runs(void **state)
{
    (void)state;
    struct rth_limits_watch *watch = NULL;
    assert_int_equal(rth_limits_on_change_add(changed, NULL, &watch), 0);
    start();
    (void)rth_memory_limit_set(40 * MIB);
    wait_for_limit(40 * MIB);
    rth_limits_on_change_remove(watch);
    assert_int_equal(rth_stop(), 0);
}

static void a_limit_below_use_is_critical_without_an_endpoint_too(void **state)
{
    (void)state;
    struct rth_limits limits = RTH_LIMITS_INIT;
    start();
    (void)rth_memory_limit_set(64 * 1024);
    for (int i = 0; i < 20000 && limits.memory_state < RTH_MEMORY_CRITICAL; i++) {
        test_pause_us(1000);
        assert_int_equal(rth_limits_read(&limits), 0);
    }
    assert_true(limits.memory_state >= RTH_MEMORY_CRITICAL);
    assert_true(rth__collect_is_running());
    assert_int_equal(rth_stop(), 0);
    assert_false(rth__collect_is_running());
}

static void a_limit_stays_over_stop_and_start(void **state)
{
    (void)state;
    start();
    (void)rth_memory_limit_set(77 * MIB);
    assert_int_equal(rth_stop(), 0);
    start();
    assert_int_equal(rth_memory_limit_set(-1), 77 * MIB);
    assert_int_equal(rth_stop(), 0);
}

RTH_TEST_MAIN(cmocka_unit_test(before_it_runs_nothing_is_known_but_the_affinity),
              cmocka_unit_test(what_is_in_force_is_read),
              cmocka_unit_test(a_caller_of_an_older_build_gets_what_it_knows),
              cmocka_unit_test(a_change_is_told_on_rth_call),
              cmocka_unit_test(a_callback_may_remove_its_own_watch),
              cmocka_unit_test(a_watch_may_be_made_before_it_runs),
              cmocka_unit_test(a_limit_below_use_is_critical_without_an_endpoint_too),
              cmocka_unit_test(a_limit_stays_over_stop_and_start), )
