/* SPDX-License-Identifier: MIT */
/* When a purge is worth its price; with a clock of the test's. */
#include "helper/unit.h"
#include "limits/purge.h"
#include "rthooks/limits.h"

#define MS  INT64_C(1000000)
#define MIB (UINT64_C(1) << 20)

static void the_first_one_is_free(void **state)
{
    struct rth_purge_model model = {0};
    (void)state;
    assert_true(rth__purge_model_allows(&model, 5 * MS, RTH_MEMORY_ELEVATED, false));
}

static void the_next_one_waits_for_a_multiple_of_the_cost(void **state)
{
    struct rth_purge_model model = {0};
    (void)state;
    rth__purge_model_learn(&model, 1000 * MS, 30 * MS, 20 * MIB, true);
    assert_int_equal(model.fruitless, 0);
    assert_false(rth__purge_model_allows(&model, 1599 * MS, RTH_MEMORY_ELEVATED, false));
    assert_true(rth__purge_model_allows(&model, 1600 * MS, RTH_MEMORY_ELEVATED, false));
    assert_false(rth__purge_model_allows(&model, 1239 * MS, RTH_MEMORY_SHED, false));
    assert_true(rth__purge_model_allows(&model, 1240 * MS, RTH_MEMORY_SHED, false));
    assert_false(rth__purge_model_allows(&model, 1089 * MS, RTH_MEMORY_SHED, true));
    assert_true(rth__purge_model_allows(&model, 1090 * MS, RTH_MEMORY_SHED, true));
    assert_false(rth__purge_model_allows(&model, 1059 * MS, RTH_MEMORY_CRITICAL, true));
    assert_true(rth__purge_model_allows(&model, 1060 * MS, RTH_MEMORY_CRITICAL, true));
}

static void one_that_gives_nothing_is_not_repeated_soon(void **state)
{
    struct rth_purge_model model = {0};
    int64_t now = 1000 * MS;
    (void)state;
    for (int64_t wait = 1000 * MS; wait < 300000 * MS; wait *= 2) {
        rth__purge_model_learn(&model, now, 1 * MS, 0, true);
        assert_false(rth__purge_model_allows(&model, now + wait - 1, RTH_MEMORY_SHED, false));
        assert_true(rth__purge_model_allows(&model, now + wait, RTH_MEMORY_SHED, false));
        now += wait;
    }
    for (int i = 0; i < 100; i++)
        rth__purge_model_learn(&model, now, 1 * MS, 0, true);
    assert_false(rth__purge_model_allows(&model, now + 300000 * MS - 1, RTH_MEMORY_SHED, false));
    assert_true(rth__purge_model_allows(&model, now + 300000 * MS, RTH_MEMORY_SHED, false));
    /* The kernel will not wait for that. */
    assert_false(rth__purge_model_allows(&model, now + 99 * MS, RTH_MEMORY_SHED, true));
    assert_true(rth__purge_model_allows(&model, now + 100 * MS, RTH_MEMORY_SHED, true));
}

static void one_that_gives_less_than_it_costs_counts_as_nothing(void **state)
{
    struct rth_purge_model model = {0};
    (void)state;
    rth__purge_model_learn(&model, 1000 * MS, 100 * MS, 10 * MIB, true); /* 1 MiB for 10 ms */
    assert_int_equal(model.fruitless, 0);
    rth__purge_model_learn(&model, 1000 * MS, 100 * MS, 9 * MIB, true);
    assert_int_equal(model.fruitless, 1);
    rth__purge_model_learn(&model, 1000 * MS, 0, RTH_PURGE_YIELD_MIN - 1, true);
    assert_int_equal(model.fruitless, 2);
    rth__purge_model_learn(&model, 1000 * MS, 1 * MS, 50 * MIB, true);
    assert_int_equal(model.fruitless, 0);
}

static void one_that_was_made_for_little_teaches_its_price_alone(void **state)
{
    struct rth_purge_model model = {0};
    (void)state;
    rth__purge_model_learn(&model, 1000 * MS, 7 * MS, 0, false);
    assert_int_equal(model.fruitless, 0);
    assert_int_equal(model.cost_ns, 7 * MS);
    rth__purge_model_learn(&model, 1000 * MS, 7 * MS, 0, true);
    rth__purge_model_learn(&model, 1000 * MS, 7 * MS, 0, false);
    assert_int_equal(model.fruitless, 1);
}

RTH_TEST_MAIN(cmocka_unit_test(the_first_one_is_free),
              cmocka_unit_test(the_next_one_waits_for_a_multiple_of_the_cost),
              cmocka_unit_test(one_that_gives_nothing_is_not_repeated_soon),
              cmocka_unit_test(one_that_gives_less_than_it_costs_counts_as_nothing),
              cmocka_unit_test(one_that_was_made_for_little_teaches_its_price_alone))
