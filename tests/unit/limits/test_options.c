/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <string.h>

#include "helper/unit.h"
#include "limits/in_force.h"
#include "limits/options.h"

static const struct rth_option *option(const char *variable)
{
    for (size_t i = 0; i < RTH_LIMITS_OPTION_COUNT; i++)
        if (strcmp(rth__limits_options[i].variable, variable) == 0)
            return &rth__limits_options[i];
    fail_msg("no such option: %s", variable);
    return NULL;
}

static void every_default_is_well_formed(void **state)
{
    (void)state;
    for (size_t i = 0; i < RTH_LIMITS_OPTION_COUNT; i++)
        assert_int_equal(rth__limits_options[i].check(rth__limits_options[i].default_text), 0);
}

static void malformed_and_out_of_range_values_are_refused(void **state)
{
    (void)state;
    static const struct {
        const char *variable, *text;
    } bad[] = {
        {"RTHOOKS_MEMORY_LIMIT", "900M"},
        {"RTHOOKS_MEMORY_LIMIT", ""},
        {"RTHOOKS_MEMORY_LIMIT", "-1"},
        {"RTHOOKS_MEMORY_LIMIT", "99999999TiB"},
        {"RTHOOKS_MEMORY_RATIO", "0"},
        {"RTHOOKS_MEMORY_RATIO", "1.1"},
        {"RTHOOKS_MEMORY_RATIO", "90"},
        {"RTHOOKS_RETURN", "never"},
        {"RTHOOKS_CPU_LIMIT", "0"},
        {"RTHOOKS_CPU_LIMIT", "-2"},
        {"RTHOOKS_CPU_LIMIT", "two"},
        {"RTHOOKS_CPU_ROUND", "up"},
        {"RTHOOKS_MANIFEST_MEMORY_LIMIT", "1 GB"},
        {"RTHOOKS_MANIFEST_CPU_LIMIT", "1.5k"},
        {"RTHOOKS_MANIFEST_CPU_REQUEST", "half"},
        {"RTHOOKS_MANIFEST_MEMORY_REQUEST", "x"},
    };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        if (option(bad[i].variable)->check(bad[i].text) != -EINVAL)
            fail_msg("%s=%s was accepted", bad[i].variable, bad[i].text);
}

static void what_the_manifest_says_is_read(void **state)
{
    (void)state;
    struct rth_manifest manifest;
    rth__limits_manifest(&manifest);
    assert_int_equal(manifest.memory_limit_bytes, -1);
    assert_true(manifest.cpu_limit == 0);
    (void)snprintf(option("RTHOOKS_MANIFEST_MEMORY_LIMIT")->value->text, 16, "1Gi");
    (void)snprintf(option("RTHOOKS_MANIFEST_CPU_LIMIT")->value->text, 16, "1500m");
    rth__limits_manifest(&manifest);
    assert_int_equal(manifest.memory_limit_bytes, 1 << 30);
    assert_true(manifest.cpu_limit == 1.5);
    assert_int_equal(manifest.memory_request_bytes, -1);
}

static void memory_matches_up_to_the_rounding_of_the_kernel(void **state)
{
    (void)state;
    assert_true(rth__manifest_memory_matches(200000000, 199999488));
    assert_true(rth__manifest_memory_matches(1 << 30, 1 << 30));
    assert_false(rth__manifest_memory_matches(1 << 30, (1 << 30) - (1 << 20)));
    assert_false(rth__manifest_memory_matches(1 << 30, RTH_BUDGET_NO_LIMIT));
    assert_false(rth__manifest_memory_matches(0, RTH_BUDGET_NO_LIMIT));
}

static void cpu_matches_exactly_or_rounded_up_to_whole_processors(void **state)
{
    (void)state;
    assert_true(rth__manifest_cpu_matches(1.5, 1.5));
    assert_true(rth__manifest_cpu_matches(2, 1.5));
    assert_true(rth__manifest_cpu_matches(2, 2));
    assert_false(rth__manifest_cpu_matches(2, 1));
    assert_false(rth__manifest_cpu_matches(2, 2.5));
    assert_false(rth__manifest_cpu_matches(1.5, 1.25));
    assert_false(rth__manifest_cpu_matches(1, 0)); /* no limit */
}

RTH_TEST_MAIN(cmocka_unit_test(every_default_is_well_formed),
              cmocka_unit_test(malformed_and_out_of_range_values_are_refused),
              cmocka_unit_test(what_the_manifest_says_is_read),
              cmocka_unit_test(memory_matches_up_to_the_rounding_of_the_kernel),
              cmocka_unit_test(cpu_matches_exactly_or_rounded_up_to_whole_processors), )
