/* SPDX-License-Identifier: MIT */
/* Every kind of lock through every form of its calls. */
#include "results.h"

#include <threads.h>

/* ---- mutexes ---- */

static pthread_mutex_t *mutex;

static void *others_view(void *unused)
{
    (void)unused;
    SAY(pthread_mutex_trylock(mutex));
    SAY(pthread_mutex_timedlock(mutex, &past));
    SAY(pthread_mutex_timedlock(mutex, &before_1970));
    SAY(pthread_mutex_timedlock(mutex, &bad_nsec));
    SAY(pthread_mutex_timedlock(mutex, &negative_nsec));
    SAY(pthread_mutex_clocklock(mutex, CLOCK_MONOTONIC, &past));
    SAY(pthread_mutex_clocklock(mutex, CLOCK_REALTIME, &past));
    SAY(pthread_mutex_clocklock(mutex, CLOCK_MONOTONIC, &bad_nsec));
    SAY(pthread_mutex_clocklock(mutex, BAD_CLOCK, &past));
    struct timespec soon = in_ms(CLOCK_REALTIME, 5);
    SAY(pthread_mutex_timedlock(mutex, &soon));
    soon = in_ms(CLOCK_MONOTONIC, 5);
    SAY(pthread_mutex_clocklock(mutex, CLOCK_MONOTONIC, &soon));
    return NULL;
}

static void *others_unlock(void *unused)
{
    (void)unused;
    SAY(pthread_mutex_unlock(mutex));
    return NULL;
}

static _Atomic bool about_to_lock;

static void *locks_and_unlocks(void *unused)
{
    (void)unused;
    about_to_lock = true;
    SAY(pthread_mutex_lock(mutex));
    SAY(pthread_mutex_unlock(mutex));
    return NULL;
}

static void *locks_and_dies(void *unused)
{
    (void)unused;
    SAY(pthread_mutex_lock(mutex));
    return NULL;
}

static void *locks_waits_and_dies(void *unused)
{
    (void)unused;
    pthread_mutex_lock(mutex);
    about_to_lock = true;
    pause_ms(30);
    return NULL;
}

static void free_mutex(int type)
{
    struct timespec later = in_ms(CLOCK_REALTIME, 60000);
    SAY(pthread_mutex_lock(mutex));
    SAY(pthread_mutex_unlock(mutex));
    SAY(pthread_mutex_timedlock(mutex, &later));
    SAY(pthread_mutex_unlock(mutex));
    SAY(pthread_mutex_timedlock(mutex, &past));
    SAY(pthread_mutex_unlock(mutex));
    SAY(pthread_mutex_clocklock(mutex, CLOCK_REALTIME, &later));
    SAY(pthread_mutex_unlock(mutex));
    SAY(pthread_mutex_clocklock(mutex, BAD_CLOCK, &later));
    errno = 4711;
    int error = pthread_mutex_timedlock(mutex, &bad_nsec);
    say("timedlock with bad nsec", error, errno);
    if (error == 0)
        SAY(pthread_mutex_unlock(mutex));
    if (type == PTHREAD_MUTEX_ERRORCHECK)
        SAY(pthread_mutex_unlock(mutex));
}

static void held_mutex(int type, bool robust)
{
    pthread_t thread;
    errno = 4711;
    int error = pthread_mutex_lock(mutex);
    say("lock", error, errno);
    if (error != 0)
        return;
    in_thread(others_view, NULL);
    SAY(pthread_mutex_trylock(mutex));
    if (type == PTHREAD_MUTEX_RECURSIVE) {
        SAY(pthread_mutex_lock(mutex));
        SAY(pthread_mutex_timedlock(mutex, &past));
        SAY(pthread_mutex_unlock(mutex));
        SAY(pthread_mutex_unlock(mutex));
        SAY(pthread_mutex_unlock(mutex));
    } else {
        if (type == PTHREAD_MUTEX_ERRORCHECK)
            SAY(pthread_mutex_lock(mutex));
        SAY(pthread_mutex_timedlock(mutex, &past));
        SAY(pthread_mutex_clocklock(mutex, CLOCK_MONOTONIC, &past));
    }
    if (type != PTHREAD_MUTEX_NORMAL && type != PTHREAD_MUTEX_ADAPTIVE_NP)
        in_thread(others_unlock, NULL);
    else if (robust)
        in_thread(others_unlock, NULL);
    about_to_lock = false;
    pthread_create(&thread, NULL, locks_and_unlocks, NULL);
    while (!about_to_lock)
        pause_ms(1);
    pause_ms(20);
    int unlocked = pthread_mutex_unlock(mutex);
    pthread_join(thread, NULL);
    say("unlock while another waits", unlocked, 0);
}

