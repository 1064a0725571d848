/* SPDX-License-Identifier: MIT */
/* What the wrappers of locks tell the runtime, what they show, and what they leave alone. */
#include "helper/unit.h"

#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <threads.h>
#include <time.h>
#include <unistd.h>

#include "unit/interpose/helper/fake.h"

static struct rth_thread_shared shared; /* of the thread that waits */
static void (*shared_set)(struct rth_thread_shared *shared);

static void start(void)
{
    struct rth_interpose_info info = {.struct_size = sizeof(info)};
    (void)rth_interpose_attach(NULL, NULL);
    assert_int_equal(rth_interpose_attach(fake_runtime_new(), &info), 0);
    shared_set = info.thread_shared_set;
    assert_non_null(info.own_mutex_lock);
    assert_ptr_equal(info.own_mutex_lock, info.first_mutex_lock);
    shared = (struct rth_thread_shared){0};
}

static uintptr_t original(const char *name)
{
    return (uintptr_t)dlsym(dlopen("libc.so.6", RTLD_NOW | RTLD_NOLOAD), name);
}

/* ---- one thread waits for another --------------------------------------------------------- */

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_rwlock_t rwlock = PTHREAD_RWLOCK_INITIALIZER;
static pthread_cond_t condition = PTHREAD_COND_INITIALIZER;
static cnd_t c11_condition;
static mtx_t c11_mutex;
static sem_t semaphore;

static struct timespec later(clockid_t clock)
{
    struct timespec time;
    (void)clock_gettime(clock, &time);
    time.tv_sec += 60;
    return time;
}

/* Waits until it has got it, and gives it back. */
typedef void (*wait_fn)(void);
static wait_fn waits;

static void *waits_shown(void *unused)
{
    (void)unused;
    shared_set(&shared);
    waits();
    shared_set(NULL);
    return NULL;
}

/* A copy of what the thread that waits shows, once it waits for that object. */
static struct rth_blocked_frame frame_of_waiter(const void *object)
{
    for (;;) {
        const struct rth_blocked_frame *shown = __atomic_load_n(&shared.blocked, __ATOMIC_ACQUIRE);
        if (shown != NULL && shown->object == (uintptr_t)object)
            return *shown;
        test_pause_us(100);
    }
}

static void mutex_lock(void)
{
    (void)pthread_mutex_lock(&mutex);
    (void)pthread_mutex_unlock(&mutex);
}
static void mutex_timedlock(void)
{
    struct timespec until = later(CLOCK_REALTIME);
    (void)pthread_mutex_timedlock(&mutex, &until);
    (void)pthread_mutex_unlock(&mutex);
}
static void mutex_clocklock(void)
{
    struct timespec until = later(CLOCK_MONOTONIC);
    (void)pthread_mutex_clocklock(&mutex, CLOCK_MONOTONIC, &until);
    (void)pthread_mutex_unlock(&mutex);
}
static void c11_lock(void)
{
    (void)mtx_lock(&c11_mutex);
    (void)mtx_unlock(&c11_mutex);
}
static void c11_timedlock(void)
{
    struct timespec until = later(CLOCK_REALTIME);
    (void)mtx_timedlock(&c11_mutex, &until);
    (void)mtx_unlock(&c11_mutex);
}
static void rwlock_rdlock(void)
{
    (void)pthread_rwlock_rdlock(&rwlock);
    (void)pthread_rwlock_unlock(&rwlock);
}
static void rwlock_timedrdlock(void)
{
    struct timespec until = later(CLOCK_REALTIME);
    (void)pthread_rwlock_timedrdlock(&rwlock, &until);
    (void)pthread_rwlock_unlock(&rwlock);
}
static void rwlock_clockrdlock(void)
{
    struct timespec until = later(CLOCK_MONOTONIC);
    (void)pthread_rwlock_clockrdlock(&rwlock, CLOCK_MONOTONIC, &until);
    (void)pthread_rwlock_unlock(&rwlock);
}
static void rwlock_wrlock(void)
{
    (void)pthread_rwlock_wrlock(&rwlock);
    (void)pthread_rwlock_unlock(&rwlock);
}
static void rwlock_timedwrlock(void)
{
    struct timespec until = later(CLOCK_REALTIME);
    (void)pthread_rwlock_timedwrlock(&rwlock, &until);
    (void)pthread_rwlock_unlock(&rwlock);
}
static void rwlock_clockwrlock(void)
{
    struct timespec until = later(CLOCK_MONOTONIC);
    (void)pthread_rwlock_clockwrlock(&rwlock, CLOCK_MONOTONIC, &until);
    (void)pthread_rwlock_unlock(&rwlock);
}

