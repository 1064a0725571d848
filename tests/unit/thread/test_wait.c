/* SPDX-License-Identifier: MIT */
/* What a thread waits for, and who holds that: locks of the C library, frames set by hand. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "core/enable.h"
#include "helper/unit.h"
#include "interpose/abi.h"
#include "os/clock.h"
#include "os/rawsys.h"
#include "thread/registry.h"
#include "thread/wait.h"

static struct rth_image_reader reader;

static void start(void)
{
    reader = (struct rth_image_reader){.root_fd = open("/", O_PATH | O_DIRECTORY)};
}

static struct rth_lock_holder holder_of(uint32_t kind, const void *lock)
{
    return rth__lock_holder_read(&reader, kind, (uint64_t)(uintptr_t)lock);
}

static void assert_held_by_us(const pthread_mutexattr_t *attributes, bool may_be_shared)
{
    pthread_mutex_t mutex;
    assert_int_equal(pthread_mutex_init(&mutex, attributes), 0);
    assert_int_equal(holder_of(RTH_WAIT_MUTEX, &mutex).kind, RTH_HOLDER_UNKNOWN);
    assert_int_equal(pthread_mutex_lock(&mutex), 0);
    struct rth_lock_holder holder = holder_of(RTH_WAIT_MUTEX, &mutex);
    assert_int_equal(holder.kind, RTH_HOLDER_THREAD);
    assert_int_equal(holder.tid, rth__raw_gettid_sigsafe());
    assert_int_equal(holder.may_be_shared, may_be_shared);
    assert_int_equal(pthread_mutex_unlock(&mutex), 0);
    assert_int_equal(holder_of(RTH_WAIT_MUTEX, &mutex).kind, RTH_HOLDER_UNKNOWN);
    assert_int_equal(pthread_mutex_destroy(&mutex), 0);
}

static void every_type_of_mutex_names_its_owner(void **state)
{
    (void)state;
    static const int types[] = {PTHREAD_MUTEX_NORMAL, PTHREAD_MUTEX_RECURSIVE,
                                PTHREAD_MUTEX_ERRORCHECK, PTHREAD_MUTEX_ADAPTIVE_NP};
    static const int protocols[] = {PTHREAD_PRIO_NONE, PTHREAD_PRIO_INHERIT};
    start();
    for (unsigned i = 0; i < 4; i++) {
        for (unsigned variant = 0; variant < 8; variant++) {
            pthread_mutexattr_t attributes;
            bool is_shared = (variant & 2) != 0, is_robust = (variant & 4) != 0;
            assert_int_equal(pthread_mutexattr_init(&attributes), 0);
            assert_int_equal(pthread_mutexattr_settype(&attributes, types[i]), 0);
            assert_int_equal(pthread_mutexattr_setprotocol(&attributes, protocols[variant & 1]), 0);
            assert_int_equal(
                pthread_mutexattr_setpshared(&attributes, is_shared ? PTHREAD_PROCESS_SHARED
                                                                    : PTHREAD_PROCESS_PRIVATE),
                0);
            assert_int_equal(pthread_mutexattr_setrobust(&attributes, is_robust
                                                                          ? PTHREAD_MUTEX_ROBUST
                                                                          : PTHREAD_MUTEX_STALLED),
                             0);
            assert_held_by_us(&attributes, is_shared || is_robust);
            assert_int_equal(pthread_mutexattr_destroy(&attributes), 0);
        }
    }
}

static void *locks_and_ends(void *mutex)
{
    assert_int_equal(pthread_mutex_lock(mutex), 0);
    return NULL;
}

static void a_robust_mutex_of_a_dead_owner_has_no_holder(void **state)
{
    (void)state;
    pthread_mutexattr_t attributes;
    pthread_mutex_t mutex;
    pthread_t thread;
    start();
    assert_int_equal(pthread_mutexattr_init(&attributes), 0);
    assert_int_equal(pthread_mutexattr_setrobust(&attributes, PTHREAD_MUTEX_ROBUST), 0);
    assert_int_equal(pthread_mutex_init(&mutex, &attributes), 0);
    assert_int_equal(pthread_create(&thread, NULL, locks_and_ends, &mutex), 0);
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_int_equal(pthread_mutex_lock(&mutex), EOWNERDEAD);
    assert_int_equal(pthread_mutex_unlock(&mutex), 0); /* and so it is beyond repair */
    assert_int_equal(holder_of(RTH_WAIT_MUTEX, &mutex).kind, RTH_HOLDER_UNKNOWN);
}