static void dead_owner(void)
{
    pthread_t thread;
    in_thread(locks_and_dies, NULL);
    SAY(pthread_mutex_lock(mutex));
    SAY(pthread_mutex_consistent(mutex));
    SAY(pthread_mutex_unlock(mutex));
    about_to_lock = false;
    pthread_create(&thread, NULL, locks_waits_and_dies, NULL);
    while (!about_to_lock)
        pause_ms(1);
    SAY(pthread_mutex_lock(mutex)); /* waits until its owner dies */
    pthread_join(thread, NULL);
    SAY(pthread_mutex_unlock(mutex)); /* not made consistent */
    for (int i = 0; i < 2; i++) {
        SAY(pthread_mutex_lock(mutex));
        SAY(pthread_mutex_timedlock(mutex, &past));
        SAY(pthread_mutex_clocklock(mutex, CLOCK_MONOTONIC, &past));
    }
    in_thread(locks_and_dies, NULL);
    SAY(pthread_mutex_unlock(mutex));
}

static void all_mutexes(void)
{
    static const struct {
        int value;
        const char *name;
    } types[] = {{PTHREAD_MUTEX_NORMAL, "normal"},
                 {PTHREAD_MUTEX_RECURSIVE, "recursive"},
                 {PTHREAD_MUTEX_ERRORCHECK, "errorcheck"},
                 {PTHREAD_MUTEX_ADAPTIVE_NP, "adaptive"}},
      protocols[] = {{PTHREAD_PRIO_NONE, ""},
                     {PTHREAD_PRIO_INHERIT, " inherit"},
                     {PTHREAD_PRIO_PROTECT, " protect"}};
    for (int i = 0; i < 4 * 3 * 2 * 2; i++) {
        int type = types[i % 4].value, protocol = protocols[i / 4 % 3].value;
        bool robust = i / 12 % 2 != 0, shared = i / 24 != 0;
        pthread_mutexattr_t attributes;
        pthread_mutex_t place;
        mutex = &place;
        snprintf(title, sizeof(title), "mutex %s%s%s%s", types[i % 4].name,
                 protocols[i / 4 % 3].name, robust ? " robust" : "", shared ? " shared" : "");
        pthread_mutexattr_init(&attributes);
        pthread_mutexattr_settype(&attributes, type);
        pthread_mutexattr_setprotocol(&attributes, protocol);
        if (robust)
            pthread_mutexattr_setrobust(&attributes, PTHREAD_MUTEX_ROBUST);
        if (shared)
            pthread_mutexattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED);
        int error = pthread_mutex_init(mutex, &attributes);
        say("init", error, 0);
        if (error != 0)
            continue;
        free_mutex(type);
        held_mutex(type, robust);
        if (robust)
            dead_owner();
        SAY(pthread_mutex_destroy(mutex));
    }
    snprintf(title, sizeof(title), "mutex of no kind");
    pthread_mutex_t none = PTHREAD_MUTEX_INITIALIZER;
    none.__data.__kind = 99;
    SAY(pthread_mutex_lock(&none));
    SAY(pthread_mutex_timedlock(&none, &past));
    SAY(pthread_mutex_unlock(&none));
}

/* ---- read-write locks ---- */

static pthread_rwlock_t rwlock;

static void *others_rwlock(void *unused)
{
    struct timespec soon = in_ms(CLOCK_REALTIME, 5);
    (void)unused;
    errno = 4711;
    int error = pthread_rwlock_timedrdlock(&rwlock, &soon);
    say("other's timedrdlock", error, errno);
    if (error == 0)
        SAY(pthread_rwlock_unlock(&rwlock));
    soon = in_ms(CLOCK_MONOTONIC, 5);
    errno = 4711;
    error = pthread_rwlock_clockwrlock(&rwlock, CLOCK_MONOTONIC, &soon);
    say("other's clockwrlock", error, errno);
    if (error == 0)
        SAY(pthread_rwlock_unlock(&rwlock));
    SAY(pthread_rwlock_timedwrlock(&rwlock, &bad_nsec));
    SAY(pthread_rwlock_clockrdlock(&rwlock, BAD_CLOCK, &past));
    return NULL;
}

static void *writes(void *unused)
{
    (void)unused;
    about_to_lock = true;
    SAY(pthread_rwlock_wrlock(&rwlock));
    pause_ms(20);
    SAY(pthread_rwlock_unlock(&rwlock));
    return NULL;
}

static void *reads(void *unused)
{
    (void)unused;
    about_to_lock = true;
    errno = 4711;
    int error = pthread_rwlock_rdlock(&rwlock);
    say("waiting rdlock", error, errno);
    say("its unlock", pthread_rwlock_unlock(&rwlock), 0);
    return NULL;
}

static void rwlock_alone(void)
{
    SAY(pthread_rwlock_rdlock(&rwlock));
    SAY(pthread_rwlock_rdlock(&rwlock));
    in_thread(others_rwlock, NULL);
    SAY(pthread_rwlock_timedwrlock(&rwlock, &past));
    SAY(pthread_rwlock_unlock(&rwlock));
    SAY(pthread_rwlock_unlock(&rwlock));
    SAY(pthread_rwlock_wrlock(&rwlock));
    in_thread(others_rwlock, NULL);
    SAY(pthread_rwlock_wrlock(&rwlock));
    SAY(pthread_rwlock_rdlock(&rwlock));
    SAY(pthread_rwlock_timedrdlock(&rwlock, &past));
    SAY(pthread_rwlock_timedwrlock(&rwlock, &past));
    SAY(pthread_rwlock_clockrdlock(&rwlock, CLOCK_MONOTONIC, &past));
    SAY(pthread_rwlock_unlock(&rwlock));
    SAY(pthread_rwlock_timedrdlock(&rwlock, &past));
    SAY(pthread_rwlock_unlock(&rwlock));
    SAY(pthread_rwlock_timedrdlock(&rwlock, &bad_nsec));
    SAY(pthread_rwlock_timedwrlock(&rwlock, &negative_nsec));
    SAY(pthread_rwlock_clockrdlock(&rwlock, CLOCK_REALTIME, &bad_nsec));
    SAY(pthread_rwlock_clockwrlock(&rwlock, CLOCK_REALTIME, &bad_nsec));
    SAY(pthread_rwlock_clockwrlock(&rwlock, BAD_CLOCK, &past));
}

