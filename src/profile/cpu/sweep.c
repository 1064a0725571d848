/* SPDX-License-Identifier: MIT */
/*
 * The sweep: every 100 ms while a capture runs, rth-work looks at all threads. It finds those that
 * nobody told of (raw clones, threads older than the capture), drops those that ended without a
 * word, keeps timers away from threads that block the signal (a timer's signal would wait there,
 * for the host to find by sigwait or signalfd) and from those under a seccomp filter that rth-work
 * is not under (the return from our handler is a system call), gives limits of stacks to handlers
 * that asked, and moves all timers when the host took the signal. Cost: about 3 us per thread, and
 * 15 us for a thread that is new or makes no progress.
 */
#include <errno.h>
#include <string.h>

#include "core/service_thread.h"
#include "os/clock.h"
#include "os/dir.h"
#include "os/maps.h"
#include "os/procfs.h"
#include "os/rawsys.h"
#include "profile/cpu/timers.h"
#include "thread/cpu_timer.h"
#include "thread/sigmux.h"

#define WANTED_MAX 128u
/* Each thread's status is read at least once in as many sweeps. */
#define LOOK_SWEEPS 8u

/* rth-work's. */
static uint32_t sweep_mark;
static struct rth_proc_status own_status; /* seccomp 0 where it could not be read */

/* ---- what is allowed ------------------------------------------------------------------------- */

static void settle_any_locked(struct rth_cpu_slot *slot, void *unused)
{
    (void)unused;
    rth__cpu_timers_settle_locked(slot);
    slot->looked = false;
}

static void set_signal(int number)
{
    RTH__LOCK_SCOPE(&rth__cpu_sampled_lock);
    rth__cpu_timers.signal_number = number;
}

static bool is_armed(void)
{
    RTH__LOCK_SCOPE(&rth__cpu_sampled_lock);
    return rth__cpu_timers.period_ns != 0;
}

/* False when nothing is to be done. */
static bool begin(void)
{
    if (!is_armed())
        return false;
    int number = rth__sigmux_acquire();
    number = number > 0 ? number : 0;
    if (number == rth__cpu_timers.signal_number) /* written here alone */
        return true;
    set_signal(0); /* no timer is made meanwhile */
    rth__cpu_timers_each(settle_any_locked, NULL);
    set_signal(number);
    return true;
}

/* A filter of the host's that rth-work is not under: a system call of ours on that thread might be
 * its end. */
static bool is_filtered(const struct rth_proc_status *status)
{
    return status->seccomp > 0 && (status->seccomp != own_status.seccomp ||
                                   status->seccomp_filters > own_status.seccomp_filters);
}

/* Never more than half of what the user's limit leaves free: the host's own sigqueue needs it. */
static void read_allowance(int root_fd)
{
    struct rth_proc_status status;
    bool known = rth__proc_status_read(root_fd, 0, 0, &status) == 0;
    RTH__LOCK_SCOPE(&rth__cpu_sampled_lock);
    struct rth_cpu_timers *timers = &rth__cpu_timers;
    timers->allowed = UINT32_MAX;
    if (!known)
        return;
    uint64_t ours = timers->existing;
    uint64_t others = status.sig_queued > ours ? status.sig_queued - ours : 0;
    uint64_t left = status.sig_queued_limit > others ? status.sig_queued_limit - others : 0;
    if (left / 2 < UINT32_MAX)
        timers->allowed = (uint32_t)(left / 2);
}

/* ---- the threads ----------------------------------------------------------------------------- */

/* The thread's status is worth a look: it is new, or used CPU for which a timer should have fired,
 * or may have unblocked the signal, or was not looked at for long: a filter is seen by nothing
 * else.
 */
