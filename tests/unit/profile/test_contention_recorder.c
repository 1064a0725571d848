/* SPDX-License-Identifier: MIT */
/* What the lock wrappers tell becomes rows: here in their place, with waits that lie in the past.
 */
#include "helper/unit.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <unistd.h>

#include "os/clock.h"
#include "profile/contention/keep.h"
#include "profile/contention/recorder.h"
#include "profile/contention/waiters.h"
#include "record/facts.h"
#include "unwind/unwind.h"

#define NOINLINE __attribute__((noinline))
#define LOCK     ((uintptr_t)0x5000)
#define OTHER    ((uintptr_t)0x5040)
#define MS       RTH_NS_PER_MS

/* Stands for the original of a lock function. */
static NOINLINE void original(void)
{
    __asm__ volatile("");
}

static void begin(uint64_t interval_ns)
{
    int root_fd = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    rth__contention_recorder_child_reset();
    rth__facts_child_reset();
    assert_true(rth__unwind_refresh(root_fd) >= 0);
    (void)close(root_fd);
    assert_int_equal(rth__contention_recorder_start(interval_ns), 0);
}

/* A wait of that length that ends now. Returns what wait_end does. */
static NOINLINE bool wait_for(uint32_t kind, uintptr_t object, uintptr_t lock, int64_t ns,
                              bool has_lock)
{
    struct rth_sync_wait wait = {
        .frame = {.leaf = (uintptr_t)original,
                  .pc = (uintptr_t)__builtin_return_address(0),
                  .object = object,
                  .kind = kind,
                  .since_ns = rth__clock_monotonic_ns_sigsafe() - ns},
        .lock = lock,
    };
    errno = 4711;
    rth__sync_wait_begin_nomalloc(&wait);
    bool kept = rth__sync_wait_end_nomalloc(&wait, has_lock);
    assert_int_equal(errno, 4711);
    return kept;
}

static NOINLINE bool give_back(uintptr_t lock, bool is_condition)
{
    struct rth_sync_release release = {
        .lock = lock,
        .leaf = (uintptr_t)original,
        .pc = (uintptr_t)__builtin_return_address(0),
        .is_condition = is_condition,
    };
    errno = 4711;
    rth__sync_release_begin_nomalloc(&release);
    bool kept = !is_condition && rth__sync_release_end_nomalloc(&release);
    assert_int_equal(errno, 4711);
    return kept;
}

static NOINLINE bool waiter(int64_t ns)
{
    bool kept = wait_for(RTH_WAIT_MUTEX, LOCK, LOCK, ns, true);
    __asm__ volatile("");
    return kept;
}

static NOINLINE bool holder(void)
{
    bool kept = give_back(LOCK, false);
    __asm__ volatile("");
    return kept;
}

/* All rows of a kind together. */
struct sum {
    int rows;
    double count;
    uint64_t delay_ns;
    rth_frame leaf, caller;
};

static struct sum sum_of(uint32_t kind)
{
    struct sum sum = {0};
    struct rth_sites_copy copy;
    assert_int_equal(rth__sites_copy(&rth__contention_sites, &copy), 0);
    for (size_t i = 0; i < copy.count; i++) {
        const struct rth_site_row *row = &copy.rows[i];
        if (row->kind != kind)
            continue;
        sum.rows++;
        sum.count += (double)row->values.added_count / (1 << RTH_CONTENTION_COUNT_SHIFT);
        sum.delay_ns += row->values.added_amount;
        assert_int_equal(row->values.removed_count, 0);
        if (row->frame_count > 1) {
            sum.leaf = row->frames[0];
            sum.caller = row->frames[1];
        }
    }
    rth__sites_copy_free(&copy);
    return sum;
}

static bool is_in(rth_frame frame, const void *function)
{
    uint64_t address = rth__frame_address(frame), start = (uint64_t)(uintptr_t)function;
    return address >= start && address < start + 128;
}

static bool is_about(double value, double expected, double tolerance)
{
    return fabs(value - expected) <= tolerance * expected;
}

static void a_wait_is_recorded_when_its_lock_is_given_back(void **state)
{
    (void)state;
    begin(1);
    assert_true(waiter(5 * MS));
    assert_int_equal(sum_of(RTH_CONTENTION_BLOCK).rows, 0);
    assert_true(give_back(OTHER, false)); /* that is another lock */
    assert_int_equal(sum_of(RTH_CONTENTION_BLOCK).rows, 0);
    assert_false(holder());
    struct sum sum = sum_of(RTH_CONTENTION_BLOCK);
    assert_int_equal(sum.rows, 1);
    assert_true(is_about(sum.count, 1, 1e-6));
    assert_true(sum.delay_ns >= 5 * MS);
    assert_true(is_in(sum.leaf, (const void *)(uintptr_t)original));
    assert_true(is_in(sum.caller, (const void *)(uintptr_t)waiter));
    assert_int_equal(rth__keep_count(), 0);
}

