/* SPDX-License-Identifier: MIT */
#include "formats/size.h"

#include <errno.h>

#include "helper/unit.h"

static void sizes_are_digits_and_a_unit(void **state)
{
    static const struct {
        const char *text;
        int64_t bytes;
    } cases[] = {
        {"0", 0},
        {"1", 1},
        {"0012", 12},
        {"17B", 17},
        {"1KiB", 1024},
        {"4KiB", 4096},
        {"3MiB", INT64_C(3) << 20},
        {"2GiB", INT64_C(2) << 30},
        {"5TiB", INT64_C(5) << 40},
        {"9223372036854775807", INT64_MAX},
        {"9223372036854775807B", INT64_MAX},
        {"8388607TiB", INT64_C(8388607) << 40},
        {"0TiB", 0},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        int64_t bytes = -1;
        assert_int_equal(rth__size_parse(cases[i].text, &bytes), 0);
        assert_int_equal(bytes, cases[i].bytes);
    }
}

static void anything_else_is_refused_and_nothing_is_written(void **state)
{
    static const char *const texts[] = {
        "",     " ",      "KiB", "-1",    "+1",    " 1",    "1 ",    "1 KiB",   "1.5KiB", "1K",
        "1kib", "1KIB",   "1KB", "1kB",   "1MB",   "1b",    "1KiBB", "0x10",    "1e3",    "1PiB",
        "off",  "1KiB\n", "\t1", "1,000", "1_000", "1KiB1", "1TiB ", "\xd9\xa1"};
    (void)state;
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        int64_t bytes = -77;
        assert_int_equal(rth__size_parse(texts[i], &bytes), -EINVAL);
        assert_int_equal(bytes, -77);
    }
}

static void what_is_too_large_is_told_apart(void **state)
{
    static const char *const texts[] = {
        "9223372036854775808", "18446744073709551616",   "99999999999999999999999999",
        "9007199254740992KiB", "8796093022208MiB",       "8589934592GiB",
        "8388608TiB",          "9223372036854775807KiB",
    };
    (void)state;
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        int64_t bytes = -77;
        assert_int_equal(rth__size_parse(texts[i], &bytes), -ERANGE);
        assert_int_equal(bytes, -77);
    }
}

RTH_TEST_MAIN(cmocka_unit_test(sizes_are_digits_and_a_unit),
              cmocka_unit_test(anything_else_is_refused_and_nothing_is_written),
              cmocka_unit_test(what_is_too_large_is_told_apart))
