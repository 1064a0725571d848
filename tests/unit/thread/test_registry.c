/* SPDX-License-Identifier: MIT */
/* Threads by their number. */
#include <pthread.h>
#include <stdatomic.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/enable.h"
#include "helper/unit.h"
#include "interpose/abi.h"
#include "os/rawsys.h"
#include "thread/registry.h"

#define CROWD   600
#define CHURNED 9000 /* more than there are buckets */

static struct rth_thread_shared *shown;
static unsigned shown_count;
static _Atomic int crowd_tid[CROWD];
static _Atomic bool stop;

static void show(struct rth_thread_shared *shared)
{
    shown = shared;
    shown_count++;
}

static void show_nowhere(struct rth_thread_shared *shared)
{
    (void)shared;
}

static void start(void (*shared_set)(struct rth_thread_shared *shared))
{
    assert_int_equal(rth__enable_init(), 0);
    rth__enable_on(getpid(), 1);
    rth__thread_registry_start(shared_set);
}

static void *stays(void *index)
{
    atomic_store(&crowd_tid[(uintptr_t)index], rth__raw_gettid_sigsafe());
    while (!stop)
        test_pause_us(1000);
    return NULL;
}

static void *goes(void *unused)
{
    return unused;
}

static pthread_t create(void *(*function)(void *), void *argument)
{
    pthread_t thread;
    void *handle = rth__thread_prepare(function, argument);
    assert_non_null(handle);
    assert_int_equal(pthread_create(&thread, NULL, rth__thread_run, handle), 0);
    return thread;
}

static void wait_for(const _Atomic int *tid)
{
    while (*tid == 0)
        test_pause_us(100);
}

static void every_thread_of_a_crowd_is_found_until_it_ends(void **state)
{
    (void)state;
    struct rth_thread_info info;
    pthread_t thread[CROWD];
    int self = rth__raw_gettid_sigsafe();
    start(show_nowhere);
    for (size_t i = 0; i < CROWD; i++)
        thread[i] = create(stays, (void *)(uintptr_t)i);
    const struct rth_thread_shared *before = NULL;
    for (size_t i = 0; i < CROWD; i++) {
        wait_for(&crowd_tid[i]);
        assert_true(rth__thread_find(crowd_tid[i], &info));
        assert_int_equal(info.tid, crowd_tid[i]);
        assert_int_equal(info.creator_tid, self);
        const struct rth_thread_shared *shared = rth__thread_shared_of(crowd_tid[i]);
        assert_non_null(shared);
        assert_ptr_not_equal(shared, before);
        before = shared;
    }
    assert_true(rth__thread_find(self, &info));
    assert_int_equal(info.creator_tid, 0);
    assert_int_equal(rth__thread_live_count(), CROWD + 1);
    stop = true;
    for (size_t i = 0; i < CROWD; i++) {
        assert_int_equal(pthread_join(thread[i], NULL), 0);
        assert_false(rth__thread_find(crowd_tid[i], &info));
        assert_null(rth__thread_shared_of(crowd_tid[i]));
    }
}

static void *churns(void *unused)
{
    for (unsigned i = 0; i < CHURNED / 3; i++)
        assert_int_equal(pthread_join(create(goes, NULL), NULL), 0);
    return unused;
}

static void one_that_stays_is_found_while_others_come_and_go(void **state)
{
    (void)state;
    struct rth_thread_info info;
    pthread_t stayer, churner[3];
    unsigned ended = 0;
    start(show_nowhere);
    stayer = create(stays, (void *)(uintptr_t)0);
    wait_for(&crowd_tid[0]);
    for (unsigned i = 0; i < 3; i++)
        churner[i] = create(churns, NULL);
    while (ended < 3) {
        for (unsigned i = 0; i < 1000; i++) {
            assert_true(rth__thread_find(crowd_tid[0], &info));
            assert_int_equal(info.tid, crowd_tid[0]);
        }
        ended += pthread_tryjoin_np(churner[ended], NULL) == 0;
    }
    stop = true;
    assert_int_equal(pthread_join(stayer, NULL), 0);
    assert_int_equal(rth__thread_live_count(), 1);
}

static void a_thread_that_was_not_created_leaves_nothing(void **state)
{
    (void)state;
    start(show_nowhere);
    void *handle = rth__thread_prepare(goes, NULL);
    assert_non_null(handle);
    assert_int_equal(rth__thread_created_count(), 1);
    rth__thread_abandon(handle);
    assert_int_equal(rth__thread_created_count(), 0);
    assert_ptr_equal(rth__thread_prepare(goes, NULL), handle);
}