static bool is_doubtful_locked(struct rth_cpu_slot *slot)
{
    if (!slot->looked || (sweep_mark + slot->index) % LOOK_SWEEPS == 0)
        return true;
    uint64_t periods = atomic_load_explicit(&slot->periods, memory_order_relaxed);
    bool has_timer = rth__cpu_slot_has_timer(slot);
    if (has_timer && periods != slot->looked_periods) {
        slot->looked_periods = periods;
        slot->looked_cpu_ns = rth__clock_thread_cpu_ns_sigsafe(slot->tid);
        return false;
    }
    int64_t used_ns = rth__clock_thread_cpu_ns_sigsafe(slot->tid) - slot->looked_cpu_ns;
    int64_t patience_ns = 2 * (rth__cpu_timers.period_ns + rth__cpu_timer_tick_ns());
    if (used_ns >= 0 && used_ns < (has_timer ? patience_ns : RTH_NS_PER_MS))
        return false;
    slot->looked_cpu_ns += used_ns;
    return true;
}

/* True when its status is to be read. */
static bool look_at(int tid)
{
    RTH__LOCK_SCOPE(&rth__cpu_sampled_lock);
    if (rth__cpu_timers.period_ns == 0)
        return false;
    struct rth_cpu_slot *slot = rth__cpu_slot_find_locked(tid);
    if (slot != NULL && rth__cpu_slot_has_timer(slot) &&
        rth__cpu_timer_left_ns(slot->timer_id) == 0) {
        rth__cpu_timers_drop_locked(slot); /* the number was given to another thread */
        slot = NULL;
    }
    if (slot == NULL)
        slot = rth__cpu_slot_take_locked(tid);
    if (slot == NULL) {
        rth__cpu_timers.unplaced_reason = "more threads than 32768, or no memory for them";
        rth__cpu_timers.unplaced++;
        return false;
    }
    slot->mark = sweep_mark;
    return is_doubtful_locked(slot);
}

static void settle_status(int root_fd, int tid)
{
    struct rth_proc_status status;
    if (rth__proc_status_read(root_fd, 0, tid, &status) != 0)
        return;
    RTH__LOCK_SCOPE(&rth__cpu_sampled_lock);
    int number = rth__cpu_timers.signal_number;
    struct rth_cpu_slot *slot = rth__cpu_slot_find_locked(tid);
    if (slot == NULL || number == 0)
        return;
    slot->looked = true;
    slot->masked = (status.sig_blocked >> (number - 1) & 1) != 0;
    slot->filtered = is_filtered(&status);
    if (rth__cpu_slot_is_barred(slot))
        rth__cpu_timers_settle_locked(slot);
}

static void give_if_due(int tid)
{
    RTH__LOCK_SCOPE(&rth__cpu_sampled_lock);
    struct rth_cpu_slot *slot = rth__cpu_slot_find_locked(tid);
    if (slot == NULL || rth__cpu_timers.period_ns == 0)
        return;
    struct rth_cpu_timers *timers = &rth__cpu_timers;
    timers->filtered += slot->filtered;
    timers->masked += slot->masked && !slot->filtered;
    if (rth__cpu_slot_is_barred(slot) || rth__cpu_slot_has_timer(slot))
        return;
    int error = rth__cpu_timers_give_locked(slot);
    if (error == -EBUSY)
        timers->unplaced_reason = "the program uses every signal we could";
    timers->unplaced += error == -EBUSY;
    timers->waiting += error != 0 && error != -EINVAL && error != -EBUSY;
}

static void drop_unmarked_locked(struct rth_cpu_slot *slot, void *unused)
{
    (void)unused;
    /* Dead by the kernel's word, or in no list of threads: one that started meanwhile has a timer
     * that runs. */
    if (slot->mark != sweep_mark &&
        (!rth__cpu_slot_has_timer(slot) || rth__cpu_timer_left_ns(slot->timer_id) == 0))
        rth__cpu_timers_drop_locked(slot);
}

/* Threads of any origin. */
static void scan_threads(int root_fd)
{
    struct rth_dir dir;
    if (rth__dir_open(&dir, root_fd, "proc/self/task") != 0)
        return;
    sweep_mark++;
    rth__lock(&rth__cpu_sampled_lock);
    struct rth_cpu_timers *timers = &rth__cpu_timers;
    timers->waiting = timers->unplaced = timers->masked = timers->filtered = 0;
    rth__unlock(&rth__cpu_sampled_lock);
    int tid, error = 0;
    while ((tid = rth__dir_next_number(&dir, &error)) != 0) {
        if (rth__service_thread_has(tid))
            continue;
        if (look_at(tid))
            settle_status(root_fd, tid);
        give_if_due(tid);
    }
    rth__dir_close(&dir);
    if (error == 0)
        rth__cpu_timers_each(drop_unmarked_locked, NULL);
    /* A thread that starts has the filters of the one that made it. */
    atomic_store_explicit(&timers->hooks_are_safe, error == 0 && timers->filtered == 0,
                          memory_order_relaxed);
}

