/* SPDX-License-Identifier: MIT */
#ifndef RTH_TESTS_INTERPOSE_FAKE_H
#define RTH_TESTS_INTERPOSE_FAKE_H

/*
 * A runtime for the interposer's tests: an ops table that counts its calls, and a fork model of
 * its own: a forked child may be adopted 50 ms after its first calm point.
 */

#include "interpose/abi.h"

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

extern int rth_interpose_attach(const struct rth_interpose_ops *ops,
                                struct rth_interpose_info *ret_info);

#define FAKE_ADOPTION_NS INT64_C(50000000)

/* The last call about a mapping, as it came. */
struct fake_map {
    uint64_t mark;
    bool known, is_anonymous;
    uintptr_t before, address, caller;
    size_t before_bytes, bytes;
};

struct fake_runtime {
    volatile uint32_t *enabled; /* on a WIPEONFORK page */
    pid_t owner;
    int prepared, abandoned, ran, calm_points, forked, ids, quiesced, resumed, signals;
    int last_signal, last_kind;
    /* A signal whose handler is the runtime's, and what the host believes of it. */
    int owned_signal, host_actions, signals_asked;
    struct sigaction host_action;
    int ids_begun; /* begun and not ended */
    bool pauses_for_ids;
    bool never_adopts;
    bool prepares_nothing;
    int signal_on_adoption; /* raised while child_calm adopts; 0: none */
    volatile bool *adopted; /* set by the adoption; NULL: nobody looks */
    int64_t due_ns;
    void *(*start)(void *);
    void *argument;
    void (*on_quiesce)(void);
    void (*on_resume)(void);
    int marks, maps_added, maps_removed, maps_moved;
    uintptr_t known_map; /* the address of which map_is_known says so */
    struct fake_map map;
    int blocks_allocated, blocks_freed, blocks_forgotten, blocks_remembered;
    _Atomic int waits_begun, waits_ended, releases_begun, releases_ended;
    bool registers_nothing;
    bool keeps;         /* what wait_end answers */
    uint64_t charge_ns; /* what release_begin charges */
    struct rth_sync_release release;
};

static struct fake_runtime fake;

static void *fake_prepare(void *(*start)(void *), void *argument)
{
    if (fake.prepares_nothing)
        return NULL;
    fake.prepared++;
    fake.start = start;
    fake.argument = argument;
    return &fake;
}

static void fake_abandon(void *handle)
{
    fake.abandoned += handle == &fake;
}

static void *fake_run(void *handle)
{
    fake.ran += handle == &fake;
    return fake.start(fake.argument);
}

static int64_t fake_calm(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    int64_t now_ns = now.tv_sec * INT64_C(1000000000) + now.tv_nsec;
    fake.calm_points++;
    if (fake.never_adopts)
        return -1;
    if (*fake.enabled != 0)
        return 0;
    if (fake.due_ns == 0)
        fake.due_ns = now_ns + FAKE_ADOPTION_NS;
    if (now_ns < fake.due_ns)
        return fake.due_ns - now_ns;
    if (fake.signal_on_adoption != 0)
        (void)kill(getpid(), fake.signal_on_adoption);
    fake.owner = getpid();
    *fake.enabled = 1;
    if (fake.adopted != NULL)
        *fake.adopted = true;
    return 0;
}

static void fake_forked(void)
{
    fake.forked++;
}

static bool fake_ids_begin(void)
{
    fake.ids_begun++;
    return fake.pauses_for_ids;
}

static void fake_ids_end(bool paused)
{
    fake.ids_begun--;
    fake.ids++;
    fake.resumed += paused;
}

static void fake_quiesce(void)
{
    fake.quiesced++;
    if (fake.on_quiesce != NULL)
        fake.on_quiesce();
    errno = 1234; /* ops keep errno; these two do not have to be trusted with it */
}

static void fake_resume(void)
{
    fake.resumed++;
    if (fake.on_resume != NULL)
        fake.on_resume();
    errno = 1234;
}

static void fake_signal(int signal_number, int kind)
{
    fake.signals++;
    fake.last_signal = signal_number;
    fake.last_kind = kind;
}

static int fake_host_action(int signal_number, const struct sigaction *action,
                            struct sigaction *ret_before)
{
    if (signal_number == 0 || signal_number != fake.owned_signal)
        return 1;
    fake.host_actions++;
    if (ret_before != NULL)
        *ret_before = fake.host_action;
    if (action != NULL)
        fake.host_action = *action;
    return 0;
}

/* Ours carry this value. */
#define FAKE_COOKIE 4711

static bool fake_is_runtimes(const siginfo_t *info)
{
    fake.signals_asked++;
    return info->si_code == SI_QUEUE && info->si_value.sival_int == FAKE_COOKIE;
}

static void fake_heap_allocated(struct rth_thread_heap *heap, const void *block, size_t size_bytes)
{
    (void)heap;
    (void)block;
    (void)size_bytes;
    fake.blocks_allocated++;
}

