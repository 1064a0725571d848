/* SPDX-License-Identifier: MIT */
#include "helper/unit.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <time.h>

#include "os/clock.h"
#include "os/futex.h"

#define MINUTE_NS (60 * RTH_NS_PER_S)

static _Atomic uint32_t word;
static _Atomic int ended;

static void a_word_that_differs_returns_at_once(void **state)
{
    (void)state;
    atomic_store(&word, 5);
    errno = 77;
    assert_int_equal(rth__futex_wait_sigsafe(&word, 4, -1), 0);
    assert_int_equal(errno, 77);
}

static void a_deadline_in_the_past_times_out_and_keeps_errno(void **state)
{
    (void)state;
    atomic_store(&word, 5);
    errno = 77;
    assert_int_equal(rth__futex_wait_sigsafe(&word, 5, 0), -ETIMEDOUT);
    assert_int_equal(errno, 77);
}

static void the_deadline_is_absolute_and_never_early(void **state)
{
    (void)state;
    int64_t deadline_ns = rth__clock_monotonic_ns_sigsafe() + 5 * RTH_NS_PER_MS;
    atomic_store(&word, 5);
    int result;
    do {
        result = rth__futex_wait_sigsafe(&word, 5, deadline_ns);
    } while (result == 0);
    assert_int_equal(result, -ETIMEDOUT);
    assert_true(rth__clock_monotonic_ns_sigsafe() >= deadline_ns);
}

static void *wait_for_change(void *userdata)
{
    (void)userdata;
    while (atomic_load(&word) == 1) {
        if (rth__futex_wait_sigsafe(&word, 1, -1) < 0)
            return (void *)1;
    }
    return NULL;
}

static void all_waiters_wake(void **state)
{
    (void)state;
    pthread_t waiters[4];
    void *failed;
    atomic_store(&word, 1);
    for (int i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&waiters[i], NULL, wait_for_change, NULL), 0);
    atomic_store(&word, 2);
    errno = 77;
    rth__futex_wake_sigsafe(&word, INT32_MAX);
    assert_int_equal(errno, 77);
    for (int i = 0; i < 4; i++) {
        assert_int_equal(pthread_join(waiters[i], &failed), 0);
        assert_null(failed);
    }
}

static void ignore(int signal_number)
{
    (void)signal_number;
}

static void *interrupt_until_ended(void *userdata)
{
    const pthread_t *target = userdata;
    while (atomic_load(&ended) == 0) {
        (void)pthread_kill(*target, SIGUSR1);
        rth__clock_sleep_until(rth__clock_monotonic_ns_sigsafe() + RTH_NS_PER_MS);
    }
    return NULL;
}

static void a_signal_interrupts_a_wait(void **state)
{
    (void)state;
    struct sigaction action;
    pthread_t interrupter, self = pthread_self();
    memset(&action, 0, sizeof(action));
    action.sa_handler = ignore;
    assert_int_equal(sigaction(SIGUSR1, &action, NULL), 0);
    atomic_store(&word, 1);
    assert_int_equal(pthread_create(&interrupter, NULL, interrupt_until_ended, &self), 0);
    int64_t deadline_ns = rth__clock_monotonic_ns_sigsafe() + MINUTE_NS;
    assert_int_equal(rth__futex_wait_sigsafe(&word, 1, deadline_ns), -EINTR);
    atomic_store(&ended, 1);
    assert_int_equal(pthread_join(interrupter, NULL), 0);
}

RTH_TEST_MAIN(cmocka_unit_test(a_word_that_differs_returns_at_once),
              cmocka_unit_test(a_deadline_in_the_past_times_out_and_keeps_errno),
              cmocka_unit_test(the_deadline_is_absolute_and_never_early),
              cmocka_unit_test(all_waiters_wake), cmocka_unit_test(a_signal_interrupts_a_wait))
