/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <string.h>

#include "core/option.h"
#include "helper/unit.h"
#include "limits/in_force.h"
#include "limits/options.h"
#include "rthooks/limits.h"

#define MIB  (INT64_C(1) << 20)
#define NONE INT64_MAX

static struct rth_cgroup_watch watch;
static struct rth_budget budget;

static void set_option(const char *variable, const char *text)
{
    for (size_t i = 0; i < RTH_LIMITS_OPTION_COUNT; i++)
        if (strcmp(rth__limits_options[i].variable, variable) == 0)
            (void)snprintf(rth__limits_options[i].value->text, RTH_OPTION_TEXT_BYTES, "%s", text);
}

static void defaults(void)
{
    for (size_t i = 0; i < RTH_LIMITS_OPTION_COUNT; i++)
        set_option(rth__limits_options[i].variable, rth__limits_options[i].default_text);
}

static void platform(int64_t max_bytes, uint64_t quota_us)
{
    memset(&watch, 0, sizeof(watch));
    watch.memory.max.kind = max_bytes == NONE ? RTH_LIMIT_NONE : RTH_LIMIT_SET;
    watch.memory.max.value = (uint64_t)max_bytes;
    (void)snprintf(watch.memory.max.source, sizeof(watch.memory.max.source), "a/memory.max");
    watch.cpu.affinity = 8;
    watch.cpu.quota.kind = quota_us == 0 ? RTH_LIMIT_NONE : RTH_LIMIT_SET;
    watch.cpu.quota.value = quota_us;
    watch.cpu.quota.period_us = 100000;
}

static void only_what_differs_is_a_change(void **state)
{
    (void)state;
    defaults();
    rth__in_force_configure();
    platform(1000 * MIB, 150000);
    assert_true(rth__in_force_platform(&watch));
    assert_false(rth__in_force_platform(&watch));
    rth__in_force_read(&budget);
    assert_int_equal(budget.memory_limit_bytes, 900 * MIB);
    assert_int_equal(rth__in_force_memory_limit(), 900 * MIB);
    assert_int_equal(rth__in_force_memory_hard(), 1000 * MIB);
    assert_int_equal(rth__in_force_workers(), 2);
    platform(1000 * MIB, 250000);
    assert_true(rth__in_force_platform(&watch));
    assert_int_equal(rth_cpu_workers(), 3);
}

static void options_decide_how(void **state)
{
    (void)state;
    defaults();
    set_option("RTHOOKS_MEMORY_RATIO", "0.5");
    set_option("RTHOOKS_CPU_ROUND", "floor");
    rth__in_force_configure();
    platform(1000 * MIB, 150000);
    assert_true(rth__in_force_platform(&watch));
    assert_int_equal(rth__in_force_memory_limit(), 500 * MIB);
    assert_int_equal(rth__in_force_workers(), 1);
    set_option("RTHOOKS_MEMORY_LIMIT", "700MiB");
    rth__in_force_configure();
    assert_true(rth__in_force_platform(&watch));
    assert_int_equal(rth__in_force_memory_limit(), 700 * MIB);
}

static void a_limit_that_was_set_comes_before_options_and_platform(void **state)
{
    (void)state;
    defaults();
    rth__in_force_configure();
    platform(1000 * MIB, 0);
    (void)rth__in_force_platform(&watch);
    assert_int_equal(rth__in_force_set_memory(-1, "x"), 900 * MIB);
    assert_int_equal(rth__in_force_set_memory(600 * MIB, "x"), 900 * MIB);
    assert_int_equal(rth__in_force_set_memory(-5, "x"), 600 * MIB);
    rth__in_force_read(&budget);
    assert_string_equal(budget.memory_source, "x");
    set_option("RTHOOKS_MEMORY_LIMIT", "700MiB");
    rth__in_force_configure(); /* as a second rth_start does */
    (void)rth__in_force_platform(&watch);
    assert_int_equal(rth__in_force_memory_limit(), 600 * MIB);
}

static void a_text_sets_it_too_and_can_give_it_back_to_the_platform(void **state)
{
    (void)state;
    int64_t before = 0, after = 0;
    assert_int_equal(rth__in_force_set_memory_text("auto", "post", &before, &after), 0);
    defaults();
    rth__in_force_configure();
    platform(1000 * MIB, 0);
    (void)rth__in_force_platform(&watch);
    assert_int_equal(rth__in_force_set_memory_text("300MiB", "post", &before, &after), 0);
    assert_int_equal(before, 900 * MIB);
    assert_int_equal(after, 300 * MIB);
    assert_int_equal(rth__in_force_set_memory_text("2GiB", "post", &before, &after), 0);
    assert_int_equal(after, 1000 * MIB); /* the hard limit */
    assert_int_equal(rth__in_force_set_memory_text("off", "post", &before, &after), 0);
    assert_int_equal(after, NONE);
    assert_int_equal(rth__in_force_set_memory_text("auto", "post", &before, &after), 0);
    assert_int_equal(before, NONE);
    assert_int_equal(after, 900 * MIB);
    rth__in_force_read(&budget);
    assert_string_equal(budget.memory_source, "a/memory.max");
    after = 77;
    assert_int_equal(rth__in_force_set_memory_text("300M", "post", &before, &after), -EINVAL);
    assert_int_equal(after, 77);
    assert_int_equal(rth__in_force_memory_limit(), 900 * MIB);
}

static void the_platform_can_be_shown(void **state)
{
    (void)state;
    static struct rth_platform shown;
    defaults();
    rth__in_force_configure();
    platform(1000 * MIB, 0);
    watch.cgroups.memory.version = 2;
    watch.cgroups.error = -EACCES;
    (void)rth__in_force_platform(&watch);
    rth__in_force_platform_read(&shown);
    assert_int_equal(shown.memory_version, 2);
    assert_int_equal(shown.error, -EACCES);
    assert_int_equal(shown.memory.max.value, 1000 * MIB);
}

RTH_TEST_MAIN(cmocka_unit_test(only_what_differs_is_a_change), cmocka_unit_test(options_decide_how),
              cmocka_unit_test(a_limit_that_was_set_comes_before_options_and_platform),
              cmocka_unit_test(a_text_sets_it_too_and_can_give_it_back_to_the_platform),
              cmocka_unit_test(the_platform_can_be_shown), )