static void fake_heap_freed_unseen(void)
{
    fake.blocks_freed++;
}

static bool fake_heap_forget(const void *block, struct rth_heap_sample *ret_sample)
{
    (void)block;
    (void)ret_sample;
    fake.blocks_forgotten++;
    return false;
}

static void fake_heap_remember(const struct rth_heap_sample *sample)
{
    (void)sample;
    fake.blocks_remembered++;
}

/* Marks rise, so that a test sees which one came back. These keep errno. */
static uint64_t fake_map_mark(void)
{
    return (uint64_t)++fake.marks;
}

static bool fake_map_is_known(uintptr_t address)
{
    return address == fake.known_map;
}

static void fake_map_added(uintptr_t address, size_t length, bool is_anonymous, uintptr_t caller)
{
    fake.maps_added++;
    fake.map = (struct fake_map){
        .is_anonymous = is_anonymous, .address = address, .caller = caller, .bytes = length};
}

static void fake_map_removed(uint64_t mark, uintptr_t address, size_t length)
{
    fake.maps_removed++;
    fake.map = (struct fake_map){.mark = mark, .address = address, .bytes = length};
}

static void fake_map_moved(uint64_t mark, bool known, uintptr_t before, size_t before_bytes,
                           uintptr_t after, size_t after_bytes, uintptr_t caller)
{
    fake.maps_moved++;
    fake.map = (struct fake_map){
        .mark = mark,
        .known = known,
        .before = before,
        .address = after,
        .caller = caller,
        .before_bytes = before_bytes,
        .bytes = after_bytes,
    };
}

static void fake_wait_begin(struct rth_sync_wait *wait)
{
    bool is_lock = wait->frame.kind != RTH_WAIT_COND && wait->frame.kind != RTH_WAIT_SEMAPHORE;
    wait->registration = is_lock && !fake.registers_nothing;
    fake.waits_begun++;
}

static bool fake_wait_end(struct rth_sync_wait *wait, bool has_lock)
{
    (void)wait;
    fake.waits_ended++;
    return fake.keeps && has_lock;
}

static void fake_release_begin(struct rth_sync_release *release)
{
    release->delay_ns = fake.charge_ns;
    release->count = 1;
    fake.releases_begun++;
    fake.release = *release;
}

static bool fake_release_end(const struct rth_sync_release *release)
{
    (void)release;
    fake.releases_ended++;
    return false;
}

static struct rth_interpose_ops fake_ops;

/* The table, live in this process. Forked children start unadopted. */
static inline const struct rth_interpose_ops *fake_runtime_new(void)
{
    fake = (struct fake_runtime){.owner = getpid()};
    void *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (page == MAP_FAILED || madvise(page, 4096, MADV_WIPEONFORK) != 0)
        return NULL;
    fake.enabled = page;
    *fake.enabled = 1;
    fake_ops = (struct rth_interpose_ops){
        .struct_size = sizeof(fake_ops),
        .version = RTH_INTERPOSE_ABI_VERSION,
        .enabled = fake.enabled,
        .owner_pid = &fake.owner,
        .thread_prepare = fake_prepare,
        .thread_abandon = fake_abandon,
        .thread_run = fake_run,
        .child_calm = fake_calm,
        .child_forked_sigsafe = fake_forked,
        .ids_change_begin = fake_ids_begin,
        .ids_change_end = fake_ids_end,
        .threads_quiesce = fake_quiesce,
        .threads_resume = fake_resume,
        .signal_action_sigsafe = fake_signal,
        .signal_host_action_sigsafe = fake_host_action,
        .signal_is_runtimes_sigsafe = fake_is_runtimes,
        .heap_allocated_nomalloc = fake_heap_allocated,
        .heap_freed_unseen_nomalloc = fake_heap_freed_unseen,
        .heap_forget_nomalloc = fake_heap_forget,
        .heap_remember_nomalloc = fake_heap_remember,
        .map_mark_nomalloc = fake_map_mark,
        .map_is_known_nomalloc = fake_map_is_known,
        .map_added_nomalloc = fake_map_added,
        .map_removed_nomalloc = fake_map_removed,
        .map_moved_nomalloc = fake_map_moved,
        .sync_wait_begin_nomalloc = fake_wait_begin,
        .sync_wait_end_nomalloc = fake_wait_end,
        .sync_release_begin_nomalloc = fake_release_begin,
        .sync_release_end_nomalloc = fake_release_end,
    };
    return &fake_ops;
}

/* Attaches it in place of an earlier case's; returns what attach does. */
static inline int fake_runtime_attach(void)
{
    (void)rth_interpose_attach(NULL, NULL);
    return rth_interpose_attach(fake_runtime_new(), NULL);
}

#endif /* RTH_TESTS_INTERPOSE_FAKE_H */
