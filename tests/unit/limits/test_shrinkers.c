/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

#include "helper/unit.h"
#include "limits/shrinkers.h"
#include "os/clock.h"
#include "rthooks/limits.h"

/* ---- caches ---------------------------------------------------------------------------------- */

struct cache {
    struct rth_shrinker *shrinker;
    uint64_t held, asked, calls;
    uint64_t yield_at_most; /* of a call; 0: as asked */
    bool is_stuck;          /* frees nothing */
    bool is_liar;           /* says that it freed */
    unsigned order;         /* in which it was called first */
};
static unsigned order_next = 1;

static uint64_t count(void *userdata)
{
    return ((struct cache *)userdata)->held;
}

static uint64_t shrink(uint64_t wanted_bytes, int64_t deadline_ns, void *userdata)
{
    struct cache *cache = userdata;
    (void)deadline_ns;
    cache->calls++;
    cache->asked += wanted_bytes;
    if (cache->order == 0)
        cache->order = order_next++;
    if (cache->is_stuck)
        return 0;
    uint64_t freed = wanted_bytes < cache->held ? wanted_bytes : cache->held;
    if (cache->yield_at_most != 0 && freed > cache->yield_at_most)
        freed = cache->yield_at_most;
    if (!cache->is_liar)
        cache->held -= freed;
    return freed;
}

static void add(struct cache *cache, int priority, uint32_t flags)
{
    struct rth_shrinker_opts opts = RTH_SHRINKER_OPTS_INIT;
    opts.name = "a cache";
    opts.priority = priority;
    opts.flags = flags;
    opts.count = count;
    opts.shrink = shrink;
    opts.userdata = cache;
    assert_int_equal(rth_shrinker_add(&opts, &cache->shrinker), 0);
}

static uint64_t call_as(uint64_t wanted_bytes, bool is_direct)
{
    struct rth_shrink_request request = {
        .wanted_bytes = wanted_bytes,
        .deadline_ns = rth__clock_monotonic_ns_sigsafe() + 60 * RTH_NS_PER_S,
        .is_direct = is_direct,
    };
    return rth__shrinkers_call(&request);
}

static uint64_t call(uint64_t wanted_bytes)
{
    return call_as(wanted_bytes, false);
}

/* ---- who is called --------------------------------------------------------------------------- */

static void a_lower_number_is_asked_first_and_the_next_one_for_the_rest(void **state)
{
    struct cache last = {.held = 1000}, first = {.held = 300}, middle = {.held = 500};
    (void)state;
    add(&last, 20, 0);
    add(&first, -5, 0);
    add(&middle, 10, 0);
    assert_int_equal(call(100), 100);
    assert_int_equal(first.asked, 100);
    assert_int_equal(middle.calls + last.calls, 0);
    assert_int_equal(call(900), 900);
    assert_int_equal(first.held, 0);
    assert_int_equal(middle.held, 0);
    assert_int_equal(last.held, 800);
    assert_true(first.order < middle.order && middle.order < last.order);
}

static void those_of_one_priority_share_by_what_they_hold(void **state)
{
    struct cache large = {.held = 9000000}, small = {.held = 1000000}, empty = {0};
    (void)state;
    add(&large, 0, 0);
    add(&empty, 0, 0);
    add(&small, 0, 0);
    assert_in_range(call(1000000), 1000000, 1000010);
    assert_in_range(large.asked, 900000, 900001);
    assert_in_range(small.asked, 100000, 100001);
    assert_int_equal(empty.calls, 0);
    uint64_t left = large.held + small.held;
    assert_int_equal(call(100000000), left);
}

static void who_does_not_know_what_it_holds_counts_as_a_mean_one(void **state)
{
    struct cache known = {.held = 1000000}, unknown = {.held = 5000000};
    struct rth_shrinker_opts opts = RTH_SHRINKER_OPTS_INIT;
    (void)state;
    add(&known, 0, 0);
    opts.name = "unknown";
    opts.shrink = shrink;
    opts.userdata = &unknown;
    assert_int_equal(rth_shrinker_add(&opts, &unknown.shrinker), 0);
    (void)call(1000);
    assert_in_range(known.asked, 500, 501);
    assert_in_range(unknown.asked, 500, 501);
    assert_true(rth__shrinkers_held_bytes() == UINT64_MAX);
    rth_shrinker_remove(unknown.shrinker);
    assert_int_equal(rth__shrinkers_held_bytes(), known.held);
    rth_shrinker_remove(known.shrinker);
    add(&unknown, 0, 0);
}

