/* SPDX-License-Identifier: MIT */
#include <pthread.h>

#include "core/lock.h"
#include "helper/unit.h"

static struct rth_lock sites = RTH_LOCK_INIT(RTH_RANK_SITES);
static struct rth_lock arena = RTH_LOCK_INIT(RTH_RANK_ARENA);
static struct rth_lock runtime = RTH_LOCK_INIT(RTH_RANK_RUNTIME);

static void a_thread_knows_that_it_holds_an_inner_lock(void **state)
{
    (void)state;
    assert_false(rth__lock_inner_held_sigsafe());
    rth__lock(&runtime); /* an outer one */
    assert_false(rth__lock_inner_held_sigsafe());
    rth__lock(&sites);
    assert_true(rth__lock_inner_held_sigsafe());
    rth__lock(&arena);
    rth__unlock(&arena);
    assert_true(rth__lock_inner_held_sigsafe());
    rth__unlock(&sites);
    assert_false(rth__lock_inner_held_sigsafe());
    rth__unlock(&runtime);
}

static void *tries(void *unused)
{
    (void)unused;
    assert_false(rth__lock_try_sigsafe(&arena));
    return rth__lock_inner_held_sigsafe() ? &arena : NULL;
}

static void an_inner_lock_that_another_thread_holds_is_not_ones_own(void **state)
{
    (void)state;
    rth__lock(&arena);
    pthread_t thread;
    void *held;
    assert_int_equal(pthread_create(&thread, NULL, tries, NULL), 0);
    assert_int_equal(pthread_join(thread, &held), 0);
    assert_null(held);
    rth__unlock(&arena);
    assert_true(rth__lock_try_sigsafe(&arena));
    assert_true(rth__lock_inner_held_sigsafe());
    rth__unlock(&arena);
    assert_false(rth__lock_inner_held_sigsafe());
}

RTH_TEST_MAIN(cmocka_unit_test(a_thread_knows_that_it_holds_an_inner_lock),
              cmocka_unit_test(an_inner_lock_that_another_thread_holds_is_not_ones_own))
