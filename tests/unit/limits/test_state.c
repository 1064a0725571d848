/* SPDX-License-Identifier: MIT */
#include <string.h>

#include "helper/unit.h"
#include "limits/state.h"
#include "rthooks/limits.h"

#define MS   RTH_NS_PER_MS
#define NONE INT64_MAX

enum {
    OK = RTH_MEMORY_OK,
    ELEVATED = RTH_MEMORY_ELEVATED,
    SHED = RTH_MEMORY_SHED,
    CRITICAL = RTH_MEMORY_CRITICAL,
    EXHAUSTED = RTH_MEMORY_EXHAUSTED
};

/* M 900, L 1000: ELEVATED at 810, SHED at 900, CRITICAL at 950, left 45 lower. */
struct step {
    int64_t after_ms, usage;
    int state;
};

static struct rth_memory_machine machine;
static struct rth_memory_look look;

static void begin(int64_t limit, int64_t hard)
{
    memset(&machine, 0, sizeof(machine));
    look = (struct rth_memory_look){.now_ns = 1000 * MS, .limit_bytes = limit, .hard_bytes = hard};
}

static bool see(int64_t after_ms, int64_t usage)
{
    look.now_ns += after_ms * MS;
    look.usage_bytes = usage;
    return rth__memory_machine_look(&machine, &look);
}

static void walk(const struct step *steps, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        int before = machine.state;
        bool changed = see(steps[i].after_ms, steps[i].usage);
        if (machine.state != steps[i].state)
            fail_msg("step %zu (usage %lld): state %d, not %d", i, (long long)steps[i].usage,
                     machine.state, steps[i].state);
        assert_int_equal(changed, before != machine.state);
    }
}
#define WALK(...)                                                                                  \
    do {                                                                                           \
        const struct step steps[] = {__VA_ARGS__};                                                 \
        walk(steps, sizeof(steps) / sizeof(steps[0]));                                             \
    } while (0)

static void states_begin_at_their_shares(void **state)
{
    (void)state;
    begin(900, 1000);
    WALK({0, 0, OK}, {1, 809, OK}, {1, 810, ELEVATED}, {1, 899, ELEVATED}, {1, 900, SHED},
         {1, 949, SHED}, {1, 950, CRITICAL}, {1, 1000, CRITICAL});
}

static void without_a_hard_limit_critical_is_five_percent_above(void **state)
{
    (void)state;
    begin(1000, NONE);
    WALK({0, 899, OK}, {1, 900, ELEVATED}, {1, 1000, SHED}, {1, 1049, SHED}, {1, 1050, CRITICAL});
}

static void a_limit_that_is_the_hard_one_has_no_shed(void **state)
{
    (void)state;
    begin(1000, 1000);
    WALK({0, 899, OK}, {1, 999, ELEVATED}, {1, 1000, CRITICAL});
}

static void up_goes_at_once_over_any_number_of_states(void **state)
{
    (void)state;
    begin(900, 1000);
    WALK({0, 10, OK}, {1, 980, CRITICAL});
    begin(900, 1000);
    WALK({0, 10, OK}, {1, 905, SHED});
}

static void a_limit_below_usage_goes_straight_to_its_state(void **state)
{
    (void)state;
    begin(900, 1000);
    WALK({0, 500, OK});
    look.limit_bytes = 450;
    look.hard_bytes = 500;
    WALK({1000, 500, CRITICAL});
}

static void a_state_is_left_five_percent_lower(void **state)
{
    (void)state;
    begin(900, 1000);
    WALK({0, 810, ELEVATED}, {300, 809, ELEVATED}, {300, 765, ELEVATED}, {1, 764, ELEVATED},
         {250, 764, OK});
    begin(900, 1000);
    WALK({0, 900, SHED}, {300, 855, SHED}, {1, 854, SHED}, {250, 854, ELEVATED},
         {300, 854, ELEVATED});
    begin(900, 1000);
    WALK({0, 950, CRITICAL}, {300, 905, CRITICAL}, {1, 904, CRITICAL}, {250, 904, SHED},
         {300, 904, SHED});
}

static void down_goes_one_state_per_quarter_second(void **state)
{
    (void)state;
    begin(900, 1000);
    WALK({0, 990, CRITICAL}, {1, 10, CRITICAL}, {249, 10, CRITICAL}, {1, 10, SHED}, {1, 10, SHED},
         {249, 10, SHED}, {1, 10, ELEVATED}, {1, 10, ELEVATED}, {250, 10, OK}, {250, 10, OK});
}