/* While the main thread holds all of them. */
static const struct {
    wait_fn waits;
    const char *original;
    const void *object;
    uint32_t kind;
} lock_calls[] = {
    {mutex_lock, "pthread_mutex_lock", &mutex, RTH_WAIT_MUTEX},
    {mutex_timedlock, "pthread_mutex_timedlock", &mutex, RTH_WAIT_MUTEX},
    {mutex_clocklock, "pthread_mutex_clocklock", &mutex, RTH_WAIT_MUTEX},
    {c11_lock, "mtx_lock", &c11_mutex, RTH_WAIT_MUTEX},
    {c11_timedlock, "mtx_timedlock", &c11_mutex, RTH_WAIT_MUTEX},
    {rwlock_rdlock, "pthread_rwlock_rdlock", &rwlock, RTH_WAIT_RDLOCK},
    {rwlock_timedrdlock, "pthread_rwlock_timedrdlock", &rwlock, RTH_WAIT_RDLOCK},
    {rwlock_clockrdlock, "pthread_rwlock_clockrdlock", &rwlock, RTH_WAIT_RDLOCK},
    {rwlock_wrlock, "pthread_rwlock_wrlock", &rwlock, RTH_WAIT_WRLOCK},
    {rwlock_timedwrlock, "pthread_rwlock_timedwrlock", &rwlock, RTH_WAIT_WRLOCK},
    {rwlock_clockwrlock, "pthread_rwlock_clockwrlock", &rwlock, RTH_WAIT_WRLOCK},
};

static void take_all(void)
{
    (void)pthread_mutex_lock(&mutex);
    (void)mtx_lock(&c11_mutex);
    (void)pthread_rwlock_wrlock(&rwlock);
}

static void give_back_all(void)
{
    (void)pthread_mutex_unlock(&mutex);
    (void)mtx_unlock(&c11_mutex);
    (void)pthread_rwlock_unlock(&rwlock);
}

static void every_lock_call_shows_and_tells_its_wait(void **state)
{
    (void)state;
    (void)mtx_init(&c11_mutex, mtx_timed);
    for (size_t i = 0; i < sizeof(lock_calls) / sizeof(lock_calls[0]); i++) {
        pthread_t thread;
        start();
        fake.charge_ns = 1;
        take_all();
        assert_int_equal(fake.waits_begun, 0);
        waits = lock_calls[i].waits;
        assert_int_equal(pthread_create(&thread, NULL, waits_shown, NULL), 0);
        struct rth_blocked_frame frame = frame_of_waiter(lock_calls[i].object);
        assert_int_equal(frame.kind, lock_calls[i].kind);
        assert_int_equal(frame.leaf, original(lock_calls[i].original));
        assert_true(frame.since_ns > 0);
        assert_int_equal(fake.waits_begun, 1);
        assert_int_equal(fake.waits_ended, 0);
        assert_int_equal(fake.releases_begun, 0);
        give_back_all();
        assert_int_equal(fake.releases_begun, 1);
        assert_int_equal(fake.releases_ended, 1);
        assert_int_equal(fake.release.lock, (uintptr_t)lock_calls[i].object);
        assert_int_equal(fake.release.is_condition, 0);
        (void)pthread_join(thread, NULL);
        assert_int_equal(fake.waits_ended, 1);
        /* Nobody waits any more. */
        assert_int_equal(fake.releases_begun, 1);
        assert_null(shared.blocked);
    }
}

