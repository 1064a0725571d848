/* SPDX-License-Identifier: MIT */
/* What two dumps have in common. */
#include <string.h>

#include "core/arena.h"
#include "helper/unit.h"
#include "profile/threads/difference.h"

#define MANY 20000u

static rth_frame frames[MANY + 1][2];
static struct rth_thread_stack now_threads[MANY], before_threads[MANY];

/* The stack of that number; equal numbers are equal stacks in different memory. */
static void set(struct rth_thread_stack *thread, rth_frame *memory, unsigned number)
{
    memory[0] = 1; /* the leaf of all */
    memory[1] = number;
    *thread = (struct rth_thread_stack){.answered = true, .frames = memory, .frame_count = 2};
}

static unsigned cancel_out(struct rth_thread_stacks *now, struct rth_thread_stacks *before)
{
    struct rth_arena_stats start, end;
    rth__arena_stats(&start);
    assert_int_equal(rth__thread_stacks_cancel_out(now, before), 0);
    rth__arena_stats(&end);
    assert_int_equal(start.used_bytes, end.used_bytes);
    unsigned left = 0;
    for (size_t i = 0; i < now->count; i++)
        left += now->threads[i].answered;
    return left;
}

static void equal_stacks_cancel_out_one_for_one(void **state)
{
    (void)state;
    static const unsigned now_numbers[] = {1, 2, 2, 2, 3}, before_numbers[] = {2, 4, 2, 1, 1};
    struct rth_thread_stacks now = {.count = 5, .threads = now_threads};
    struct rth_thread_stacks before = {.count = 5, .threads = before_threads};
    rth_frame memory[10][2];
    for (unsigned i = 0; i < 5; i++) {
        set(&now_threads[i], memory[i], now_numbers[i]);
        set(&before_threads[i], memory[5 + i], before_numbers[i]);
    }
    assert_int_equal(cancel_out(&now, &before), 2);
    assert_true(now_threads[3].answered && now_threads[4].answered);
    assert_true(before_threads[1].answered && before_threads[4].answered);
    assert_false(before_threads[0].answered || before_threads[2].answered);
    assert_false(before_threads[3].answered);
}

static void who_has_not_answered_takes_no_part(void **state)
{
    (void)state;
    struct rth_thread_stacks now = {.count = 2, .threads = now_threads};
    struct rth_thread_stacks before = {.count = 2, .threads = before_threads};
    rth_frame memory[4][2];
    for (unsigned i = 0; i < 2; i++) {
        set(&now_threads[i], memory[i], 7);
        set(&before_threads[i], memory[2 + i], 7);
    }
    now_threads[0].answered = false;
    before_threads[0].answered = false;
    now_threads[0].frame_count = before_threads[0].frame_count = 0;
    assert_int_equal(cancel_out(&now, &before), 0);
    assert_false(before_threads[1].answered);
}

static void nothing_is_left_of_the_same_stacks_in_another_order(void **state)
{
    (void)state;
    struct rth_thread_stacks now = {.count = MANY, .threads = now_threads};
    struct rth_thread_stacks before = {.count = MANY, .threads = before_threads};
    static rth_frame others[MANY][2];
    for (unsigned i = 0; i < MANY; i++) {
        set(&now_threads[i], frames[i], i);
        set(&before_threads[MANY - 1 - i], others[i], i);
    }
    assert_int_equal(cancel_out(&now, &before), 0);
    for (unsigned i = 0; i < MANY; i++)
        assert_false(before_threads[i].answered);
}

static void the_same_stack_of_another_origin_does_not_cancel_out(void **state)
{
    (void)state;
    static const struct rth_site_row here = {.identity = 40}, there = {.identity = 41},
                                     here_again = {.identity = 40};
    struct rth_thread_stacks now = {.count = 3, .threads = now_threads};
    struct rth_thread_stacks before = {.count = 2, .threads = before_threads};
    rth_frame memory[5][2];
    for (unsigned i = 0; i < 3; i++)
        set(&now_threads[i], memory[i], 7);
    for (unsigned i = 0; i < 2; i++)
        set(&before_threads[i], memory[3 + i], 7);
    now_threads[0].created = &there;
    now_threads[1].created = &here;
    before_threads[0].created = &here_again;
    before_threads[1].created = NULL;
    assert_int_equal(cancel_out(&now, &before), 1);
    assert_true(now_threads[0].answered);
    assert_false(before_threads[0].answered || before_threads[1].answered);
}

static void against_nothing_all_is_left(void **state)
{
    (void)state;
    struct rth_thread_stacks now = {.count = 3, .threads = now_threads}, nothing = {0};
    for (unsigned i = 0; i < 3; i++)
        set(&now_threads[i], frames[i], i);
    assert_int_equal(cancel_out(&now, &nothing), 3);
    assert_int_equal(cancel_out(&nothing, &now), 0);
    assert_true(now_threads[0].answered);
}

RTH_TEST_MAIN(cmocka_unit_test(equal_stacks_cancel_out_one_for_one),
              cmocka_unit_test(who_has_not_answered_takes_no_part),
              cmocka_unit_test(nothing_is_left_of_the_same_stacks_in_another_order),
              cmocka_unit_test(the_same_stack_of_another_origin_does_not_cancel_out),
              cmocka_unit_test(against_nothing_all_is_left))
