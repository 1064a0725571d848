/* SPDX-License-Identifier: MIT */
/* rth-reclaim, told what memory is by the test in place of rth-collect. */
#include <pthread.h>
#include <stdatomic.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/enable.h"
#include "core/service_thread.h"
#include "helper/unit.h"
#include "limits/memory.h"
#include "limits/publish.h"
#include "limits/reclaim.h"
#include "os/clock.h"
#include "rthooks/limits.h"

#define MIB   (INT64_C(1) << 20)
#define LIMIT (640 * MIB)
#define HARD  (720 * MIB)

static _Atomic int64_t held, base = 600 * MIB;
static _Atomic unsigned calls;
static _Atomic bool is_stuck, does_not_return, ran_on_service_thread;

static uint64_t count_held(void *unused)
{
    (void)unused;
    return (uint64_t)held;
}

static uint64_t give_up(uint64_t wanted_bytes, int64_t deadline_ns, void *unused)
{
    (void)unused;
    (void)deadline_ns;
    calls++;
    ran_on_service_thread = rth__service_thread_is_self();
    while (does_not_return)
        test_pause_us(1000);
    if (is_stuck)
        return 0;
    int64_t freed = held < (int64_t)wanted_bytes ? held : (int64_t)wanted_bytes;
    held -= freed;
    return (uint64_t)freed;
}

static struct rth_shrinker *add(void)
{
    struct rth_shrinker_opts opts = RTH_SHRINKER_OPTS_INIT;
    struct rth_shrinker *shrinker;
    opts.name = "cache";
    opts.count = count_held;
    opts.shrink = give_up;
    assert_int_equal(rth_shrinker_add(&opts, &shrinker), 0);
    return shrinker;
}

/* As state.c, but at once. */
static int state_of(int64_t usage_bytes)
{
    static int state = RTH_MEMORY_OK;
    if (usage_bytes >= (LIMIT + HARD) / 2)
        state = RTH_MEMORY_CRITICAL;
    else if (usage_bytes >= LIMIT)
        state = RTH_MEMORY_SHED;
    else if (usage_bytes >= LIMIT / 100 * 90)
        state = RTH_MEMORY_ELEVATED;
    else if (usage_bytes < LIMIT / 100 * 85)
        state = RTH_MEMORY_OK;
    return state;
}

/* In place of rth-collect. What the cache gives up is seen at once. */
static struct rth_memory_now look(void)
{
    struct rth_memory_now now = {
        .limit_bytes = LIMIT,
        .hard_bytes = HARD,
        .critical_bytes = (LIMIT + HARD) / 2,
        .usage_bytes = base + held,
        .rss_bytes = base + held,
        .state = state_of(base + held),
        .taken_ns = rth__clock_monotonic_ns_sigsafe(),
    };
    rth__memory_now_publish(&now);
    rth__reclaim_report(&now);
    return now;
}

static void begin(void)
{
    assert_int_equal(rth__enable_init(), 0);
    rth__enable_on(getpid(), 1);
}

static struct rth_reclaim_counts counts(void)
{
    struct rth_reclaim_counts result;
    rth__reclaim_counts_read(&result);
    return result;
}

static bool has_thread(void)
{
    int tids[RTH_SERVICE_THREAD_MAX];
    return rth__service_thread_tids(tids, RTH_SERVICE_THREAD_MAX) == 1;
}

static void wait_for_thread(void)
{
    while (!has_thread())
        test_pause_us(1000);
}

/* ---- the thread ------------------------------------------------------------------------------ */

static void there_is_a_thread_where_there_is_a_limit(void **state)
{
    (void)state;
    begin();
    assert_int_equal(rth__reclaim_start(false, LIMIT, 2), 0);
    wait_for_thread();
    rth__reclaim_thread_stop();
    assert_false(has_thread());
    assert_int_equal(rth__reclaim_thread_start(), 0);
    assert_int_equal(rth__reclaim_thread_start(), 0);
    wait_for_thread();
    rth__reclaim_stop();
    assert_false(has_thread());
    assert_int_equal(rth__reclaim_thread_start(), 0);
    assert_false(has_thread());
}

static void without_a_limit_it_begins_with_the_first_shrinker(void **state)
{
    (void)state;
    begin();
    assert_int_equal(rth__reclaim_start(false, RTH_MEMORY_LIMIT_NONE, 2), 0);
    test_pause_us(20000);
    assert_false(has_thread());
    struct rth_shrinker *shrinker = add();
    wait_for_thread();
    rth_shrinker_remove(shrinker);
    rth__reclaim_stop();
}

static void a_shrinker_may_be_there_before_rthooks_starts(void **state)
{
    (void)state;
    struct rth_shrinker *shrinker = add();
    assert_false(has_thread());
    begin();
    assert_int_equal(rth__reclaim_start(false, RTH_MEMORY_LIMIT_NONE, 2), 0);
    wait_for_thread();
    rth_shrinker_remove(shrinker);
    rth__reclaim_stop();
}

static void an_adopted_child_has_none(void **state)
{
    (void)state;
    begin();
    assert_int_equal(rth__reclaim_start(false, LIMIT, 2), 0);
    wait_for_thread();
    pid_t pid = fork();
    if (pid == 0) {
        rth__service_threads_child_reset();
        rth__reclaim_child_reset();
        rth__enable_on(getpid(), 2);
        bool fine = rth__reclaim_start(false, LIMIT, 2) == 0 && rth__reclaim_thread_start() == 0 &&
                    !has_thread() && counts().passes == 0;
        held = 100 * MIB;
        base = 560 * MIB;
        (void)look();
        rth__reclaim_stop();
        _exit(fine && calls == 0 ? 0 : 1);
    }
    int status = -1;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    rth__reclaim_stop();
}