static void an_uncontended_lock_tells_nothing(void **state)
{
    (void)state;
    start();
    for (int i = 0; i < 3; i++) {
        take_all();
        give_back_all();
    }
    assert_int_equal(fake.waits_begun + fake.releases_begun, 0);
}

/* ---- conditions and semaphores --------------------------------------------------------------- */

static _Atomic bool is_there;

static void cond_wait(void)
{
    (void)pthread_mutex_lock(&mutex);
    while (!is_there)
        (void)pthread_cond_wait(&condition, &mutex);
    (void)pthread_mutex_unlock(&mutex);
}
static void cond_timedwait(void)
{
    struct timespec until = later(CLOCK_REALTIME);
    (void)pthread_mutex_lock(&mutex);
    while (!is_there)
        (void)pthread_cond_timedwait(&condition, &mutex, &until);
    (void)pthread_mutex_unlock(&mutex);
}
static void cond_clockwait(void)
{
    struct timespec until = later(CLOCK_MONOTONIC);
    (void)pthread_mutex_lock(&mutex);
    while (!is_there)
        (void)pthread_cond_clockwait(&condition, &mutex, CLOCK_MONOTONIC, &until);
    (void)pthread_mutex_unlock(&mutex);
}
static void c11_wait(void)
{
    (void)mtx_lock(&c11_mutex);
    while (!is_there)
        (void)cnd_wait(&c11_condition, &c11_mutex);
    (void)mtx_unlock(&c11_mutex);
}
static void c11_timedwait(void)
{
    struct timespec until = later(CLOCK_REALTIME);
    (void)mtx_lock(&c11_mutex);
    while (!is_there)
        (void)cnd_timedwait(&c11_condition, &c11_mutex, &until);
    (void)mtx_unlock(&c11_mutex);
}
static void semaphore_wait(void)
{
    while (sem_wait(&semaphore) != 0)
        continue;
}
static void semaphore_timedwait(void)
{
    struct timespec until = later(CLOCK_REALTIME);
    while (sem_timedwait(&semaphore, &until) != 0)
        continue;
}
static void semaphore_clockwait(void)
{
    struct timespec until = later(CLOCK_MONOTONIC);
    while (sem_clockwait(&semaphore, CLOCK_MONOTONIC, &until) != 0)
        continue;
}

static const struct {
    wait_fn waits;
    const char *original;
    const void *object;
    uint32_t kind;
} event_calls[] = {
    {cond_wait, "pthread_cond_wait", &condition, RTH_WAIT_COND},
    {cond_timedwait, "pthread_cond_timedwait", &condition, RTH_WAIT_COND},
    {cond_clockwait, "pthread_cond_clockwait", &condition, RTH_WAIT_COND},
    {c11_wait, "cnd_wait", &c11_condition, RTH_WAIT_COND},
    {c11_timedwait, "cnd_timedwait", &c11_condition, RTH_WAIT_COND},
    {semaphore_wait, "sem_wait", &semaphore, RTH_WAIT_SEMAPHORE},
    {semaphore_timedwait, "sem_timedwait", &semaphore, RTH_WAIT_SEMAPHORE},
    {semaphore_clockwait, "sem_clockwait", &semaphore, RTH_WAIT_SEMAPHORE},
};

