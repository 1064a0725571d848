/* SPDX-License-Identifier: MIT */
#include "profile/cpu/timers.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>

#include "os/clock.h"
#include "thread/cpu_timer.h"
#include "thread/sigmux.h"

#define LEFTOVERS_MAX 64u
/* A change of turns costs about 12 us per timer on rth-work: about 1 % of it. */
#define TURN_NS_MIN       (100 * RTH_NS_PER_MS)
#define TURN_NS_PER_TIMER RTH_NS_PER_MS

struct rth_lock rth__cpu_sampled_lock = RTH_LOCK_INIT(RTH_RANK_SAMPLED);
struct rth_cpu_timers rth__cpu_timers;

/* The rest is protected by rth__cpu_sampled_lock. */

/* What threads that ended had left to their next expiry, and whole periods that the kernel had not
 * noticed yet (it looks at ticks only). Threads that start take it over. */
static struct leftover {
    int64_t left_ns;
    uint32_t owed;
} leftovers[LEFTOVERS_MAX];
static unsigned leftover_count;
static int64_t last_turn_ns;
static uint64_t random_state;

/* ---- one timer ----------------------------------------------------------------------------- */

static uint64_t next_random(void)
{
    random_state += (uint64_t)rth__clock_monotonic_ns_sigsafe() | 1;
    uint64_t noise = random_state;
    noise = (noise ^ noise >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    noise = (noise ^ noise >> 27) * UINT64_C(0x94d049bb133111eb);
    return noise ^ noise >> 31;
}

/* In (0, period]: where in its period a thread stands is not known, and random is fair. */
static int64_t random_first_ns(int64_t period_ns)
{
    return (int64_t)(next_random() % (uint64_t)period_ns) + 1;
}

static void arm_locked(struct rth_cpu_slot *slot, int64_t first_ns)
{
    int64_t period_ns = rth__cpu_timers.period_ns;
    atomic_store_explicit(&slot->period_ns, period_ns, memory_order_relaxed);
    atomic_store_explicit(&slot->weight_ns, period_ns, memory_order_relaxed);
    atomic_store_explicit(&slot->periods, 0, memory_order_relaxed);
    slot->looked_periods = 0;
    slot->first_ns = first_ns;
    slot->armed_cpu_ns = slot->looked_cpu_ns = rth__clock_thread_cpu_ns_sigsafe(slot->tid);
    (void)rth__cpu_timer_set(slot->timer_id, first_ns, period_ns);
}

static void note_refusal_locked(int error)
{
    struct rth_cpu_timers *timers = &rth__cpu_timers;
    if (error == -EINVAL)
        return;
    timers->allowed = timers->existing;
    timers->reason = error == -EAGAIN ? "the kernel refuses more timers (RLIMIT_SIGPENDING)"
                     : error == -EPERM || error == -EACCES || error == -ENOSYS
                         ? "the kernel refuses timers (a seccomp filter)"
                         : "the kernel has no memory for timers";
}

/* leftover: NULL for a random phase. */
static int give_locked(struct rth_cpu_slot *slot, const struct leftover *leftover)
{
    struct rth_cpu_timers *timers = &rth__cpu_timers;
    if (timers->signal_number == 0) {
        timers->reason = "the program uses every signal we could";
        return -EBUSY;
    }
    if (timers->existing >= timers->allowed) {
        if (timers->reason == NULL)
            timers->reason = "half of what RLIMIT_SIGPENDING leaves free is used";
        return -EAGAIN;
    }
    int timer_id;
    int error = rth__cpu_timer_create(
        slot->tid, timers->signal_number,
        rth__sigmux_cookie(RTH_SIGMUX_CPU, rth__cpu_slot_cookie(slot)), &timer_id);
    if (error != 0) {
        note_refusal_locked(error);
        return error;
    }
    timers->existing++;
    atomic_store_explicit(&slot->timer_id, timer_id, memory_order_release);
    if (leftover != NULL)
        atomic_fetch_add_explicit(&slot->owed, leftover->owed, memory_order_relaxed);
    arm_locked(slot, leftover != NULL ? leftover->left_ns : random_first_ns(timers->period_ns));
    return 0;
}

int rth__cpu_timers_give_locked(struct rth_cpu_slot *slot)
{
    return give_locked(slot, NULL);
}

void rth__cpu_timers_delete_locked(struct rth_cpu_slot *slot)
{
    if (!rth__cpu_slot_has_timer(slot))
        return;
    rth__cpu_timer_delete(slot->timer_id);
    atomic_store_explicit(&slot->timer_id, RTH_CPU_NO_TIMER, memory_order_release);
    rth__cpu_timers.existing--;
}

void rth__cpu_timers_drop_locked(struct rth_cpu_slot *slot)
{
    rth__cpu_timers_delete_locked(slot);
    rth__cpu_slot_give_locked(slot);
}

/* Deletes the timer of a live thread, and keeps what it had not counted: expiries that have passed
 * unnoticed go to the stack of the thread's last sample, if the thread is the caller (it writes
 * that stack), else to whoever gets the next timer; and so does what is left to the next expiry. */
static void settle_locked(struct rth_cpu_slot *slot, bool is_caller)
{
    if (!rth__cpu_slot_has_timer(slot))
        return;
    rth__cpu_timers_delete_locked(slot);
    int64_t period_ns = atomic_load_explicit(&slot->period_ns, memory_order_relaxed);
    int64_t used_ns = rth__clock_thread_cpu_ns_sigsafe(slot->tid) - slot->armed_cpu_ns;
    if (used_ns < 0 || period_ns == 0)
        return;
    int64_t expiries = used_ns < slot->first_ns ? 0 : 1 + (used_ns - slot->first_ns) / period_ns;
    int64_t missed = expiries - (int64_t)atomic_load_explicit(&slot->periods, memory_order_relaxed);
    missed = missed > 0 ? missed : 0;
    missed += atomic_exchange_explicit(&slot->owed, 0, memory_order_relaxed);
    unsigned frame_count =
        is_caller ? atomic_load_explicit(&slot->frame_count, memory_order_relaxed) : 0;
    if (missed > 0 && frame_count > 0)
        rth__cpu_sampler_add(slot, frame_count, (uint64_t)missed);
    if (leftover_count == LEFTOVERS_MAX)
        return;
    leftovers[leftover_count++] = (struct leftover){
        .left_ns = slot->first_ns + expiries * period_ns - used_ns,
        .owed = frame_count > 0 ? 0 : (uint32_t)missed,
    };
}

static void give_leftover_locked(struct rth_cpu_slot *slot)
{
    if (leftover_count == 0)
        (void)give_locked(slot, NULL);
    else if (give_locked(slot, &leftovers[leftover_count - 1]) == 0)
        leftover_count--;
}

/* ---- all timers ---------------------------------------------------------------------------- */

static void arm_again_locked(struct rth_cpu_slot *slot, void *unused)
{
    (void)unused;
    if (rth__cpu_slot_has_timer(slot))
        arm_locked(slot, random_first_ns(rth__cpu_timers.period_ns));
}

static void drop_any_locked(struct rth_cpu_slot *slot, void *unused)
{
    (void)unused;
    rth__cpu_timers_drop_locked(slot);
}

void rth__cpu_timers_set_period(int64_t period_ns)
{
    RTH__LOCK_SCOPE(&rth__cpu_sampled_lock);
    if (period_ns == rth__cpu_timers.period_ns)
        return;
    rth__cpu_timers.period_ns = period_ns;
    leftover_count = 0;
    last_turn_ns = 0;
    if (period_ns != 0) {
        rth__cpu_slots_each_locked(arm_again_locked, NULL);
        return;
    }
    rth__cpu_slots_each_locked(drop_any_locked, NULL);
    rth__cpu_slots_trim_locked();
    rth__cpu_timers = (struct rth_cpu_timers){0};
}

/* ---- turns ----------------------------------------------------------------------------------- */

/* Two groups, so that threads that run are seen nearly always and those that slept are not left
 * out. In each, the timers go to neighbours behind a random start: every thread is as likely. */
struct group {
    uint32_t threads, timers, start, position;
};
struct turn {
    struct group group[2]; /* [is_active] */
    int64_t active_ns;     /* CPU that makes a thread active */
};

static void sort_locked(struct rth_cpu_slot *slot, void *userdata)
{
    struct turn *turn = userdata;
    if (slot->masked)
        return;
    int64_t cpu_ns = rth__clock_thread_cpu_ns_sigsafe(slot->tid);
    slot->is_active = cpu_ns - slot->turn_cpu_ns >= turn->active_ns;
    slot->turn_cpu_ns = cpu_ns;
    turn->group[slot->is_active].threads++;
}

static bool is_chosen(struct group *group)
{
    uint32_t place = (group->position++ + group->threads - group->start) % group->threads;
    return place < group->timers;
}

static void end_turn_locked(struct rth_cpu_slot *slot, void *userdata)
{
    struct turn *turn = userdata;
    if (!slot->masked && !is_chosen(&turn->group[slot->is_active]))
        settle_locked(slot, false);
}

static void begin_turn_locked(struct rth_cpu_slot *slot, void *userdata)
{
    struct turn *turn = userdata;
    if (slot->masked)
        return;
    struct group *group = &turn->group[slot->is_active];
    if (!is_chosen(group)) {
        rth__cpu_timers.waiting++;
        return;
    }
    if (!rth__cpu_slot_has_timer(slot))
        give_leftover_locked(slot);
    atomic_store_explicit(&slot->weight_ns,
                          rth__cpu_timers.period_ns * group->threads / group->timers,
                          memory_order_relaxed);
}

static void weigh_alone_locked(struct rth_cpu_slot *slot, void *unused)
{
    (void)unused;
    atomic_store_explicit(&slot->weight_ns, rth__cpu_timers.period_ns, memory_order_relaxed);
}

static uint32_t least(uint32_t left, uint32_t right)
{
    return left < right ? left : right;
}

void rth__cpu_timers_take_turns_locked(int64_t now_ns)
{
    struct rth_cpu_timers *timers = &rth__cpu_timers;
    if (timers->waiting == 0 && timers->existing <= timers->allowed) {
        timers->reason = NULL;
        if (last_turn_ns != 0)
            rth__cpu_slots_each_locked(weigh_alone_locked, NULL);
        last_turn_ns = 0;
        return;
    }
    int64_t turn_ns = timers->allowed * TURN_NS_PER_TIMER;
    turn_ns = turn_ns > TURN_NS_MIN ? turn_ns : TURN_NS_MIN;
    /* Half: the sweeps that call us come a little early or late. */
    if ((timers->allowed == 0 && timers->existing == 0) || now_ns - last_turn_ns < turn_ns / 2)
        return;
    /* A hundredth of a CPU. */
    struct turn turn = {.active_ns = (last_turn_ns != 0 ? now_ns - last_turn_ns : turn_ns) / 100};
    last_turn_ns = now_ns;
    rth__cpu_slots_each_locked(sort_locked, &turn);
    struct group *active = &turn.group[1], *rest = &turn.group[0];
    uint32_t for_rest = active->threads == 0 ? timers->allowed : timers->allowed / 4;
    active->timers = least(active->threads, timers->allowed - least(for_rest, rest->threads));
    rest->timers = least(rest->threads, timers->allowed - active->timers);
    for (int i = 0; i < 2; i++)
        if (turn.group[i].threads > 0)
            turn.group[i].start = (uint32_t)(next_random() % turn.group[i].threads);
    rth__cpu_slots_each_locked(end_turn_locked, &turn);
    active->position = rest->position = 0;
    timers->waiting = 0;
    rth__cpu_slots_each_locked(begin_turn_locked, &turn);
}

/* ---- threads that start and end -------------------------------------------------------------- */

/* A handler of the host's must not leave by longjmp or pthread_exit while we hold the lock. */
static void block_signals(sigset_t *ret_before)
{
    static const int faults[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGSYS, SIGABRT};
    sigset_t all;
    (void)sigfillset(&all);
    for (unsigned i = 0; i < sizeof(faults) / sizeof(faults[0]); i++)
        (void)sigdelset(&all, faults[i]);
    (void)pthread_sigmask(SIG_BLOCK, &all, ret_before);
}

static void add_started(int tid, const sigset_t *mask)
{
    RTH__LOCK_SCOPE(&rth__cpu_sampled_lock);
    const struct rth_cpu_timers *timers = &rth__cpu_timers;
    if (timers->period_ns == 0 || !timers->hooks_are_safe)
        return;
    struct rth_cpu_slot *slot = rth__cpu_slot_find_locked(tid);
    if (slot != NULL && rth__cpu_slot_has_timer(slot)) {
        if (rth__cpu_timer_left_ns(slot->timer_id) != 0)
            return;                        /* a sweep was faster */
        rth__cpu_timers_drop_locked(slot); /* of the number's previous bearer */
        slot = NULL;
    }
    if (slot == NULL)
        slot = rth__cpu_slot_take_locked(tid);
    if (slot == NULL)
        return;
    slot->masked = timers->signal_number != 0 && sigismember(mask, timers->signal_number) == 1;
    if (!slot->masked)
        give_leftover_locked(slot);
}

void rth__cpu_timers_thread_started(int tid)
{
    sigset_t mask;
    block_signals(&mask);
    add_started(tid, &mask);
    (void)pthread_sigmask(SIG_SETMASK, &mask, NULL);
}

static void remove_ending(int tid)
{
    RTH__LOCK_SCOPE(&rth__cpu_sampled_lock);
    struct rth_cpu_slot *slot = rth__cpu_slot_find_locked(tid);
    if (slot == NULL || !rth__cpu_timers.hooks_are_safe)
        return; /* the next sweep finds it gone */
    settle_locked(slot, true);
    rth__cpu_slot_give_locked(slot);
}

void rth__cpu_timers_thread_ending(int tid)
{
    sigset_t mask;
    block_signals(&mask);
    remove_ending(tid);
    (void)pthread_sigmask(SIG_SETMASK, &mask, NULL);
}

void rth__cpu_timers_child_reset(void)
{
    rth__lock_reset(&rth__cpu_sampled_lock);
    rth__cpu_timers = (struct rth_cpu_timers){0};
    leftover_count = 0;
    last_turn_ns = 0;
    rth__cpu_slots_child_reset();
}