static void direct_reclaim_calls_those_that_are_flagged_for_it(void **state)
{
    struct cache flagged = {.held = 1000}, other = {.held = 1000};
    (void)state;
    add(&other, 0, 0);
    assert_true(rth__shrinkers_exist(false));
    assert_false(rth__shrinkers_exist(true));
    assert_int_equal(call_as(10, true), 0);
    add(&flagged, 1, RTH_SHRINKER_DIRECT);
    assert_true(rth__shrinkers_exist(true));
    assert_int_equal(call_as(5000, true), 1000);
    assert_int_equal(other.calls, 0);
    rth_shrinker_remove(flagged.shrinker);
    assert_false(rth__shrinkers_exist(true));
}

static void after_its_deadline_nobody_is_called(void **state)
{
    struct cache cache = {.held = 1000};
    struct rth_shrink_request request = {.wanted_bytes = 10, .deadline_ns = 1};
    (void)state;
    add(&cache, 0, 0);
    assert_int_equal(rth__shrinkers_call(&request), 0);
    assert_int_equal(cache.calls, 0);
}

/* ---- what it is worth ------------------------------------------------------------------------ */

static void three_times_nothing_and_it_is_left_alone_for_a_while(void **state)
{
    struct cache stuck = {.held = 1000, .is_stuck = true};
    (void)state;
    add(&stuck, 0, RTH_SHRINKER_DIRECT);
    for (int i = 0; i < 50; i++)
        (void)call_as(10, true); /* its lock may have been taken: not judged */
    assert_int_equal(stuck.calls, 50);
    int64_t begun_ns = rth__clock_monotonic_ns_sigsafe();
    for (int i = 0; i < 50; i++)
        (void)call(10);
    if (rth__clock_monotonic_ns_sigsafe() - begun_ns < RTH_SHRINKER_DEMOTED_NS)
        assert_int_equal(stuck.calls, 53);
    /* Until it is asked again: then for twice as long. */
    while (stuck.calls < 56) {
        (void)call(10);
        test_pause_us(5000);
    }
    assert_true(rth__clock_monotonic_ns_sigsafe() - begun_ns >= RTH_SHRINKER_DEMOTED_NS);
    begun_ns = rth__clock_monotonic_ns_sigsafe();
    while (stuck.calls < 57) {
        (void)call(10);
        test_pause_us(5000);
    }
    assert_true(rth__clock_monotonic_ns_sigsafe() - begun_ns >= RTH_SHRINKER_DEMOTED_NS * 3 / 2);
}

static void one_yield_makes_it_good_again(void **state)
{
    struct cache cache = {.held = 1000, .is_stuck = true};
    (void)state;
    add(&cache, 0, 0);
    for (int i = 0; i < 10; i++) {
        cache.is_stuck = true;
        (void)call(1);
        (void)call(1);
        cache.is_stuck = false;
        assert_int_equal(call(1), 1);
    }
    assert_int_equal(cache.calls, 30);
}

static void one_that_only_says_so_is_left_alone_too(void **state)
{
    struct cache liar = {.held = 1000000, .is_liar = true};
    (void)state;
    add(&liar, 0, 0);
    for (unsigned i = 0; i < RTH_SHRINKER_ZEROS_MAX; i++) {
        assert_int_equal(call(100000), 100000);
        rth__shrinkers_judge(100000, 10);
    }
    int64_t judged_ns = rth__clock_monotonic_ns_sigsafe();
    uint64_t claimed = call(100000);
    if (rth__clock_monotonic_ns_sigsafe() - judged_ns < RTH_SHRINKER_DEMOTED_NS / 2)
        assert_int_equal(claimed, 0);
}

