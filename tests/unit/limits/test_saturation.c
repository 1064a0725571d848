/* SPDX-License-Identifier: MIT */
#include <errno.h>

#include "helper/unit.h"
#include "limits/saturation.h"
#include "os/clock.h"
#include "rthooks/limits.h"

#define S RTH_NS_PER_S

static void durations_are_whole_seconds_or_minutes(void **state)
{
    (void)state;
    int64_t limit_ns = -1;
    assert_int_equal(rth__saturation_parse("off", &limit_ns), 0);
    assert_int_equal(limit_ns, 0);
    assert_int_equal(rth__saturation_parse("30s", &limit_ns), 0);
    assert_int_equal(limit_ns, 30 * S);
    assert_int_equal(rth__saturation_parse("1440m", &limit_ns), 0);
    assert_int_equal(limit_ns, 86400 * S);
}

static void anything_else_is_refused_and_writes_nothing(void **state)
{
    (void)state;
    static const char *const bad[] = {"",
                                      "0s",
                                      "s",
                                      "5",
                                      "5h",
                                      "-5s",
                                      "1.5s",
                                      "5s ",
                                      "1441m",
                                      "86401s",
                                      "OFF",
                                      "on",
                                      "99999999999999999999s"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        int64_t limit_ns = 7;
        assert_int_equal(rth__saturation_parse(bad[i], &limit_ns), -EINVAL);
        assert_int_equal(limit_ns, 7);
    }
}

/* Seconds at CRITICAL until it is asked; -1: not within an hour. */
static int64_t asked_after_s(int64_t limit_ns, uint64_t seed, int state)
{
    struct rth_saturation saturation = {0};
    for (int64_t s = 0; s < 3600; s++)
        if (rth__saturation_look(&saturation, state, limit_ns, seed, (s + 1) * S))
            return s;
    return -1;
}

static void it_is_asked_once_after_the_limit_and_up_to_a_fifth_more(void **state)
{
    (void)state;
    int64_t least = INT64_MAX, most = 0;
    for (uint64_t seed = 1; seed <= 200; seed++) {
        int64_t after_s = asked_after_s(100 * S, seed, RTH_MEMORY_EXHAUSTED);
        assert_in_range(after_s, 100, 121);
        least = after_s < least ? after_s : least;
        most = after_s > most ? after_s : most;
    }
    assert_in_range(least, 100, 104);
    assert_in_range(most, 116, 121);
    struct rth_saturation saturation = {0};
    unsigned times = 0;
    for (int64_t s = 1; s < 3600; s++)
        times += rth__saturation_look(&saturation, RTH_MEMORY_CRITICAL, 100 * S, 1, s * S);
    assert_int_equal(times, 1);
}

static void off_and_lower_states_ask_nobody(void **state)
{
    (void)state;
    assert_int_equal(asked_after_s(0, 1, RTH_MEMORY_EXHAUSTED), -1);
    assert_int_equal(asked_after_s(10 * S, 1, RTH_MEMORY_SHED), -1);
}

static void a_break_begins_the_time_anew(void **state)
{
    (void)state;
    struct rth_saturation saturation = {0};
    for (int64_t s = 1; s < 3600; s++) {
        int now = s % 90 == 0 ? RTH_MEMORY_SHED : RTH_MEMORY_CRITICAL;
        assert_false(rth__saturation_look(&saturation, now, 100 * S, 1, s * S));
    }
}

RTH_TEST_MAIN(cmocka_unit_test(durations_are_whole_seconds_or_minutes),
              cmocka_unit_test(anything_else_is_refused_and_writes_nothing),
              cmocka_unit_test(it_is_asked_once_after_the_limit_and_up_to_a_fifth_more),
              cmocka_unit_test(off_and_lower_states_ask_nobody),
              cmocka_unit_test(a_break_begins_the_time_anew))
