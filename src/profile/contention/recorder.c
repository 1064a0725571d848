/* SPDX-License-Identifier: MIT */
/*
 * From waits to rows.
 *
 * Purpose: who waits for locks (block) and who lets others wait (mutex), with stack and labels. A
 * thread that finds a lock busy comes here before and after its wait; one that gives back a lock
 * that others wait for comes here before and after that (interpose/sync.h). Nothing else does.
 * Sampling: points lie at random on the time waited, one per interval on average, and a wait that
 * holds one is recorded with the weight that makes it stand for all of its length
 * (profile/poisson.h). While there are more than some hundred samples a second the interval grows,
 * which keeps the cost bounded and the sums true. Exact totals are counted apart. Where the time
 * goes: what a holder is charged is fixed before the unlock, so that whoever gets the lock next is
 * not charged for it; its stack is taken after. A waiter's stack must be taken while its frame is
 * there, with the lock held: some 100 ns, of a sampled wait alone. It is recorded after the unlock
 * (keep.h). A condition's wait gives its mutex back inside libc: that holder's stack is taken
 * before, and kept as well. Threads: any of the host's, inside allocators too. Locks: ours alone,
 * for some 100 ns, never while a lock operation of the host runs. A signal handler that interrupts
 * its thread in here is let through unrecorded. Failure: what is lost is counted per cause, and
 * said in the profiles. Cost: 60 ns per wait, 20 ns per unlock that others wait for, 0.5 us per
 * sample.
 */
#include "profile/contention/recorder.h"

#include <errno.h>
#include <stdatomic.h>
#include <string.h>

#include "core/enable.h"
#include "os/clock.h"
#include "profile/contention/keep.h"
#include "profile/contention/waiters.h"
#include "profile/early.h"
#include "profile/poisson.h"
#include "thread/context.h"

struct rth_sites rth__contention_sites = {.lock = RTH_LOCK_INIT(RTH_RANK_SITES)};

static _Atomic bool is_recording;
static _Atomic uint64_t samples[2], lost_nested, without_stack, in_lock;

/* ---- the calling thread --------------------------------------------------------------------- */

#define KEPT_MAX 4u

/* How far it is to the next point on the time of one kind. */
struct point {
    uint64_t left_ns;
    uint64_t interval_ns; /* for which it was drawn; 0: not drawn */
};

struct local {
    uint32_t generation; /* of the runtime that the rest is of */
    bool is_inside;
    uint8_t kept_count;
    struct rth_poisson poisson;
    struct point points[2];
    /* The wait that is registered with its lock; at most one. number 0: none. */
    struct {
        uint64_t number;
        uintptr_t lock;
        int64_t since_ns;
        const struct rth_sync_wait *wait;
    } registered;
    struct {
        uintptr_t lock; /* until it is given back */
        struct rth_kept sample;
    } kept[KEPT_MAX];
};
static __thread struct local local __attribute__((tls_model("initial-exec")));

static bool enter(void)
{
    if (local.is_inside) {
        atomic_fetch_add_explicit(&lost_nested, 1, memory_order_relaxed);
        return false;
    }
    local.is_inside = true;
    atomic_signal_fence(memory_order_seq_cst);
    uint32_t generation = rth__enable_page()->generation;
    if (local.generation != generation) {
        local.generation = generation;
        local.kept_count = 0;
        local.registered.number = 0;
        memset(local.points, 0, sizeof(local.points));
    }
    return true;
}

static void leave(void)
{
    atomic_signal_fence(memory_order_seq_cst);
    local.is_inside = false;
}

/* ---- how many samples ----------------------------------------------------------------------- */

#define WINDOW_NS          (250 * RTH_NS_PER_MS)
#define WINDOW_SAMPLES_MAX 250u
#define INTERVAL_NS_MAX    (UINT64_C(1) << 50)

static _Atomic uint64_t interval_base_ns, interval_now_ns;
static _Atomic int64_t window_began_ns;
static _Atomic uint32_t window_samples;

static void window_open(int64_t now_ns)
{
    atomic_store_explicit(&window_began_ns, now_ns, memory_order_relaxed);
    atomic_store_explicit(&window_samples, 0, memory_order_relaxed);
}