static void a_wait_that_got_nothing_is_recorded_at_once(void **state)
{
    (void)state;
    begin(1);
    assert_false(wait_for(RTH_WAIT_MUTEX, LOCK, LOCK, 1 * MS, false));
    assert_false(wait_for(RTH_WAIT_SEMAPHORE, LOCK, 0, 1 * MS, true));
    assert_true(sum_of(RTH_CONTENTION_BLOCK).delay_ns >= 2 * MS);
    struct rth_contention_totals totals;
    rth__contention_totals_read(&totals);
    assert_int_equal(totals.lock_waits, 1);
    assert_int_equal(totals.semaphore_waits, 1);
    assert_int_equal(totals.cond_waits, 0);
    assert_true(totals.semaphore_wait_ns >= 1 * MS);
}

static void a_conditions_wait_is_kept_until_its_mutex_is_given_back(void **state)
{
    (void)state;
    begin(1);
    assert_true(wait_for(RTH_WAIT_COND, OTHER, LOCK, 3 * MS, true));
    assert_false(holder());
    assert_true(sum_of(RTH_CONTENTION_BLOCK).delay_ns >= 3 * MS);
}

/* ---- the holder ---- */

struct other {
    pthread_t thread;
    _Atomic int stage;
};

/* Waits for LOCK from 5 ms ago until it is told to go on. */
static void *waits_for_lock(void *argument)
{
    struct other *other = argument;
    struct rth_sync_wait wait = {
        .frame = {.leaf = (uintptr_t)original,
                  .pc = (uintptr_t)__builtin_return_address(0),
                  .object = LOCK,
                  .kind = RTH_WAIT_MUTEX,
                  .since_ns = rth__clock_monotonic_ns_sigsafe() - 5 * MS},
        .lock = LOCK,
    };
    rth__sync_wait_begin_nomalloc(&wait);
    other->stage = 1;
    while (other->stage != 2)
        test_pause_us(100);
    (void)rth__sync_wait_end_nomalloc(&wait, false);
    return NULL;
}

static void others_begin(struct other *others, int count)
{
    for (int i = 0; i < count; i++) {
        others[i].stage = 0;
        assert_int_equal(pthread_create(&others[i].thread, NULL, waits_for_lock, &others[i]), 0);
        while (others[i].stage != 1)
            test_pause_us(100);
    }
}

static void others_end(struct other *others, int count)
{
    for (int i = 0; i < count; i++) {
        others[i].stage = 2;
        (void)pthread_join(others[i].thread, NULL);
    }
}

static void the_holder_is_charged_where_it_gives_the_lock_back(void **state)
{
    (void)state;
    struct other others[2];
    begin(1);
    others_begin(others, 2);
    assert_false(holder());
    struct sum sum = sum_of(RTH_CONTENTION_MUTEX);
    assert_int_equal(sum.rows, 1);
    assert_true(is_about(sum.count, 2, 1e-6));
    assert_true(sum.delay_ns >= 10 * MS);
    assert_true(is_in(sum.leaf, (const void *)(uintptr_t)original));
    assert_true(is_in(sum.caller, (const void *)(uintptr_t)holder));
    others_end(others, 2);
    struct sum waited = sum_of(RTH_CONTENTION_BLOCK);
    assert_true(is_about(waited.count, 2, 1e-6));
    assert_true(waited.delay_ns >= sum.delay_ns);
}

static void a_condition_charges_its_caller_before_it_waits(void **state)
{
    (void)state;
    struct other other;
    begin(1);
    others_begin(&other, 1);
    (void)give_back(LOCK, true);
    assert_int_equal(sum_of(RTH_CONTENTION_MUTEX).rows, 0);
    assert_int_equal(rth__keep_count(), 1);
    rth__contention_recorder_settle(); /* it may wait for ever: whoever reads need not */
    assert_true(sum_of(RTH_CONTENTION_MUTEX).delay_ns >= 5 * MS);
    others_end(&other, 1);
}

static void nobody_who_waits_charges_nobody(void **state)
{
    (void)state;
    begin(1);
    assert_false(holder());
    assert_int_equal(sum_of(RTH_CONTENTION_MUTEX).rows, 0);
}