static void every_other_call_shows_and_tells_its_wait(void **state)
{
    (void)state;
    (void)mtx_init(&c11_mutex, mtx_timed);
    (void)cnd_init(&c11_condition);
    (void)sem_init(&semaphore, 0, 0);
    for (size_t i = 0; i < sizeof(event_calls) / sizeof(event_calls[0]); i++) {
        pthread_t thread;
        start();
        is_there = false;
        waits = event_calls[i].waits;
        assert_int_equal(pthread_create(&thread, NULL, waits_shown, NULL), 0);
        struct rth_blocked_frame frame = frame_of_waiter(event_calls[i].object);
        assert_int_equal(frame.kind, event_calls[i].kind);
        assert_int_equal(frame.leaf, original(event_calls[i].original));
        assert_true(frame.since_ns > 0);
        is_there = true;
        while (fake.waits_ended == 0) {
            (void)pthread_cond_signal(&condition);
            (void)cnd_signal(&c11_condition);
            if (event_calls[i].kind == RTH_WAIT_SEMAPHORE && fake.waits_ended == 0)
                (void)sem_post(&semaphore);
            test_pause_us(1000);
        }
        (void)pthread_join(thread, NULL);
        assert_int_equal(fake.waits_begun, fake.waits_ended);
        assert_int_equal(fake.releases_begun, 0); /* nobody waits for the mutex */
        while (sem_trywait(&semaphore) == 0)
            continue;
    }
}

static void a_condition_tells_of_the_mutex_it_gives_back(void **state)
{
    (void)state;
    pthread_t thread;
    struct timespec soon;
    start();
    fake.charge_ns = 1;
    (void)pthread_mutex_lock(&mutex);
    waits = mutex_lock;
    assert_int_equal(pthread_create(&thread, NULL, waits_shown, NULL), 0);
    (void)frame_of_waiter(&mutex);
    (void)clock_gettime(CLOCK_REALTIME, &soon);
    soon.tv_sec += 1;
    errno = 4711;
    assert_int_equal(pthread_cond_timedwait(&condition, &mutex, &soon), ETIMEDOUT);
    assert_int_equal(errno, 4711);
    assert_int_equal(fake.releases_begun, 1);
    assert_int_equal(fake.releases_ended, 0);
    assert_int_equal(fake.release.lock, (uintptr_t)&mutex);
    assert_int_equal(fake.release.is_condition, 1);
    assert_int_equal(fake.release.leaf, original("pthread_cond_timedwait"));
    (void)pthread_join(thread, NULL);
    (void)pthread_mutex_unlock(&mutex);
}

/* ---- when unlocks come to the runtime ----------------------------------------------------------
 */

static void what_is_kept_makes_unlocks_come_until_it_is_recorded(void **state)
{
    (void)state;
    static pthread_mutex_t other = PTHREAD_MUTEX_INITIALIZER;
    struct timespec now;
    start();
    fake.keeps = true;
    (void)clock_gettime(CLOCK_REALTIME, &now);
    (void)pthread_mutex_lock(&mutex);
    assert_int_equal(pthread_cond_timedwait(&condition, &mutex, &now), ETIMEDOUT);
    assert_int_equal(fake.waits_ended, 1);
    (void)pthread_mutex_lock(&other);
    (void)pthread_mutex_unlock(&other);
    assert_int_equal(fake.releases_ended, 1); /* which said that nothing is left */
    (void)pthread_mutex_unlock(&mutex);
    assert_int_equal(fake.releases_ended, 1);
}

static void inner_unlocks_of_a_recursive_mutex_are_not_told(void **state)
{
    (void)state;
    static pthread_mutex_t recursive = PTHREAD_RECURSIVE_MUTEX_INITIALIZER_NP;
    struct timespec now;
    start();
    (void)clock_gettime(CLOCK_REALTIME, &now);
    (void)pthread_mutex_lock(&mutex);
    fake.keeps = true;
    assert_int_equal(pthread_cond_timedwait(&condition, &mutex, &now), ETIMEDOUT);
    for (int i = 0; i < 3; i++)
        (void)pthread_mutex_lock(&recursive);
    (void)pthread_mutex_unlock(&recursive);
    (void)pthread_mutex_unlock(&recursive);
    assert_int_equal(fake.releases_begun, 0);
    (void)pthread_mutex_unlock(&recursive);
    assert_int_equal(fake.releases_begun, 1);
    (void)pthread_mutex_unlock(&mutex);
}