static void an_rwlock_names_its_writer_and_counts_its_readers(void **state)
{
    (void)state;
    pthread_rwlock_t lock = PTHREAD_RWLOCK_INITIALIZER;
    start();
    assert_int_equal(holder_of(RTH_WAIT_WRLOCK, &lock).kind, RTH_HOLDER_UNKNOWN);
    assert_int_equal(pthread_rwlock_wrlock(&lock), 0);
    for (uint32_t kind = RTH_WAIT_RDLOCK; kind <= RTH_WAIT_WRLOCK; kind++) {
        struct rth_lock_holder holder = holder_of(kind, &lock);
        assert_int_equal(holder.kind, RTH_HOLDER_THREAD);
        assert_int_equal(holder.tid, rth__raw_gettid_sigsafe());
    }
    assert_int_equal(pthread_rwlock_unlock(&lock), 0);
    assert_int_equal(pthread_rwlock_rdlock(&lock), 0);
    assert_int_equal(pthread_rwlock_rdlock(&lock), 0);
    struct rth_lock_holder holder = holder_of(RTH_WAIT_WRLOCK, &lock);
    assert_int_equal(holder.kind, RTH_HOLDER_READERS);
    assert_int_equal(holder.readers, 2);
    assert_int_equal(holder_of(RTH_WAIT_RDLOCK, &lock).kind, RTH_HOLDER_UNKNOWN);
}

static void memory_that_is_gone_has_no_holder(void **state)
{
    (void)state;
    start();
    pthread_mutex_t *mutex =
        mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_ptr_not_equal(mutex, MAP_FAILED);
    memset(mutex, 0xff, sizeof(*mutex));
    assert_int_equal(holder_of(RTH_WAIT_MUTEX, mutex).kind, RTH_HOLDER_UNKNOWN);
    memset(mutex, 0x11, sizeof(*mutex));
    assert_int_equal(holder_of(RTH_WAIT_MUTEX, mutex).tid, 0x11111111);
    assert_int_equal(munmap(mutex, 4096), 0);
    for (uint32_t kind = RTH_WAIT_CALL; kind <= RTH_WAIT_SEMAPHORE + 1; kind++) {
        assert_int_equal(holder_of(kind, mutex).kind, RTH_HOLDER_UNKNOWN);
        assert_int_equal(holder_of(kind, NULL).kind, RTH_HOLDER_UNKNOWN);
        assert_int_equal(holder_of(kind, (const void *)UINTPTR_MAX).kind, RTH_HOLDER_UNKNOWN);
    }
}

static void only_locks_are_read(void **state)
{
    (void)state;
    static const uint32_t others[] = {RTH_WAIT_CALL, RTH_WAIT_COND, RTH_WAIT_SEMAPHORE, 1000};
    pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
    start();
    assert_int_equal(pthread_mutex_lock(&mutex), 0);
    for (size_t i = 0; i < 4; i++)
        assert_int_equal(holder_of(others[i], &mutex).kind, RTH_HOLDER_UNKNOWN);
    assert_int_equal(pthread_mutex_unlock(&mutex), 0);
}

/* ---- waits ----------------------------------------------------------------------------------- */

static struct rth_thread_shared shared;
static struct rth_blocked_frame frame;
static pthread_mutex_t wanted = PTHREAD_MUTEX_INITIALIZER;

/* A wait for the mutex, as its wrapper would show it. */
static struct rth_blocked_call shown_call(void)
{
    shared.blocked = &frame;
    shared.changes++;
    return (struct rth_blocked_call){
        .leaf = (uintptr_t)pthread_mutex_lock,
        .object = (uintptr_t)&wanted,
        .since_ns = rth__clock_monotonic_ns_sigsafe() - 3 * RTH_NS_PER_S,
        .kind = RTH_WAIT_MUTEX,
        .shared = &shared,
        .frame = &frame,
        .changes = shared.changes,
    };
}

static void a_wait_is_told_with_its_age_and_stays_when_nothing_changes(void **state)
{
    (void)state;
    struct rth_thread_wait wait;
    start();
    assert_int_equal(pthread_mutex_lock(&wanted), 0);
    struct rth_blocked_call call = shown_call();
    rth__thread_wait_of_call(&reader, &call, &wait);
    assert_int_equal(wait.kind, RTH_THREAD_WAIT_MUTEX);
    assert_int_equal(wait.object, (uintptr_t)&wanted);
    assert_true(wait.lasted_ns >= 3 * RTH_NS_PER_S);
    assert_string_equal(rth__thread_wait_reason(wait.kind), "mutex");
    assert_true(rth__thread_wait_is_lock(wait.kind));
    rth__thread_wait_confirm(&reader, &wait);
    assert_int_equal(wait.holder.kind, RTH_HOLDER_THREAD);
    assert_int_equal(wait.holder.tid, rth__raw_gettid_sigsafe());
}

