/* SPDX-License-Identifier: MIT */
/* Who gets a timer, with real timers on a thread of the test; time is never judged. */
#include "helper/unit.h"

#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include "core/enable.h"
#include "os/clock.h"
#include "os/rawsys.h"
#include "profile/cpu/sampler.h"
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
        rth__cpu_timers_take_turns(turn * RTH_NS_PER_S);
        uint32_t holders = 0;
        rth__cpu_timers_each(count_holders, &holders);
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
    rth__cpu_timers_take_turns(RTH_NS_PER_S);
    assert_int_equal(rth__cpu_timers.existing, 3);
    rth__cpu_timers.allowed = 0;
    rth__cpu_timers_take_turns(2 * RTH_NS_PER_S);
    assert_int_equal(rth__cpu_timers.existing, 0);
    rth__cpu_timers_set_period(0);
    disperse();
}

/* The kernel refuses what we thought it allows. */
static void a_turn_that_finds_no_timers_leaves_nobody_out_of_the_count(void **state)
{
    (void)state;
    start(UINT32_MAX);
    gather();
    struct rlimit before, none;
    assert_int_equal(getrlimit(RLIMIT_SIGPENDING, &before), 0);
    none = (struct rlimit){0, before.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_SIGPENDING, &none), 0);
    for (int i = 0; i < CROWD; i++)
        rth__cpu_timers_thread_started(crowd_tids[i]);
    assert_int_equal(rth__cpu_timers.existing, 0);
    rth__cpu_timers.allowed = 10;
    rth__cpu_timers.waiting = CROWD;
    rth__cpu_timers_take_turns(RTH_NS_PER_S);
    assert_int_equal(setrlimit(RLIMIT_SIGPENDING, &before), 0);
    assert_int_equal(rth__cpu_timers.waiting, CROWD);
    assert_string_equal(rth__cpu_timers.reason,
                        "the kernel refuses more timers (RLIMIT_SIGPENDING)");
    rth__cpu_timers_set_period(0);
    disperse();
}

static int root_fd(void)
{
    int fd = open("/", O_RDONLY | O_DIRECTORY);
    assert_true(fd >= 0);
    return fd;
}

static void hosts_handler(int number)
{
    (void)number;
}

static void set_all_actions(void (*handler)(int number))
{
    struct sigaction action = {.sa_handler = handler};
    (void)sigaction(SIGPROF, &action, NULL);
    (void)sigaction(SIGSTKFLT, &action, NULL);
    for (int number = SIGRTMIN; number <= SIGRTMAX; number++)
        (void)sigaction(number, &action, NULL);
}

static void without_a_signal_every_thread_is_without_a_place(void **state)
{
    (void)state;
    int root = root_fd();
    start(UINT32_MAX);
    gather();
    rth__cpu_sweep(root);
    assert_int_equal(rth__cpu_timers.existing, CROWD + 1);
    assert_int_equal(rth__cpu_timers.unplaced, 0);
    set_all_actions(hosts_handler);
    rth__cpu_sweep(root);
    set_all_actions(SIG_DFL);
    assert_int_equal(rth__cpu_timers.signal_number, 0);
    assert_int_equal(rth__cpu_timers.existing, 0);
    assert_int_equal(rth__cpu_timers.waiting, 0);
    assert_int_equal(rth__cpu_timers.unplaced, CROWD + 1);
    struct rth_cpu_coverage coverage;
    rth__cpu_coverage_read(&coverage);
    assert_int_equal(coverage.threads_unplaced, CROWD + 1);
    assert_string_equal(coverage.unplaced_reason, "the program uses every signal we could");
    rth__cpu_sweep(root);
    assert_int_equal(rth__cpu_timers.existing, CROWD + 1);
    assert_int_equal(rth__cpu_timers.unplaced, 0);
    rth__cpu_timers_set_period(0);
    disperse();
    (void)close(root);
}

/* 120 timers that had ten periods each that nobody noticed. */
static void what_timers_had_not_counted_is_owed_whoever_many_they_are(void **state)
{
    (void)state;
    start(UINT32_MAX);
    gather();
    struct rth_cpu_counts before, after;
    rth__cpu_counts_read(&before);
    for (int i = 0; i < CROWD; i++)
        rth__cpu_timers_thread_started(crowd_tids[i]);
    for (int round = 0; round < 3; round++)
        for (int i = 0; i < CROWD; i++) {
            struct rth_cpu_slot *slot = rth__cpu_slot_find_locked(crowd_tids[i]);
            slot->armed_cpu_ns -= 10 * slot->period_ns;
            rth__cpu_timers_settle_locked(slot);
            assert_int_equal(rth__cpu_timers_give_locked(slot), 0);
        }
    rth__cpu_counts_read(&after);
    /* Sleepers may stand a little before an expiry. */
    int64_t owed_ns = (int64_t)(after.lost_late_ns - before.lost_late_ns);
    int64_t expected_ns = (int64_t)3 * CROWD * 100 * RTH_NS_PER_MS;
    assert_true(owed_ns >= expected_ns && owed_ns <= expected_ns * 11 / 10);
    rth__cpu_timers_set_period(0);
    rth__cpu_counts_read(&after);
    assert_int_equal(after.lost_late_ns - before.lost_late_ns, owed_ns);
    disperse();
}

