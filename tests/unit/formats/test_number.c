/* SPDX-License-Identifier: MIT */
#include "helper/unit.h"

#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "formats/number.h"

static char text[RTH_NUMBER_BYTES];

static void json(double value, const char *wanted)
{
    size_t length = rth__number_double_json(value, text);
    assert_string_equal(text, wanted);
    assert_int_equal(length, strlen(wanted));
}

static void go(double value, const char *wanted)
{
    size_t length = rth__number_double_go(value, text);
    assert_string_equal(text, wanted);
    assert_int_equal(length, strlen(wanted));
}

static void integers_of_every_size_are_written(void **state)
{
    (void)state;
    assert_int_equal(rth__number_uint(0, text), 1);
    assert_string_equal(text, "0");
    assert_int_equal(rth__number_uint(UINT64_MAX, text), 20);
    assert_string_equal(text, "18446744073709551615");
    assert_int_equal(rth__number_int(INT64_MIN, text), 20);
    assert_string_equal(text, "-9223372036854775808");
    assert_int_equal(rth__number_int(INT64_MAX, text), 19);
    assert_string_equal(text, "9223372036854775807");
    assert_int_equal(rth__number_int(-1, text), 2);
    assert_string_equal(text, "-1");
}

static void json_doubles_look_as_json_writers_do(void **state)
{
    (void)state;
    json(0, "0");
    json(-0.0, "-0");
    json(1, "1");
    json(-1.5, "-1.5");
    json(100, "100");
    json(1234567, "1234567");
    json(0.1, "0.1");
    json(0.1 + 0.2, "0.30000000000000004");
    json(1.0 / 3, "0.3333333333333333");
    json(0.000001, "0.000001");
    json(0.0000001, "1e-7");
    json(123456789012345680000.0, "123456789012345680000");
    json(1e21, "1e+21");
    json(-2.5e-10, "-2.5e-10");
    json(9007199254740993.0, "9007199254740992");
    json(DBL_MAX, "1.7976931348623157e+308");
    json(DBL_MIN, "2.2250738585072014e-308");
    json(4.9406564584124654e-324, "5e-324");
    json(5e-324 * 3, "1.5e-323");
    json(9.5367431640625e-7, "9.5367431640625e-7");
}

static void go_doubles_look_as_client_golang_does(void **state)
{
    (void)state;
    go(0, "0");
    go(100000, "100000");
    go(999999, "999999");
    go(1000000, "1e+06");
    go(1234567, "1.234567e+06");
    go(1795580991.25, "1.79558099125e+09");
    go(0.0001, "0.0001");
    go(0.00001, "1e-05");
    go(0.025, "0.025");
    go(1e100, "1e+100");
    go(-1.5, "-1.5");
    /* The nearest of several with as few digits. */
    go(84.37112658583177, "84.37112658583177");
    go(1121216685743003.2, "1.1212166857430032e+15");
    go((double)NAN, "NaN");
    go((double)INFINITY, "+Inf");
    go(-(double)INFINITY, "-Inf");
    go(18446744073709551615.0, "1.8446744073709552e+19");
}

static int significant_digits(const char *number)
{
    int count = 0, trailing_zeros = 0;
    for (; *number != '\0' && *number != 'e'; number++) {
        if (*number < '0' || *number > '9' || (count == 0 && *number == '0'))
            continue;
        count++;
        trailing_zeros = *number == '0' ? trailing_zeros + 1 : 0;
    }
    return count - trailing_zeros;
}

/* The fewest digits with which libc's exact conversion reads the value back. */
static int fewest_digits(double value)
{
    char libc_text[64];
    for (int digits = 1; digits < 17; digits++) {
        (void)snprintf(libc_text, sizeof(libc_text), "%.*e", digits - 1, value);
        if (strtod(libc_text, NULL) == value)
            return digits;
    }
    return 17;
}

static void check_exact(double value)
{
    (void)rth__number_double_json(value, text);
    assert_true(strtod(text, NULL) == value);
    /* Where a number is shorter than its nearest rounding, libc's way finds one digit more. */
    assert_true(significant_digits(text) <= fewest_digits(value));
    (void)rth__number_double_go(value, text);
    assert_true(strtod(text, NULL) == value);
}

static void any_double_reads_back_with_the_fewest_digits(void **state)
{
    (void)state;
    uint64_t bits = UINT64_C(0x9e3779b97f4a7c15); /* fixed seed */
    for (int i = 0; i < 30000; i++) {
        double value;
        bits ^= bits << 13;
        bits ^= bits >> 7;
        bits ^= bits << 17;
        memcpy(&value, &bits, sizeof(value));
        if (isfinite(value) && value != 0)
            check_exact(value);
        check_exact((double)(bits >> 20) / 1000);
    }
}

static void doubles_around_every_power_of_two_read_back(void **state)
{
    (void)state;
    for (int exponent = -1074; exponent < 1024; exponent++) {
        double power = ldexp(1, exponent);
        check_exact(power);
        check_exact(nextafter(power, (double)INFINITY));
        if (nextafter(power, 0) > 0)
            check_exact(nextafter(power, 0));
    }
}

RTH_TEST_MAIN(cmocka_unit_test(integers_of_every_size_are_written),
              cmocka_unit_test(json_doubles_look_as_json_writers_do),
              cmocka_unit_test(go_doubles_look_as_client_golang_does),
              cmocka_unit_test(any_double_reads_back_with_the_fewest_digits),
              cmocka_unit_test(doubles_around_every_power_of_two_read_back))
