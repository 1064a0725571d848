/* SPDX-License-Identifier: MIT */
/*
 * The CPU sampler.
 *
 * Purpose: one signal per period of CPU time of each thread, a stack and the thread's label set per
 * signal, a counter per pair of them. The weight of a signal is its period times one plus the
 * kernel's count of overruns. The first expiry is random within a period, or what an ended thread
 * left of its own: so the sum is the CPU time used, also when no thread lives for a period.
 * Threads: the handler runs on the sampled thread; threads that start and end while a capture runs
 * make and delete their timer themselves (timers.c); the sweep on rth-work finds those it was not
 * told of (sweep.c). A timer's signal always goes to the thread whose clock it is: one for the
 * whole process would be delivered to a sleeper when the thread that runs blocks it. Locks:
 * rth__cpu_sampled_lock (RTH_RANK_SAMPLED) around slots and timers, never in the handler. Fork: a
 * child inherits no timer; its slots read as zero. Failure: threads take turns where timers are
 * short (RLIMIT_SIGPENDING), and the profile says so. Cost: 2 us per sample, 6 us per thread start
 * while a capture runs, nothing otherwise.
 */
#include "profile/cpu/sampler.h"

#include <errno.h>
#include <string.h>

#include "core/service_thread.h"
#include "os/clock.h"
#include "os/procfs.h"
#include "profile/cpu/slots.h"
#include "profile/cpu/timers.h"
#include "record/loader.h"
#include "thread/context.h"
#include "thread/registry.h"
#include "thread/sigmux.h"

/* Captures run at once; one sweep serves them all. */
#define SWEEP_NS_MIN (50 * RTH_NS_PER_MS)
/* Fibers and alternate stacks have no limits that we could trust: a thread stops asking. */
#define UNANSWERED_MAX 16u

struct rth_counted rth__cpu_counted = {.name = "cpu"};

/* rth-work's. */
static int capture_hz[RTH_CPU_CAPTURES_MAX];
static int capture_count;
static int64_t last_sweep_ns;

static struct {
    _Atomic uint64_t samples, periods, lost_late_ns;
    _Atomic uint64_t ends[RTH_UNWIND_END_COUNT];
} counts;

/* Time whose stack is not known: the next sample takes it over. */
static _Atomic uint64_t owed_ns;

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
    uint64_t high = atomic_load_explicit(&slot->stack_high, memory_order_acquire);
    uint64_t low = atomic_load_explicit(&slot->stack_low, memory_order_relaxed);
    if (sp >= low && sp < high) {
        stack.low = sp;
        stack.high = high;
    } else if (atomic_load_explicit(&slot->seen_sp, memory_order_relaxed) == 0 &&
               atomic_load_explicit(&slot->unanswered, memory_order_relaxed) < UNANSWERED_MAX) {
        atomic_store_explicit(&slot->seen_thread_pointer, thread_pointer(), memory_order_relaxed);
        atomic_store_explicit(&slot->seen_sp, sp, memory_order_release);
    }
    return stack;
}

void rth__cpu_sampler_add(const struct rth_cpu_slot *slot, const rth_frame *frames,
                          unsigned frame_count, uint64_t ns)
{
    uint64_t period_ns = (uint64_t)atomic_load_explicit(&slot->period_ns, memory_order_relaxed);
    if (period_ns == 0)
        return;
    uint64_t values[RTH_COUNTED_VALUES] = {(ns + period_ns / 2) / period_ns, ns};
    uint32_t label_set = atomic_load_explicit(&slot->label_set, memory_order_relaxed);
    rth__counted_add_sigsafe(&rth__cpu_counted, frames, frame_count, label_set, values);
    count_one(&counts.periods, values[0]);
}

void rth__cpu_sampler_owe(uint64_t ns)
{
    count_one(&owed_ns, ns);
}