static void a_number_that_is_used_again_has_no_old_limits(void **state)
{
    (void)state;
    start(0);
    int tid = rth__raw_gettid_sigsafe();
    rth__cpu_timers_thread_started(tid);
    struct rth_cpu_slot *slot = rth__cpu_slot_find_locked(tid);
    assert_false(rth__cpu_slot_has_timer(slot));
    atomic_store(&slot->stack_low, 4096);
    atomic_store(&slot->stack_high, 8192);
    rth__cpu_timers_thread_started(tid);
    assert_int_equal(rth__cpu_slot_find_locked(tid)->stack_high, 0);
    rth__cpu_timers_set_period(0);
}

static pthread_barrier_t steps;
static _Atomic int filtered_tid;

static void *filter_oneself(void *unused)
{
    struct sock_filter program[] = {BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)};
    struct sock_fprog filter = {1, program};
    filtered_tid = rth__raw_gettid_sigsafe();
    (void)pthread_barrier_wait(&steps);
    (void)pthread_barrier_wait(&steps);
    bool fine = prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
                prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter) == 0;
    (void)pthread_barrier_wait(&steps);
    (void)pthread_barrier_wait(&steps);
    (void)unused;
    return fine ? NULL : (void *)1;
}

static void a_thread_under_a_filter_of_its_own_loses_its_timer(void **state)
{
    (void)state;
    int root = root_fd();
    pthread_t thread;
    void *result;
    start(UINT32_MAX);
    assert_int_equal(pthread_barrier_init(&steps, NULL, 2), 0);
    assert_int_equal(pthread_create(&thread, NULL, filter_oneself, NULL), 0);
    (void)pthread_barrier_wait(&steps);
    rth__cpu_sweep(root);
    assert_int_equal(rth__cpu_timers.existing, 2);
    assert_int_equal(rth__cpu_timers.filtered, 0);
    assert_true(rth__cpu_timers.hooks_are_safe);
    (void)pthread_barrier_wait(&steps);
    (void)pthread_barrier_wait(&steps);
    for (int i = 0; i < 8; i++)
        rth__cpu_sweep(root);
    assert_int_equal(rth__cpu_timers.existing, 1);
    assert_int_equal(rth__cpu_timers.filtered, 1);
    assert_false(rth__cpu_slot_has_timer(rth__cpu_slot_find_locked(filtered_tid)));
    assert_false(rth__cpu_timers.hooks_are_safe);
    (void)pthread_barrier_wait(&steps);
    assert_int_equal(pthread_join(thread, &result), 0);
    assert_null(result);
    rth__cpu_sweep(root);
    assert_true(rth__cpu_timers.hooks_are_safe);
    rth__cpu_timers_set_period(0);
    (void)close(root);
}

static void the_kernels_that_may_interrupt_a_wait_are_told_by_their_release(void **state)
{
    (void)state;
    assert_true(rth__cpu_timer_may_interrupt("4.18.0-553.el8_10.x86_64"));
    assert_true(rth__cpu_timer_may_interrupt("5.4.0-150-generic"));
    assert_true(rth__cpu_timer_may_interrupt("5.8"));
    assert_false(rth__cpu_timer_may_interrupt("5.9.0"));
    assert_false(rth__cpu_timer_may_interrupt("5.10.0-30-amd64"));
    assert_false(rth__cpu_timer_may_interrupt("6.1.0"));
    assert_false(rth__cpu_timer_may_interrupt("10.0"));
}

RTH_TEST_MAIN(cmocka_unit_test(each_thread_has_a_timer_and_all_are_gone_at_the_end),
              cmocka_unit_test(a_thread_that_ends_takes_its_timer_along),
              cmocka_unit_test(hooks_leave_the_mask_as_it_was),
              cmocka_unit_test(a_thread_that_blocks_the_signal_gets_no_timer),
              cmocka_unit_test(where_hooks_are_not_safe_they_do_nothing),
              cmocka_unit_test(a_number_that_is_used_again_gets_a_timer_of_its_own),
              cmocka_unit_test(short_timers_go_around),
              cmocka_unit_test(when_fewer_are_allowed_timers_are_taken_away),
              cmocka_unit_test(a_turn_that_finds_no_timers_leaves_nobody_out_of_the_count),
              cmocka_unit_test(without_a_signal_every_thread_is_without_a_place),
              cmocka_unit_test(what_timers_had_not_counted_is_owed_whoever_many_they_are),
              cmocka_unit_test(a_number_that_is_used_again_has_no_old_limits),
              cmocka_unit_test(a_thread_under_a_filter_of_its_own_loses_its_timer),
              cmocka_unit_test(the_kernels_that_may_interrupt_a_wait_are_told_by_their_release))
