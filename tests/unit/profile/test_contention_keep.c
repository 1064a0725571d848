/* SPDX-License-Identifier: MIT */
#include "helper/unit.h"

#include <pthread.h>
#include <stdatomic.h>

#include "profile/contention/keep.h"

static int swept;
static uint64_t swept_delay_ns;

static void sweep_one(const struct rth_contention_sample *sample)
{
    swept++;
    swept_delay_ns += sample->delay_ns;
}

static void begin(void)
{
    rth__keep_child_reset();
    assert_int_equal(rth__keep_init(), 0);
    assert_int_equal(rth__keep_count(), 0);
    swept = 0;
    swept_delay_ns = 0;
}

static struct rth_kept keep(uint64_t delay_ns, int64_t at_ns)
{
    struct rth_kept kept = {0};
    struct rth_contention_sample *sample = rth__keep_place(&kept);
    assert_non_null(sample);
    sample->delay_ns = delay_ns;
    sample->at_ns = at_ns;
    rth__keep_put(&kept);
    return kept;
}

static void a_sample_is_taken_once(void **state)
{
    (void)state;
    begin();
    struct rth_kept kept = keep(7, 0);
    assert_int_equal(rth__keep_count(), 1);
    const struct rth_contention_sample *sample = rth__keep_take(&kept);
    assert_non_null(sample);
    assert_int_equal(sample->delay_ns, 7);
    assert_null(rth__keep_take(&kept));
    rth__keep_free(&kept);
    assert_null(rth__keep_take(&kept));
    assert_int_equal(rth__keep_count(), 0);
}

static void the_old_are_swept_and_the_young_stay(void **state)
{
    (void)state;
    begin();
    struct rth_kept old = keep(1, 100), young = keep(2, 200);
    rth__keep_sweep(200, sweep_one);
    assert_int_equal(swept, 1);
    assert_int_equal(swept_delay_ns, 1);
    assert_null(rth__keep_take(&old));
    assert_non_null(rth__keep_take(&young));
    rth__keep_sweep(INT64_MAX, sweep_one); /* what is in somebody's hands stays there */
    assert_int_equal(swept, 1);
    rth__keep_free(&young);
}

static void a_place_that_has_another_sample_is_not_mistaken(void **state)
{
    (void)state;
    begin();
    struct rth_kept old = keep(1, 0);
    rth__keep_sweep(INT64_MAX, sweep_one);
    for (unsigned i = 0; i < RTH_KEEP_MAX; i++)
        (void)keep(2, 0);
    assert_null(rth__keep_take(&old));
    assert_int_equal(rth__keep_count(), RTH_KEEP_MAX);
}

static void there_is_an_end_of_room(void **state)
{
    (void)state;
    struct rth_kept kept;
    begin();
    for (unsigned i = 0; i < RTH_KEEP_MAX; i++)
        (void)keep(1, 0);
    assert_null(rth__keep_place(&kept));
    rth__keep_sweep(INT64_MAX, sweep_one);
    assert_int_equal(swept, RTH_KEEP_MAX);
    assert_non_null(rth__keep_place(&kept));
    rth__keep_free(&kept);
}

static void without_memory_nothing_is_kept(void **state)
{
    (void)state;
    struct rth_kept kept = {.ticket = 5};
    rth__keep_child_reset();
    assert_null(rth__keep_place(&kept));
    assert_null(rth__keep_take(&kept));
    rth__keep_sweep(INT64_MAX, sweep_one);
    assert_int_equal(rth__keep_count(), 0);
}

static _Atomic int taken;

static void *keeps_and_takes(void *unused)
{
    (void)unused;
    for (int i = 0; i < 20000; i++) {
        struct rth_kept kept;
        struct rth_contention_sample *sample = rth__keep_place(&kept);
        if (sample == NULL)
            continue;
        sample->delay_ns = 1;
        sample->at_ns = 0;
        rth__keep_put(&kept);
        if (rth__keep_take(&kept) != NULL) {
            taken++;
            rth__keep_free(&kept);
        }
    }
    return NULL;
}

static void thread_and_sweeper_never_have_the_same(void **state)
{
    (void)state;
    pthread_t threads[3];
    begin();
    taken = 0;
    for (int i = 0; i < 3; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, keeps_and_takes, NULL), 0);
    for (int i = 0; i < 2000; i++)
        rth__keep_sweep(INT64_MAX, sweep_one);
    for (int i = 0; i < 3; i++)
        (void)pthread_join(threads[i], NULL);
    rth__keep_sweep(INT64_MAX, sweep_one);
    assert_int_equal(taken + swept, 60000);
    assert_int_equal(rth__keep_count(), 0);
}

RTH_TEST_MAIN(cmocka_unit_test(a_sample_is_taken_once),
              cmocka_unit_test(the_old_are_swept_and_the_young_stay),
              cmocka_unit_test(a_place_that_has_another_sample_is_not_mistaken),
              cmocka_unit_test(there_is_an_end_of_room),
              cmocka_unit_test(without_memory_nothing_is_kept),
              cmocka_unit_test(thread_and_sweeper_never_have_the_same))