/* ---- what threads leave behind ---- */

static void a_wait_left_by_longjmp_does_not_wait_for_ever(void **state)
{
    (void)state;
    struct other other;
    begin(1);
    /* A frame further down the stack than the next wait's. */
    struct rth_sync_wait *left = (struct rth_sync_wait *)(void *)((char *)__builtin_alloca(8192));
    *left = (struct rth_sync_wait){.frame = {.object = LOCK,
                                             .kind = RTH_WAIT_MUTEX,
                                             .since_ns = rth__clock_monotonic_ns_sigsafe()}};
    struct rth_sync_wait outer = {.frame = {.object = OTHER,
                                            .kind = RTH_WAIT_MUTEX,
                                            .since_ns = rth__clock_monotonic_ns_sigsafe()}};
    assert_true((uintptr_t)left < (uintptr_t)&outer);
    rth__sync_wait_begin_nomalloc(left);
    rth__sync_wait_begin_nomalloc(&outer);
    assert_int_not_equal(outer.registration, 0);
    (void)rth__sync_wait_end_nomalloc(&outer, false);
    (void)holder(); /* what the dead one had waited */
    others_begin(&other, 1);
    (void)holder();
    others_end(&other, 1);
    test_pause_us(1000);
    (void)holder();
    uint64_t before_ns = sum_of(RTH_CONTENTION_MUTEX).delay_ns;
    test_pause_us(5000);
    (void)holder();
    assert_int_equal(sum_of(RTH_CONTENTION_MUTEX).delay_ns, before_ns);
}

static void a_wait_inside_of_another_is_recorded_and_not_registered(void **state)
{
    (void)state;
    begin(1);
    struct rth_sync_wait outer = {.frame = {.object = LOCK,
                                            .kind = RTH_WAIT_MUTEX,
                                            .since_ns = rth__clock_monotonic_ns_sigsafe()}};
    rth__sync_wait_begin_nomalloc(&outer);
    uint64_t registration = outer.registration;
    assert_int_not_equal(registration, 0);
    (void)wait_for(RTH_WAIT_MUTEX, OTHER, OTHER, 1 * MS, true); /* as in a signal handler */
    assert_int_equal(outer.registration, registration);
    (void)rth__sync_wait_end_nomalloc(&outer, false);
    struct rth_contention_totals totals;
    rth__contention_totals_read(&totals);
    assert_int_equal(totals.lock_waits, 2);
}

static void many_locks_at_once_lose_no_sample(void **state)
{
    (void)state;
    begin(1);
    for (uintptr_t i = 0; i < 10; i++)
        assert_true(wait_for(RTH_WAIT_WRLOCK, LOCK + 64 * i, LOCK + 64 * i, 1 * MS, true));
    for (uintptr_t i = 0; i < 10; i++)
        (void)give_back(LOCK + 64 * i, false);
    assert_true(is_about(sum_of(RTH_CONTENTION_BLOCK).count, 10, 1e-6));
    struct rth_contention_counts counts;
    rth__contention_counts_read(&counts);
    assert_int_equal(counts.in_lock, 6);
    assert_int_equal(counts.kept, 0);
}

static void *waits_and_ends(void *unused)
{
    (void)unused;
    (void)waiter(1 * MS);
    return NULL;
}

static void what_a_thread_kept_when_it_ended_is_recorded_by_others(void **state)
{
    (void)state;
    pthread_t thread;
    begin(1);
    assert_int_equal(pthread_create(&thread, NULL, waits_and_ends, NULL), 0);
    (void)pthread_join(thread, NULL);
    assert_int_equal(rth__keep_count(), 1);
    rth__contention_recorder_tick(); /* too young */
    assert_int_equal(rth__keep_count(), 1);
    rth__contention_recorder_settle();
    assert_int_equal(rth__keep_count(), 0);
    assert_true(is_about(sum_of(RTH_CONTENTION_BLOCK).count, 1, 1e-6));
}

/* ---- sampling ---- */

