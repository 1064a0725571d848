/* SPDX-License-Identifier: MIT */
#include <errno.h>

#include "core/work.h"
#include "helper/unit.h"
#include "limits/look_soon.h"

static int wakes;

static void count_wake(void)
{
    wakes++;
}

static void while_rth_collect_is_not_up_nobody_looks_in_its_place(void **state)
{
    (void)state;
    rth__work_inline_set(count_wake);
    assert_int_equal(rth__look_soon(), -EAGAIN);
    assert_int_equal(wakes, 0);
    rth__work_inline_set(NULL);
}

static void in_an_adopted_child_it_is_asked_for_once(void **state)
{
    (void)state;
    rth__look_soon_child_reset();
    assert_int_equal(rth__look_soon(), -EAGAIN); /* nobody runs items */
    rth__work_inline_set(count_wake);
    wakes = 0;
    assert_int_equal(rth__look_soon(), 0);
    assert_int_equal(rth__look_soon(), 0);
    assert_int_equal(wakes, 1);
    rth__work_run_queued();
    assert_int_equal(rth__look_soon(), 0);
    assert_int_equal(wakes, 2);
    rth__work_inline_set(NULL);
}

RTH_TEST_MAIN(cmocka_unit_test(while_rth_collect_is_not_up_nobody_looks_in_its_place),
              cmocka_unit_test(in_an_adopted_child_it_is_asked_for_once))