static void a_short_dip_changes_nothing(void **state)
{
    (void)state;
    begin(900, 1000);
    WALK({0, 900, SHED}, {1000, 10, SHED}, {100, 900, SHED}, {1000, 10, SHED}, {249, 10, SHED},
         {1, 860, SHED}, {1, 10, SHED}, {249, 10, SHED}, {1, 10, ELEVATED});
}

static void exhausted_is_critical_that_yields_nothing(void **state)
{
    (void)state;
    begin(900, 1000);
    look.is_futile = true;
    WALK({0, 905, SHED}, {1, 960, EXHAUSTED}, {300, 960, EXHAUSTED}, {1, 906, EXHAUSTED},
         {1, 904, EXHAUSTED}, {250, 904, CRITICAL}, {1, 904, CRITICAL}, {250, 904, SHED});
    begin(900, 1000);
    look.is_futile = true;
    WALK({0, 960, EXHAUSTED});
    look.is_futile = false;
    WALK({1, 960, EXHAUSTED}, {249, 960, EXHAUSTED}, {1, 960, CRITICAL}, {300, 960, CRITICAL});
}

static void looks_that_fail_for_more_than_four_periods_are_one_state_up(void **state)
{
    (void)state;
    begin(900, 1000);
    WALK({0, 100, OK});
    machine.period_ns = 100 * MS;
    WALK({100, -1, OK}, {300, -1, OK}, {1, -1, ELEVATED});
    assert_true(machine.is_stale);
    WALK({1000, -1, ELEVATED}, {1000, -1, ELEVATED}); /* once */
    WALK({1, 100, OK});
    assert_false(machine.is_stale);
}

static void a_stale_state_never_says_that_reclaiming_failed(void **state)
{
    (void)state;
    begin(900, 1000);
    WALK({0, 960, CRITICAL});
    machine.period_ns = 2 * MS;
    WALK({9, -1, CRITICAL});
    assert_true(machine.is_stale);
}

static void looks_that_never_succeeded_are_stale_too(void **state)
{
    (void)state;
    begin(900, 1000);
    WALK({0, -1, OK}, {1000, -1, OK}, {1, -1, ELEVATED});
    assert_true(machine.is_stale);
}

static void without_a_limit_there_is_but_ok(void **state)
{
    (void)state;
    begin(NONE, 1000);
    WALK({0, 999, OK}, {1000, -1, OK}, {10000, -1, OK});
    assert_false(machine.is_stale);
    begin(900, 1000);
    WALK({0, 960, CRITICAL});
    look.limit_bytes = NONE;
    WALK({1, 960, OK});
}

static void a_limit_of_nothing_is_always_passed(void **state)
{
    (void)state;
    begin(0, NONE);
    WALK({0, 0, CRITICAL}, {1000, 5, CRITICAL});
}

static void enormous_limits_do_not_overflow(void **state)
{
    (void)state;
    struct rth_memory_thresholds thresholds;
    rth__memory_thresholds(NONE - 1, NONE, &thresholds);
    assert_int_equal(thresholds.shed_bytes, NONE - 1);
    assert_true(thresholds.elevated_bytes > NONE / 10 * 8 &&
                thresholds.elevated_bytes < NONE / 10 * 9 + 10);
    assert_true(thresholds.leave_bytes > 0 && thresholds.predict_bytes > 0);
}

/* ---- growth, prediction, the period ---------------------------------------------------------- */

static void steady_growth_is_measured(void **state)
{
    (void)state;
    begin(1 << 30, NONE);
    for (int i = 0; i < 1000; i++)
        (void)see(10, i * 1000);
    assert_true(machine.fast_bytes_per_s > 99900 && machine.fast_bytes_per_s < 100100);
    assert_true(machine.slow_bytes_per_s > 99000 && machine.slow_bytes_per_s < 100100);
    for (int i = 0; i < 1000; i++)
        (void)see(10, 999000);
    assert_true(machine.slow_bytes_per_s < 100);
}

static void critical_within_five_seconds_is_predicted_from_four_fifths_on(void **state)
{
    (void)state;
    begin(1000000, 1100000); /* CRITICAL at 1050000, predictions from 800000 on */
    bool below = false;
    for (int64_t usage = 500000; usage < 800000; usage += 1000) {
        (void)see(10, usage); /* 100000 a second */
        below = below || machine.is_predicted;
    }
    assert_false(below);
    (void)see(10, 801000);
    assert_true(machine.is_predicted);
    for (int i = 0; i < 600; i++)
        (void)see(10, 801000);
    assert_false(machine.is_predicted);
}

