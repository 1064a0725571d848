/* SPDX-License-Identifier: MIT */
/* Who gets a timer, with real timers on a thread of the test; time is never judged. */
#include "helper/unit.h"

#include <pthread.h>
#include <unistd.h>

#include "core/enable.h"
#include "os/clock.h"
#include "os/rawsys.h"
#include "profile/cpu/timers.h"
#include "thread/cpu_timer.h"
#include "thread/sigmux.h"

#define CROWD 40

static pthread_t crowd[CROWD];
static _Atomic int crowd_tids[CROWD];
static pthread_barrier_t leave;

static void nothing(uint32_t argument, const siginfo_t *info, void *ucontext)
{
    (void)argument;
    (void)info;
    (void)ucontext;
}

static void start(uint32_t allowed)
{
    assert_int_equal(rth__enable_init(), 0);
    rth__enable_on(getpid(), 1);
    rth__sigmux_init(NULL);
    rth__sigmux_handle(RTH_SIGMUX_CPU, nothing);
    int number = rth__sigmux_acquire();
    assert_true(number > 0);
    rth__cpu_timers_set_period(10 * RTH_NS_PER_MS);
    rth__cpu_timers.signal_number = number;
    rth__cpu_timers.allowed = allowed;
    rth__cpu_timers.hooks_are_safe = true;
}

static void *sleeper(void *index)
{
    crowd_tids[(long)index] = rth__raw_gettid_sigsafe();
    (void)pthread_barrier_wait(&leave);
    return NULL;
}

static void gather(void)
{
    assert_int_equal(pthread_barrier_init(&leave, NULL, CROWD + 1), 0);
    for (long i = 0; i < CROWD; i++)
        assert_int_equal(pthread_create(&crowd[i], NULL, sleeper, (void *)i), 0);
    for (int i = 0; i < CROWD; i++)
        while (crowd_tids[i] == 0)
            (void)sched_yield();
}

static void disperse(void)
{
    (void)pthread_barrier_wait(&leave);
    for (int i = 0; i < CROWD; i++)
        (void)pthread_join(crowd[i], NULL);
}

static void each_thread_has_a_timer_and_all_are_gone_at_the_end(void **state)
{
    (void)state;
    start(UINT32_MAX);
    gather();
    for (int i = 0; i < CROWD; i++)
        rth__cpu_timers_thread_started(crowd_tids[i]);
    assert_int_equal(rth__cpu_timers.existing, CROWD);
    int timer_id = rth__cpu_slot_find_locked(crowd_tids[3])->timer_id;
    assert_true(rth__cpu_timer_left_ns(timer_id) > 0);
    rth__cpu_timers_set_period(0);
    assert_int_equal(rth__cpu_timers.existing, 0);
    assert_int_equal(rth__cpu_timer_left_ns(timer_id), 0);
    assert_null(rth__cpu_slot_find_locked(crowd_tids[3]));
    disperse();
}

static void a_thread_that_ends_takes_its_timer_along(void **state)
{
    (void)state;
    start(UINT32_MAX);
    int tid = rth__raw_gettid_sigsafe();
    rth__cpu_timers_thread_started(tid);
    assert_int_equal(rth__cpu_timers.existing, 1);
    rth__cpu_timers_thread_ending(tid);
    assert_int_equal(rth__cpu_timers.existing, 0);
    assert_null(rth__cpu_slot_find_locked(tid));
    rth__cpu_timers_set_period(0);
}

static void hooks_leave_the_mask_as_it_was(void **state)
{
    (void)state;
    sigset_t before, after;
    start(UINT32_MAX);
    (void)pthread_sigmask(SIG_BLOCK, NULL, &before);
    rth__cpu_timers_thread_started(rth__raw_gettid_sigsafe());
    rth__cpu_timers_thread_ending(rth__raw_gettid_sigsafe());
    (void)pthread_sigmask(SIG_BLOCK, NULL, &after);
    assert_memory_equal(&before, &after, 8);
    rth__cpu_timers_set_period(0);
}

static void a_thread_that_blocks_the_signal_gets_no_timer(void **state)
{
    (void)state;
    sigset_t set, before;
    start(UINT32_MAX);
    (void)sigemptyset(&set);
    (void)sigaddset(&set, rth__sigmux_signal());
    (void)pthread_sigmask(SIG_BLOCK, &set, &before);
    rth__cpu_timers_thread_started(rth__raw_gettid_sigsafe());
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    assert_int_equal(rth__cpu_timers.existing, 0);
    assert_true(rth__cpu_slot_find_locked(rth__raw_gettid_sigsafe())->masked);
    rth__cpu_timers_set_period(0);
}