static void sampled_waits_stand_for_all(void **state)
{
    (void)state;
    enum { WAITS = 20000 };
    uint64_t truth_ns = 0;
    unsigned seed = 1;
    begin(1000000);
    for (int i = 0; i < WAITS; i++) {
        int64_t ns = rand_r(&seed) % 2 ? 20000 : 2 * MS;
        truth_ns += (uint64_t)ns;
        (void)waiter(ns);
        (void)holder();
    }
    struct rth_contention_counts counts;
    rth__contention_counts_read(&counts);
    assert_true(counts.block_samples < WAITS / 2);
    assert_true(rth__contention_interval_ns() > 1000000); /* too many samples in no time */
    struct sum sum = sum_of(RTH_CONTENTION_BLOCK);
    print_message("%llu samples, interval %llu ns, delay %.3f, count %.3f\n",
                  (unsigned long long)counts.block_samples,
                  (unsigned long long)rth__contention_interval_ns(),
                  (double)sum.delay_ns / (double)truth_ns, sum.count / WAITS);
    /* The longest interval leaves some hundred samples: 4 sigma. */
    assert_true(is_about((double)sum.delay_ns, (double)truth_ns, 0.35));
    struct rth_contention_totals totals;
    rth__contention_totals_read(&totals);
    assert_int_equal(totals.lock_waits, WAITS);
    assert_true(totals.lock_wait_ns >= truth_ns);
}

static void an_interval_of_one_is_never_made_longer(void **state)
{
    (void)state;
    begin(1);
    for (int i = 0; i < 3000; i++) {
        (void)waiter(1);
        (void)holder();
    }
    assert_int_equal(rth__contention_interval_ns(), 1);
    assert_true(is_about(sum_of(RTH_CONTENTION_BLOCK).count, 3000, 1e-6));
}

static void after_a_stop_nothing_is_recorded(void **state)
{
    (void)state;
    begin(1);
    rth__contention_recorder_stop();
    assert_false(waiter(1 * MS));
    assert_false(holder());
    assert_int_equal(sum_of(RTH_CONTENTION_BLOCK).rows, 0);
    struct rth_contention_totals totals;
    rth__contention_totals_read(&totals);
    assert_int_equal(totals.lock_waits, 0);
}

/* ---- at once ---- */

static _Atomic int handled;

static void on_signal(int number)
{
    int saved_errno = errno;
    (void)number;
    (void)wait_for(RTH_WAIT_MUTEX, OTHER, OTHER, 1000, true);
    (void)give_back(OTHER, false);
    errno = saved_errno;
    handled++;
}

static void *storms(void *unused)
{
    (void)unused;
    for (int i = 0; i < 20000; i++) {
        (void)waiter(100);
        (void)holder();
    }
    return NULL;
}

static void handlers_and_threads_may_come_at_any_time(void **state)
{
    (void)state;
    pthread_t threads[3];
    struct sigaction action = {.sa_handler = on_signal}, before;
    begin(1);
    (void)sigaction(SIGUSR1, &action, &before);
    for (int i = 0; i < 3; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, storms, NULL), 0);
    for (int i = 0; i < 3000; i++) {
        (void)pthread_kill(threads[i % 3], SIGUSR1);
        if (i % 100 == 0)
            rth__contention_recorder_settle();
    }
    for (int i = 0; i < 3; i++)
        (void)pthread_join(threads[i], NULL);
    rth__contention_recorder_settle();
    (void)sigaction(SIGUSR1, &before, NULL);
    struct rth_contention_totals totals;
    struct rth_contention_counts counts;
    rth__contention_totals_read(&totals);
    rth__contention_counts_read(&counts);
    assert_true(is_about(sum_of(RTH_CONTENTION_BLOCK).count, (double)totals.lock_waits, 1e-6));
    assert_true(totals.lock_waits >= 60000);
    assert_true(totals.lock_waits + counts.lost_nested >= (uint64_t)(60000 + handled));
}

RTH_TEST_MAIN(cmocka_unit_test(a_wait_is_recorded_when_its_lock_is_given_back),
              cmocka_unit_test(a_wait_that_got_nothing_is_recorded_at_once),
              cmocka_unit_test(a_conditions_wait_is_kept_until_its_mutex_is_given_back),
              cmocka_unit_test(the_holder_is_charged_where_it_gives_the_lock_back),
              cmocka_unit_test(a_condition_charges_its_caller_before_it_waits),
              cmocka_unit_test(nobody_who_waits_charges_nobody),
              cmocka_unit_test(a_wait_left_by_longjmp_does_not_wait_for_ever),
              cmocka_unit_test(a_wait_inside_of_another_is_recorded_and_not_registered),
              cmocka_unit_test(many_locks_at_once_lose_no_sample),
              cmocka_unit_test(what_a_thread_kept_when_it_ended_is_recorded_by_others),
              cmocka_unit_test(sampled_waits_stand_for_all),
              cmocka_unit_test(an_interval_of_one_is_never_made_longer),
              cmocka_unit_test(after_a_stop_nothing_is_recorded),
              cmocka_unit_test(handlers_and_threads_may_come_at_any_time))
