/* SPDX-License-Identifier: MIT */
/* Stacks of all threads, in parts. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <unistd.h>

#include "core/arena.h"
#include "core/enable.h"
#include "helper/unit.h"
#include "os/rawsys.h"
#include "profile/threads/stacks.h"
#include "thread/sigmux.h"

#define CROWD (2 * RTH_STACKS_STEP_THREADS + 50)

static int root_fd, pipe_fds[2];
static pthread_t thread[CROWD];
static _Atomic int tid[CROWD];
static _Atomic bool stop;

static void *sleeps(void *index)
{
    char byte;
    atomic_store(&tid[(uintptr_t)index], rth__raw_gettid_sigsafe());
    (void)!read(pipe_fds[0], &byte, 1);
    return NULL;
}

static void *runs(void *index)
{
    atomic_store(&tid[(uintptr_t)index], rth__raw_gettid_sigsafe());
    while (!stop)
        continue;
    return NULL;
}

static void *runs_with_signals_blocked(void *index)
{
    sigset_t all;
    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_BLOCK, &all, NULL);
    return runs(index);
}

static void start(void *(*function)(void *), size_t first, size_t limit)
{
    for (size_t i = first; i < limit; i++) {
        tid[i] = 0;
        assert_int_equal(pthread_create(&thread[i], NULL, function, (void *)(uintptr_t)i), 0);
    }
    for (size_t i = first; i < limit; i++)
        while (tid[i] == 0)
            test_pause_us(100);
}

static void init(void)
{
    root_fd = open("/", O_PATH | O_DIRECTORY);
    assert_int_equal(rth__enable_init(), 0);
    rth__enable_on(getpid(), 1);
    rth__sigmux_init(NULL);
    assert_int_equal(pipe(pipe_fds), 0);
}

/* Sleepers and runners. */
static void end(size_t count)
{
    stop = true;
    (void)close(pipe_fds[1]);
    for (size_t i = 0; i < count; i++)
        assert_int_equal(pthread_join(thread[i], NULL), 0);
}

/* To the end; how many steps wanted the next one at once. */
static unsigned complete(struct rth_thread_stacks *stacks)
{
    unsigned at_once = 0;
    int64_t wait_ns;
    while ((wait_ns = rth__thread_stacks_step(stacks, root_fd)) != 0) {
        assert_true(wait_ns > 0);
        at_once += wait_ns == 1;
        if (wait_ns > 1)
            test_pause_us((long)(wait_ns / 1000));
    }
    assert_int_equal(stacks->phase, RTH_STACKS_COMPLETE);
    return at_once;
}

static const struct rth_thread_stack *find(const struct rth_thread_stacks *stacks, int wanted_tid)
{
    const struct rth_thread_stack *found = NULL;
    for (size_t i = 0; i < stacks->count; i++) {
        if (stacks->threads[i].tid != wanted_tid)
            continue;
        assert_null(found);
        found = &stacks->threads[i];
    }
    return found;
}

static void a_crowd_is_looked_at_in_parts_and_each_thread_is_there_once(void **state)
{
    (void)state;
    struct rth_thread_stacks stacks;
    init();
    start(sleeps, 0, CROWD);
    assert_int_equal(rth__thread_stacks_begin(&stacks, root_fd, RTH_STACKS_WCHAN), 0);
    assert_int_equal(rth__thread_stacks_step(&stacks, root_fd), 1);
    assert_int_equal(stacks.phase, RTH_STACKS_LOOKING);
    assert_true(stacks.count > 0 && stacks.count <= RTH_STACKS_STEP_THREADS);
    (void)complete(&stacks);
    for (size_t i = 0; i < CROWD; i++) {
        const struct rth_thread_stack *found = find(&stacks, tid[i]);
        assert_non_null(found);
        assert_true(found->answered);
        assert_true(found->frame_count > 2);
        assert_true(found->wchan[0] != '\0');
    }
    rth__thread_stacks_free(&stacks);
    end(CROWD);
}

