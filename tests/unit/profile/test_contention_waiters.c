/* SPDX-License-Identifier: MIT */
/* Who is charged for what was waited: each nanosecond once. */
#include "helper/unit.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "profile/contention/waiters.h"

#define LOCK  ((uintptr_t)0x7000)
#define OTHER ((uintptr_t)0x7040)
#define US    1000
#define MS    1000000

static void assert_charge(uintptr_t lock, int64_t now_ns, uint64_t delay_ns, uint32_t count)
{
    struct rth_waiters_charge charge = rth__waiters_charge(lock, now_ns);
    assert_int_equal(charge.delay_ns, delay_ns);
    assert_int_equal(charge.count, count);
}

static void a_holder_is_charged_for_all_who_wait(void **state)
{
    (void)state;
    rth__waiters_clear();
    uint64_t first = rth__waiters_enter(LOCK, 1 * MS), second = rth__waiters_enter(LOCK, 2 * MS);
    assert_int_not_equal(first, 0);
    assert_int_not_equal(second, 0);
    assert_charge(LOCK, 7 * MS, 6 * MS + 5 * MS, 2);
    assert_charge(LOCK, 9 * MS, 2 * (2 * MS), 0);
    rth__waiters_leave(first, LOCK, 1 * MS, 9 * MS);
    assert_charge(LOCK, 12 * MS, 3 * MS, 0);
    rth__waiters_leave(second, LOCK, 2 * MS, 12 * MS);
    assert_charge(LOCK, 20 * MS, 0, 0);
}

static void another_lock_is_not_charged(void **state)
{
    (void)state;
    rth__waiters_clear();
    uint64_t number = rth__waiters_enter(LOCK, 1 * MS);
    assert_charge(OTHER, 9 * MS, 0, 0);
    rth__waiters_leave(number, LOCK, 1 * MS, 9 * MS);
    assert_charge(OTHER, 9 * MS, 0, 0);
}

static void short_waits_that_nobody_was_charged_for_are_charged_to_the_next(void **state)
{
    (void)state;
    rth__waiters_clear();
    int64_t now_ns = 1 * MS;
    uint64_t charged_ns = 0, count = 0;
    for (int i = 0; i < 1000; i++, now_ns += 3 * US) {
        uint64_t number = rth__waiters_enter(LOCK, now_ns);
        if (i % 10 == 5) {
            struct rth_waiters_charge charge = rth__waiters_charge(LOCK, now_ns + 1 * US);
            charged_ns += charge.delay_ns;
            count += charge.count;
        }
        rth__waiters_leave(number, LOCK, now_ns, now_ns + 2 * US);
    }
    assert_charge(LOCK, now_ns + 1 * MS, 1000 * 2 * US - charged_ns, 1000 - (uint32_t)count);
    assert_true(charged_ns > 900 * 2 * US);
}

static void time_until_the_next_owner_runs_stays_for_the_next_charge(void **state)
{
    (void)state;
    rth__waiters_clear();
    uint64_t first = rth__waiters_enter(LOCK, 1 * MS);
    assert_charge(LOCK, 6 * MS, 5 * MS, 1);
    rth__waiters_leave(first, LOCK, 1 * MS, 6 * MS + 50 * US);
    uint64_t second = rth__waiters_enter(LOCK, 7 * MS);
    assert_charge(LOCK, 8 * MS, 1 * MS + 50 * US, 1);
    rth__waiters_leave(second, LOCK, 7 * MS, 8 * MS);
}

static void clocks_read_before_a_charge_or_a_wait_do_no_harm(void **state)
{
    (void)state;
    rth__waiters_clear();
    uint64_t first = rth__waiters_enter(LOCK, 1 * MS);
    uint64_t second = rth__waiters_enter(LOCK, 5 * MS);
    /* The holder looked at the clock before the second one did. */
    assert_charge(LOCK, 5 * MS - 100, 4 * MS, 2);
    /* The third looked before that charge was made. */
    uint64_t third = rth__waiters_enter(LOCK, 5 * MS - 200);
    assert_charge(LOCK, 6 * MS, 3 * MS, 1);
    rth__waiters_leave(first, LOCK, 1 * MS, 6 * MS - 10);
    rth__waiters_leave(second, LOCK, 5 * MS, 6 * MS);
    rth__waiters_leave(third, LOCK, 5 * MS - 200, 7 * MS);
    assert_charge(LOCK, 8 * MS, 1 * MS, 0);
}

static void more_locks_than_places_are_refused_and_counted(void **state)
{
    (void)state;
    enum { LOCKS = 8 * RTH_WAITERS_BUCKETS * RTH_WAITERS_PER_BUCKET };
    static uint64_t numbers[LOCKS];
    uint64_t refused = 0;
    rth__waiters_clear();
    for (uintptr_t i = 0; i < LOCKS; i++) {
        numbers[i] = rth__waiters_enter(LOCK + i * 64, 1 * MS);
        refused += numbers[i] == 0;
    }
    assert_int_equal(LOCKS - refused, RTH_WAITERS_BUCKETS * RTH_WAITERS_PER_BUCKET);
    assert_int_equal(rth__waiters_counts().refused, refused);
    for (uintptr_t i = 0; i < LOCKS; i++)
        if (numbers[i] != 0)
            assert_charge(LOCK + i * 64, 2 * MS, 1 * MS, 1);
        else
            assert_charge(LOCK + i * 64, 2 * MS, 0, 0);
    for (uintptr_t i = 0; i < LOCKS; i++)
        rth__waiters_leave(numbers[i], LOCK + i * 64, 1 * MS, 3 * MS);
    /* Their places are there for others; what nobody was charged for is told. */
    for (uintptr_t i = 0; i < LOCKS; i++) {
        uint64_t number = rth__waiters_enter(LOCK + i * 64 + 8, 4 * MS);
        assert_int_not_equal(number, 0);
        rth__waiters_leave(number, LOCK + i * 64 + 8, 4 * MS, 4 * MS);
    }
    assert_int_equal(rth__waiters_counts().uncharged_ns,
                     (uint64_t)RTH_WAITERS_BUCKETS * RTH_WAITERS_PER_BUCKET * 1 * MS);
    rth__waiters_clear();
    assert_int_equal(rth__waiters_counts().refused, 0);
}

