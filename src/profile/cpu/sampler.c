/* SPDX-License-Identifier: MIT */
/*
 * The CPU sampler.
 *
 * Purpose: one signal per period of CPU time of each thread, a stack per signal, a counter per
 * stack. The weight of a signal is its period times one plus the kernel's count of overruns. The
 * first expiry is random within a period, or what an ended thread left of its own: so the sum is
 * the CPU time used, also when no thread lives for a period.
 * Threads: the handler runs on the sampled thread; threads that start and end while a capture runs
 * make and delete their timer themselves; the sweep on rth-work finds those it was not told of.
 * Locks: sampled_lock (RTH_RANK_SAMPLED) around slots and timers, never in the handler.
 * Fork: a child inherits no timer; its slots read as zero.
 * Failure: a thread that can have no timer (RLIMIT_SIGPENDING) shares the timer of the process, and
 * the profile says so. Cost: 2 us per sample, 5 us per thread start while a capture runs, nothing
 * otherwise.
 */
#include "profile/cpu/sampler.h"

#include <errno.h>
#include <string.h>
#include <ucontext.h>

#include "core/lock.h"
#include "core/service_thread.h"
#include "os/clock.h"
#include "os/dir.h"
#include "os/maps.h"
#include "os/procfs.h"
#include "os/rawsys.h"
#include "profile/cpu/slots.h"
#include "record/loader.h"
#include "thread/cpu_timer.h"
#include "thread/registry.h"
#include "thread/sigmux.h"

/* The cookie of the timer of the process; no slot has it, since its index is beyond all chunks. */
#define SHARED_COOKIE UINT32_MAX
/* A thread of the shared timer needs memory to unwind into. */
#define SHARED_SCRATCHES 8u
#define LEFTOVERS_MAX    64u

struct rth_counted rth__cpu_counted = {.name = "cpu"};

static struct rth_lock sampled_lock = RTH_LOCK_INIT(RTH_RANK_SAMPLED);
/* Protected by sampled_lock. */
static int capture_hz[RTH_CPU_CAPTURES_MAX];
static int capture_count;
static _Atomic int64_t interval_ns; /* 0: disarmed */
static int shared_timer_id = RTH_CPU_NO_TIMER;
static uint32_t sweep_mark;
/* What threads that ended had left to their next expiry, and whole periods that the kernel had not
 * noticed yet (it looks at ticks only). Threads that start take it over. */
static struct leftover {
    int64_t left_ns;
    uint32_t owed;
} leftovers[LEFTOVERS_MAX];
static unsigned leftover_count;
static uint32_t timers_allowed;
static const char *shared_reason;
static _Atomic uint32_t threads_shared;

static struct {
    _Atomic uint64_t samples, periods, lost_late, lost_busy;
    _Atomic uint64_t ends[RTH_UNWIND_END_COUNT];
} counts;

static struct {
    atomic_flag busy;
    rth_frame frames[RTH_UNWIND_FRAMES_MAX];
} shared_scratches[SHARED_SCRATCHES];

/* ---- in the signal handler ----------------------------------------------------------------- */

static void count_one(_Atomic uint64_t *counter, uint64_t added)
{
    atomic_fetch_add_explicit(counter, added, memory_order_relaxed);
}

static uint64_t thread_pointer(void)
{
    return (uint64_t)(uintptr_t)__builtin_thread_pointer();
}

/* The limits that the sweep found for the thread, when they hold sp; otherwise every page is
 * probed, and the next sweep is asked for limits. */
static struct rth_unwind_stack stack_of(struct rth_cpu_slot *slot, uint64_t sp)
{
    struct rth_unwind_stack stack = {.probe = true};
    if (slot == NULL)
        return stack;
    uint64_t high = atomic_load_explicit(&slot->stack_high, memory_order_acquire);
    uint64_t low = atomic_load_explicit(&slot->stack_low, memory_order_relaxed);
    if (sp >= low && sp < high) {
        stack.low = sp;
        stack.high = high;
    } else if (atomic_load_explicit(&slot->seen_sp, memory_order_relaxed) == 0) {
        atomic_store_explicit(&slot->seen_thread_pointer, thread_pointer(), memory_order_relaxed);
        atomic_store_explicit(&slot->seen_sp, sp, memory_order_release);
    }
    return stack;
}

static void add(const rth_frame *frames, unsigned count, uint64_t periods, int64_t period_ns)
{
    uint64_t values[RTH_COUNTED_VALUES] = {periods, periods * (uint64_t)period_ns};
    rth__counted_add_sigsafe(&rth__cpu_counted, frames, count, RTH_LABEL_SET_NONE, values);
    count_one(&counts.periods, periods);
}

