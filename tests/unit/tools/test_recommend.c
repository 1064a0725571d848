/* SPDX-License-Identifier: MIT */
#include "helper/unit.h"

#include <errno.h>
#include <math.h>
#include <string.h>

#include "budget/recommend.h"

#define MIB (INT64_C(1) << 20)

static void a_limit_is_a_quarter_above_the_peak_at_the_next_step(void **state)
{
    (void)state;
    assert_int_equal(recommend_memory_limit(100 * MIB), 128 * MIB);
    assert_int_equal(recommend_memory_limit(64 * MIB), 80 * MIB);
    assert_int_equal(recommend_memory_limit(64 * MIB + 1), 96 * MIB);
    assert_int_equal(recommend_memory_limit(1), 16 * MIB);
    assert_int_equal(recommend_memory_limit(0), 16 * MIB);
}

static void a_peak_that_is_not_known_has_no_limit_and_a_huge_one_does_not_wrap(void **state)
{
    (void)state;
    assert_int_equal(recommend_memory_limit(-1), -1);
    assert_int_equal(recommend_memory_limit(INT64_MAX), INT64_MAX);
    assert_int_equal(recommend_memory_limit(INT64_MAX - INT64_MAX / 5), INT64_MAX);
    assert_true(recommend_memory_limit(INT64_MAX / 2) > INT64_MAX / 2);
}

static void a_request_is_never_above_the_limit(void **state)
{
    (void)state;
    assert_int_equal(recommend_memory_request(90 * MIB, 128 * MIB), 96 * MIB);
    assert_int_equal(recommend_memory_request(96 * MIB, 128 * MIB), 96 * MIB);
    assert_int_equal(recommend_memory_request(127 * MIB, 120 * MIB), 120 * MIB);
    assert_int_equal(recommend_memory_request(0, 128 * MIB), 16 * MIB);
    assert_int_equal(recommend_memory_request(-1, 128 * MIB), -1);
    assert_int_equal(recommend_memory_request(90 * MIB, -1), 96 * MIB);
}

static void a_cpu_request_goes_up_to_the_next_hundredth(void **state)
{
    (void)state;
    assert_int_equal(recommend_cpu_request(0.3), 300);
    assert_int_equal(recommend_cpu_request(0.301), 310);
    assert_int_equal(recommend_cpu_request(0.1 + 0.2), 300);
    assert_int_equal(recommend_cpu_request(0), 10);
    assert_int_equal(recommend_cpu_request(2), 2000);
    assert_int_equal(recommend_cpu_request(-0.5), -1);
    assert_int_equal(recommend_cpu_request(NAN), -1);
    assert_true(recommend_cpu_request(1e300) > 0);
}

static void percentiles_are_values_that_were_seen(void **state)
{
    (void)state;
    double values[] = {5, 1, 4, 2, 3};
    assert_true(recommend_percentile(values, 5, 0.5) == 3);
    assert_true(recommend_percentile(values, 5, 0.95) == 5);
    assert_true(recommend_percentile(values, 5, 1) == 5);
    assert_true(recommend_percentile(values, 5, 0) == 1);
    double hundred[100];
    for (int i = 0; i < 100; i++)
        hundred[i] = 100 - i;
    assert_true(recommend_percentile(hundred, 100, 0.95) == 95);
    assert_true(isnan(recommend_percentile(NULL, 0, 0.5)));
}

static void durations_have_a_unit_or_are_seconds(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        unsigned seconds;
    } good[] = {{"1", 1}, {"45s", 45}, {"10m", 600}, {"24h", 86400}, {"7d", 7 * 86400}};
    static const char *const bad[] = {"", "s", "-1", "1 s", "1.5h", "10min", "1w", "0x10"};
    static const char *const outside[] = {"0", "0s", "8d", "604801", "18446744073709551617"};
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        unsigned seconds = 0;
        assert_int_equal(recommend_duration_parse(good[i].text, &seconds), 0);
        assert_int_equal(seconds, good[i].seconds);
    }
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        unsigned seconds = 77;
        assert_int_equal(recommend_duration_parse(bad[i], &seconds), -EINVAL);
        assert_int_equal(seconds, 77);
    }
    for (size_t i = 0; i < sizeof(outside) / sizeof(outside[0]); i++) {
        unsigned seconds = 77;
        assert_int_equal(recommend_duration_parse(outside[i], &seconds), -ERANGE);
        assert_int_equal(seconds, 77);
    }
}

static void quantities_are_written_as_kubernetes_reads_them(void **state)
{
    (void)state;
    char text[RECOMMEND_QUANTITY_BYTES];
    recommend_memory_quantity(160 * MIB, text);
    assert_string_equal(text, "160Mi");
    recommend_memory_quantity(2048 * MIB, text);
    assert_string_equal(text, "2Gi");
    recommend_memory_quantity(1000, text);
    assert_string_equal(text, "1000");
    recommend_memory_quantity(0, text);
    assert_string_equal(text, "0");
    recommend_cpu_quantity(250, text);
    assert_string_equal(text, "250m");
    recommend_cpu_quantity(2000, text);
    assert_string_equal(text, "2");
    recommend_cpu_quantity(1500, text);
    assert_string_equal(text, "1500m");
}

RTH_TEST_MAIN(cmocka_unit_test(a_limit_is_a_quarter_above_the_peak_at_the_next_step),
              cmocka_unit_test(a_peak_that_is_not_known_has_no_limit_and_a_huge_one_does_not_wrap),
              cmocka_unit_test(a_request_is_never_above_the_limit),
              cmocka_unit_test(a_cpu_request_goes_up_to_the_next_hundredth),
              cmocka_unit_test(percentiles_are_values_that_were_seen),
              cmocka_unit_test(durations_have_a_unit_or_are_seconds),
              cmocka_unit_test(quantities_are_written_as_kubernetes_reads_them))