/* ---- limits of stacks ------------------------------------------------------------------------ */

struct wanted {
    uint32_t cookie; /* of the slot */
    int tid;
    uint64_t sp, thread_pointer;
    uint64_t low, high; /* the answer; high 0: none */
};
static struct wanted wanted[WANTED_MAX]; /* rth-work's */
static unsigned wanted_count;

static void collect_locked(struct rth_cpu_slot *slot, void *unused)
{
    (void)unused;
    uint64_t sp = atomic_load_explicit(&slot->seen_sp, memory_order_acquire);
    if (sp == 0 || wanted_count == WANTED_MAX)
        return;
    wanted[wanted_count++] = (struct wanted){
        .cookie = rth__cpu_slot_cookie(slot),
        .tid = slot->tid,
        .sp = sp,
        .thread_pointer = atomic_load_explicit(&slot->seen_thread_pointer, memory_order_relaxed),
    };
}

/* Where both the stack pointer and, above it, the thread's descriptor are is the thread's own
 * stack, and stays for its life; the main thread's is named. Anything else (a fiber's stack, an
 * alternate one) may go away at any time and is probed each time. */
static void offer(const struct rth_map *map)
{
    if ((map->flags & RTH_MAP_WRITE) == 0)
        return;
    for (unsigned i = 0; i < wanted_count; i++) {
        struct wanted *one = &wanted[i];
        if (one->sp < map->start || one->sp >= map->limit)
            continue;
        one->low = map->start;
        if (strcmp(map->path, "[stack]") == 0)
            one->high = map->limit;
        else if (one->thread_pointer > one->sp && one->thread_pointer < map->limit)
            one->high = one->thread_pointer;
    }
}

static void answer_all(void)
{
    RTH__LOCK_SCOPE(&rth__cpu_sampled_lock);
    for (unsigned i = 0; i < wanted_count; i++) {
        const struct wanted *one = &wanted[i];
        struct rth_cpu_slot *slot = rth__cpu_slot_find_locked(one->tid);
        if (slot == NULL || rth__cpu_slot_cookie(slot) != one->cookie)
            continue;
        if (one->high != 0) {
            atomic_store_explicit(&slot->stack_high, 0, memory_order_relaxed);
            atomic_store_explicit(&slot->stack_low, one->low, memory_order_release);
            atomic_store_explicit(&slot->stack_high, one->high, memory_order_release);
            atomic_store_explicit(&slot->unanswered, 0, memory_order_relaxed);
        } else {
            atomic_fetch_add_explicit(&slot->unanswered, 1, memory_order_relaxed);
        }
        atomic_store_explicit(&slot->seen_sp, 0, memory_order_relaxed);
    }
}

static void find_limits(int root_fd)
{
    wanted_count = 0;
    rth__cpu_timers_each(collect_locked, NULL);
    static struct rth_maps_reader reader; /* large; rth-work's */
    if (wanted_count == 0 || rth__maps_open(&reader, root_fd, 0) != 0)
        return;
    int result;
    while ((result = rth__maps_next(&reader)) == 1 || result == -EBADMSG)
        if (result == 1)
            offer(&reader.map);
    rth__maps_close(&reader);
    answer_all();
}

void rth__cpu_sweep(int root_fd)
{
    if (!begin())
        return;
    if (rth__proc_status_read(root_fd, 0, rth__raw_gettid_sigsafe(), &own_status) != 0)
        own_status = (struct rth_proc_status){0};
    read_allowance(root_fd);
    scan_threads(root_fd);
    rth__cpu_timers_take_turns(rth__clock_monotonic_ns_sigsafe());
    find_limits(root_fd);
}