static void slow_growth_predicts_nothing(void **state)
{
    (void)state;
    begin(1000000, 1100000);
    for (int64_t usage = 810000; usage < 820000; usage += 10) {
        (void)see(10, usage); /* 1000 a second */
        assert_false(machine.is_predicted);
    }
}

static int64_t period_at(int64_t usage, double growth, int at_state)
{
    begin(INT64_C(900) << 20, INT64_C(1000) << 20);
    look.usage_bytes = usage;
    machine.fast_bytes_per_s = growth;
    machine.state = at_state;
    return rth__memory_machine_period_ns(&machine, &look);
}

static void the_period_is_a_quarter_of_the_time_to_the_next_state(void **state)
{
    (void)state;
    int64_t mib = 1 << 20;
    assert_int_equal(period_at(100 * mib, 0, OK), 250 * MS);
    assert_int_equal(period_at(100 * mib, -5e9, OK), 250 * MS);
    /* 80 MiB to ELEVATED at 200 MiB/s: 400 ms, so 100 ms. */
    assert_int_equal(period_at(730 * mib, 200.0 * (double)mib, OK) / MS, 100);
    assert_int_equal(period_at(809 * mib, 4e9, OK), 2 * MS);
    assert_int_equal(period_at(100 * mib, 100, OK), 250 * MS);
    /* Close to a threshold slow growth needs no fast looks. */
    assert_true(period_at(810 * mib - 1, 100 * 1024, OK) > 100 * MS);
}

static void short_memory_is_looked_at_more_often(void **state)
{
    (void)state;
    int64_t mib = 1 << 20;
    assert_int_equal(period_at(820 * mib, 0, ELEVATED), 100 * MS);
    assert_int_equal(period_at(920 * mib, 0, SHED), 25 * MS);
    assert_int_equal(period_at(980 * mib, 0, CRITICAL), 25 * MS);
    assert_int_equal(period_at(-1, 1e9, OK), 250 * MS);
}

static void headroom_ends_where_the_next_state_begins(void **state)
{
    (void)state;
    struct rth_memory_thresholds thresholds;
    rth__memory_thresholds(900, 1000, &thresholds);
    assert_int_equal(rth__memory_headroom_bytes(&thresholds, 1000, 0), 810);
    assert_int_equal(rth__memory_headroom_bytes(&thresholds, 1000, 810), 90);
    assert_int_equal(rth__memory_headroom_bytes(&thresholds, 1000, 940), 10);
    assert_int_equal(rth__memory_headroom_bytes(&thresholds, 1000, 950), 50);
    assert_int_equal(rth__memory_headroom_bytes(&thresholds, 1000, 1000), 0);
    rth__memory_thresholds(900, NONE, &thresholds);
    assert_int_equal(rth__memory_headroom_bytes(&thresholds, NONE, 950), 0);
    rth__memory_thresholds(NONE, NONE, &thresholds);
    assert_int_equal(rth__memory_headroom_bytes(&thresholds, NONE, 950), NONE);
}

RTH_TEST_MAIN(cmocka_unit_test(states_begin_at_their_shares),
              cmocka_unit_test(without_a_hard_limit_critical_is_five_percent_above),
              cmocka_unit_test(a_limit_that_is_the_hard_one_has_no_shed),
              cmocka_unit_test(up_goes_at_once_over_any_number_of_states),
              cmocka_unit_test(a_limit_below_usage_goes_straight_to_its_state),
              cmocka_unit_test(a_state_is_left_five_percent_lower),
              cmocka_unit_test(down_goes_one_state_per_quarter_second),
              cmocka_unit_test(a_short_dip_changes_nothing),
              cmocka_unit_test(exhausted_is_critical_that_yields_nothing),
              cmocka_unit_test(looks_that_fail_for_more_than_four_periods_are_one_state_up),
              cmocka_unit_test(a_stale_state_never_says_that_reclaiming_failed),
              cmocka_unit_test(looks_that_never_succeeded_are_stale_too),
              cmocka_unit_test(without_a_limit_there_is_but_ok),
              cmocka_unit_test(a_limit_of_nothing_is_always_passed),
              cmocka_unit_test(enormous_limits_do_not_overflow),
              cmocka_unit_test(steady_growth_is_measured),
              cmocka_unit_test(critical_within_five_seconds_is_predicted_from_four_fifths_on),
              cmocka_unit_test(slow_growth_predicts_nothing),
              cmocka_unit_test(the_period_is_a_quarter_of_the_time_to_the_next_state),
              cmocka_unit_test(short_memory_is_looked_at_more_often),
              cmocka_unit_test(headroom_ends_where_the_next_state_begins), )
