/* SPDX-License-Identifier: MIT */
#include "helper/unit.h"
#include "limits/cpu_cap.h"
#include "rthooks/limits.h"

#define MS INT64_C(1000000)

static void the_share_grows_with_the_state(void **state)
{
    (void)state;
    assert_int_equal(rth__cpu_cap_percent(RTH_MEMORY_OK), 10);
    assert_int_equal(rth__cpu_cap_percent(RTH_MEMORY_ELEVATED), 10);
    assert_int_equal(rth__cpu_cap_percent(RTH_MEMORY_SHED), 25);
    assert_int_equal(rth__cpu_cap_percent(RTH_MEMORY_CRITICAL), 50);
    assert_int_equal(rth__cpu_cap_percent(RTH_MEMORY_EXHAUSTED), 50);
}

static void it_begins_full_and_holds_a_burst_at_most(void **state)
{
    struct rth_cpu_cap cap = {0};
    (void)state;
    assert_true(rth__cpu_cap_fill(&cap, 1000 * MS, 2, 10));
    assert_int_equal(cap.tokens_ns, 100 * MS);
    assert_true(rth__cpu_cap_fill(&cap, 900000 * MS, 2, 50));
    assert_int_equal(cap.tokens_ns, 100 * MS);
}

static void it_fills_with_the_share_of_the_quota(void **state)
{
    struct rth_cpu_cap cap = {0};
    (void)state;
    (void)rth__cpu_cap_fill(&cap, 1000 * MS, 2, 10);
    rth__cpu_cap_take(&cap, 100 * MS);
    assert_false(rth__cpu_cap_fill(&cap, 1000 * MS, 2, 10));
    assert_true(rth__cpu_cap_fill(&cap, 1100 * MS, 2, 10)); /* 100 ms of 2 processors, a tenth */
    assert_int_equal(cap.tokens_ns, 20 * MS);
    assert_true(rth__cpu_cap_fill(&cap, 1120 * MS, 0.5, 50));
    assert_int_equal(cap.tokens_ns, 25 * MS);
}

/* One call may take longer than what is there: then there is a pause until that is paid. */
static void what_was_overdrawn_is_paid_back(void **state)
{
    struct rth_cpu_cap cap = {0};
    (void)state;
    (void)rth__cpu_cap_fill(&cap, 1000 * MS, 1, 10);
    rth__cpu_cap_take(&cap, 500 * MS);
    assert_false(rth__cpu_cap_fill(&cap, 4900 * MS, 1, 10));
    assert_true(rth__cpu_cap_fill(&cap, 5100 * MS, 1, 10));
    assert_int_equal(cap.tokens_ns, 10 * MS);
}

static void over_a_long_time_no_more_than_the_share_is_used(void **state)
{
    struct rth_cpu_cap cap = {0};
    int64_t used = 0;
    (void)state;
    for (int64_t now = 1000 * MS; now < 61000 * MS; now += 5 * MS) {
        if (!rth__cpu_cap_fill(&cap, now, 2, 25))
            continue;
        rth__cpu_cap_take(&cap, 40 * MS);
        used += 40 * MS;
    }
    assert_true(used <= 30000 * MS + 140 * MS);
    assert_true(used >= 29900 * MS);
}

static void a_clock_that_stands_or_falls_fills_nothing(void **state)
{
    struct rth_cpu_cap cap = {0};
    (void)state;
    (void)rth__cpu_cap_fill(&cap, 1000 * MS, 2, 10);
    rth__cpu_cap_take(&cap, 100 * MS);
    assert_false(rth__cpu_cap_fill(&cap, 500 * MS, 2, 10));
    rth__cpu_cap_take(&cap, -5 * MS);
    assert_int_equal(cap.tokens_ns, 0);
}

RTH_TEST_MAIN(cmocka_unit_test(the_share_grows_with_the_state),
              cmocka_unit_test(it_begins_full_and_holds_a_burst_at_most),
              cmocka_unit_test(it_fills_with_the_share_of_the_quota),
              cmocka_unit_test(what_was_overdrawn_is_paid_back),
              cmocka_unit_test(over_a_long_time_no_more_than_the_share_is_used),
              cmocka_unit_test(a_clock_that_stands_or_falls_fills_nothing))