static unsigned record(struct rth_cpu_slot *slot, rth_frame *frames, uint64_t periods,
                       int64_t period_ns, const void *ucontext)
{
    struct rth_registers registers;
    rth__registers_from_ucontext_sigsafe(ucontext, &registers);
    struct rth_unwind_stack stack = stack_of(slot, registers.value[RTH_REG_RSP]);
    enum rth_unwind_end end;
    unsigned count = rth__unwind_sigsafe(&registers, &stack, slot != NULL ? slot->cache : NULL,
                                         frames, RTH_UNWIND_FRAMES_MAX, &end);
    add(frames, count, periods, period_ns);
    count_one(&counts.samples, 1);
    count_one(&counts.ends[end], 1);
    return count;
}

/* The timer of the process interrupts whichever thread runs; those with a timer of their own have
 * been counted by it. */
static void on_shared_timer(uint64_t periods, const void *ucontext)
{
    int64_t period_ns = atomic_load_explicit(&interval_ns, memory_order_relaxed);
    if (period_ns == 0 || rth__cpu_slot_exists_sigsafe(rth__raw_gettid_sigsafe()))
        return;
    for (unsigned i = 0; i < SHARED_SCRATCHES; i++) {
        if (atomic_flag_test_and_set_explicit(&shared_scratches[i].busy, memory_order_acquire))
            continue;
        (void)record(NULL, shared_scratches[i].frames, periods, period_ns, ucontext);
        atomic_flag_clear_explicit(&shared_scratches[i].busy, memory_order_release);
        return;
    }
    count_one(&counts.lost_busy, 1);
}

static void on_timer(uint32_t cookie, const siginfo_t *info, void *ucontext)
{
    uint64_t periods = 1 + (info->si_overrun > 0 ? (uint64_t)info->si_overrun : 0);
    if (cookie == SHARED_COOKIE) {
        on_shared_timer(periods, ucontext);
        return;
    }
    struct rth_cpu_slot *slot = rth__cpu_slot_of_cookie_sigsafe(cookie);
    if (slot == NULL) {
        count_one(&counts.lost_late, 1);
        return;
    }
    count_one(&slot->periods, periods);
    periods += atomic_exchange_explicit(&slot->owed, 0, memory_order_relaxed);
    unsigned count =
        record(slot, slot->frames, periods,
               atomic_load_explicit(&slot->interval_ns, memory_order_relaxed), ucontext);
    atomic_store_explicit(&slot->frame_count, count, memory_order_relaxed);
}

/* ---- arming -------------------------------------------------------------------------------- */