static void one_whose_memory_came_back_is_not(void **state)
{
    struct cache cache = {.held = 10000000};
    (void)state;
    add(&cache, 0, 0);
    for (int i = 0; i < 10; i++) {
        assert_int_equal(call(100000), 100000);
        rth__shrinkers_judge(100000, 60000);
    }
    assert_int_equal(cache.calls, 10);
}

/* ---- coming and going ------------------------------------------------------------------------ */

static void what_is_not_right_is_refused(void **state)
{
    struct rth_shrinker_opts opts = RTH_SHRINKER_OPTS_INIT;
    struct rth_shrinker *shrinker = (void *)1;
    (void)state;
    opts.name = "a";
    opts.shrink = shrink;
    assert_int_equal(rth_shrinker_add(NULL, &shrinker), -EINVAL);
    assert_null(shrinker);
    assert_int_equal(rth_shrinker_add(&opts, NULL), -EINVAL);
    opts.flags = 2;
    assert_int_equal(rth_shrinker_add(&opts, &shrinker), -EINVAL);
    opts.flags = 0;
    opts.name = "";
    assert_int_equal(rth_shrinker_add(&opts, &shrinker), -EINVAL);
    opts.name = "a";
    opts.shrink = NULL;
    assert_int_equal(rth_shrinker_add(&opts, &shrinker), -EINVAL);
    opts.shrink = shrink;
    opts.struct_size = 4;
    assert_int_equal(rth_shrinker_add(&opts, &shrinker), -EINVAL);
    rth_shrinker_remove(NULL);
}

static void a_caller_of_another_version_is_understood(void **state)
{
    struct {
        struct rth_shrinker_opts opts;
        uint64_t newer;
    } larger = {.opts = RTH_SHRINKER_OPTS_INIT};
    struct cache cache = {.held = 10};
    struct rth_shrinker *shrinker;
    (void)state;
    larger.opts.struct_size = sizeof(larger);
    larger.opts.name = "a";
    larger.opts.shrink = shrink;
    larger.opts.userdata = &cache;
    assert_int_equal(rth_shrinker_add(&larger.opts, &shrinker), 0);
    rth_shrinker_remove(shrinker);
    larger.newer = 1;
    assert_int_equal(rth_shrinker_add(&larger.opts, &shrinker), -E2BIG);
}

static void there_are_32_and_a_place_is_used_again(void **state)
{
    struct cache caches[RTH_SHRINKERS_MAX];
    struct rth_shrinker_opts opts = RTH_SHRINKER_OPTS_INIT;
    struct rth_shrinker *shrinker;
    (void)state;
    memset(caches, 0, sizeof(caches));
    for (unsigned i = 0; i < RTH_SHRINKERS_MAX; i++) {
        caches[i].held = 1000;
        add(&caches[i], (int)i, 0);
    }
    opts.name = "one more";
    opts.shrink = shrink;
    assert_int_equal(rth_shrinker_add(&opts, &shrinker), -ENOSPC);
    assert_int_equal(call(100000), 32000);
    rth_shrinker_remove(caches[7].shrinker);
    opts.userdata = &caches[7];
    assert_int_equal(rth_shrinker_add(&opts, &shrinker), 0);
    assert_ptr_equal(shrinker, caches[7].shrinker);
}

static _Atomic bool is_inside, may_leave, is_removed;

static uint64_t waits(uint64_t wanted_bytes, int64_t deadline_ns, void *userdata)
{
    (void)deadline_ns;
    (void)userdata;
    is_inside = true;
    while (!may_leave)
        test_pause_us(1000);
    return wanted_bytes;
}

static void *call_it(void *unused)
{
    (void)call(10);
    return unused;
}

static void *remove_it(void *shrinker)
{
    rth_shrinker_remove(shrinker);
    is_removed = true;
    return NULL;
}

static void removal_waits_for_a_call_that_runs(void **state)
{
    struct rth_shrinker_opts opts = RTH_SHRINKER_OPTS_INIT;
    struct rth_shrinker *shrinker;
    pthread_t caller, remover;
    (void)state;
    opts.name = "waits";
    opts.shrink = waits;
    assert_int_equal(rth_shrinker_add(&opts, &shrinker), 0);
    assert_int_equal(pthread_create(&caller, NULL, call_it, NULL), 0);
    while (!is_inside)
        test_pause_us(1000);
    assert_int_equal(pthread_create(&remover, NULL, remove_it, shrinker), 0);
    test_pause_us(50000);
    assert_false(is_removed);
    may_leave = true;
    assert_int_equal(pthread_join(remover, NULL), 0);
    assert_int_equal(pthread_join(caller, NULL), 0);
    assert_false(rth__shrinkers_exist(false));
    assert_int_equal(call(10), 0);
}

