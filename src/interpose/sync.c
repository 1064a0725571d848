/* SPDX-License-Identifier: MIT */
/*
 * The originals of lock functions, and the slow paths of their wrappers.
 *
 * A lock function may be the first thing of ours that a process calls: by the constructor of an
 * allocator, or by an allocator that dlsym calls while the originals are being looked up. The first
 * is served by looking them up; the second by the names that libc has for its own use, which are
 * bound with our relocations. Another preload's wrapper is passed by in that one case.
 */
#include "interpose/sync.h"

#include <time.h>

uint32_t rth__sync_waiting[1u << RTH__SYNC_WORDS_LOG2] __attribute__((aligned(4096)));
__thread bool rth__sync_unrecorded __attribute__((tls_model("initial-exec")));

_Static_assert(sizeof(rth__sync_waiting) % 4096 == 0, "its pages hold nothing else");

/* ---- the originals -------------------------------------------------------------------------- */

/* Compatibility names: they need their version, the first that libc has had on the machine. */
#if defined(__x86_64__)
#define LIBC_FIRST "GLIBC_2.2.5"
#define LIBC_COND  "GLIBC_2.3.2"
#elif defined(__aarch64__)
#define LIBC_FIRST "GLIBC_2.17"
#endif

#define LIBC_NAME(name, type)                                                                      \
    extern int libc_##name(type *lock) __attribute__((weak));                                      \
    __asm__(".symver libc_" #name ", __" #name "@" LIBC_FIRST);
RTH__SYNC_FIRST_NAMES(LIBC_NAME)
#undef LIBC_NAME

/* Without either (a libc whose threads library is not loaded) there is nothing to lock out. */
#define FIRST(name, type)                                                                          \
    static int name##_first(type *lock)                                                            \
    {                                                                                              \
        if (rth__sync_resolve() && rth__sync_table.name != name##_first)                           \
            return rth__sync_table.name(lock);                                                     \
        return libc_##name != NULL ? libc_##name(lock) : 0;                                        \
    }
RTH__SYNC_FIRST_NAMES(FIRST)
#undef FIRST

#define FIRST_OF(name, type) .name = name##_first,
struct rth__sync rth__sync_table = {RTH__SYNC_FIRST_NAMES(FIRST_OF)};
#undef FIRST_OF
bool rth__sync_resolved;

static __thread bool resolving __attribute__((tls_model("initial-exec")));

/* See rth__real_resolve: never inlined, results used after the call. */
__attribute__((noinline)) static void *find(const char *name)
{
    void *found = dlsym(RTLD_NEXT, name);
    __asm__ volatile("" ::: "memory");
    return found;
}

__attribute__((noinline)) static void *find_condition(const char *name)
{
#ifdef LIBC_COND
    void *found = dlvsym(RTLD_NEXT, name, LIBC_COND);
#else
    void *found = dlsym(RTLD_NEXT, name);
#endif
    __asm__ volatile("" ::: "memory");
    return found;
}

/* Threads that meet here do the same work with the same result. */
bool rth__sync_resolve(void)
{
    if (__atomic_load_n(&rth__sync_resolved, __ATOMIC_ACQUIRE))
        return true;
    if (resolving)
        return false;
    resolving = true;
    int saved_errno = errno;
    struct rth__sync found;
#define FIND(name, type) found.name = (int (*)(type *))find(#name);
    RTH__SYNC_FIRST_NAMES(FIND)
#undef FIND
#define FIND(name) found.name = (__typeof__(found.name))find(#name);
    RTH__SYNC_NAMES(FIND)
#undef FIND
    found.pthread_cond_wait =
        (__typeof__(found.pthread_cond_wait))find_condition("pthread_cond_wait");
    found.pthread_cond_timedwait =
        (__typeof__(found.pthread_cond_timedwait))find_condition("pthread_cond_timedwait");
#define TAKE(name, ...)                                                                            \
    if (found.name != NULL)                                                                        \
        __atomic_store_n(&rth__sync_table.name, found.name, __ATOMIC_RELEASE);
    RTH__SYNC_FIRST_NAMES(TAKE)
    RTH__SYNC_NAMES(TAKE)
    TAKE(pthread_cond_wait)
    TAKE(pthread_cond_timedwait)
#undef TAKE
    __atomic_store_n(&rth__sync_resolved, true, __ATOMIC_RELEASE);
    errno = saved_errno;
    resolving = false;
    return true;
}

/* Before main, so that no thread meets the look-up later. Waiters of the parent are not in a child:
 * if the kernel refuses, unlocks there take the longer way. */
__attribute__((constructor)) static void look_up(void)
{
    int saved_errno = errno;
    (void)rth__sync_resolve();
    (void)madvise(rth__sync_waiting, sizeof(rth__sync_waiting), MADV_WIPEONFORK);
    errno = saved_errno;
}

/* ---- a wait --------------------------------------------------------------------------------- */

/* Live in this process; NULL: pass through. */
static const struct rth_interpose_ops *live_ops(void)
{
    const struct rth_interpose_ops *ops = rth__ops();
    return ops != NULL && *ops->enabled != 0 ? ops : NULL;
}

static int64_t now_ns(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * INT64_C(1000000000) + now.tv_nsec;
}

/* Never below zero: a child forked by a signal handler in here began at zero. */
static void count_down(uint32_t *word)
{
    uint32_t seen = __atomic_load_n(word, __ATOMIC_RELAXED);
    while (seen != 0 && !__atomic_compare_exchange_n(word, &seen, seen - 1, true, __ATOMIC_RELAXED,
                                                     __ATOMIC_RELAXED))
        continue;
}

void rth__sync_wait_begin(struct rth__sync_call *call)
{
    const struct rth_interpose_ops *ops = live_ops();
    if (ops != NULL) {
        call->wait.frame.since_ns = now_ns();
        call->is_followed = true;
        ops->sync_wait_begin_nomalloc(&call->wait);
        call->is_counted = call->wait.registration != 0;
        if (call->is_counted)
            (void)__atomic_fetch_add(rth__sync_word(call->wait.frame.object), 1, __ATOMIC_RELAXED);
    }
    rth__blocked_enter(&call->wait.frame);
}

void rth__sync_wait_end(struct rth__sync_call *call, bool has_lock)
{
    rth__blocked_leave(&call->wait.frame);
    if (!call->is_followed)
        return;
    if (call->is_counted)
        count_down(rth__sync_word(call->wait.frame.object));
    const struct rth_interpose_ops *ops = live_ops();
    if (ops != NULL)
        rth__sync_unrecorded = ops->sync_wait_end_nomalloc(&call->wait, has_lock);
}

/* ---- a release ------------------------------------------------------------------------------ */

/*
 * A lock that is fought over may be given back a million times a second, while threads wait all the
 * time. The runtime is asked every RTH_SYNC_CHARGE_NS or so: it charges for all that was waited
 * since it was asked last, so who is asked then stands for the others. Who that is depends on time
 * alone, and whoever holds the lock for longer always is.
 *
 * Time is the processor's counter, since this runs while the lock is held; counters that disagree
 * make the question come too often, or once too late.
 */
#if defined(__x86_64__)
#define CHARGE_TICKS 32768u /* 8 to 16 us */
static inline uint64_t ticks_now(void)
{
    return __builtin_ia32_rdtsc();
}
#else
#define CHARGE_TICKS RTH_SYNC_CHARGE_NS
static inline uint64_t ticks_now(void)
{
    return (uint64_t)now_ns();
}
#endif

/* Of each word, the lock that was asked for last, and when. Two stores: a pair of two threads
 * asks once too often or waits for the next one. */
static struct asked {
    uintptr_t lock;
    uint64_t at_ticks;
} asked[1u << RTH__SYNC_WORDS_LOG2];

static bool is_due(uintptr_t lock)
{
    struct asked *last = &asked[rth__sync_word(lock) - rth__sync_waiting];
    uint64_t ticks = ticks_now();
    if (__atomic_load_n(&last->lock, __ATOMIC_RELAXED) == lock &&
        ticks - __atomic_load_n(&last->at_ticks, __ATOMIC_RELAXED) < CHARGE_TICKS)
        return false;
    __atomic_store_n(&last->lock, lock, __ATOMIC_RELAXED);
    __atomic_store_n(&last->at_ticks, ticks, __ATOMIC_RELAXED);
    return true;
}

void rth__sync_release_begin(struct rth_sync_release *release)
{
    const struct rth_interpose_ops *ops;
    if (is_due(release->lock) && (ops = live_ops()) != NULL)
        ops->sync_release_begin_nomalloc(release);
}

void rth__sync_release_end(const struct rth_sync_release *release)
{
    if (release->delay_ns == 0 && !rth__sync_unrecorded)
        return;
    const struct rth_interpose_ops *ops = live_ops();
    rth__sync_unrecorded = ops != NULL && ops->sync_release_end_nomalloc(release);
}