static void a_number_from_before_a_clear_is_ignored(void **state)
{
    (void)state;
    rth__waiters_clear();
    uint64_t number = rth__waiters_enter(LOCK, 1 * MS);
    rth__waiters_clear();
    rth__waiters_leave(number, LOCK, 1 * MS, 2 * MS);
    rth__waiters_leave(0, LOCK, 1 * MS, 2 * MS);
    rth__waiters_leave(77, LOCK, 1 * MS, 2 * MS);
    assert_charge(LOCK, 9 * MS, 0, 0);
}

/* Whatever happens in whatever order, all that was waited is charged, and no more. */
static void every_nanosecond_is_charged_once(void **state)
{
    (void)state;
    enum { THREADS = 7, STEPS = 100000 };
    uint64_t numbers[THREADS] = {0}, waited_ns = 0, charged_ns = 0, waits = 0, count = 0;
    int64_t since_ns[THREADS], now_ns = 1 * MS;
    unsigned seed = 4711;
    rth__waiters_clear();
    for (int i = 0; i < STEPS; i++) {
        int thread = rand_r(&seed) % THREADS;
        /* Two processors may see the clock in the wrong order. */
        int64_t seen_ns = now_ns - rand_r(&seed) % 300;
        now_ns += rand_r(&seed) % (20 * US);
        if (rand_r(&seed) % 3 == 0) {
            struct rth_waiters_charge charge = rth__waiters_charge(LOCK, seen_ns);
            charged_ns += charge.delay_ns;
            count += charge.count;
        } else if (numbers[thread] == 0) {
            since_ns[thread] = seen_ns;
            numbers[thread] = rth__waiters_enter(LOCK, seen_ns);
            waits++;
        } else {
            int64_t end_ns = seen_ns > since_ns[thread] ? seen_ns : since_ns[thread];
            rth__waiters_leave(numbers[thread], LOCK, since_ns[thread], end_ns);
            waited_ns += (uint64_t)(end_ns - since_ns[thread]);
            numbers[thread] = 0;
        }
    }
    now_ns += 1 * MS;
    for (int i = 0; i < THREADS; i++)
        if (numbers[i] != 0) {
            rth__waiters_leave(numbers[i], LOCK, since_ns[i], now_ns);
            waited_ns += (uint64_t)(now_ns - since_ns[i]);
        }
    struct rth_waiters_charge last = rth__waiters_charge(LOCK, now_ns + 1 * MS);
    charged_ns += last.delay_ns;
    count += last.count;
    assert_int_equal(count, waits);
    /* The clocks' disorder, 300 ns per step at most, is all they may differ in. */
    assert_true(charged_ns <= waited_ns + 300 * STEPS);
    assert_true(waited_ns <= charged_ns + 300 * STEPS);
}

static _Atomic uint64_t all_waited_ns, all_charged_ns;

static void *waits_and_charges(void *unused)
{
    (void)unused;
    for (int64_t i = 1; i <= 20000; i++) {
        uintptr_t lock = LOCK + (uintptr_t)(i % 3) * 64;
        uint64_t number = rth__waiters_enter(lock, i * MS);
        all_charged_ns += rth__waiters_charge(lock, i * MS + 500 * US).delay_ns;
        rth__waiters_leave(number, lock, i * MS, i * MS + 500 * US);
        all_waited_ns += 500 * US;
    }
    return NULL;
}

/* Threads whose clocks are far apart: only that nothing breaks, and that all leave. */
static void threads_may_do_it_at_once(void **state)
{
    (void)state;
    pthread_t threads[4];
    rth__waiters_clear();
    for (int i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, waits_and_charges, NULL), 0);
    for (int i = 0; i < 4; i++)
        (void)pthread_join(threads[i], NULL);
    assert_true(all_charged_ns > 0);
    for (uintptr_t i = 0; i < 3; i++) {
        (void)rth__waiters_charge(LOCK + i * 64, INT64_C(100000) * MS);
        assert_charge(LOCK + i * 64, INT64_C(200000) * MS, 0, 0);
    }
}

RTH_TEST_MAIN(cmocka_unit_test(a_holder_is_charged_for_all_who_wait),
              cmocka_unit_test(another_lock_is_not_charged),
              cmocka_unit_test(short_waits_that_nobody_was_charged_for_are_charged_to_the_next),
              cmocka_unit_test(time_until_the_next_owner_runs_stays_for_the_next_charge),
              cmocka_unit_test(clocks_read_before_a_charge_or_a_wait_do_no_harm),
              cmocka_unit_test(more_locks_than_places_are_refused_and_counted),
              cmocka_unit_test(a_number_from_before_a_clear_is_ignored),
              cmocka_unit_test(every_nanosecond_is_charged_once),
              cmocka_unit_test(threads_may_do_it_at_once))
