/* SPDX-License-Identifier: MIT */
#ifndef RTH_INTERPOSE_SYNC_H
#define RTH_INTERPOSE_SYNC_H

/*
 * Locks, conditions and semaphores: what their wrappers have in common.
 *
 * A lock is tried first. Only the answer "busy" goes on to the original that waits; every other
 * value is what the original would have returned, and is returned as it is. While it waits, the
 * thread shows its frame (blocked.h) and is counted in a word that the address of the lock leads
 * to. An unlock reads that word, and one of its own thread: when both are zero, as nearly always,
 * it is the original and nothing else.
 *
 * Allocators take pthread mutexes, so nothing here allocates, and the first call of a process may
 * come at any time, also out of dlsym: see sync.c.
 */

#include "interpose/blocked.h"
#include "interpose/ops.h"
#include "interpose/real.h"

#include <errno.h>
#include <semaphore.h>

#define RTH__SYNC_LIKELY(condition) __builtin_expect(!!(condition), 1)

/* ---- the originals ---- */

/* Those that may be called before they are looked up: each begins as a function that does it. */
#define RTH__SYNC_FIRST_NAMES(X)                                                                   \
    X(pthread_mutex_lock, pthread_mutex_t)                                                         \
    X(pthread_mutex_trylock, pthread_mutex_t)                                                      \
    X(pthread_mutex_unlock, pthread_mutex_t)                                                       \
    X(pthread_rwlock_rdlock, pthread_rwlock_t)                                                     \
    X(pthread_rwlock_tryrdlock, pthread_rwlock_t)                                                  \
    X(pthread_rwlock_trywrlock, pthread_rwlock_t)                                                  \
    X(pthread_rwlock_unlock, pthread_rwlock_t)                                                     \
    X(pthread_rwlock_wrlock, pthread_rwlock_t)

/* The rest: through rth__sync(), which looks them up. */
#define RTH__SYNC_NAMES(X)                                                                         \
    X(cnd_timedwait)                                                                               \
    X(cnd_wait)                                                                                    \
    X(mtx_lock)                                                                                    \
    X(mtx_timedlock)                                                                               \
    X(mtx_trylock)                                                                                 \
    X(mtx_unlock)                                                                                  \
    X(pthread_cond_clockwait)                                                                      \
    X(pthread_mutex_clocklock)                                                                     \
    X(pthread_mutex_timedlock)                                                                     \
    X(pthread_rwlock_clockrdlock)                                                                  \
    X(pthread_rwlock_clockwrlock)                                                                  \
    X(pthread_rwlock_timedrdlock)                                                                  \
    X(pthread_rwlock_timedwrlock)                                                                  \
    X(sem_clockwait)                                                                               \
    X(sem_timedwait)                                                                               \
    X(sem_trywait)                                                                                 \
    X(sem_wait)

struct rth__sync {
#define RTH__SYNC_MEMBER(name, type) int (*name)(type * lock);
    RTH__SYNC_FIRST_NAMES(RTH__SYNC_MEMBER)
#undef RTH__SYNC_MEMBER
#define RTH__SYNC_MEMBER(name) __typeof__(name) *name;
    RTH__SYNC_NAMES(RTH__SYNC_MEMBER)
#undef RTH__SYNC_MEMBER
    /* Of the version that the wrapper is exported as. */
    int (*pthread_cond_wait)(pthread_cond_t *condition, pthread_mutex_t *mutex);
    int (*pthread_cond_timedwait)(pthread_cond_t *condition, pthread_mutex_t *mutex,
                                  const struct timespec *until);
};
extern struct rth__sync rth__sync_table __attribute__((visibility("hidden")));
extern bool rth__sync_resolved __attribute__((visibility("hidden")));

/* False on a thread that is inside of it already: dlsym called an allocator that locks. */
bool rth__sync_resolve(void);

/* A name that this libc lacks is NULL. */
static inline const struct rth__sync *rth__sync(void)
{
    if (!RTH__SYNC_LIKELY(__atomic_load_n(&rth__sync_resolved, __ATOMIC_ACQUIRE)))
        (void)rth__sync_resolve();
    return &rth__sync_table;
}

