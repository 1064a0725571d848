/* SPDX-License-Identifier: MIT */
#include "helper/unit.h"

#include <stdlib.h>
#include <string.h>

#include "os/clock.h"

#define READINGS       64
#define STEP_NS        1000000
#define TICKS_PER_STEP UINT64_C(2445000) /* 2.445 GHz */

static struct rth_tsc_reading readings[READINGS];

/* A perfect 2.445 GHz counter, read each millisecond. */
static void perfect(void)
{
    for (int i = 0; i < READINGS; i++) {
        readings[i].tsc_ticks = (UINT64_C(1) << 40) + (uint64_t)i * TICKS_PER_STEP;
        readings[i].monotonic_ns = INT64_C(7000000000) + (int64_t)i * STEP_NS;
    }
}

static void refused(const char *reason_part)
{
    struct rth_tsc tsc = {.usable = true};
    rth__clock_tsc_fit(readings, READINGS, &tsc);
    assert_false(tsc.usable);
    assert_non_null(tsc.reason);
    assert_non_null(strstr(tsc.reason, reason_part));
}

static void a_steady_counter_is_a_clock(void **state)
{
    (void)state;
    struct rth_tsc tsc;
    perfect();
    rth__clock_tsc_fit(readings, READINGS, &tsc);
    assert_true(tsc.usable);
    assert_null(tsc.reason);
    for (int i = 0; i < READINGS; i++) {
        int64_t ns = rth__clock_tsc_to_ns(&tsc, readings[i].tsc_ticks);
        assert_in_range(llabs(ns - readings[i].monotonic_ns), 0, 1);
    }
    /* An hour later, still within a microsecond. */
    uint64_t hour = UINT64_C(3600) * 1000;
    int64_t later_ns = rth__clock_tsc_to_ns(&tsc, readings[0].tsc_ticks + hour * TICKS_PER_STEP);
    assert_in_range(llabs(later_ns - (readings[0].monotonic_ns + INT64_C(3600000000000))), 0, 5000);
}

static void events_before_the_base_come_before_it(void **state)
{
    (void)state;
    struct rth_tsc tsc;
    perfect();
    rth__clock_tsc_fit(readings, READINGS, &tsc);
    assert_true(tsc.usable);
    int64_t ns = rth__clock_tsc_to_ns(&tsc, tsc.base_tsc - TICKS_PER_STEP);
    assert_in_range(llabs(ns - (tsc.base_ns - STEP_NS)), 0, 1);
}

static void jitter_of_a_reading_is_borne(void **state)
{
    (void)state;
    struct rth_tsc tsc;
    perfect();
    for (int i = 0; i < READINGS; i++)
        readings[i].monotonic_ns += i * 37 % 50;
    rth__clock_tsc_fit(readings, READINGS, &tsc);
    assert_true(tsc.usable);
}

static void a_step_backwards_is_refused_wherever_it_is(void **state)
{
    (void)state;
    for (int at = 1; at < READINGS; at++) {
        perfect();
        readings[at].tsc_ticks = readings[at - 1].tsc_ticks - 1;
        refused("backwards");
    }
}

static void a_counter_that_stands_still_is_refused(void **state)
{
    (void)state;
    perfect();
    readings[9].tsc_ticks = readings[8].tsc_ticks;
    refused("stood still");
    perfect();
    readings[9].monotonic_ns = readings[8].monotonic_ns;
    refused("monotonic");
}

static void a_rate_that_changes_is_refused(void **state)
{
    (void)state;
    /* 300 ppm faster from the middle on. */
    perfect();
    for (int i = READINGS / 2 + 1; i < READINGS; i++)
        readings[i].tsc_ticks += (uint64_t)(i - READINGS / 2) * TICKS_PER_STEP * 300 / 1000000;
    refused("rate");
    /* 300 ppm slower. */
    perfect();
    for (int i = READINGS / 2 + 1; i < READINGS; i++)
        readings[i].tsc_ticks -= (uint64_t)(i - READINGS / 2) * TICKS_PER_STEP * 300 / 1000000;
    refused("rate");
}

static void a_rate_within_the_tolerance_is_kept(void **state)
{
    (void)state;
    struct rth_tsc tsc;
    perfect();
    for (int i = READINGS / 2 + 1; i < READINGS; i++)
        readings[i].tsc_ticks += (uint64_t)(i - READINGS / 2) * TICKS_PER_STEP * 100 / 1000000;
    rth__clock_tsc_fit(readings, READINGS, &tsc);
    assert_true(tsc.usable);
}

static void one_cpu_ahead_of_the_others_is_refused(void **state)
{
    (void)state;
    /* Forwards only, and back on the next reading: neither end sees it. */
    perfect();
    readings[40].tsc_ticks += TICKS_PER_STEP / 10;
    refused("stepped");
    perfect();
    readings[10].tsc_ticks += TICKS_PER_STEP / 10;
    refused("stepped");
}

static void absurd_rates_and_too_few_readings_are_refused(void **state)
{
    (void)state;
    struct rth_tsc tsc = {.usable = true};
    perfect();
    for (int i = 0; i < READINGS; i++)
        readings[i].tsc_ticks = (uint64_t)i + 1;
    refused("implausible");
    for (int i = 0; i < READINGS; i++)
        readings[i].tsc_ticks = (uint64_t)i << 57;
    refused("implausible");
    perfect();
    rth__clock_tsc_fit(readings, RTH_TSC_READINGS_MIN - 1, &tsc);
    assert_false(tsc.usable);
    assert_string_equal(tsc.reason, "too few readings");
}

static void the_counter_of_this_machine_gets_a_verdict(void **state)
{
    (void)state;
    struct rth_tsc tsc;
    rth__clock_tsc_check(&tsc, 20 * RTH_NS_PER_MS);
    assert_true(tsc.usable == (tsc.reason == NULL));
    if (!tsc.usable)
        RTH_SKIP(tsc.reason);
    assert_true(tsc.multiplier > 0);
    assert_int_equal(rth__clock_tsc_to_ns(&tsc, tsc.base_tsc), tsc.base_ns);
    assert_true(tsc.base_ns <= rth__clock_monotonic_ns_sigsafe());
}

RTH_TEST_MAIN(cmocka_unit_test(a_steady_counter_is_a_clock),
              cmocka_unit_test(events_before_the_base_come_before_it),
              cmocka_unit_test(jitter_of_a_reading_is_borne),
              cmocka_unit_test(a_step_backwards_is_refused_wherever_it_is),
              cmocka_unit_test(a_counter_that_stands_still_is_refused),
              cmocka_unit_test(a_rate_that_changes_is_refused),
              cmocka_unit_test(a_rate_within_the_tolerance_is_kept),
              cmocka_unit_test(one_cpu_ahead_of_the_others_is_refused),
              cmocka_unit_test(absurd_rates_and_too_few_readings_are_refused),
              cmocka_unit_test(the_counter_of_this_machine_gets_a_verdict))