/* Whether a reader gets in while a writer waits is what the kinds differ in. */
static void rwlock_preference(void)
{
    pthread_t writer, reader;
    SAY(pthread_rwlock_rdlock(&rwlock));
    about_to_lock = false;
    pthread_create(&writer, NULL, writes, NULL);
    while (!about_to_lock)
        pause_ms(1);
    pause_ms(20);
    in_thread(others_rwlock, NULL);
    int unlocked = pthread_rwlock_unlock(&rwlock);
    pthread_join(writer, NULL);
    say("unlock while a writer waits", unlocked, 0);
    SAY(pthread_rwlock_wrlock(&rwlock));
    about_to_lock = false;
    pthread_create(&reader, NULL, reads, NULL);
    while (!about_to_lock)
        pause_ms(1);
    pause_ms(20);
    unlocked = pthread_rwlock_unlock(&rwlock);
    pthread_join(reader, NULL);
    say("unlock while a reader waits", unlocked, 0);
}

static void all_rwlocks(void)
{
    static const struct {
        int value;
        const char *name;
    } kinds[] = {{PTHREAD_RWLOCK_PREFER_READER_NP, "reader"},
                 {PTHREAD_RWLOCK_PREFER_WRITER_NP, "writer"},
                 {PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP, "writer nonrecursive"}};
    for (int i = 0; i < 6; i++) {
        pthread_rwlockattr_t attributes;
        snprintf(title, sizeof(title), "rwlock %s%s", kinds[i % 3].name, i / 3 ? " shared" : "");
        pthread_rwlockattr_init(&attributes);
        pthread_rwlockattr_setkind_np(&attributes, kinds[i % 3].value);
        if (i / 3)
            pthread_rwlockattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED);
        pthread_rwlock_init(&rwlock, &attributes);
        rwlock_alone();
        rwlock_preference();
        SAY(pthread_rwlock_destroy(&rwlock));
    }
}

/* ---- C11 ---- */

static mtx_t c11_mutex;
static cnd_t c11_condition;

static int others_c11(void *unused)
{
    struct timespec soon = in_ms(CLOCK_REALTIME, 5);
    (void)unused;
    SAY(mtx_trylock(&c11_mutex));
    SAY(mtx_timedlock(&c11_mutex, &soon));
    SAY(mtx_timedlock(&c11_mutex, &past));
    SAY(mtx_timedlock(&c11_mutex, &bad_nsec));
    return 0;
}

static int locks_c11(void *unused)
{
    (void)unused;
    about_to_lock = true;
    SAY(mtx_lock(&c11_mutex));
    SAY(mtx_unlock(&c11_mutex));
    return 0;
}

static void all_c11(void)
{
    static const int kinds[] = {mtx_plain, mtx_timed, mtx_recursive, mtx_timed | mtx_recursive};
    for (int i = 0; i < 4; i++) {
        thrd_t thread;
        struct timespec soon = in_ms(CLOCK_REALTIME, 5);
        snprintf(title, sizeof(title), "c11 %d", i);
        mtx_init(&c11_mutex, kinds[i]);
        cnd_init(&c11_condition);
        SAY(mtx_lock(&c11_mutex));
        if (kinds[i] & mtx_recursive) {
            SAY(mtx_lock(&c11_mutex));
            SAY(mtx_timedlock(&c11_mutex, &past));
            SAY(mtx_unlock(&c11_mutex));
            SAY(mtx_unlock(&c11_mutex));
        }
        SAY(cnd_timedwait(&c11_condition, &c11_mutex, &past));
        SAY(cnd_timedwait(&c11_condition, &c11_mutex, &soon));
        SAY(cnd_timedwait(&c11_condition, &c11_mutex, &bad_nsec));
        thrd_create(&thread, others_c11, NULL);
        thrd_join(thread, NULL);
        about_to_lock = false;
        thrd_create(&thread, locks_c11, NULL);
        while (!about_to_lock)
            pause_ms(1);
        pause_ms(10);
        int unlocked = mtx_unlock(&c11_mutex);
        thrd_join(thread, NULL);
        say("unlock while another waits", unlocked, 0);
        mtx_destroy(&c11_mutex);
        cnd_destroy(&c11_condition);
    }
}

int main(void)
{
    alarm(60);
    all_mutexes();
    all_rwlocks();
    all_c11();
    return 0;
}