/* The interposer's own pthread_mutex_lock, whoever's the program calls. */
const void *rth__sync_own_mutex_lock(void);

/* ---- who waits ---- */

#define RTH__SYNC_WORDS_LOG2 10

/* How many threads wait for a lock whose address leads there. Zero in a forked child. */
extern uint32_t rth__sync_waiting[1u << RTH__SYNC_WORDS_LOG2] __attribute__((visibility("hidden")));
/* Something of the calling thread waits to be recorded: see sync_wait_end_nomalloc. */
extern __thread bool rth__sync_unrecorded __attribute__((tls_model("initial-exec")));

static inline uint32_t *rth__sync_word(uintptr_t lock)
{
    uint64_t hash = (uint64_t)lock * UINT64_C(0x9e3779b97f4a7c15);
    return &rth__sync_waiting[hash >> (64 - RTH__SYNC_WORDS_LOG2)];
}

/* Whether anybody cares that the calling thread gives a lock back. */
static inline bool rth__sync_is_noticed(const void *lock)
{
    return __atomic_load_n(rth__sync_word((uintptr_t)lock), __ATOMIC_RELAXED) != 0 ||
           rth__sync_unrecorded;
}

/* ---- a wait ---- */

struct rth__sync_call {
    struct rth_sync_wait wait;
    bool is_followed; /* the runtime was told */
    bool is_counted;  /* in the lock's word */
};

/* In a function that waits, before the original: declares `call`. lock_held: what the caller holds
 * afterwards, NULL for none. */
#define RTH__SYNC_WAIT(wait_kind, waited_for, lock_held, original)                                 \
    struct rth__sync_call call = {                                                                 \
        .wait = {.frame = {.leaf = (uintptr_t)(original),                                          \
                           .pc = (uintptr_t)__builtin_return_address(0),                           \
                           .sp = (uintptr_t)__builtin_dwarf_cfa(),                                 \
                           .fp = *(const uintptr_t *)__builtin_frame_address(0),                   \
                           .object = (uintptr_t)(waited_for),                                      \
                           .kind = (wait_kind)},                                                   \
                 .lock = (uintptr_t)(lock_held)}};                                                 \
    rth__sync_wait_begin(&call)

/* errno stays as it is in all of these. */
void rth__sync_wait_begin(struct rth__sync_call *call);
void rth__sync_wait_end(struct rth__sync_call *call, bool has_lock);

/* The answers with which the caller holds the lock. */
static inline bool rth__sync_has_lock(int error)
{
    return error == 0 || error == EOWNERDEAD;
}
/* The same of a condition's wait, that was one. */
static inline bool rth__sync_has_mutex(int error)
{
    return error == 0 || error == ETIMEDOUT || error == EOWNERDEAD;
}

/* Arguments that the original may refuse before it looks at the lock: it shall do it. */
static inline bool rth__sync_time_valid(const struct timespec *time)
{
    return time->tv_nsec >= 0 && time->tv_nsec < 1000000000L;
}
static inline bool rth__sync_clock_valid(clockid_t clock)
{
    return clock == CLOCK_REALTIME || clock == CLOCK_MONOTONIC;
}

/* ---- a release ---- */

/* Before and after the original in a function that gives a lock back and is noticed: declares
 * `release`. */
#define RTH__SYNC_RELEASE(given_back, original, condition)                                         \
    struct rth_sync_release release = {                                                            \
        .lock = (uintptr_t)(given_back),                                                           \
        .leaf = (uintptr_t)(original),                                                             \
        .pc = (uintptr_t)__builtin_return_address(0),                                              \
        .is_condition = (condition),                                                               \
    };                                                                                             \
    rth__sync_release_begin(&release)

void rth__sync_release_begin(struct rth_sync_release *release);
void rth__sync_release_end(const struct rth_sync_release *release);

#endif /* RTH_INTERPOSE_SYNC_H */
