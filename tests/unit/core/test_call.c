/* SPDX-License-Identifier: MIT */
#include <stdatomic.h>

#include "core/call.h"
#include "core/enable.h"
#include "core/family.h"
#include "helper/unit.h"
#include "os/rawsys.h"

struct counted {
    struct rth_call_job job; /* first */
    _Atomic int calls, must_wait, inside;
    struct counted *removes;
};

static void run(struct rth_call_job *job)
{
    struct counted *counted = (struct counted *)(void *)job;
    counted->inside = 1;
    while (counted->must_wait)
        test_pause_us(1000);
    if (counted->removes != NULL)
        (void)rth__call_remove(&counted->removes->job);
    counted->inside = 0;
    counted->calls++;
}

/* As rth_start does before. */
static void start(void)
{
    assert_int_equal(rth__family_init(rth__raw_getpid_sigsafe(), 1, 0), 0);
    assert_int_equal(rth__enable_init(), 0);
    rth__enable_on(rth__raw_getpid_sigsafe(), 1);
}

static void wait_for(_Atomic int *value, int at_least)
{
    for (int i = 0; i < 20000 && *value < at_least; i++)
        test_pause_us(1000);
    assert_true(*value >= at_least);
}

static void who_is_wanted_is_called_and_nobody_else(void **state)
{
    (void)state;
    start();
    struct counted one = {.job.run = run}, two = {.job.run = run};
    assert_int_equal(rth__call_add(&one.job), 0);
    assert_int_equal(rth__call_add(&two.job), 0);
    rth__call_want(&one.job);
    wait_for(&one.calls, 1);
    assert_int_equal(two.calls, 0);
    rth__call_want_all();
    wait_for(&one.calls, 2);
    wait_for(&two.calls, 1);
    assert_true(rth__call_remove(&one.job));
    assert_true(rth__call_remove(&two.job));
    rth__call_threads_stop();
    assert_int_equal(one.calls, 2);
}

static void a_job_wanted_while_it_runs_is_called_once_more(void **state)
{
    (void)state;
    start();
    struct counted one = {.job.run = run, .must_wait = 1};
    assert_int_equal(rth__call_add(&one.job), 0);
    rth__call_want(&one.job);
    wait_for(&one.inside, 1);
    for (int i = 0; i < 10; i++)
        rth__call_want(&one.job);
    one.must_wait = 0;
    wait_for(&one.calls, 2);
    assert_true(rth__call_remove(&one.job));
    rth__call_threads_stop();
    assert_int_equal(one.calls, 2);
}

static void a_late_job_does_not_keep_the_others_from_being_called(void **state)
{
    (void)state;
    start();
    struct counted late = {.job.run = run, .must_wait = 1}, other = {.job.run = run};
    assert_int_equal(rth__call_add(&late.job), 0);
    assert_int_equal(rth__call_add(&other.job), 0);
    rth__call_want(&late.job);
    wait_for(&late.inside, 1);
    rth__call_want(&other.job);
    wait_for(&other.calls, 1);
    assert_int_equal(rth__call_late_count(), 1);
    assert_int_equal(late.calls, 0);
    late.must_wait = 0;
    assert_true(rth__call_remove(&late.job));
    assert_int_equal(late.calls, 1);
    assert_true(rth__call_remove(&other.job));
    rth__call_threads_stop();
}

static void a_job_may_remove_itself(void **state)
{
    (void)state;
    start();
    struct counted one = {.job.run = run};
    one.removes = &one;
    assert_int_equal(rth__call_add(&one.job), 0);
    rth__call_want(&one.job);
    wait_for(&one.calls, 1);
    rth__call_want(&one.job);
    test_pause_us(20000);
    assert_int_equal(one.calls, 1);
    rth__call_threads_stop();
}

static void threads_come_back_after_a_stop_and_jobs_stay_known(void **state)
{
    (void)state;
    start();
    struct counted one = {.job.run = run};
    assert_int_equal(rth__call_threads_start(), 0); /* nobody is known: no thread */
    assert_int_equal(rth__call_add(&one.job), 0);
    rth__call_threads_stop();
    rth__call_want(&one.job);
    test_pause_us(20000);
    assert_int_equal(one.calls, 0);
    assert_int_equal(rth__call_threads_start(), 0);
    wait_for(&one.calls, 1);
    assert_true(rth__call_remove(&one.job));
    rth__call_threads_stop();
}

RTH_TEST_MAIN(cmocka_unit_test(who_is_wanted_is_called_and_nobody_else),
              cmocka_unit_test(a_job_wanted_while_it_runs_is_called_once_more),
              cmocka_unit_test(a_late_job_does_not_keep_the_others_from_being_called),
              cmocka_unit_test(a_job_may_remove_itself),
              cmocka_unit_test(threads_come_back_after_a_stop_and_jobs_stay_known), )
