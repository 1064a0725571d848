/* SPDX-License-Identifier: MIT */
/* What a wrapped wait shows of its caller while it lasts. */
#include "helper/unit.h"

#include <dlfcn.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <unistd.h>

#include "unit/interpose/helper/fake.h"

#define NOINLINE __attribute__((noinline))

static struct rth_thread_shared shared;
static pthread_t main_thread;
static int pipe_fds[2];

/* Attaches, and gives the calling thread its memory. */
static void start(void)
{
    struct rth_interpose_info info = {.struct_size = sizeof(info)};
    (void)rth_interpose_attach(NULL, NULL);
    assert_int_equal(rth_interpose_attach(fake_runtime_new(), &info), 0);
    assert_non_null(info.thread_shared_set);
    shared = (struct rth_thread_shared){0};
    info.thread_shared_set(&shared);
    main_thread = pthread_self();
    assert_int_equal(pipe(pipe_fds), 0);
}

/* The C library's own, behind the wrapper. */
static uintptr_t original(const char *name)
{
    return (uintptr_t)dlsym(dlopen("libc.so.6", RTLD_NOW | RTLD_NOLOAD), name);
}

/* What another thread saw: frames are copied while their waits last. */
static struct rth_blocked_frame seen, seen_around;
static bool has_around;

static const struct rth_blocked_frame *blocked_now(void)
{
    return __atomic_load_n(&shared.blocked, __ATOMIC_ACQUIRE);
}

static void *looks_then_wakes(void *unused)
{
    const struct rth_blocked_frame *frame;
    (void)unused;
    while ((frame = blocked_now()) == NULL)
        test_pause_us(1000);
    seen = *frame;
    (void)!write(pipe_fds[1], "x", 1);
    return NULL;
}

static uintptr_t caller_sp, caller_pc;

static NOINLINE int polls(void)
{
    struct pollfd readable = {.fd = pipe_fds[0], .events = POLLIN};
    caller_sp = (uintptr_t)__builtin_frame_address(0);
    caller_pc = (uintptr_t)polls;
    return poll(&readable, 1, 60000);
}

static void a_wait_shows_its_caller_and_is_gone_afterwards(void **state)
{
    (void)state;
    pthread_t looker;
    start();
    assert_int_equal(pthread_create(&looker, NULL, looks_then_wakes, NULL), 0);
    uint64_t before = shared.changes;
    assert_int_equal(polls(), 1);
    assert_null(shared.blocked);
    assert_true(shared.changes > before);
    assert_int_equal(pthread_join(looker, NULL), 0);
    assert_ptr_equal(seen.owner, &shared);
    assert_null(seen.previous);
    assert_int_equal(seen.leaf, original("poll"));
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
    /* Without a sanitizer's wrapper in between; the tests keep frame pointers. */
    assert_true(seen.pc > caller_pc && seen.pc < caller_pc + 512);
    assert_int_equal(seen.fp, caller_sp);
    assert_true(seen.sp <= caller_sp && caller_sp - seen.sp < 256);
#endif
}

static void waits_in_handler(int number)
{
    (void)number;
    (void)nanosleep(&(struct timespec){.tv_nsec = 200000000}, NULL);
}

static void *interrupts_then_looks(void *unused)
{
    (void)unused;
    const struct rth_blocked_frame *outer, *inner;
    while ((outer = blocked_now()) == NULL)
        test_pause_us(1000);
    test_pause_us(50000);
    (void)pthread_kill(main_thread, SIGUSR1);
    while ((inner = blocked_now()) == outer)
        test_pause_us(1000);
    seen = *inner;
    has_around = inner->previous == outer;
    seen_around = *outer;
    return NULL;
}

static void a_wait_in_a_handler_names_the_one_around_it_and_gives_it_back(void **state)
{
    (void)state;
    pthread_t looker;
    struct sigaction action = {.sa_handler = waits_in_handler};
    start();
    assert_int_equal(sigaction(SIGUSR1, &action, NULL), 0);
    assert_int_equal(pthread_create(&looker, NULL, interrupts_then_looks, NULL), 0);
    errno = 0;
    assert_int_equal(polls(), -1);
    assert_int_equal(errno, EINTR);
    assert_int_equal(pthread_join(looker, NULL), 0);
    assert_true(has_around);
    assert_int_equal(seen.leaf, original("nanosleep"));
    assert_int_equal(seen_around.leaf, original("poll"));
    assert_null(shared.blocked);
}

static sigjmp_buf way_out;

static void jumps_out(int number)
{
    (void)number;
    siglongjmp(way_out, 1);
}

static NOINLINE int polls_deep(int depth)
{
    volatile char room[1024];
    room[0] = (char)depth;
    int result = depth > 0 ? polls_deep(depth - 1) : polls();
    return result + room[0] - (char)depth;
}

static void a_wait_that_was_left_by_longjmp_is_not_around_the_next(void **state)
{
    (void)state;
    pthread_t looker;
    struct sigaction action = {.sa_handler = jumps_out};
    start();
    assert_int_equal(sigaction(SIGALRM, &action, NULL), 0);
    if (sigsetjmp(way_out, 1) == 0) {
        (void)alarm(1);
        (void)polls_deep(10);
        fail();
    }
    assert_non_null(shared.blocked); /* left behind: readers compare it with where we are */
    const struct rth_blocked_frame *left = shared.blocked;
    assert_int_equal(pthread_create(&looker, NULL, looks_then_wakes, NULL), 0);
    (void)pthread_join(looker, NULL);
    assert_int_equal(polls(), 1);
    assert_ptr_not_equal(shared.blocked, left);
    assert_null(shared.blocked);
}

static void a_thread_that_the_runtime_does_not_know_shows_nothing(void **state)
{
    (void)state;
    start();
    struct rth_interpose_info info = {.struct_size = sizeof(info)};
    assert_int_equal(rth_interpose_attach(NULL, NULL), 0);
    assert_int_equal(rth_interpose_attach(fake_runtime_new(), &info), 0);
    info.thread_shared_set(NULL);
    assert_int_equal(write(pipe_fds[1], "x", 1), 1);
    assert_int_equal(polls(), 1);
    assert_null(shared.blocked);
    assert_int_equal(shared.changes, 0);
}

RTH_TEST_MAIN(cmocka_unit_test(a_wait_shows_its_caller_and_is_gone_afterwards),
              cmocka_unit_test(a_wait_in_a_handler_names_the_one_around_it_and_gives_it_back),
              cmocka_unit_test(a_wait_that_was_left_by_longjmp_is_not_around_the_next),
              cmocka_unit_test(a_thread_that_the_runtime_does_not_know_shows_nothing))