static void the_holder_is_dropped_when_the_wait_has_ended_and_begun_again(void **state)
{
    (void)state;
    struct rth_thread_wait wait;
    start();
    assert_int_equal(pthread_mutex_lock(&wanted), 0);
    struct rth_blocked_call call = shown_call();
    rth__thread_wait_of_call(&reader, &call, &wait);
    shared.changes += 2; /* the same frame, the same lock, another wait */
    rth__thread_wait_confirm(&reader, &wait);
    assert_int_equal(wait.holder.kind, RTH_HOLDER_UNKNOWN);
    assert_int_equal(wait.kind, RTH_THREAD_WAIT_MUTEX);
}

static void the_holder_is_dropped_when_it_has_given_the_lock_back(void **state)
{
    (void)state;
    struct rth_thread_wait wait;
    start();
    assert_int_equal(pthread_mutex_lock(&wanted), 0);
    struct rth_blocked_call call = shown_call();
    rth__thread_wait_of_call(&reader, &call, &wait);
    assert_int_equal(pthread_mutex_unlock(&wanted), 0);
    rth__thread_wait_confirm(&reader, &wait);
    assert_int_equal(wait.holder.kind, RTH_HOLDER_UNKNOWN);
}

static void an_age_that_nobody_took_or_that_lies_ahead_is_not_known(void **state)
{
    (void)state;
    struct rth_thread_wait wait;
    start();
    struct rth_blocked_call call = shown_call();
    call.kind = RTH_WAIT_CALL;
    call.since_ns = 0;
    rth__thread_wait_of_call(&reader, &call, &wait);
    assert_int_equal(wait.kind, RTH_THREAD_WAIT_CALL);
    assert_int_equal(wait.lasted_ns, -1);
    assert_null(rth__thread_wait_reason(wait.kind));
    call.kind = RTH_WAIT_COND;
    call.since_ns = INT64_MAX;
    rth__thread_wait_of_call(&reader, &call, &wait);
    assert_int_equal(wait.lasted_ns, -1);
    assert_false(rth__thread_wait_is_lock(wait.kind));
}

static void a_futex_is_told_by_the_system_call_and_nothing_else_is(void **state)
{
    (void)state;
    struct rth_thread_wait wait;
    struct rth_proc_syscall place = {.number = SYS_futex, .arguments = {0x1234}};
    rth__thread_wait_of_syscall(&place, &wait);
    assert_int_equal(wait.kind, RTH_THREAD_WAIT_FUTEX);
    assert_int_equal(wait.object, 0x1234);
    assert_int_equal(wait.lasted_ns, -1);
    assert_int_equal(wait.holder.kind, RTH_HOLDER_UNKNOWN);
    rth__thread_wait_confirm(&reader, &wait); /* has no call to look at */
    place.number = SYS_read;
    rth__thread_wait_of_syscall(&place, &wait);
    assert_int_equal(wait.kind, RTH_THREAD_WAIT_UNKNOWN);
    assert_int_equal(wait.object, 0);
    place = (struct rth_proc_syscall){.running = true, .number = SYS_futex};
    rth__thread_wait_of_syscall(&place, &wait);
    assert_int_equal(wait.kind, RTH_THREAD_WAIT_UNKNOWN);
}

RTH_TEST_MAIN(cmocka_unit_test(every_type_of_mutex_names_its_owner),
              cmocka_unit_test(a_robust_mutex_of_a_dead_owner_has_no_holder),
              cmocka_unit_test(an_rwlock_names_its_writer_and_counts_its_readers),
              cmocka_unit_test(memory_that_is_gone_has_no_holder),
              cmocka_unit_test(only_locks_are_read),
              cmocka_unit_test(a_wait_is_told_with_its_age_and_stays_when_nothing_changes),
              cmocka_unit_test(the_holder_is_dropped_when_the_wait_has_ended_and_begun_again),
              cmocka_unit_test(the_holder_is_dropped_when_it_has_given_the_lock_back),
              cmocka_unit_test(an_age_that_nobody_took_or_that_lies_ahead_is_not_known),
              cmocka_unit_test(a_futex_is_told_by_the_system_call_and_nothing_else_is))