static void who_ends_or_comes_between_two_parts_is_not_in_it(void **state)
{
    (void)state;
    struct rth_thread_stacks stacks;
    init();
    start(runs, 0, 3);
    start(sleeps, 3, CROWD - 1);
    assert_int_equal(rth__thread_stacks_begin(&stacks, root_fd, 0), 0);
    stop = true;
    for (size_t i = 0; i < 3; i++)
        assert_int_equal(pthread_join(thread[i], NULL), 0);
    start(sleeps, CROWD - 1, CROWD);
    (void)complete(&stacks);
    for (size_t i = 0; i < 3; i++)
        assert_null(find(&stacks, tid[i]));
    assert_null(find(&stacks, tid[CROWD - 1]));
    for (size_t i = 3; i < CROWD - 1; i++)
        assert_non_null(find(&stacks, tid[i]));
    rth__thread_stacks_free(&stacks);
    (void)close(pipe_fds[1]);
    for (size_t i = 3; i < CROWD; i++)
        assert_int_equal(pthread_join(thread[i], NULL), 0);
}

static void half_a_dump_is_given_back_whole(void **state)
{
    (void)state;
    struct rth_arena_stats before, after;
    struct rth_thread_stacks stacks;
    init();
    start(sleeps, 0, CROWD - 1);
    start(runs, CROWD - 1, CROWD);
    assert_true(rth__unwind_refresh(root_fd) >= 0);
    rth__arena_stats(&before);
    for (unsigned steps = 0; steps < 4; steps++) {
        assert_int_equal(rth__thread_stacks_begin(&stacks, root_fd, 0), 0);
        for (unsigned i = 0; i < steps; i++)
            assert_true(rth__thread_stacks_step(&stacks, root_fd) >= 0);
        rth__thread_stacks_free(&stacks);
        rth__arena_stats(&after);
        assert_int_equal(after.used_bytes, before.used_bytes);
        assert_int_equal(stacks.count, 0);
    }
    end(CROWD);
}

static void runners_answer_or_are_named_with_the_reason(void **state)
{
    (void)state;
    struct rth_thread_stacks stacks;
    init();
    start(runs, 0, 2);
    start(runs_with_signals_blocked, 2, 3);
    unsigned answered = 0;
    /* One that got no CPU time in 100 ms may answer the next time. */
    while (answered == 0) {
        assert_int_equal(rth__thread_stacks_begin(&stacks, root_fd, 0), 0);
        (void)complete(&stacks);
        for (size_t i = 0; i < 3; i++) {
            const struct rth_thread_stack *found = find(&stacks, tid[i]);
            assert_non_null(found);
            assert_true(found->answered == (found->missing == NULL));
            assert_false(found->waiting);
            assert_null(found->mailbox);
            answered += found->answered;
        }
        const struct rth_thread_stack *blocks = find(&stacks, tid[2]);
        assert_string_equal(blocks->missing, "it blocks the signal that asks");
        assert_int_equal(stacks.asked_count, 0);
        rth__thread_stacks_free(&stacks);
    }
    end(3);
}

static void quietly_nobody_is_asked_and_sleepers_have_their_stacks(void **state)
{
    (void)state;
    struct rth_thread_stacks stacks;
    init();
    start(runs, 0, 2);
    start(sleeps, 2, 4);
    test_pause_us(
        20000); /* until they sleep; on a busy machine they may not, and are tried again */
    for (unsigned asleep = 0; asleep < 2;) {
        asleep = 0;
        assert_int_equal(rth__thread_stacks_begin(&stacks, root_fd, RTH_STACKS_QUIET), 0);
        (void)complete(&stacks);
        for (size_t i = 0; i < 4; i++) {
            const struct rth_thread_stack *found = find(&stacks, tid[i]);
            assert_non_null(found);
            assert_null(found->mailbox);
            asleep += i >= 2 && found->answered;
            if (i < 2)
                assert_string_equal(found->missing, "it runs");
        }
        assert_int_equal(stacks.asked_count, 0);
        rth__thread_stacks_free(&stacks);
    }
    end(4);
}

RTH_TEST_MAIN(cmocka_unit_test(a_crowd_is_looked_at_in_parts_and_each_thread_is_there_once),
              cmocka_unit_test(who_ends_or_comes_between_two_parts_is_not_in_it),
              cmocka_unit_test(half_a_dump_is_given_back_whole),
              cmocka_unit_test(quietly_nobody_is_asked_and_sleepers_have_their_stacks),
              cmocka_unit_test(runners_answer_or_are_named_with_the_reason))