static uint64_t take_owed(void)
{
    /* Nearly always nothing: a load leaves the line shared. */
    return atomic_load_explicit(&owed_ns, memory_order_relaxed) == 0
               ? 0
               : atomic_exchange_explicit(&owed_ns, 0, memory_order_relaxed);
}

void rth__cpu_sampler_forgive(void)
{
    count_one(&counts.lost_late_ns, take_owed());
}

static void record(struct rth_cpu_slot *slot, rth_frame *frames, uint64_t ns, const void *ucontext)
{
    struct rth_registers registers;
    rth__registers_from_ucontext_sigsafe(ucontext, &registers);
    struct rth_unwind_stack stack = stack_of(slot, registers.value[RTH_REG_RSP]);
    enum rth_unwind_end end;
    unsigned count =
        rth__unwind_sigsafe(&registers, &stack, slot->cache, frames, RTH_UNWIND_FRAMES_MAX, &end);
    if (frames == slot->frames)
        atomic_store_explicit(&slot->frame_count, count, memory_order_relaxed);
    atomic_store_explicit(&slot->label_set, rth__context_label_set_sigsafe(), memory_order_relaxed);
    rth__cpu_sampler_add(slot, frames, count, ns + take_owed());
    count_one(&counts.samples, 1);
    count_one(&counts.ends[end], 1);
}

static void on_timer(uint32_t cookie, const siginfo_t *info, void *ucontext)
{
    struct rth_cpu_slot *slot = rth__cpu_slot_enter_sigsafe(cookie, info->si_timerid);
    if (slot == NULL)
        return; /* whoever deleted the timer has handed its periods on */
    uint64_t periods = 1 + (info->si_overrun > 0 ? (uint64_t)info->si_overrun : 0);
    uint64_t ns = periods * (uint64_t)atomic_load_explicit(&slot->weight_ns, memory_order_relaxed);
    count_one(&slot->periods, periods);
    rth_frame *frames = slot->frames, *borrowed = NULL;
    if (frames == NULL)
        frames = borrowed = rth__cpu_frames_borrow_sigsafe();
    if (frames != NULL)
        record(slot, frames, ns, ucontext);
    else
        rth__cpu_sampler_owe(ns);
    if (borrowed != NULL)
        rth__cpu_frames_return_sigsafe(borrowed);
    rth__cpu_slot_leave_sigsafe(slot);
}

/* ---- captures ------------------------------------------------------------------------------ */

static void sweep_now(int root_fd)
{
    bool loader_changed = rth__loader_changed(); /* asked each time: it counts the looks */
    if (loader_changed || rth__unwind_refresh_wanted())
        (void)rth__unwind_refresh(root_fd);
    rth__record_housekeeping();
    rth__cpu_sweep(root_fd);
    last_sweep_ns = rth__clock_monotonic_ns_sigsafe();
}

void rth__cpu_sampler_sweep(int root_fd)
{
    if (rth__clock_monotonic_ns_sigsafe() - last_sweep_ns >= SWEEP_NS_MIN)
        sweep_now(root_fd);
}

/* The rate changed: every timer takes it over. */
static void set_rate(void)
{
    int hz = 0;
    for (int i = 0; i < capture_count; i++)
        hz = capture_hz[i] > hz ? capture_hz[i] : hz;
    rth__cpu_timers_set_period(hz > 0 ? RTH_NS_PER_S / hz : 0);
}

static const struct rth_thread_observer thread_observer = {rth__cpu_timers_thread_started,
                                                           rth__cpu_timers_thread_ending};

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
    capture_hz[capture_count++] = hz;
    set_rate();
    rth__thread_observe(&thread_observer);
    /* Twice: a thread that was created while the first scan ran may have passed the observer before
     * it was set and the directory after it was read. */
    sweep_now(root_fd);
    sweep_now(root_fd);
    return 0;
}

void rth__cpu_sampler_release(int hz)
{
    for (int i = 0; i < capture_count; i++) {
        if (capture_hz[i] != hz)
            continue;
        capture_hz[i] = capture_hz[--capture_count];
        break;
    }
    if (capture_count == 0)
        rth__thread_observe(NULL);
    set_rate();
}

