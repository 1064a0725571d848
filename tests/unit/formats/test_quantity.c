/* SPDX-License-Identifier: MIT */
#include <errno.h>

#include "formats/quantity.h"
#include "helper/unit.h"

static int64_t bytes_of(const char *text)
{
    int64_t bytes = -77;
    int error = rth__quantity_bytes_parse(text, &bytes);
    return error != 0 ? error : bytes;
}

static double cpus_of(const char *text)
{
    double cpus = -77;
    int error = rth__quantity_cpus_parse(text, &cpus);
    return error != 0 ? error : cpus;
}

static void memory_is_read_as_manifests_write_it(void **state)
{
    (void)state;
    assert_int_equal(bytes_of("1073741824"), 1073741824);
    assert_int_equal(bytes_of("9007199254740993"), INT64_C(9007199254740993)); /* no double is it */
    assert_int_equal(bytes_of("1Gi"), 1073741824);
    assert_int_equal(bytes_of("1.5Gi"), 1610612736);
    assert_int_equal(bytes_of("900M"), 900000000);
    assert_int_equal(bytes_of("64k"), 64000);
    assert_int_equal(bytes_of("64Ki"), 65536);
    assert_int_equal(bytes_of("2Ti"), INT64_C(2) << 40);
    assert_int_equal(bytes_of("900MiB"), INT64_C(900) << 20);
}

static void processors_are_read_as_manifests_write_them(void **state)
{
    (void)state;
    assert_true(cpus_of("2") == 2);
    assert_true(cpus_of("1.5") == 1.5);
    assert_true(cpus_of("1500m") == 1.5);
    assert_true(cpus_of("250m") == 0.25);
}

static void what_is_no_quantity_is_refused_and_nothing_is_written(void **state)
{
    (void)state;
    static const char *const bad[] = {"",    "Gi",    "-1",   "1 Gi", "1GB", "1gi",
                                      "1e3", "1.2.3", "1Gib", "x",    "+1"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        int64_t bytes = 5;
        double cpus = 5;
        assert_int_equal(rth__quantity_bytes_parse(bad[i], &bytes), -EINVAL);
        assert_int_equal(rth__quantity_cpus_parse(bad[i], &cpus), -EINVAL);
        assert_int_equal(bytes, 5);
        assert_true(cpus == 5);
    }
    assert_true(cpus_of("1k") == -EINVAL);
    assert_int_equal(bytes_of("1m"), -EINVAL);
    assert_int_equal(bytes_of("99999999Ti"), -ERANGE);
    assert_true(bytes_of("123456789012345678901234567890123456789") < 0);
}

RTH_TEST_MAIN(cmocka_unit_test(memory_is_read_as_manifests_write_it),
              cmocka_unit_test(processors_are_read_as_manifests_write_them),
              cmocka_unit_test(what_is_no_quantity_is_refused_and_nothing_is_written), )