/* ---- what it does ---------------------------------------------------------------------------- */

static void above_the_limit_caches_shrink_by_what_is_missing(void **state)
{
    (void)state;
    begin();
    held = 60 * MIB; /* 660 in all */
    struct rth_shrinker *shrinker = add();
    assert_int_equal(rth__reclaim_start(false, LIMIT, 2), 0);
    while (look().usage_bytes > LIMIT)
        test_pause_us(2000);
    assert_true(ran_on_service_thread);
    for (int i = 0; i < 20; i++) { /* and no further */
        (void)look();
        test_pause_us(2000);
    }
    assert_in_range(held, 30 * MIB, 40 * MIB);
    assert_int_equal(counts().shrunk_bytes, 60 * MIB - held);
    assert_false(counts().is_futile);
    rth_shrinker_remove(shrinker);
    rth__reclaim_stop();
}

static void below_it_a_busy_program_keeps_its_caches(void **state)
{
    (void)state;
    begin();
    held = 30 * MIB;
    struct rth_shrinker *shrinker = add();
    assert_int_equal(rth__reclaim_start(false, LIMIT, 2), 0);
    for (int i = 0; i < 50; i++) {
        base += i % 2 == 0 ? 4 * MIB : -4 * MIB; /* busy */
        (void)look();
        test_pause_us(2000);
    }
    assert_int_equal(held, 30 * MIB);
    assert_int_equal(calls, 0);
    rth_shrinker_remove(shrinker);
    rth__reclaim_stop();
}

/* 0.84 of the limit: so far down the state is left for good. */
static void at_rest_they_shrink_until_all_is_well(void **state)
{
    (void)state;
    begin();
    base = 400 * MIB;
    held = 200 * MIB;
    struct rth_shrinker *shrinker = add();
    assert_int_equal(rth__reclaim_start(false, LIMIT, 2), 0);
    while (look().usage_bytes > LIMIT / 100 * 85)
        test_pause_us(5000);
    assert_in_range(base + held, LIMIT / 100 * 80, LIMIT / 100 * 85);
    rth_shrinker_remove(shrinker);
    rth__reclaim_stop();
}

static void caches_that_are_too_small_for_that_are_kept(void **state)
{
    (void)state;
    begin();
    base = 590 * MIB;
    held = 20 * MIB;
    struct rth_shrinker *shrinker = add();
    assert_int_equal(rth__reclaim_start(false, LIMIT, 2), 0);
    int64_t end_ns = rth__clock_monotonic_ns_sigsafe() + 1500 * RTH_NS_PER_MS;
    while (rth__clock_monotonic_ns_sigsafe() < end_ns) {
        (void)look();
        test_pause_us(5000);
    }
    assert_int_equal(held, 20 * MIB);
    rth_shrinker_remove(shrinker);
    rth__reclaim_stop();
}

static void passes_at_critical_that_free_nothing_are_futile(void **state)
{
    (void)state;
    begin();
    base = 700 * MIB;
    held = 10 * MIB;
    is_stuck = true;
    struct rth_shrinker *shrinker = add();
    assert_int_equal(rth__reclaim_start(false, LIMIT, 2), 0);
    while (!counts().is_futile) {
        (void)look();
        test_pause_us(5000);
    }
    assert_int_equal(rth_memory_admit(RTH_MEMORY_HEALTH, 1), 0);
    assert_true(rth_memory_admit(RTH_MEMORY_NORMAL, 1) < 0);
    /* CRITICAL is left: it is worth trying again. */
    base = 500 * MIB;
    (void)look();
    assert_false(counts().is_futile);
    rth_shrinker_remove(shrinker);
    rth__reclaim_stop();
}

/* The stop waits 5 s for it. */
static void a_shrinker_that_outlives_a_stop_does_not_end_reclaiming(void **state)
{
    (void)state;
    begin();
    held = 100 * MIB;
    does_not_return = true;
    struct rth_shrinker *shrinker = add();
    assert_int_equal(rth__reclaim_start(false, LIMIT, 2), 0);
    while (calls == 0) {
        (void)look();
        test_pause_us(2000);
    }
    rth__reclaim_stop();
    assert_true(has_thread());
    assert_int_equal(rth__reclaim_start(false, LIMIT, 2), 0);
    does_not_return = false;
    while (held == 100 * MIB)
        test_pause_us(1000);
    unsigned before = calls;
    for (held = 100 * MIB; calls == before;) {
        (void)look();
        test_pause_us(2000);
    }
    rth_shrinker_remove(shrinker);
    rth__reclaim_stop();
    assert_false(has_thread());
}

RTH_TEST_MAIN(cmocka_unit_test(there_is_a_thread_where_there_is_a_limit),
              cmocka_unit_test(without_a_limit_it_begins_with_the_first_shrinker),
              cmocka_unit_test(a_shrinker_may_be_there_before_rthooks_starts),
              cmocka_unit_test(an_adopted_child_has_none),
              cmocka_unit_test(above_the_limit_caches_shrink_by_what_is_missing),
              cmocka_unit_test(below_it_a_busy_program_keeps_its_caches),
              cmocka_unit_test(at_rest_they_shrink_until_all_is_well),
              cmocka_unit_test(caches_that_are_too_small_for_that_are_kept),
              cmocka_unit_test(passes_at_critical_that_free_nothing_are_futile),
              cmocka_unit_test(a_shrinker_that_outlives_a_stop_does_not_end_reclaiming))