static void interval_change(bool longer)
{
    uint64_t base_ns = atomic_load_explicit(&interval_base_ns, memory_order_relaxed);
    uint64_t interval_ns = atomic_load_explicit(&interval_now_ns, memory_order_relaxed);
    if (longer ? interval_ns >= INTERVAL_NS_MAX : interval_ns / 2 < base_ns)
        return;
    atomic_store_explicit(&interval_now_ns, longer ? interval_ns * 2 : interval_ns / 2,
                          memory_order_relaxed);
}

/* Threads that do this at once may do it twice: the next window does it back. An interval of 1 was
 * asked for to have all. */
static void adapt(int64_t now_ns, uint32_t new_samples)
{
    if (atomic_load_explicit(&interval_base_ns, memory_order_relaxed) <= 1)
        return;
    uint32_t count =
        atomic_fetch_add_explicit(&window_samples, new_samples, memory_order_relaxed) + new_samples;
    int64_t began_ns = atomic_load_explicit(&window_began_ns, memory_order_relaxed);
    if (count > WINDOW_SAMPLES_MAX) {
        window_open(now_ns);
        interval_change(true);
    } else if (now_ns - began_ns > WINDOW_NS) {
        window_open(now_ns);
        if (count < WINDOW_SAMPLES_MAX / 4)
            interval_change(false);
    }
}

uint64_t rth__contention_interval_ns(void)
{
    return atomic_load_explicit(&interval_now_ns, memory_order_relaxed);
}

/* Whether the next point of that kind lies within that time, which passes now. */
static bool is_sampled(uint32_t kind, uint64_t delay_ns, uint64_t interval_ns)
{
    struct point *point = &local.points[kind];
    if (point->interval_ns != interval_ns) {
        point->interval_ns = interval_ns;
        point->left_ns = rth__poisson_gap(&local.poisson, interval_ns);
    }
    if (delay_ns < point->left_ns) {
        point->left_ns -= delay_ns;
        return false;
    }
    point->left_ns = rth__poisson_gap(&local.poisson, interval_ns);
    return true;
}

/* ---- exact totals --------------------------------------------------------------------------- */

#define SHARDS 32u

enum { TOTAL_LOCK, TOTAL_COND, TOTAL_SEMAPHORE, TOTALS };

static struct shard {
    _Alignas(64) _Atomic uint64_t waits[TOTALS];
    _Atomic uint64_t wait_ns[TOTALS];
} shards[SHARDS];

static void count_wait(uint32_t kind, uint64_t wait_ns)
{
    /* Threads lie pages apart. */
    struct shard *shard = &shards[(uintptr_t)&local / 4096 % SHARDS];
    int total = kind == RTH_WAIT_COND        ? TOTAL_COND
                : kind == RTH_WAIT_SEMAPHORE ? TOTAL_SEMAPHORE
                                             : TOTAL_LOCK;
    atomic_fetch_add_explicit(&shard->waits[total], 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&shard->wait_ns[total], wait_ns, memory_order_relaxed);
}

void rth__contention_totals_read(struct rth_contention_totals *ret_totals)
{
    struct rth_contention_totals totals = {0};
    for (unsigned i = 0; i < SHARDS; i++) {
        const struct shard *shard = &shards[i];
        totals.lock_waits += shard->waits[TOTAL_LOCK];
        totals.lock_wait_ns += shard->wait_ns[TOTAL_LOCK];
        totals.cond_waits += shard->waits[TOTAL_COND];
        totals.cond_wait_ns += shard->wait_ns[TOTAL_COND];
        totals.semaphore_waits += shard->waits[TOTAL_SEMAPHORE];
        totals.semaphore_wait_ns += shard->wait_ns[TOTAL_SEMAPHORE];
    }
    *ret_totals = totals;
}

/* ---- stacks taken too early ----------------------------------------------------------------- */

/* Protected by the lock of the sites. */
static struct rth_early early;
static struct early_sample {
    bool is_taken;
    uint32_t kind;
    uintptr_t leaf;
    uint64_t count, delay_ns;
} early_samples[RTH_EARLY_MAX];