static void where_hooks_are_not_safe_they_do_nothing(void **state)
{
    (void)state;
    start(UINT32_MAX);
    rth__cpu_timers.hooks_are_safe = false;
    rth__cpu_timers_thread_started(rth__raw_gettid_sigsafe());
    assert_int_equal(rth__cpu_timers.existing, 0);
    assert_null(rth__cpu_slot_find_locked(rth__raw_gettid_sigsafe()));
    rth__cpu_timers_set_period(0);
}

/* A slot whose thread is gone, and another thread with its number. */
static void a_number_that_is_used_again_gets_a_timer_of_its_own(void **state)
{
    (void)state;
    start(UINT32_MAX);
    int tid = rth__raw_gettid_sigsafe();
    rth__cpu_timers_thread_started(tid);
    struct rth_cpu_slot *slot = rth__cpu_slot_find_locked(tid);
    int dead = slot->timer_id;
    rth__cpu_timer_delete(dead); /* reads as one whose thread has ended */
    rth__cpu_timers_thread_started(tid);
    slot = rth__cpu_slot_find_locked(tid);
    assert_int_not_equal(slot->timer_id, dead);
    assert_true(rth__cpu_timer_left_ns(slot->timer_id) > 0);
    assert_int_equal(rth__cpu_timers.existing, 1);
    rth__cpu_timers_set_period(0);
}

static void count_holders(struct rth_cpu_slot *slot, void *userdata)
{
    *(uint32_t *)userdata += rth__cpu_slot_has_timer(slot);
}

/* 10 timers for 40 threads that sleep: after enough turns each has had one, never more exist than
 * are allowed, and each stands for four. */
static void short_timers_go_around(void **state)
{
    (void)state;
    bool had[CROWD] = {false};
    start(10);
    gather();
    for (int i = 0; i < CROWD; i++)
        rth__cpu_timers_thread_started(crowd_tids[i]);
    assert_int_equal(rth__cpu_timers.existing, 10);
    assert_string_equal(rth__cpu_timers.reason,
                        "half of what RLIMIT_SIGPENDING leaves free is used");
    rth__cpu_timers.waiting = 30;
    for (int64_t turn = 1; turn <= 200; turn++) {
        rth__cpu_timers_take_turns_locked(turn * RTH_NS_PER_S);
        uint32_t holders = 0;
        rth__cpu_slots_each_locked(count_holders, &holders);
        assert_int_equal(holders, 10);
        assert_int_equal(rth__cpu_timers.existing, 10);
        assert_int_equal(rth__cpu_timers.waiting, 30);
        for (int i = 0; i < CROWD; i++) {
            struct rth_cpu_slot *slot = rth__cpu_slot_find_locked(crowd_tids[i]);
            if (!rth__cpu_slot_has_timer(slot))
                continue;
            had[i] = true;
            /* All slept since the last turn; before the first they had begun to run. */
            if (turn > 1)
                assert_int_equal(slot->weight_ns, 4 * slot->period_ns);
        }
    }
    for (int i = 0; i < CROWD; i++)
        assert_true(had[i]);
    rth__cpu_timers_set_period(0);
    disperse();
}

static void when_fewer_are_allowed_timers_are_taken_away(void **state)
{
    (void)state;
    start(UINT32_MAX);
    gather();
    for (int i = 0; i < CROWD; i++)
        rth__cpu_timers_thread_started(crowd_tids[i]);
    assert_int_equal(rth__cpu_timers.existing, CROWD);
    rth__cpu_timers.allowed = 3;
    rth__cpu_timers_take_turns_locked(RTH_NS_PER_S);
    assert_int_equal(rth__cpu_timers.existing, 3);
    rth__cpu_timers.allowed = 0;
    rth__cpu_timers_take_turns_locked(2 * RTH_NS_PER_S);
    assert_int_equal(rth__cpu_timers.existing, 0);
    rth__cpu_timers_set_period(0);
    disperse();
}

RTH_TEST_MAIN(cmocka_unit_test(each_thread_has_a_timer_and_all_are_gone_at_the_end),
              cmocka_unit_test(a_thread_that_ends_takes_its_timer_along),
              cmocka_unit_test(hooks_leave_the_mask_as_it_was),
              cmocka_unit_test(a_thread_that_blocks_the_signal_gets_no_timer),
              cmocka_unit_test(where_hooks_are_not_safe_they_do_nothing),
              cmocka_unit_test(a_number_that_is_used_again_gets_a_timer_of_its_own),
              cmocka_unit_test(short_timers_go_around),
              cmocka_unit_test(when_fewer_are_allowed_timers_are_taken_away))
