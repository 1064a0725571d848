/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "formats/budget.h"
#include "formats/json.h"
#include "formats/sink.h"
#include "helper/unit.h"

#define GIB  (INT64_C(1) << 30)
#define NONE RTH_BUDGET_NO_LIMIT

static struct rth_budget_settings settings;
static struct rth_cgroup_memory_limits memory;
static struct rth_cgroup_cpu_limits cpu;
static struct rth_budget budget;
static struct rth_budget_context context;

/* What every case begins with. */
static void fresh(void)
{
    settings = (struct rth_budget_settings)RTH_BUDGET_SETTINGS_DEFAULT;
    memset(&memory, 0, sizeof(memory));
    memset(&cpu, 0, sizeof(cpu));
    cpu.affinity = 8;
    context = (struct rth_budget_context){
        .rss_bytes = -1, .headroom_bytes = -1, .stacks_bytes = -1, .mappings_bytes = -1};
}

static void set_limit(struct rth_cgroup_limit *limit, uint64_t value, const char *source)
{
    limit->kind = RTH_LIMIT_SET;
    limit->value = value;
    (void)snprintf(limit->source, sizeof(limit->source), "%s", source);
}

static void compute(void)
{
    rth__budget_compute(&settings, &memory, &cpu, &budget);
}

static const char *line(void)
{
    static char text[4096];
    int length = rth__budget_line(&budget, &context, text, sizeof(text));
    assert_int_equal(length, strlen(text));
    return text;
}

/* ---- grammars -------------------------------------------------------------------------------- */

static void a_memory_limit_is_bytes_auto_or_off(void **state)
{
    (void)state;
    fresh();
    assert_int_equal(rth__budget_memory_limit_parse("900MiB", &settings), 0);
    assert_true(settings.memory_is_explicit && !settings.memory_is_off);
    assert_int_equal(settings.memory_limit_bytes, INT64_C(900) << 20);
    assert_int_equal(rth__budget_memory_limit_parse("off", &settings), 0);
    assert_true(!settings.memory_is_explicit && settings.memory_is_off);
    assert_int_equal(rth__budget_memory_limit_parse("auto", &settings), 0);
    assert_true(!settings.memory_is_explicit && !settings.memory_is_off);
    assert_int_equal(rth__budget_memory_limit_parse("0", &settings), 0);
    assert_true(settings.memory_is_explicit);
    assert_int_equal(settings.memory_limit_bytes, 0);
}

static void the_largest_number_is_no_limit_as_in_go(void **state)
{
    (void)state;
    fresh();
    assert_int_equal(rth__budget_memory_limit_parse("9223372036854775807", &settings), 0);
    assert_true(settings.memory_is_off && !settings.memory_is_explicit);
}

static void a_bad_memory_limit_is_refused_and_changes_nothing(void **state)
{
    (void)state;
    fresh();
    static const char *const bad[] = {"",    "Off",   "AUTO", "-1",  "1.5GiB",    "900M", "900MB",
                                      "1 B", "1KiB ", "0x10", "1e9", "unlimited", "max"};
    settings.memory_limit_bytes = 7;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_int_equal(rth__budget_memory_limit_parse(bad[i], &settings), -EINVAL);
    assert_int_equal(rth__budget_memory_limit_parse("9223372036854775808", &settings), -ERANGE);
    assert_int_equal(rth__budget_memory_limit_parse("8388608TiB", &settings), -ERANGE);
    assert_true(!settings.memory_is_explicit && !settings.memory_is_off);
    assert_int_equal(settings.memory_limit_bytes, 7);
}