/* 0, or the number of what was wrong. */
static int in_child(int parent_tid)
{
    struct rth_thread_info info;
    int tid = rth__raw_gettid_sigsafe();
    shown_count = 0;
    rth__thread_forget_self_sigsafe();
    rth__thread_forget_self_sigsafe();
    if (shown != NULL || shown_count != 2)
        return 1;
    if (rth__thread_find(parent_tid, &info) || rth__thread_find(tid, &info))
        return 2;
    rth__enable_on(getpid(), 2);
    rth__thread_registry_child_reset();
    if (shown == NULL || shown != rth__thread_shared_of(tid))
        return 3;
    if (rth__thread_find(parent_tid, &info) || rth__thread_find(crowd_tid[0], &info))
        return 4;
#ifndef __SANITIZE_THREAD__ /* it ends a child that creates threads */
    crowd_tid[1] = 0;
    pthread_t thread = create(stays, (void *)(uintptr_t)1);
    wait_for(&crowd_tid[1]);
    if (!rth__thread_find(crowd_tid[1], &info) || info.creator_tid != tid)
        return 5;
    stop = true;
    (void)pthread_join(thread, NULL);
    if (rth__thread_find(crowd_tid[1], &info))
        return 6;
#endif
    return rth__thread_live_count() != 1 ? 7 : 0;
}

static void a_child_forgets_its_parents_blocks_as_often_as_it_is_told(void **state)
{
    (void)state;
    int status, parent_tid = rth__raw_gettid_sigsafe();
    start(show);
    pthread_t thread = create(stays, (void *)(uintptr_t)0);
    wait_for(&crowd_tid[0]);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0)
        _exit(in_child(parent_tid));
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    struct rth_thread_info info;
    assert_true(rth__thread_find(crowd_tid[0], &info));
    stop = true;
    assert_int_equal(pthread_join(thread, NULL), 0);
}

/* ---- what threads counted ----------------------------------------------------------------------
 */

static __thread struct rth_thread_shared *own;

static void show_own(struct rth_thread_shared *shared)
{
    own = shared;
}

#define COUNTING 40
static _Atomic unsigned counted;

static void *counts(void *how_many)
{
    for (uintptr_t i = 0; i < (uintptr_t)how_many; i++) {
        own->heap.allocs++;
        own->heap.bytes += 100;
        own->heap.frees += i % 2;
    }
    counted++;
    while (!stop)
        test_pause_us(1000);
    return NULL;
}

static void what_threads_counted_stays_in_the_sum_when_they_end(void **state)
{
    (void)state;
    pthread_t thread[COUNTING];
    struct rth_thread_heap sum;
    start(show_own);
    for (unsigned round = 1; round <= 3; round++) {
        stop = false;
        counted = 0;
        for (size_t i = 0; i < COUNTING; i++)
            thread[i] = create(counts, (void *)(uintptr_t)(10 * i));
        while (counted < COUNTING)
            test_pause_us(1000);
        uint64_t all = round * 10 * COUNTING * (COUNTING - 1) / 2;
        for (int ended = 0; ended <= 1; ended++) { /* while they live, and after them */
            rth__thread_heaps_sum(&sum);
            assert_int_equal(sum.allocs, all);
            assert_int_equal(sum.bytes, 100 * all);
            assert_int_equal(sum.frees, all / 2);
            assert_int_equal(sum.due, 0);
            stop = true;
            for (size_t i = 0; ended == 0 && i < COUNTING; i++)
                assert_int_equal(pthread_join(thread[i], NULL), 0);
        }
    }
}

static _Atomic bool seen_due;

static void *waits_until_due(void *unused)
{
    atomic_store(&own->heap.due, 12345);
    counted++;
    while (atomic_load(&own->heap.due) != 0)
        test_pause_us(1000);
    seen_due = true;
    return unused;
}

static void every_thread_is_made_due(void **state)
{
    (void)state;
    start(show_own);
    atomic_store(&own->heap.due, 777);
    pthread_t thread = create(waits_until_due, NULL);
    while (counted == 0)
        test_pause_us(1000);
    rth__thread_heaps_make_due();
    assert_int_equal(atomic_load(&own->heap.due), 0);
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_true(seen_due);
    /* The block's next thread begins with nothing, and due. */
    struct rth_thread_shared *mine = own;
    assert_int_equal(pthread_join(create(goes, NULL), NULL), 0);
    assert_ptr_equal(own, mine);
}

static void a_child_begins_to_count_anew(void **state)
{
    (void)state;
    start(show_own);
    own->heap.allocs = 1000;
    own->heap.bytes = 5000;
    assert_int_equal(pthread_join(create(goes, NULL), NULL), 0);
    pid_t pid = fork();
    if (pid == 0) {
        struct rth_thread_heap sum;
        rth__thread_forget_self_sigsafe();
        rth__enable_on(getpid(), 2);
        rth__thread_registry_child_reset();
        rth__thread_heaps_sum(&sum);
        bool fine = own != NULL && sum.allocs == 0 && sum.bytes == 0 && sum.frees == 0;
        own->heap.allocs = 3;
        rth__thread_heaps_sum(&sum);
        _exit(fine && sum.allocs == 3 ? 0 : 1);
    }
    int status = -1;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
}

RTH_TEST_MAIN(cmocka_unit_test(every_thread_of_a_crowd_is_found_until_it_ends),
              cmocka_unit_test(one_that_stays_is_found_while_others_come_and_go),
              cmocka_unit_test(a_thread_that_was_not_created_leaves_nothing),
              cmocka_unit_test(a_child_forgets_its_parents_blocks_as_often_as_it_is_told),
              cmocka_unit_test(what_threads_counted_stays_in_the_sum_when_they_end),
              cmocka_unit_test(every_thread_is_made_due),
              cmocka_unit_test(a_child_begins_to_count_anew))
