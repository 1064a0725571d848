/* SPDX-License-Identifier: MIT */
#include "helper/unit.h"

#include "helper/failing_arena.h"
#include "profile/frames.h"

static struct rth_frame_table table;

static void release(void)
{
    rth__frame_table_release(&table);
    assert_int_equal(failing_arena.blocks_out, 0);
    assert_int_equal(failing_arena.wrong_sizes, 0);
    assert_int_equal(table.count, 0);
}

/* Neighbours, equal low halves, and equal high halves. */
static rth_frame frame_at(uint32_t i)
{
    return (rth_frame)(i % 3) << 48 | (rth_frame)(i % 7) << 32 | (rth_frame)i * 8;
}

static void frames_are_numbered_in_the_order_of_their_first_appearance(void **state)
{
    (void)state;
    counting_init(&failing_arena, 0);
    for (uint32_t i = 0; i < 20000; i++) {
        assert_int_equal(rth__frame_table_add(&table, frame_at(i), UINT32_MAX), i + 1);
        assert_int_equal(rth__frame_table_add(&table, frame_at(i / 2), UINT32_MAX), i / 2 + 1);
    }
    assert_int_equal(table.count, 20000);
    for (uint32_t i = 0; i < 20000; i++) {
        assert_int_equal(rth__frame_table_find(&table, frame_at(i)), i + 1);
        assert_true(table.frames[i] == frame_at(i));
    }
    assert_int_equal(rth__frame_table_find(&table, frame_at(20000)), 0);
    release();
}

static void frame_zero_is_a_frame_like_any_other(void **state)
{
    (void)state;
    counting_init(&failing_arena, 0);
    assert_int_equal(rth__frame_table_find(&table, 0), 0);
    assert_int_equal(rth__frame_table_add(&table, 0, 10), 1);
    assert_int_equal(rth__frame_table_find(&table, 0), 1);
    release();
}

static void a_full_table_takes_no_more_but_knows_what_it_has(void **state)
{
    (void)state;
    counting_init(&failing_arena, 0);
    for (uint32_t i = 0; i < 5; i++)
        assert_int_equal(rth__frame_table_add(&table, 100 + i, 5), i + 1);
    assert_int_equal(rth__frame_table_add(&table, 200, 5), 0);
    assert_int_equal(rth__frame_table_add(&table, 104, 5), 5);
    assert_int_equal(table.count, 5);
    release();
}

static void a_table_that_cannot_grow_keeps_what_it_has(void **state)
{
    (void)state;
    for (size_t refuse_at = 1; refuse_at <= 4; refuse_at++) {
        counting_init(&failing_arena, refuse_at);
        uint32_t added = 0;
        while (rth__frame_table_add(&table, frame_at(added), UINT32_MAX) != 0)
            added++;
        assert_int_equal(added, refuse_at <= 2 ? 0 : 512);
        for (uint32_t i = 0; i < added; i++)
            assert_int_equal(rth__frame_table_find(&table, frame_at(i)), i + 1);
        release();
    }
}

RTH_TEST_MAIN(cmocka_unit_test(frames_are_numbered_in_the_order_of_their_first_appearance),
              cmocka_unit_test(frame_zero_is_a_frame_like_any_other),
              cmocka_unit_test(a_full_table_takes_no_more_but_knows_what_it_has),
              cmocka_unit_test(a_table_that_cannot_grow_keeps_what_it_has))