static void a_ratio_is_above_0_and_up_to_1(void **state)
{
    (void)state;
    fresh();
    double ratio = 0.5;
    assert_int_equal(rth__budget_ratio_parse("0.9", &ratio), 0);
    assert_true(ratio == 0.9);
    assert_int_equal(rth__budget_ratio_parse("1", &ratio), 0);
    assert_int_equal(rth__budget_ratio_parse(".25", &ratio), 0);
    assert_true(ratio == 0.25);
    static const char *const outside[] = {"0", "0.0", "1.0001", "90", "99999999999999"};
    for (size_t i = 0; i < sizeof(outside) / sizeof(outside[0]); i++)
        assert_int_equal(rth__budget_ratio_parse(outside[i], &ratio), -ERANGE);
    static const char *const bad[] = {"", ".", "-0.5", "0,9", "90%", "0.9x", "nan", "1e-1", "inf"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_int_equal(rth__budget_ratio_parse(bad[i], &ratio), -EINVAL);
    assert_true(ratio == 0.25);
}

static void a_cpu_limit_is_a_positive_number_auto_or_off(void **state)
{
    (void)state;
    fresh();
    assert_int_equal(rth__budget_cpu_limit_parse("1.5", &settings), 0);
    assert_true(settings.cpu_is_explicit && settings.cpu_limit == 1.5);
    assert_int_equal(rth__budget_cpu_limit_parse("off", &settings), 0);
    assert_true(settings.cpu_is_off && !settings.cpu_is_explicit);
    assert_int_equal(rth__budget_cpu_limit_parse("auto", &settings), 0);
    assert_true(!settings.cpu_is_off && !settings.cpu_is_explicit);
    assert_int_equal(rth__budget_cpu_limit_parse("0", &settings), -ERANGE);
    assert_int_equal(rth__budget_cpu_limit_parse("1000000000", &settings), -ERANGE);
    assert_int_equal(rth__budget_cpu_limit_parse("999999999.9999999999", &settings), -ERANGE);
    static const char *const bad[] = {"", "-1", "two", "1.5m", "1,5", "max"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_int_equal(rth__budget_cpu_limit_parse(bad[i], &settings), -EINVAL);
    assert_true(!settings.cpu_is_off && !settings.cpu_is_explicit);
}

static void rounding_has_three_names(void **state)
{
    (void)state;
    fresh();
    enum rth_cpu_round round = RTH_CPU_ROUND_GO;
    assert_int_equal(rth__budget_cpu_round_parse("round", &round), -EINVAL);
    assert_int_equal(round, RTH_CPU_ROUND_GO);
    assert_int_equal(rth__budget_cpu_round_parse("ceil", &round), 0);
    assert_int_equal(round, RTH_CPU_ROUND_CEIL);
    assert_int_equal(rth__budget_cpu_round_parse("floor", &round), 0);
    assert_int_equal(round, RTH_CPU_ROUND_FLOOR);
    assert_int_equal(rth__budget_cpu_round_parse("go", &round), 0);
    assert_int_equal(round, RTH_CPU_ROUND_GO);
}

/* ---- computation ----------------------------------------------------------------------------- */

static void workers_follow_quota_affinity_and_policy(void **state)
{
    (void)state;
    fresh();
    static const struct {
        double limit;
        unsigned affinity, by_ceil, by_floor, by_go;
    } rows[] = {
        {0, 8, 8, 8, 8},      {1.5, 8, 2, 1, 2},   {0.25, 8, 1, 1, 2},    {2, 8, 2, 2, 2},
        {2.0001, 8, 3, 2, 3}, {8.5, 8, 8, 8, 8},   {100, 8, 8, 8, 8},     {0.5, 1, 1, 1, 1},
        {3.999, 4, 4, 3, 4},  {1e308, 2, 2, 2, 2}, {1e-9, 1024, 1, 1, 2}, {7, 0, 1, 1, 1},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        unsigned affinity = rows[i].affinity;
        assert_int_equal(rth__budget_workers(rows[i].limit, affinity, RTH_CPU_ROUND_CEIL),
                         rows[i].by_ceil);
        assert_int_equal(rth__budget_workers(rows[i].limit, affinity, RTH_CPU_ROUND_FLOOR),
                         rows[i].by_floor);
        assert_int_equal(rth__budget_workers(rows[i].limit, affinity, RTH_CPU_ROUND_GO),
                         rows[i].by_go);
    }
}

static void without_limits_there_are_none_and_that_is_said(void **state)
{
    (void)state;
    fresh();
    compute();
    assert_int_equal(budget.memory_limit_bytes, NONE);
    assert_int_equal(budget.memory_hard_bytes, NONE);
    assert_true(budget.memory_ratio == 0);
    assert_string_equal(budget.memory_source, "none");
    assert_true(budget.cpu_limit == 0);
    assert_string_equal(budget.cpu_source, "affinity");
    assert_int_equal(budget.workers, 8);
}

static void a_limit_that_cannot_be_read_is_not_none(void **state)
{
    (void)state;
    fresh();
    memory.max.kind = RTH_LIMIT_UNREADABLE;
    cpu.quota.kind = RTH_LIMIT_UNREADABLE;
    compute();
    assert_int_equal(budget.memory_limit_bytes, NONE);
    assert_string_equal(budget.memory_source, "unreadable");
    assert_string_equal(budget.cpu_source, "unreadable");
    assert_int_equal(budget.workers, 8);
    fresh();
    memory.high.kind = RTH_LIMIT_UNREADABLE;
    compute();
    assert_string_equal(budget.memory_source, "unreadable");
}

static void the_limit_is_a_share_of_the_hard_one(void **state)
{
    (void)state;
    fresh();
    set_limit(&memory.max, (uint64_t)GIB, "cgroup2:/a/memory.max");
    compute();
    assert_int_equal(budget.memory_limit_bytes, 966367641);
    assert_int_equal(budget.memory_hard_bytes, GIB);
    assert_true(budget.memory_ratio == 0.9);
    assert_string_equal(budget.memory_source, "cgroup2:/a/memory.max");
    settings.memory_ratio = 1;
    compute();
    assert_int_equal(budget.memory_limit_bytes, GIB);
}

static void memory_high_below_the_hard_limit_is_what_the_limit_is_a_share_of(void **state)
{
    (void)state;
    fresh();
    set_limit(&memory.max, 1000, "max");
    set_limit(&memory.high, 500, "high");
    compute();
    assert_int_equal(budget.memory_limit_bytes, 450);
    assert_int_equal(budget.memory_hard_bytes, 1000);
    assert_true(budget.is_throttled_below_limit);
    assert_string_equal(budget.memory_source, "high");
    memory.max.kind = RTH_LIMIT_NONE;
    compute();
    assert_int_equal(budget.memory_limit_bytes, 450);
    assert_int_equal(budget.memory_hard_bytes, NONE);
    set_limit(&memory.max, 400, "max");
    compute();
    assert_int_equal(budget.memory_limit_bytes, 360);
    assert_false(budget.is_throttled_below_limit);
    assert_string_equal(budget.memory_source, "max");
}

static void an_explicit_limit_is_used_as_it_is_up_to_the_hard_one(void **state)
{
    (void)state;
    fresh();
    set_limit(&memory.max, 1000, "max");
    assert_int_equal(rth__budget_memory_limit_parse("990", &settings), 0);
    compute();
    assert_int_equal(budget.memory_limit_bytes, 990);
    assert_true(budget.memory_ratio == 0);
    assert_false(budget.explicit_is_above_hard);
    assert_string_equal(budget.memory_source, "RTHOOKS_MEMORY_LIMIT");
    assert_int_equal(rth__budget_memory_limit_parse("1001", &settings), 0);
    settings.memory_explicit_source = "rth_memory_limit_set";
    compute();
    assert_int_equal(budget.memory_limit_bytes, 1000);
    assert_true(budget.explicit_is_above_hard);
    assert_string_equal(budget.memory_source, "rth_memory_limit_set");
}

static void off_leaves_the_hard_limit_known(void **state)
{
    (void)state;
    fresh();
    set_limit(&memory.max, 1000, "max");
    set_limit(&cpu.quota, 150000, "cpu.max");
    cpu.quota.period_us = 100000;
    settings.memory_is_off = settings.cpu_is_off = true;
    compute();
    assert_int_equal(budget.memory_limit_bytes, NONE);
    assert_int_equal(budget.memory_hard_bytes, 1000);
    assert_string_equal(budget.memory_source, "off");
    assert_true(budget.cpu_limit == 0);
    assert_string_equal(budget.cpu_source, "off");
    assert_int_equal(budget.workers, 8);
}

static void cpu_comes_from_the_setting_or_from_the_quota(void **state)
{
    (void)state;
    fresh();
    set_limit(&cpu.quota, 150000, "cgroup2:/a/cpu.max");
    cpu.quota.period_us = 100000;
    compute();
    assert_true(budget.cpu_limit == 1.5);
    assert_string_equal(budget.cpu_source, "cgroup2:/a/cpu.max");
    assert_int_equal(budget.workers, 2);
    assert_int_equal(rth__budget_cpu_limit_parse("3.5", &settings), 0);
    settings.cpu_round = RTH_CPU_ROUND_FLOOR;
    compute();
    assert_true(budget.cpu_limit == 3.5);
    assert_string_equal(budget.cpu_source, "RTHOOKS_CPU_LIMIT");
    assert_int_equal(budget.workers, 3);
}

static void critical_begins_halfway_to_the_hard_limit(void **state)
{
    (void)state;
    fresh();
    assert_int_equal(rth__budget_critical_bytes(900, 1000), 950);
    assert_int_equal(rth__budget_critical_bytes(1000, 1000), 1000);
    assert_int_equal(rth__budget_critical_bytes(1000, NONE), 1050);
    assert_int_equal(rth__budget_critical_bytes(NONE, 1000), NONE);
    assert_int_equal(rth__budget_critical_bytes(NONE - 1, NONE), NONE);
    assert_int_equal(rth__budget_critical_bytes(0, 100), 50);
}

static void expected_rss_is_the_sum_of_terms_that_are_all_known(void **state)
{
    (void)state;
    fresh();
    set_limit(&memory.max, 1000, "max");
    compute();
    context.headroom_bytes = 50;
    context.stacks_bytes = 7;
    assert_int_equal(rth__budget_expected_rss(&budget, &context), -1);
    context.mappings_bytes = 3;
    assert_int_equal(rth__budget_expected_rss(&budget, &context), 960);
    settings.memory_is_off = true;
    compute();
    assert_int_equal(rth__budget_expected_rss(&budget, &context), -1);
}

/* ---- the line and the JSON ------------------------------------------------------------------- */

static void the_line_has_the_fields_of_the_contract_in_order(void **state)
{
    (void)state;
    fresh();
    set_limit(&memory.max, (uint64_t)GIB, "cgroup2:/kubepods.slice/memory.max");
    set_limit(&cpu.quota, 150000, "cgroup2:/kubepods.slice/cpu.max");
    cpu.quota.period_us = 100000;
    compute();
    context = (struct rth_budget_context){.service = "checkout",
                                          .version = "1.4.2",
                                          .revision = "ab12cd3",
                                          .build_id = "f00d",
                                          .hooks = "cpu,heap",
                                          .return_mode = "eager",
                                          .rss_bytes = 4096,
                                          .headroom_bytes = 100,
                                          .stacks_bytes = 10,
                                          .mappings_bytes = 1,
                                          .extra = " pid=5"};
    assert_string_equal(
        line(), "rthooks budget memory_limit=966367641 "
                "memory_source=cgroup2:/kubepods.slice/memory.max ratio=0.9 "
                "cgroup_limit=1073741824 return=eager gc_percent=- cpu_limit=1.5 "
                "cpu_source=cgroup2:/kubepods.slice/cpu.max workers=2 expected_max_cpu=150% "
                "rss=4096 expected_rss=966367752 service=checkout version=1.4.2 revision=ab12cd3 "
                "build_id=f00d hooks=cpu,heap pid=5");
}

static void no_limit_is_off_and_what_is_not_known_is_a_dash(void **state)
{
    (void)state;
    fresh();
    compute();
    assert_string_equal(line(), "rthooks budget memory_limit=off memory_source=none ratio=- "
                                "cgroup_limit=off return=- gc_percent=- cpu_limit=off "
                                "cpu_source=affinity workers=8 expected_max_cpu=800% rss=- "
                                "expected_rss=- service=- version=- revision=- build_id=- hooks=-");
}

static void values_that_would_break_the_line_are_quoted(void **state)
{
    (void)state;
    fresh();
    compute();
    context.service = "a b=\"c\"\\\n";
    context.version = "\xc3\xa9";
    assert_non_null(strstr(line(), " service=\"a b=\\\"c\\\"\\\\\\x0a\" version=\xc3\xa9 "));
}

static void a_line_that_does_not_fit_is_an_error(void **state)
{
    (void)state;
    fresh();
    char small[64];
    compute();
    assert_int_equal(rth__budget_line(&budget, &context, small, sizeof(small)), -ENOSPC);
}

static void the_json_has_null_for_none_and_leaves_out_what_is_not_known(void **state)
{
    (void)state;
    fresh();
    char text[4096];
    struct rth_buffer_sink sink;
    struct rth_json json;
    compute();
    context.stacks_bytes = 12;
    rth__buffer_sink_init(&sink, text, sizeof(text));
    rth__json_init(&json, &sink.sink);
    rth__json_object_begin(&json);
    rth__budget_json(&budget, &context, &json);
    rth__json_object_end(&json);
    assert_int_equal(sink.sink.error, 0);
    assert_non_null(strstr(text, "\"memory_limit_bytes\":null,\"memory_source\":\"none\""));
    assert_non_null(strstr(text, "\"cpu_limit\":null,\"cpu_source\":\"affinity\""));
    assert_non_null(strstr(text, "\"expected_rss_terms\":{\"memory_limit_bytes\":null,"
                                 "\"stacks_bytes\":12}"));
    assert_null(strstr(text, "expected_rss_bytes"));
    assert_null(strstr(text, "service"));
}

RTH_TEST_MAIN(cmocka_unit_test(a_memory_limit_is_bytes_auto_or_off),
              cmocka_unit_test(the_largest_number_is_no_limit_as_in_go),
              cmocka_unit_test(a_bad_memory_limit_is_refused_and_changes_nothing),
              cmocka_unit_test(a_ratio_is_above_0_and_up_to_1),
              cmocka_unit_test(a_cpu_limit_is_a_positive_number_auto_or_off),
              cmocka_unit_test(rounding_has_three_names),
              cmocka_unit_test(workers_follow_quota_affinity_and_policy),
              cmocka_unit_test(without_limits_there_are_none_and_that_is_said),
              cmocka_unit_test(a_limit_that_cannot_be_read_is_not_none),
              cmocka_unit_test(the_limit_is_a_share_of_the_hard_one),
              cmocka_unit_test(memory_high_below_the_hard_limit_is_what_the_limit_is_a_share_of),
              cmocka_unit_test(an_explicit_limit_is_used_as_it_is_up_to_the_hard_one),
              cmocka_unit_test(off_leaves_the_hard_limit_known),
              cmocka_unit_test(cpu_comes_from_the_setting_or_from_the_quota),
              cmocka_unit_test(critical_begins_halfway_to_the_hard_limit),
              cmocka_unit_test(expected_rss_is_the_sum_of_terms_that_are_all_known),
              cmocka_unit_test(the_line_has_the_fields_of_the_contract_in_order),
              cmocka_unit_test(no_limit_is_off_and_what_is_not_known_is_a_dash),
              cmocka_unit_test(values_that_would_break_the_line_are_quoted),
              cmocka_unit_test(a_line_that_does_not_fit_is_an_error),
              cmocka_unit_test(the_json_has_null_for_none_and_leaves_out_what_is_not_known), )