static void an_unlock_that_fails_is_not_charged(void **state)
{
    (void)state;
    static pthread_mutex_t checked = PTHREAD_ERRORCHECK_MUTEX_INITIALIZER_NP;
    struct timespec now;
    start();
    fake.keeps = true;
    fake.charge_ns = 1;
    (void)clock_gettime(CLOCK_REALTIME, &now);
    (void)pthread_mutex_lock(&mutex);
    assert_int_equal(pthread_cond_timedwait(&condition, &mutex, &now), ETIMEDOUT);
    assert_int_equal(pthread_mutex_unlock(&checked), EPERM);
    assert_int_equal(fake.releases_ended, 0);
    (void)pthread_mutex_unlock(&mutex);
    assert_int_equal(fake.releases_ended, 1);
}

static void a_wait_that_is_not_registered_keeps_unlocks_plain(void **state)
{
    (void)state;
    pthread_t thread;
    start();
    fake.registers_nothing = true;
    (void)pthread_mutex_lock(&mutex);
    waits = mutex_lock;
    assert_int_equal(pthread_create(&thread, NULL, waits_shown, NULL), 0);
    (void)frame_of_waiter(&mutex);
    (void)pthread_mutex_unlock(&mutex);
    (void)pthread_join(thread, NULL);
    assert_int_equal(fake.waits_begun, 1);
    assert_int_equal(fake.waits_ended, 1);
    assert_int_equal(fake.releases_begun, 0);
}

/* ---- what stays as it was ----------------------------------------------------------------------
 */

static void unattached_locks_are_plain(void **state)
{
    (void)state;
    pthread_t thread;
    start();
    (void)rth_interpose_attach(NULL, NULL);
    take_all();
    waits = mutex_lock;
    assert_int_equal(pthread_create(&thread, NULL, waits_shown, NULL), 0);
    struct rth_blocked_frame frame = frame_of_waiter(&mutex);
    assert_int_equal(frame.since_ns, 0);
    give_back_all();
    (void)pthread_join(thread, NULL);
    assert_int_equal(fake.waits_begun + fake.waits_ended + fake.releases_begun, 0);
}

static void *holds_a_while(void *unused)
{
    (void)unused;
    (void)pthread_mutex_lock(&mutex);
    is_there = true;
    test_pause_us(20000);
    (void)pthread_mutex_unlock(&mutex);
    return NULL;
}