static void add_locked(uint32_t kind, const rth_frame *frames, unsigned frame_count,
                       uint32_t label_set, uint64_t count, uint64_t delay_ns)
{
    if (frame_count == 0)
        atomic_fetch_add_explicit(&without_stack, 1, memory_order_relaxed);
    uint32_t site =
        rth__site_intern_locked(&rth__contention_sites, kind, frames, frame_count, label_set);
    rth__site_add_locked(&rth__contention_sites, site, count, delay_ns);
}

/* The calling thread's stack, to be walked when there are rows for its code. */
static bool keep_early(const struct rth_contention_sample *sample, uintptr_t leaf, uintptr_t pc)
{
    RTH__LOCK_SCOPE(&rth__contention_sites.lock);
    uintptr_t index = 0;
    while (index < RTH_EARLY_MAX && early_samples[index].is_taken)
        index++;
    struct rth_early_value value = {
        .key = index, .label_set = sample->label_set, .return_address = pc};
    if (index == RTH_EARLY_MAX || rth__early_put_locked(&early, &value) == 0)
        return false;
    early_samples[index] = (struct early_sample){
        .is_taken = true,
        .kind = sample->kind,
        .leaf = leaf,
        .count = sample->count,
        .delay_ns = sample->delay_ns,
    };
    return true;
}

static void walked_locked(const struct rth_early_value *value, const rth_frame *frames,
                          unsigned count)
{
    rth_frame whole[RTH_STACK_HERE_FRAMES_MAX];
    struct early_sample *sample = &early_samples[value->key];
    if (count > RTH_STACK_HERE_FRAMES_MAX - 1)
        count = RTH_STACK_HERE_FRAMES_MAX - 1;
    if (count > 0) {
        whole[0] = rth__frame_of_address_sigsafe(sample->leaf);
        memcpy(whole + 1, frames, count * sizeof(*frames));
        count++;
    }
    add_locked(sample->kind, whole, count, value->label_set, sample->count, sample->delay_ns);
    sample->is_taken = false;
}

/* ---- one sample ----------------------------------------------------------------------------- */

static void add(const struct rth_contention_sample *sample)
{
    RTH__LOCK_SCOPE(&rth__contention_sites.lock);
    add_locked(sample->kind, sample->frames, sample->frame_count, sample->label_set, sample->count,
               sample->delay_ns);
}

/* What happened in a call of leaf that returns to pc, with its weight. False when it is done: its
 * stack is one of the early ones. */
static bool take(uint32_t kind, uintptr_t leaf, uintptr_t pc, uint64_t count, uint64_t delay_ns,
                 uint64_t interval_ns, int64_t now_ns, struct rth_contention_sample *ret_sample)
{
    double weight = rth__poisson_weight(delay_ns, interval_ns);
    ret_sample->kind = kind;
    ret_sample->label_set = rth__context_label_set_sigsafe();
    ret_sample->count = (uint64_t)(weight * (double)(count << RTH_CONTENTION_COUNT_SHIFT) + 0.5);
    ret_sample->delay_ns = (uint64_t)(weight * (double)delay_ns + 0.5);
    ret_sample->at_ns = now_ns;
    ret_sample->frames[0] = rth__frame_of_address_sigsafe(leaf);
    unsigned frames =
        rth__stack_capture_nomalloc(pc, ret_sample->frames + 1, RTH_STACK_HERE_FRAMES_MAX - 1);
    ret_sample->frame_count = frames == 0 ? 0 : frames + 1;
    atomic_fetch_add_explicit(&samples[kind], 1, memory_order_relaxed);
    adapt(now_ns, 1);
    if (frames != 0 && !rth__stack_is_early_nomalloc(ret_sample->frames, frames + 1))
        return true;
    ret_sample->frame_count = 0;
    return !keep_early(ret_sample, leaf, pc);
}

static void keep_first_no_longer(void)
{
    const struct rth_contention_sample *sample = rth__keep_take(&local.kept[0].sample);
    if (sample != NULL) {
        add(sample);
        rth__keep_free(&local.kept[0].sample);
        atomic_fetch_add_explicit(&in_lock, 1, memory_order_relaxed);
    }
    local.kept_count--;
    memmove(&local.kept[0], &local.kept[1], local.kept_count * sizeof(local.kept[0]));
}