static struct rth_shrinker *itself;

static uint64_t removes_itself(uint64_t wanted_bytes, int64_t deadline_ns, void *userdata)
{
    (void)deadline_ns;
    assert_true(rth__shrinkers_are_inside());
    assert_int_equal(call(5), 0); /* none is called within one */
    ++*(unsigned *)userdata;
    rth_shrinker_remove(itself);
    return wanted_bytes;
}

static void one_may_remove_itself(void **state)
{
    struct rth_shrinker_opts opts = RTH_SHRINKER_OPTS_INIT;
    struct cache other = {.held = 10};
    unsigned calls = 0;
    (void)state;
    opts.name = "once";
    opts.shrink = removes_itself;
    opts.userdata = &calls;
    assert_int_equal(rth_shrinker_add(&opts, &itself), 0);
    assert_int_equal(call(10), 10);
    assert_int_equal(call(10), 0);
    assert_int_equal(calls, 1);
    assert_false(rth__shrinkers_are_inside());
    add(&other, 0, 0);
    assert_ptr_equal(other.shrinker, itself); /* its place is free again */
}

static _Atomic bool is_over;

static void *call_on_and_on(void *unused)
{
    while (!is_over)
        (void)call_as(10, true);
    return unused;
}

static uint64_t gives(uint64_t wanted_bytes, int64_t deadline_ns, void *userdata)
{
    (void)deadline_ns;
    assert_int_equal(atomic_load((_Atomic int *)userdata), 1);
    return wanted_bytes / 3;
}

/* A function is never called after its removal has returned. */
static void they_come_and_go_while_others_call(void **state)
{
    struct rth_shrinker_opts opts = RTH_SHRINKER_OPTS_INIT;
    pthread_t callers[3];
    (void)state;
    for (int i = 0; i < 3; i++)
        assert_int_equal(pthread_create(&callers[i], NULL, call_on_and_on, NULL), 0);
    for (int i = 0; i < 3000; i++) {
        _Atomic int is_live = 1;
        struct rth_shrinker *shrinker;
        opts.name = "short";
        opts.flags = RTH_SHRINKER_DIRECT;
        opts.shrink = gives;
        opts.userdata = &is_live;
        assert_int_equal(rth_shrinker_add(&opts, &shrinker), 0);
        if (i % 3 == 0)
            test_pause_us(1);
        rth_shrinker_remove(shrinker);
        is_live = 0;
    }
    is_over = true;
    for (int i = 0; i < 3; i++)
        assert_int_equal(pthread_join(callers[i], NULL), 0);
}

RTH_TEST_MAIN(cmocka_unit_test(a_lower_number_is_asked_first_and_the_next_one_for_the_rest),
              cmocka_unit_test(those_of_one_priority_share_by_what_they_hold),
              cmocka_unit_test(who_does_not_know_what_it_holds_counts_as_a_mean_one),
              cmocka_unit_test(direct_reclaim_calls_those_that_are_flagged_for_it),
              cmocka_unit_test(after_its_deadline_nobody_is_called),
              cmocka_unit_test(three_times_nothing_and_it_is_left_alone_for_a_while),
              cmocka_unit_test(one_yield_makes_it_good_again),
              cmocka_unit_test(one_that_only_says_so_is_left_alone_too),
              cmocka_unit_test(one_whose_memory_came_back_is_not),
              cmocka_unit_test(what_is_not_right_is_refused),
              cmocka_unit_test(a_caller_of_another_version_is_understood),
              cmocka_unit_test(there_are_32_and_a_place_is_used_again),
              cmocka_unit_test(removal_waits_for_a_call_that_runs),
              cmocka_unit_test(one_may_remove_itself),
              cmocka_unit_test(they_come_and_go_while_others_call))