unsigned rth__cpu_sampler_last_stack(int tid, rth_frame *ret_frames, uint32_t *ret_label_set)
{
    RTH__LOCK_SCOPE(&rth__cpu_sampled_lock);
    struct rth_cpu_slot *slot = rth__cpu_slot_find_locked(tid);
    if (slot == NULL || slot->frames == NULL)
        return 0;
    /* A handler that writes them meanwhile is inside now, or has counted its periods by then. */
    uint64_t periods = atomic_load_explicit(&slot->periods, memory_order_acquire);
    if (atomic_load_explicit(&slot->handlers, memory_order_acquire) != 0)
        return 0;
    unsigned count = atomic_load_explicit(&slot->frame_count, memory_order_relaxed);
    memcpy(ret_frames, slot->frames, count * sizeof(*ret_frames));
    uint32_t label_set = atomic_load_explicit(&slot->label_set, memory_order_relaxed);
    atomic_thread_fence(memory_order_acquire);
    if (atomic_load_explicit(&slot->handlers, memory_order_relaxed) != 0 ||
        atomic_load_explicit(&slot->periods, memory_order_relaxed) != periods)
        return 0;
    *ret_label_set = label_set;
    return count;
}

/* ---- what is told -------------------------------------------------------------------------- */

void rth__cpu_counts_read(struct rth_cpu_counts *ret_counts)
{
    ret_counts->samples = atomic_load_explicit(&counts.samples, memory_order_relaxed);
    ret_counts->periods = atomic_load_explicit(&counts.periods, memory_order_relaxed);
    ret_counts->lost_late_ns = atomic_load_explicit(&counts.lost_late_ns, memory_order_relaxed) +
                               atomic_load_explicit(&owed_ns, memory_order_relaxed);
    for (unsigned i = 0; i < RTH_UNWIND_END_COUNT; i++)
        ret_counts->ends[i] = atomic_load_explicit(&counts.ends[i], memory_order_relaxed);
}

void rth__cpu_coverage_read(struct rth_cpu_coverage *ret_coverage)
{
    RTH__LOCK_SCOPE(&rth__cpu_sampled_lock);
    const struct rth_cpu_timers *timers = &rth__cpu_timers;
    *ret_coverage = (struct rth_cpu_coverage){
        .threads = timers->existing,
        .threads_waiting = timers->waiting,
        .threads_masked = timers->masked,
        .threads_filtered = timers->filtered,
        .threads_unplaced = timers->unplaced,
        .waiting_reason = timers->reason,
        .unplaced_reason = timers->unplaced_reason,
        .hz = timers->period_ns > 0 ? (int)(RTH_NS_PER_S / timers->period_ns) : 0,
    };
}

/* A thread of ours that could not be ended may make timers yet; the one that writes the log does
 * not. */
static bool a_thread_may_make_timers(int root_fd)
{
    int tids[RTH_SERVICE_THREAD_MAX];
    int count = rth__service_thread_tids(tids, RTH_SERVICE_THREAD_MAX);
    for (int i = 0; i < count; i++) {
        struct rth_proc_status status;
        if (rth__proc_status_read(root_fd, 0, tids[i], &status) != 0 ||
            strcmp(status.name, "rth-call") != 0)
            return true;
    }
    return false;
}

void rth__cpu_sampler_stop(int root_fd)
{
    if (a_thread_may_make_timers(root_fd))
        return;
    rth__thread_observe(NULL);
    capture_count = 0;
    last_sweep_ns = 0;
    set_rate();
    rth__sigmux_release(root_fd);
}

void rth__cpu_sampler_child_reset(void)
{
    capture_count = 0;
    last_sweep_ns = 0;
    memset(&counts, 0, sizeof(counts));
    owed_ns = 0;
    rth__cpu_timers_child_reset();
}