/* A sample of the calling thread; lock: recorded when that is given back, 0: now. */
static void record(uint32_t kind, uintptr_t leaf, uintptr_t pc, uint64_t count, uint64_t delay_ns,
                   uint64_t interval_ns, int64_t now_ns, uintptr_t lock)
{
    struct rth_kept kept;
    struct rth_contention_sample *place = lock != 0 ? rth__keep_place(&kept) : NULL;
    if (place != NULL) {
        if (!take(kind, leaf, pc, count, delay_ns, interval_ns, now_ns, place)) {
            rth__keep_free(&kept);
            return;
        }
        rth__keep_put(&kept);
        if (local.kept_count == KEPT_MAX)
            keep_first_no_longer();
        local.kept[local.kept_count].lock = lock;
        local.kept[local.kept_count++].sample = kept;
        return;
    }
    struct rth_contention_sample sample;
    if (take(kind, leaf, pc, count, delay_ns, interval_ns, now_ns, &sample))
        add(&sample);
    if (lock != 0)
        atomic_fetch_add_explicit(&in_lock, 1, memory_order_relaxed);
}

/* Records what was kept until that lock is given back. */
static void record_kept_of(uintptr_t lock)
{
    unsigned left = 0;
    for (unsigned i = 0; i < local.kept_count; i++) {
        if (local.kept[i].lock != lock) {
            local.kept[left++] = local.kept[i];
            continue;
        }
        const struct rth_contention_sample *sample = rth__keep_take(&local.kept[i].sample);
        if (sample == NULL)
            continue;
        add(sample);
        rth__keep_free(&local.kept[i].sample);
    }
    local.kept_count = (uint8_t)left;
}

/* ---- what the wrappers call ------------------------------------------------------------------ */

static bool is_lock(uint32_t kind)
{
    return kind == RTH_WAIT_MUTEX || kind == RTH_WAIT_RDLOCK || kind == RTH_WAIT_WRLOCK;
}

static void unregister(int64_t now_ns)
{
    rth__waiters_leave(local.registered.number, local.registered.lock, local.registered.since_ns,
                       now_ns);
    local.registered.number = 0;
}

/* One wait per thread: what interrupts it is let through. A wait whose frame lies below this one
 * was left by a longjmp. */
static void register_wait(struct rth_sync_wait *wait)
{
    if (local.registered.number != 0) {
        if ((uintptr_t)local.registered.wait > (uintptr_t)wait)
            return;
        unregister(wait->frame.since_ns);
    }
    wait->registration = rth__waiters_enter(wait->frame.object, wait->frame.since_ns);
    local.registered.number = wait->registration;
    local.registered.lock = wait->frame.object;
    local.registered.since_ns = wait->frame.since_ns;
    local.registered.wait = wait;
}

void rth__sync_wait_begin_nomalloc(struct rth_sync_wait *wait)
{
    wait->registration = 0;
    if (!atomic_load_explicit(&is_recording, memory_order_acquire) || !is_lock(wait->frame.kind) ||
        !enter())
        return;
    int saved_errno = errno;
    register_wait(wait);
    errno = saved_errno;
    leave();
}

bool rth__sync_wait_end_nomalloc(struct rth_sync_wait *wait, bool has_lock)
{
    bool records = atomic_load_explicit(&is_recording, memory_order_acquire);
    if ((!records && wait->registration == 0) || !enter())
        return local.kept_count > 0;
    int saved_errno = errno;
    int64_t now_ns = rth__clock_monotonic_ns_sigsafe();
    if (wait->registration != 0 && local.registered.number != 0 && local.registered.wait == wait)
        unregister(now_ns);
    int64_t waited_ns = now_ns - wait->frame.since_ns;
    if (records && waited_ns >= 0) {
        uint64_t interval_ns = rth__contention_interval_ns();
        count_wait(wait->frame.kind, (uint64_t)waited_ns);
        if (is_sampled(RTH_CONTENTION_BLOCK, (uint64_t)waited_ns, interval_ns))
            record(RTH_CONTENTION_BLOCK, wait->frame.leaf, wait->frame.pc, 1, (uint64_t)waited_ns,
                   interval_ns, now_ns, has_lock ? wait->lock : 0);
    }
    errno = saved_errno;
    leave();
    return local.kept_count > 0;
}