/* In (0, period]: where in its period a thread stands is not known, and random is fair. */
static int64_t random_first_ns(int tid, int64_t period_ns)
{
    uint64_t noise = (uint64_t)rth__clock_monotonic_ns_sigsafe() ^ (uint64_t)tid << 32;
    noise = (noise ^ noise >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    noise = (noise ^ noise >> 27) * UINT64_C(0x94d049bb133111eb);
    noise ^= noise >> 31;
    return (int64_t)(noise % (uint64_t)period_ns) + 1;
}

static void arm_locked(struct rth_cpu_slot *slot, int64_t first_ns)
{
    int64_t period_ns = atomic_load_explicit(&interval_ns, memory_order_relaxed);
    atomic_store_explicit(&slot->interval_ns, period_ns, memory_order_relaxed);
    atomic_store_explicit(&slot->periods, 0, memory_order_relaxed);
    slot->first_ns = first_ns;
    slot->armed_cpu_ns = rth__clock_thread_cpu_ns_sigsafe(slot->tid);
    (void)rth__cpu_timer_set(slot->timer_id, first_ns, period_ns);
}

static void arm_at_random_locked(struct rth_cpu_slot *slot, void *unused)
{
    (void)unused;
    arm_locked(
        slot, random_first_ns(slot->tid, atomic_load_explicit(&interval_ns, memory_order_relaxed)));
}

static void drop_locked(struct rth_cpu_slot *slot)
{
    rth__cpu_timer_delete(slot->timer_id);
    rth__cpu_slot_give_locked(slot);
}

/* leftover: NULL for a random phase. 0, or why the thread has no timer; -EINVAL: it has ended. */
static int add_thread_locked(int tid, const struct leftover *leftover)
{
    if (rth__cpu_slots_used() >= timers_allowed) {
        shared_reason = "half of what RLIMIT_SIGPENDING leaves free is used";
        return -EAGAIN;
    }
    struct rth_cpu_slot *slot = rth__cpu_slot_take_locked(tid);
    if (slot == NULL) {
        shared_reason = "no memory for another thread";
        return -ENOMEM;
    }
    union sigval cookie = rth__sigmux_cookie(RTH_SIGMUX_CPU, rth__cpu_slot_cookie(slot));
    int error = rth__cpu_timer_create(tid, rth__sigmux_signal(), cookie, &slot->timer_id);
    if (error != 0) {
        rth__cpu_slot_give_locked(slot);
        if (error == -EAGAIN)
            shared_reason = "the kernel refuses more timers (RLIMIT_SIGPENDING)";
        return error;
    }
    slot->mark = sweep_mark;
    if (leftover == NULL) {
        arm_at_random_locked(slot, NULL);
        return 0;
    }
    atomic_store_explicit(&slot->owed, leftover->owed, memory_order_relaxed);
    arm_locked(slot, leftover->left_ns);
    return 0;
}

static void thread_started(int tid)
{
    RTH__LOCK_SCOPE(&sampled_lock);
    if (atomic_load_explicit(&interval_ns, memory_order_relaxed) == 0 ||
        rth__cpu_slot_find_locked(tid) != NULL)
        return;
    (void)add_thread_locked(tid, leftover_count > 0 ? &leftovers[--leftover_count] : NULL);
}

/* Expiries that have passed unnoticed go to the stack of the thread's last sample; to the next
 * thread when it has none. On the thread, after its timer was deleted: nothing is counted twice. */
static void settle_locked(struct rth_cpu_slot *slot)
{
    int64_t period_ns = atomic_load_explicit(&slot->interval_ns, memory_order_relaxed);
    int64_t used_ns = rth__clock_thread_cpu_ns_sigsafe(slot->tid) - slot->armed_cpu_ns;
    if (used_ns < 0 || period_ns == 0)
        return;
    int64_t expiries = used_ns < slot->first_ns ? 0 : 1 + (used_ns - slot->first_ns) / period_ns;
    int64_t missed = expiries - (int64_t)atomic_load_explicit(&slot->periods, memory_order_relaxed);
    missed += atomic_load_explicit(&slot->owed, memory_order_relaxed);
    missed = missed > 0 ? missed : 0;
    unsigned frame_count = atomic_load_explicit(&slot->frame_count, memory_order_relaxed);
    if (missed > 0 && frame_count > 0)
        add(slot->frames, frame_count, (uint64_t)missed, period_ns);
    if (leftover_count == LEFTOVERS_MAX)
        return;
    leftovers[leftover_count++] = (struct leftover){
        .left_ns = slot->first_ns + expiries * period_ns - used_ns,
        .owed = frame_count > 0 ? 0 : (uint32_t)missed,
    };
}

static void thread_ending(int tid)
{
    RTH__LOCK_SCOPE(&sampled_lock);
    struct rth_cpu_slot *slot = rth__cpu_slot_find_locked(tid);
    if (slot == NULL)
        return;
    rth__cpu_timer_delete(slot->timer_id);
    settle_locked(slot);
    rth__cpu_slot_give_locked(slot);
}

static const struct rth_thread_observer thread_observer = {thread_started, thread_ending};

static void set_shared_timer_locked(bool wanted)
{
    int64_t period_ns = atomic_load_explicit(&interval_ns, memory_order_relaxed);
    if (!wanted && shared_timer_id != RTH_CPU_NO_TIMER) {
        rth__cpu_timer_delete(shared_timer_id);
        shared_timer_id = RTH_CPU_NO_TIMER;
    }
    if (!wanted)
        return;
    if (shared_timer_id == RTH_CPU_NO_TIMER &&
        rth__cpu_timer_create(0, rth__sigmux_signal(),
                              rth__sigmux_cookie(RTH_SIGMUX_CPU, SHARED_COOKIE),
                              &shared_timer_id) != 0) {
        shared_timer_id = RTH_CPU_NO_TIMER;
        return;
    }
    (void)rth__cpu_timer_set(shared_timer_id, random_first_ns(0, period_ns), period_ns);
}

/* ---- the sweep ----------------------------------------------------------------------------- */

/* Never more than half of what the user's limit leaves free: the host's own sigqueue needs it. */
static void read_allowance_locked(int root_fd)
{
    struct rth_proc_status status;
    timers_allowed = UINT32_MAX;
    if (rth__proc_status_read(root_fd, 0, 0, &status) != 0)
        return;
    uint64_t ours = rth__cpu_slots_used() + (shared_timer_id != RTH_CPU_NO_TIMER);
    uint64_t others = status.sig_queued > ours ? status.sig_queued - ours : 0;
    uint64_t left = status.sig_queued_limit > others ? status.sig_queued_limit - others : 0;
    if (left / 2 < UINT32_MAX)
        timers_allowed = (uint32_t)(left / 2);
}

static bool is_service_thread(int tid, const int *ours, int our_count)
{
    for (int i = 0; i < our_count; i++)
        if (ours[i] == tid)
            return true;
    return false;
}

/* Threads of any origin: those that have a timer are marked, the others get one. */
static void scan_threads_locked(int root_fd)
{
    int ours[RTH_SERVICE_THREAD_MAX];
    int our_count = rth__service_thread_tids(ours, RTH_SERVICE_THREAD_MAX);
    struct rth_dir dir;
    if (rth__dir_open(&dir, root_fd, "proc/self/task") != 0)
        return;
    uint32_t without = 0;
    int tid, error;
    while ((tid = rth__dir_next_number(&dir, &error)) != 0) {
        if (is_service_thread(tid, ours, our_count))
            continue;
        struct rth_cpu_slot *slot = rth__cpu_slot_find_locked(tid);
        if (slot != NULL && rth__cpu_timer_left_ns(slot->timer_id) == 0) {
            drop_locked(slot); /* the number was given to another thread */
            slot = NULL;
        }
        if (slot != NULL) {
            slot->mark = sweep_mark;
            continue;
        }
        int added = add_thread_locked(tid, NULL);
        without += added != 0 && added != -EINVAL;
    }
    rth__dir_close(&dir);
    atomic_store_explicit(&threads_shared, without, memory_order_relaxed);
    if (without == 0)
        shared_reason = NULL;
    if ((without != 0) != (shared_timer_id != RTH_CPU_NO_TIMER))
        set_shared_timer_locked(without != 0);
}

static void drop_unmarked_locked(struct rth_cpu_slot *slot, void *unused)
{
    (void)unused;
    if (slot->mark != sweep_mark)
        drop_locked(slot);
}

struct pending_limits {
    const struct rth_map *map; /* NULL: only count */
    bool any;
};

/* A mapping that holds both the stack pointer and the thread's descriptor is the thread's own
 * stack, and stays for its life; the main thread's is named. Anything else (a fiber's stack, an
 * alternate one) may go away at any time and is probed each time. */
static void offer_map_locked(struct rth_cpu_slot *slot, void *userdata)
{
    struct pending_limits *pending = userdata;
    uint64_t sp = atomic_load_explicit(&slot->seen_sp, memory_order_acquire);
    if (sp == 0)
        return;
    pending->any = true;
    const struct rth_map *map = pending->map;
    if (map == NULL || sp < map->start || sp >= map->limit)
        return;
    uint64_t pointer = atomic_load_explicit(&slot->seen_thread_pointer, memory_order_relaxed);
    if ((pointer >= map->start && pointer < map->limit) || strcmp(map->path, "[stack]") == 0) {
        atomic_store_explicit(&slot->stack_high, 0, memory_order_relaxed);
        atomic_store_explicit(&slot->stack_low, map->start, memory_order_release);
        atomic_store_explicit(&slot->stack_high, map->limit, memory_order_release);
    }
    atomic_store_explicit(&slot->seen_sp, 0, memory_order_relaxed);
}

static void find_limits_locked(int root_fd)
{
    struct pending_limits pending = {0};
    rth__cpu_slots_each_locked(offer_map_locked, &pending);
    static struct rth_maps_reader reader; /* large; sampled_lock held */
    if (!pending.any || rth__maps_open(&reader, root_fd, 0) != 0)
        return;
    int result;
    while ((result = rth__maps_next(&reader)) == 1 || result == -EBADMSG) {
        pending.map = &reader.map;
        if (result == 1 && (reader.map.flags & RTH_MAP_WRITE) != 0)
            rth__cpu_slots_each_locked(offer_map_locked, &pending);
    }
    rth__maps_close(&reader);
}

void rth__cpu_sampler_sweep(int root_fd)
{
    if (rth__loader_changed() || rth__unwind_refresh_wanted())
        (void)rth__unwind_refresh(root_fd);
    rth__record_housekeeping();
    RTH__LOCK_SCOPE(&sampled_lock);
    if (atomic_load_explicit(&interval_ns, memory_order_relaxed) == 0)
        return;
    sweep_mark++;
    read_allowance_locked(root_fd);
    scan_threads_locked(root_fd);
    rth__cpu_slots_each_locked(drop_unmarked_locked, NULL);
    find_limits_locked(root_fd);
}

/* ---- captures ------------------------------------------------------------------------------ */

/* The rate changed: every timer takes it over. */
static void set_rate_locked(void)
{
    int hz = 0;
    for (int i = 0; i < capture_count; i++)
        hz = capture_hz[i] > hz ? capture_hz[i] : hz;
    int64_t period_ns = hz > 0 ? RTH_NS_PER_S / hz : 0;
    if (period_ns == atomic_load_explicit(&interval_ns, memory_order_relaxed))
        return;
    atomic_store_explicit(&interval_ns, period_ns, memory_order_relaxed);
    leftover_count = 0;
    if (period_ns == 0)
        return;
    rth__cpu_slots_each_locked(arm_at_random_locked, NULL);
    set_shared_timer_locked(shared_timer_id != RTH_CPU_NO_TIMER);
}

int rth__cpu_sampler_acquire(int root_fd, int hz)
{
    int error = rth__counted_init(&rth__cpu_counted);
    if (error == 0 && capture_count == RTH_CPU_CAPTURES_MAX)
        error = -EBUSY;
    if (error != 0)
        return error;
    rth__sigmux_handle(RTH_SIGMUX_CPU, on_timer);
    int signal_number = rth__sigmux_acquire();
    if (signal_number < 0)
        return signal_number;
    (void)rth__unwind_refresh(root_fd);
    rth__lock(&sampled_lock);
    capture_hz[capture_count++] = hz;
    set_rate_locked();
    rth__unlock(&sampled_lock);
    rth__thread_observe(&thread_observer);
    /* Twice: a thread that was created while the first scan ran may have passed the observer before
     * it was set and the directory after it was read. */
    rth__cpu_sampler_sweep(root_fd);
    rth__cpu_sampler_sweep(root_fd);
    return 0;
}

static void drop_any_locked(struct rth_cpu_slot *slot, void *unused)
{
    (void)unused;
    drop_locked(slot);
}

void rth__cpu_sampler_release(int hz)
{
    RTH__LOCK_SCOPE(&sampled_lock);
    for (int i = 0; i < capture_count; i++) {
        if (capture_hz[i] != hz)
            continue;
        capture_hz[i] = capture_hz[--capture_count];
        break;
    }
    set_rate_locked();
    if (capture_count != 0)
        return;
    rth__thread_observe(NULL);
    rth__cpu_slots_each_locked(drop_any_locked, NULL);
    set_shared_timer_locked(false);
    rth__cpu_slots_trim_locked();
}

/* ---- what is told -------------------------------------------------------------------------- */

void rth__cpu_counts_read(struct rth_cpu_counts *ret_counts)
{
    ret_counts->samples = atomic_load_explicit(&counts.samples, memory_order_relaxed);
    ret_counts->periods = atomic_load_explicit(&counts.periods, memory_order_relaxed);
    ret_counts->lost_late = atomic_load_explicit(&counts.lost_late, memory_order_relaxed);
    ret_counts->lost_busy = atomic_load_explicit(&counts.lost_busy, memory_order_relaxed);
    for (unsigned i = 0; i < RTH_UNWIND_END_COUNT; i++)
        ret_counts->ends[i] = atomic_load_explicit(&counts.ends[i], memory_order_relaxed);
}

void rth__cpu_coverage_read(struct rth_cpu_coverage *ret_coverage)
{
    RTH__LOCK_SCOPE(&sampled_lock);
    int64_t period_ns = atomic_load_explicit(&interval_ns, memory_order_relaxed);
    *ret_coverage = (struct rth_cpu_coverage){
        .threads = rth__cpu_slots_used(),
        .threads_shared = atomic_load_explicit(&threads_shared, memory_order_relaxed),
        .shared_timer = shared_timer_id != RTH_CPU_NO_TIMER,
        .shared_reason = shared_reason,
        .hz = period_ns > 0 ? (int)(RTH_NS_PER_S / period_ns) : 0,
    };
}

void rth__cpu_sampler_child_reset(void)
{
    rth__lock_reset(&sampled_lock);
    memset(capture_hz, 0, sizeof(capture_hz));
    capture_count = 0;
    leftover_count = 0;
    interval_ns = 0;
    shared_timer_id = RTH_CPU_NO_TIMER;
    shared_reason = NULL;
    threads_shared = 0;
    for (unsigned i = 0; i < SHARED_SCRATCHES; i++)
        atomic_flag_clear(&shared_scratches[i].busy);
    rth__cpu_slots_child_reset();
}
