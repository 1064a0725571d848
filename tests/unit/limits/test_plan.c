/* SPDX-License-Identifier: MIT */
#include "helper/unit.h"
#include "limits/plan.h"
#include "rthooks/limits.h"

#define MIB (INT64_C(1) << 20)

/* A busy cache at a limit of 1000 MiB that tells what it does. */
static struct rth_reclaim_view busy(int memory_state, int64_t usage_mib)
{
    return (struct rth_reclaim_view){
        .state = memory_state,
        .limit_bytes = 1000 * MIB,
        .target_bytes = 990 * MIB,
        .brake_bytes = 1025 * MIB,
        .usage_bytes = usage_mib * MIB,
        .peak_bytes = usage_mib * MIB,
        .knows_free = true,
        .has_shrinkers = true,
    };
}

static void a_purge_is_worth_it_from_8_mib_or_a_hundredth_on(void **state)
{
    (void)state;
    assert_int_equal(rth__plan_purge_worth_bytes(300 * MIB), 8 * MIB);
    assert_int_equal(rth__plan_purge_worth_bytes(1000 * MIB), 10 * MIB);
    assert_int_equal(rth__plan_purge_worth_bytes(RTH_MEMORY_LIMIT_NONE), 8 * MIB);
}

static void what_a_busy_program_will_use_again_is_not_purged_below_the_target(void **state)
{
    struct rth_reclaim_view view = busy(RTH_MEMORY_ELEVATED, 980);
    (void)state;
    view.free_bytes = 30 * MIB;
    assert_false(rth__plan_wants_purge(&view));
    view.is_at_rest = true;
    assert_true(rth__plan_wants_purge(&view));
    view.is_at_rest = false;
    view.usage_bytes = 995 * MIB;
    assert_true(rth__plan_wants_purge(&view));
    view.free_bytes = 9 * MIB;
    assert_false(rth__plan_wants_purge(&view));
    view.state = RTH_MEMORY_SHED;
    assert_false(rth__plan_wants_purge(&view));
    view.free_bytes = 11 * MIB;
    assert_true(rth__plan_wants_purge(&view));
}

static void where_requests_are_refused_little_is_worth_a_purge(void **state)
{
    struct rth_reclaim_view view = busy(RTH_MEMORY_SHED, 1025);
    (void)state;
    assert_true(rth__plan_is_pressing(&view));
    view.free_bytes = 1 * MIB;
    assert_true(rth__plan_wants_purge(&view));
    view.free_bytes = 1 * MIB - 1;
    assert_false(rth__plan_wants_purge(&view));
    view.free_bytes = 1 * MIB;
    view.usage_bytes--;
    assert_false(rth__plan_is_pressing(&view));
    assert_false(rth__plan_wants_purge(&view));
    view.state = RTH_MEMORY_CRITICAL;
    assert_true(rth__plan_is_pressing(&view));
    assert_true(rth__plan_wants_purge(&view));
}

static void where_memory_is_short_the_guess_is_tried_now_and_then(void **state)
{
    struct rth_reclaim_view view = busy(RTH_MEMORY_SHED, 1010);
    (void)state;
    view.unpurged_ns = 249000000;
    assert_false(rth__plan_wants_purge(&view));
    view.unpurged_ns = 250000000;
    assert_true(rth__plan_wants_purge(&view));
    view.state = RTH_MEMORY_ELEVATED;
    assert_false(rth__plan_wants_purge(&view));
}

static void of_a_program_that_tells_nothing_a_purge_is_tried(void **state)
{
    struct rth_reclaim_view view = busy(RTH_MEMORY_ELEVATED, 950);
    (void)state;
    view.knows_free = false;
    assert_true(rth__plan_wants_purge(&view));
    view.state = RTH_MEMORY_OK;
    assert_false(rth__plan_wants_purge(&view));
}

static void lazily_nothing_is_purged_below_the_limit(void **state)
{
    struct rth_reclaim_view view = busy(RTH_MEMORY_ELEVATED, 950);
    (void)state;
    view.is_lazy = true;
    view.free_bytes = 500 * MIB;
    assert_false(rth__plan_wants_purge(&view));
    view.state = RTH_MEMORY_OK;
    view.is_at_rest = true;
    view.peak_bytes = 10000 * MIB;
    assert_false(rth__plan_wants_purge(&view));
    view.state = RTH_MEMORY_SHED;
    assert_true(rth__plan_wants_purge(&view));
}

static void when_all_is_well_a_purge_follows_a_deep_fall_at_rest(void **state)
{
    struct rth_reclaim_view view = busy(RTH_MEMORY_OK, 500);
    (void)state;
    view.peak_bytes = 800 * MIB;
    assert_false(rth__plan_wants_purge(&view));
    view.is_at_rest = true;
    assert_true(rth__plan_wants_purge(&view));
    view.peak_bytes = 600 * MIB;
    assert_false(rth__plan_wants_purge(&view));
    view.usage_bytes = -1;
    assert_false(rth__plan_wants_purge(&view));
}

static void shrinkers_are_asked_for_what_room_is_missing(void **state)
{
    struct rth_reclaim_view view = busy(RTH_MEMORY_SHED, 1010);
    (void)state;
    view.room_bytes = -26 * MIB;
    assert_int_equal(rth__plan_missing_bytes(&view), 26 * MIB);
    view.has_shrinkers = false;
    assert_int_equal(rth__plan_missing_bytes(&view), 0);
    view.has_shrinkers = true;
    view.room_bytes = 1;
    assert_int_equal(rth__plan_missing_bytes(&view), 0);
    view.room_bytes = -26 * MIB;
    view.state = RTH_MEMORY_OK;
    assert_int_equal(rth__plan_missing_bytes(&view), 0);
    view.state = RTH_MEMORY_SHED;
    view.limit_bytes = RTH_MEMORY_LIMIT_NONE;
    assert_int_equal(rth__plan_missing_bytes(&view), 0);
}

static void at_rest_caches_give_up_what_keeps_the_state_up(void **state)
{
    struct rth_reclaim_view view = busy(RTH_MEMORY_ELEVATED, 970);
    (void)state;
    assert_int_equal(rth__plan_excess_at_rest_bytes(&view), 0);
    view.is_at_rest = true;
    assert_int_equal(rth__plan_excess_at_rest_bytes(&view), 130 * MIB);
    view.usable_bytes = 100 * MIB; /* given up already, and not given back yet */
    assert_int_equal(rth__plan_excess_at_rest_bytes(&view), 30 * MIB);
    view.usable_bytes = 140 * MIB;
    assert_int_equal(rth__plan_excess_at_rest_bytes(&view), 0);
    view.usable_bytes = 0;
    view.state = RTH_MEMORY_OK;
    assert_int_equal(rth__plan_excess_at_rest_bytes(&view), 0);
}

RTH_TEST_MAIN(cmocka_unit_test(a_purge_is_worth_it_from_8_mib_or_a_hundredth_on),
              cmocka_unit_test(what_a_busy_program_will_use_again_is_not_purged_below_the_target),
              cmocka_unit_test(where_requests_are_refused_little_is_worth_a_purge),
              cmocka_unit_test(where_memory_is_short_the_guess_is_tried_now_and_then),
              cmocka_unit_test(of_a_program_that_tells_nothing_a_purge_is_tried),
              cmocka_unit_test(lazily_nothing_is_purged_below_the_limit),
              cmocka_unit_test(when_all_is_well_a_purge_follows_a_deep_fall_at_rest),
              cmocka_unit_test(shrinkers_are_asked_for_what_room_is_missing),
              cmocka_unit_test(at_rest_caches_give_up_what_keeps_the_state_up))