static void charge(const struct rth_sync_release *release, uintptr_t keep_until, int64_t now_ns)
{
    uint64_t interval_ns = rth__contention_interval_ns();
    if (is_sampled(RTH_CONTENTION_MUTEX, release->delay_ns, interval_ns))
        record(RTH_CONTENTION_MUTEX, release->leaf, release->pc, release->count, release->delay_ns,
               interval_ns, now_ns, keep_until);
}

void rth__sync_release_begin_nomalloc(struct rth_sync_release *release)
{
    release->delay_ns = 0;
    release->count = 0;
    if (!atomic_load_explicit(&is_recording, memory_order_acquire) || !enter())
        return;
    int64_t now_ns = rth__clock_monotonic_ns_sigsafe();
    struct rth_waiters_charge charged = rth__waiters_charge(release->lock, now_ns);
    release->delay_ns = charged.delay_ns;
    release->count = charged.count;
    if (release->is_condition != 0 && charged.delay_ns != 0) {
        int saved_errno = errno;
        charge(release, release->lock, now_ns);
        errno = saved_errno;
    }
    leave();
}

bool rth__sync_release_end_nomalloc(const struct rth_sync_release *release)
{
    if (!enter())
        return local.kept_count > 0;
    int saved_errno = errno;
    if (release->delay_ns != 0 && atomic_load_explicit(&is_recording, memory_order_acquire))
        charge(release, 0, rth__clock_monotonic_ns_sigsafe());
    record_kept_of(release->lock);
    errno = saved_errno;
    leave();
    return local.kept_count > 0;
}

/* ---- start, stop, settings ------------------------------------------------------------------- */

static void forget_counts(void)
{
    memset(shards, 0, sizeof(shards));
    samples[0] = samples[1] = lost_nested = without_stack = in_lock = 0;
}

static void drop(const struct rth_contention_sample *sample)
{
    (void)sample;
}

int rth__contention_recorder_start(uint64_t interval_ns)
{
    int error = rth__sites_init(&rth__contention_sites, "contention");
    if (error == 0)
        error = rth__keep_init();
    if (error != 0)
        return error;
    /* Started again after a stop: what threads kept from before it they have forgotten. */
    rth__sites_clear(&rth__contention_sites);
    rth__keep_sweep(INT64_MAX, drop);
    rth__waiters_clear();
    forget_counts();
    atomic_store_explicit(&interval_base_ns, interval_ns, memory_order_relaxed);
    atomic_store_explicit(&interval_now_ns, interval_ns, memory_order_relaxed);
    window_open(rth__clock_monotonic_ns_sigsafe());
    atomic_store_explicit(&is_recording, true, memory_order_release);
    return 0;
}

void rth__contention_recorder_stop(void)
{
    atomic_store_explicit(&is_recording, false, memory_order_release);
}

void rth__contention_recorder_child_reset(void)
{
    rth__contention_recorder_stop();
    rth__sites_child_reset(&rth__contention_sites);
    rth__early_child_reset(&early);
    memset(early_samples, 0, sizeof(early_samples));
    rth__keep_child_reset();
    rth__waiters_child_reset();
    local.is_inside = false;
    forget_counts();
}

void rth__contention_recorder_tick(void)
{
    int64_t now_ns = rth__clock_monotonic_ns_sigsafe();
    adapt(now_ns, 0);
    if (rth__keep_count() != 0)
        rth__keep_sweep(now_ns - RTH_NS_PER_S, add);
}

void rth__contention_recorder_settle(void)
{
    rth__keep_sweep(INT64_MAX, add);
    if (rth__early_count(&early) != 0)
        rth__early_resolve(&early, &rth__contention_sites.lock, walked_locked);
}

void rth__contention_counts_read(struct rth_contention_counts *ret_counts)
{
    *ret_counts = (struct rth_contention_counts){
        .mutex_samples = samples[RTH_CONTENTION_MUTEX],
        .block_samples = samples[RTH_CONTENTION_BLOCK],
        .lost_nested = lost_nested,
        .without_stack = without_stack,
        .in_lock = in_lock,
        .kept = rth__keep_count(),
        .early = rth__early_count(&early),
    };
}