static void a_forked_child_tells_nothing_and_inherits_no_waiters(void **state)
{
    (void)state;
    pthread_t waiter;
    start();
    fake.never_adopts = true;
    (void)pthread_mutex_lock(&mutex);
    waits = mutex_lock;
    assert_int_equal(pthread_create(&waiter, NULL, waits_shown, NULL), 0);
    (void)frame_of_waiter(&mutex);
    pid_t child = fork();
    if (child == 0) {
        pthread_t holder;
        (void)pthread_mutex_unlock(&mutex);
        is_there = false;
        (void)pthread_create(&holder, NULL, holds_a_while, NULL);
        while (!is_there)
            test_pause_us(100);
        (void)pthread_mutex_lock(&mutex);
        (void)pthread_mutex_unlock(&mutex);
        (void)pthread_join(holder, NULL);
        _exit(fake.waits_begun == 1 && fake.waits_ended == 0 && fake.releases_begun == 0 ? 0 : 1);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    (void)pthread_mutex_unlock(&mutex);
    (void)pthread_join(waiter, NULL);
}

static void old_conditions_stay_libcs(void **state)
{
    (void)state;
    void *libc = dlopen("libc.so.6", RTLD_NOW | RTLD_NOLOAD);
    static const char *const names[] = {"pthread_cond_wait", "pthread_cond_timedwait"};
    for (int i = 0; i < 2; i++) {
        void *old = dlvsym(RTLD_DEFAULT, names[i], "GLIBC_2.2.5");
        if (old == NULL)
            RTH_SKIP("this machine has one version of conditions");
        assert_ptr_equal(old, dlvsym(libc, names[i], "GLIBC_2.2.5"));
        void *now = dlvsym(RTLD_DEFAULT, names[i], "GLIBC_2.3.2");
        assert_ptr_not_equal(now, dlvsym(libc, names[i], "GLIBC_2.3.2"));
        assert_ptr_equal(now, dlsym(RTLD_DEFAULT, names[i]));
    }
}

static pthread_mutex_t *robust;

static void *dies_with_it(void *unused)
{
    (void)unused;
    (void)pthread_mutex_lock(robust);
    return NULL;
}

static void *asks_for_it(void *ret_error)
{
    *(int *)ret_error = pthread_mutex_lock(robust);
    return NULL;
}

/* libc's trylock would leave it locked, and the next thread waiting for ever. */
static void an_unrecoverable_mutex_says_so_to_everybody(void **state)
{
    (void)state;
    pthread_mutexattr_t attributes;
    pthread_mutex_t place;
    pthread_t thread;
    start();
    robust = &place;
    (void)pthread_mutexattr_init(&attributes);
    (void)pthread_mutexattr_setrobust(&attributes, PTHREAD_MUTEX_ROBUST);
    assert_int_equal(pthread_mutex_init(robust, &attributes), 0);
    assert_int_equal(pthread_create(&thread, NULL, dies_with_it, NULL), 0);
    (void)pthread_join(thread, NULL);
    assert_int_equal(pthread_mutex_lock(robust), EOWNERDEAD);
    assert_int_equal(pthread_mutex_unlock(robust), 0);
    for (int i = 0; i < 3; i++) {
        int error = 0;
        assert_int_equal(pthread_create(&thread, NULL, asks_for_it, &error), 0);
        (void)pthread_join(thread, NULL);
        assert_int_equal(error, ENOTRECOVERABLE);
        assert_int_equal(pthread_mutex_lock(robust), ENOTRECOVERABLE);
    }
}

static void *holds_robustly(void *unused)
{
    (void)unused;
    (void)pthread_mutex_lock(robust);
    is_there = true;
    test_pause_us(20000);
    (void)pthread_mutex_unlock(robust);
    return NULL;
}

static void a_robust_mutex_that_is_busy_is_told(void **state)
{
    (void)state;
    pthread_mutexattr_t attributes;
    pthread_mutex_t place;
    pthread_t thread;
    start();
    robust = &place;
    (void)pthread_mutexattr_init(&attributes);
    (void)pthread_mutexattr_setrobust(&attributes, PTHREAD_MUTEX_ROBUST);
    assert_int_equal(pthread_mutex_init(robust, &attributes), 0);
    assert_int_equal(pthread_mutex_lock(robust), 0);
    (void)pthread_mutex_unlock(robust);
    assert_int_equal(fake.waits_begun, 0);
    is_there = false;
    assert_int_equal(pthread_create(&thread, NULL, holds_robustly, NULL), 0);
    while (!is_there)
        test_pause_us(100);
    assert_int_equal(pthread_mutex_lock(robust), 0);
    assert_int_equal(fake.waits_ended, 1);
    (void)pthread_mutex_unlock(robust);
    (void)pthread_join(thread, NULL);
}

RTH_TEST_MAIN(cmocka_unit_test(every_lock_call_shows_and_tells_its_wait),
              cmocka_unit_test(an_uncontended_lock_tells_nothing),
              cmocka_unit_test(every_other_call_shows_and_tells_its_wait),
              cmocka_unit_test(a_condition_tells_of_the_mutex_it_gives_back),
              cmocka_unit_test(what_is_kept_makes_unlocks_come_until_it_is_recorded),
              cmocka_unit_test(inner_unlocks_of_a_recursive_mutex_are_not_told),
              cmocka_unit_test(an_unlock_that_fails_is_not_charged),
              cmocka_unit_test(a_wait_that_is_not_registered_keeps_unlocks_plain),
              cmocka_unit_test(unattached_locks_are_plain),
              cmocka_unit_test(a_forked_child_tells_nothing_and_inherits_no_waiters),
              cmocka_unit_test(old_conditions_stay_libcs),
              cmocka_unit_test(an_unrecoverable_mutex_says_so_to_everybody),
              cmocka_unit_test(a_robust_mutex_that_is_busy_is_told))
