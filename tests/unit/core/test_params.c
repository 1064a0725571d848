/* SPDX-License-Identifier: MIT */
#include "helper/unit.h"

#include <errno.h>
#include <string.h>

#include "core/params.h"

static struct rth_params query(const char *text)
{
    return (struct rth_params){.query = text, .query_bytes = strlen(text)};
}

static void first_value_of_a_key_wins(void **state)
{
    (void)state;
    struct rth_params params = query("a=1&b=2&a=3");
    char value[8];
    assert_int_equal(rth__params_get(&params, "a", value, sizeof(value)), 1);
    assert_string_equal(value, "1");
    assert_int_equal(rth__params_get(&params, "b", value, sizeof(value)), 1);
    assert_string_equal(value, "2");
}

static void form_is_looked_at_before_the_query(void **state)
{
    (void)state;
    struct rth_params params = {
        .query = "a=query&q=1", .query_bytes = 11, .form = "a=form", .form_bytes = 6};
    char value[8];
    assert_int_equal(rth__params_get(&params, "a", value, sizeof(value)), 4);
    assert_string_equal(value, "form");
    assert_true(rth__params_has(&params, "q"));
}

static void escapes_and_plus_are_decoded_in_keys_and_values(void **state)
{
    (void)state;
    struct rth_params params = query("%61b=x%20y+z%2b");
    char value[16];
    assert_int_equal(rth__params_get(&params, "ab", value, sizeof(value)), 6);
    assert_string_equal(value, "x y z+");
}

static void broken_escape_and_nul_are_invalid_and_leave_the_output(void **state)
{
    (void)state;
    const char *const broken[] = {"a=%", "a=%4", "a=%zz", "a=ok%00", "a=x%4g"};
    for (size_t i = 0; i < sizeof(broken) / sizeof(broken[0]); i++) {
        struct rth_params params = query(broken[i]);
        char value[8] = "before";
        assert_int_equal(rth__params_get(&params, "a", value, sizeof(value)), -EINVAL);
        assert_string_equal(value, "before");
    }
}

static void absent_empty_and_bare_keys_differ(void **state)
{
    (void)state;
    struct rth_params params = query("verbose&empty=&&x=1");
    char value[8];
    assert_int_equal(rth__params_get(&params, "verbose", value, sizeof(value)), 0);
    assert_int_equal(rth__params_get(&params, "empty", value, sizeof(value)), 0);
    assert_int_equal(rth__params_get(&params, "missing", value, sizeof(value)), -ENOENT);
    assert_int_equal(rth__params_get(&params, "verb", value, sizeof(value)), -ENOENT);
    assert_int_equal(rth__params_get(&params, "verbosely", value, sizeof(value)), -ENOENT);
    assert_true(rth__params_has(&params, "verbose"));
    assert_false(rth__params_has(&params, "missing"));
    struct rth_params none = {0};
    assert_false(rth__params_has(&none, "verbose"));
}

static void value_that_does_not_fit_is_refused_whole(void **state)
{
    (void)state;
    struct rth_params params = query("a=1234");
    char value[4] = "old";
    assert_int_equal(rth__params_get(&params, "a", value, sizeof(value)), -ENAMETOOLONG);
    assert_string_equal(value, "old");
    char exact[5];
    assert_int_equal(rth__params_get(&params, "a", exact, sizeof(exact)), 4);
}

static void piece_with_semicolon_is_dropped_as_in_go(void **state)
{
    (void)state;
    struct rth_params params = query("a=1;b=2&a=3");
    char value[8];
    assert_int_equal(rth__params_get(&params, "a", value, sizeof(value)), 1);
    assert_string_equal(value, "3");
}

static void int64_reads_whole_decimal_numbers_only(void **state)
{
    (void)state;
    const struct {
        const char *text;
        int result;
        int64_t value;
    } rows[] = {
        {"n=30", 0, 30},
        {"n=-1", 0, -1},
        {"n=%2b7", 0, 7},
        {"n=9223372036854775807", 0, INT64_MAX},
        {"n=-9223372036854775808", 0, INT64_MIN},
        {"n=9223372036854775808", -ERANGE, 0},
        {"n=-9223372036854775809", -ERANGE, 0},
        {"n=99999999999999999999999", -ERANGE, 0},
        {"n=", -ENOENT, 0},
        {"m=1", -ENOENT, 0},
        {"n=x", -EINVAL, 0},
        {"n=1x", -EINVAL, 0},
        {"n=-", -EINVAL, 0},
        {"n=0x10", -EINVAL, 0},
        {"n=1.5", -EINVAL, 0},
        {"n=+7", -EINVAL, 0}, /* a plus sign is a space */
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct rth_params params = query(rows[i].text);
        int64_t value = 4711;
        assert_int_equal(rth__params_int64(&params, "n", &value), rows[i].result);
        assert_true(value == (rows[i].result == 0 ? rows[i].value : 4711));
    }
}

RTH_TEST_MAIN(cmocka_unit_test(first_value_of_a_key_wins),
              cmocka_unit_test(form_is_looked_at_before_the_query),
              cmocka_unit_test(escapes_and_plus_are_decoded_in_keys_and_values),
              cmocka_unit_test(broken_escape_and_nul_are_invalid_and_leave_the_output),
              cmocka_unit_test(absent_empty_and_bare_keys_differ),
              cmocka_unit_test(value_that_does_not_fit_is_refused_whole),
              cmocka_unit_test(piece_with_semicolon_is_dropped_as_in_go),
              cmocka_unit_test(int64_reads_whole_decimal_numbers_only))
