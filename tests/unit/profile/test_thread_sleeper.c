/* SPDX-License-Identifier: MIT */
/* Stacks of sleepers, read in place. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "helper/unit.h"
#include "os/rawsys.h"
#include "profile/threads/sleeper.h"

#define NOINLINE __attribute__((noinline))

static int root_fd, pipe_fds[2];
static struct rth_sleeper_scratch *scratch;
static _Atomic int other_tid;
static _Atomic bool stop;
static volatile int after; /* work behind a call keeps it from being a jump */
static _Atomic uint64_t return_address[3];
static pthread_t other;

static NOINLINE void reads(void)
{
    char byte;
    return_address[0] = (uint64_t)(uintptr_t)__builtin_return_address(0);
    after += (int)read(pipe_fds[0], &byte, 1);
    after++;
}

static NOINLINE void calls_by_pointer(void (*function)(void))
{
    return_address[1] = (uint64_t)(uintptr_t)__builtin_return_address(0);
    function();
    after++;
}

static NOINLINE void reads_in_a_frame_of_changing_size(void)
{
    volatile char *room = __builtin_alloca((size_t)(500 + after));
    room[0] = 1;
    return_address[0] = (uint64_t)(uintptr_t)__builtin_return_address(0);
    after += (int)read(pipe_fds[0], (void *)(uintptr_t)room, 1);
    after += room[0];
}

static void *sleeps(void *function)
{
    other_tid = rth__raw_gettid_sigsafe();
    calls_by_pointer((void (*)(void))(uintptr_t)function);
    after++;
    return NULL;
}

static void *runs(void *unused)
{
    (void)unused;
    other_tid = rth__raw_gettid_sigsafe();
    while (!stop)
        continue;
    return NULL;
}

static void start(void *(*main)(void *), void *argument)
{
    root_fd = open("/", O_PATH | O_DIRECTORY);
    assert_int_equal(pipe(pipe_fds), 0);
    scratch = aligned_alloc(_Alignof(struct rth_sleeper_scratch), sizeof(*scratch));
    assert_non_null(scratch);
    memset(scratch, 0, sizeof(*scratch));
    scratch->memory.root_fd = root_fd;
    assert_true(rth__unwind_refresh(root_fd) >= 0);
    other_tid = 0;
    stop = false;
    assert_int_equal(pthread_create(&other, NULL, main, argument), 0);
    while (other_tid == 0)
        test_pause_us(1000);
}

static void end(void)
{
    stop = true;
    assert_int_equal(write(pipe_fds[1], "x", 1), 1);
    assert_int_equal(pthread_join(other, NULL), 0);
    free(scratch);
    scratch = NULL;
}

static void assert_stack_of_sleeper(void)
{
    struct rth_sleeper_stack stack;
    int error;
    /* The leaf is in read once it sleeps; before it may be anywhere. */
    do {
        test_pause_us(20000);
        error = rth__sleeper_unwind(root_fd, other_tid, scratch, &stack);
    } while (error == -EAGAIN);
    assert_int_equal(error, 0);
    assert_int_equal(stack.end, RTH_UNWIND_ROOT);
    unsigned found = 0;
    for (unsigned i = 0; i < stack.count && found < 2; i++)
        found += rth__frame_address(scratch->frames[i]) + 1 == return_address[found];
    assert_int_equal(found, 2);
    /* read, the two functions, sleeps, and libc's two; sanitizers have some of their own. */
    assert_true(stack.count >= 6);
}

static void a_sleeper_is_walked_to_its_root(void **state)
{
    (void)state;
    start(sleeps, (void *)(uintptr_t)reads);
    assert_stack_of_sleeper();
    end();
}

static void a_frame_of_changing_size_is_found_by_who_called_it(void **state)
{
    (void)state;
    start(sleeps, (void *)(uintptr_t)reads_in_a_frame_of_changing_size);
    assert_stack_of_sleeper();
    end();
}

static void a_running_thread_is_no_sleeper(void **state)
{
    (void)state;
    struct rth_sleeper_stack stack;
    start(runs, NULL);
    test_pause_us(20000);
    assert_int_equal(rth__sleeper_unwind(root_fd, other_tid, scratch, &stack), -EAGAIN);
    end();
}

static void a_thread_that_has_ended_is_told(void **state)
{
    (void)state;
    struct rth_sleeper_stack stack;
    start(runs, NULL);
    stop = true;
    assert_int_equal(pthread_join(other, NULL), 0);
    assert_int_equal(rth__sleeper_unwind(root_fd, other_tid, scratch, &stack), -ESRCH);
    free(scratch);
}

RTH_TEST_MAIN(cmocka_unit_test(a_sleeper_is_walked_to_its_root),
              cmocka_unit_test(a_frame_of_changing_size_is_found_by_who_called_it),
              cmocka_unit_test(a_running_thread_is_no_sleeper),
              cmocka_unit_test(a_thread_that_has_ended_is_told))
