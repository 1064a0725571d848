/* SPDX-License-Identifier: MIT */
#include <stdbool.h>
#include <string.h>

#include "helper/unit.h"
#include "profile/wall/threads.h"

enum { THREADS = 10000 };

static void a_thread_is_found_by_its_number_until_it_goes(void **state)
{
    (void)state;
    for (int tid = 1; tid <= THREADS; tid++)
        assert_int_equal(rth__wall_thread_new(tid)->tid, tid);
    assert_int_equal(rth__wall_thread_count(), THREADS);
    for (int tid = 1; tid <= THREADS; tid += 2)
        rth__wall_thread_free(rth__wall_thread_find(tid));
    assert_int_equal(rth__wall_thread_count(), THREADS / 2);
    for (int tid = 1; tid <= THREADS; tid++) {
        const struct rth_wall_thread *thread = rth__wall_thread_find(tid);
        assert_int_equal(thread != NULL, tid % 2 == 0);
    }
    assert_null(rth__wall_thread_find(THREADS + 2));
}

static void a_walk_meets_each_once_also_when_it_takes_them_out(void **state)
{
    (void)state;
    static unsigned char met[THREADS + 1];
    assert_null(rth__wall_thread_next(NULL));
    for (int tid = 1; tid <= THREADS; tid++)
        (void)rth__wall_thread_new(tid);
    struct rth_wall_thread *thread = rth__wall_thread_next(NULL), *next;
    for (; thread != NULL; thread = next) {
        next = rth__wall_thread_next(thread);
        met[thread->tid]++;
        if (thread->tid % 3 != 0)
            rth__wall_thread_free(thread);
    }
    for (int tid = 1; tid <= THREADS; tid++)
        assert_int_equal(met[tid], 1);
    unsigned left = 0;
    while ((thread = rth__wall_thread_next(thread)) != NULL)
        left += thread->tid % 3 == 0;
    assert_int_equal(left, THREADS / 3);
}

static void room_for_a_stack_grows_and_never_shrinks(void **state)
{
    (void)state;
    struct rth_wall_thread *thread = rth__wall_thread_new(7);
    assert_true(rth__wall_thread_frames(thread, 0));
    assert_true(rth__wall_thread_frames(thread, 10));
    thread->frames[9] = 1;
    rth_frame *before = thread->frames;
    assert_true(rth__wall_thread_frames(thread, 5));
    assert_ptr_equal(thread->frames, before);
    assert_true(rth__wall_thread_frames(thread, 127));
    memset(thread->frames, 0xff, 127 * sizeof(*thread->frames));
    rth__wall_thread_free(thread);
}

static void there_are_as_many_as_promised(void **state)
{
    (void)state;
    int tid = 1;
    while (rth__wall_thread_new(tid) != NULL)
        tid++;
    assert_int_equal(rth__wall_thread_count(), 32768);
    rth__wall_thread_free(rth__wall_thread_find(5));
    assert_non_null(rth__wall_thread_new(tid));
    rth__wall_threads_child_reset();
    assert_int_equal(rth__wall_thread_count(), 0);
    assert_null(rth__wall_thread_find(7));
}

RTH_TEST_MAIN(cmocka_unit_test(a_thread_is_found_by_its_number_until_it_goes),
              cmocka_unit_test(a_walk_meets_each_once_also_when_it_takes_them_out),
              cmocka_unit_test(room_for_a_stack_grows_and_never_shrinks),
              cmocka_unit_test(there_are_as_many_as_promised))
