/* SPDX-License-Identifier: MIT */
#include "profile/cpu/timers.h"

#include <errno.h>
#include <signal.h>

#include "os/clock.h"
#include "os/sigmask.h"
#include "thread/cpu_timer.h"
#include "thread/sigmux.h"

#define LEFTOVERS_MAX 64u
/* A change of turns costs about 12 us per timer on rth-work: about 1 % of it. */
#define TURN_NS_MIN       (100 * RTH_NS_PER_MS)
#define TURN_NS_PER_TIMER RTH_NS_PER_MS

struct rth_lock rth__cpu_sampled_lock = RTH_LOCK_INIT(RTH_RANK_SAMPLED);
struct rth_cpu_timers rth__cpu_timers;

/* The rest is protected by rth__cpu_sampled_lock. */

/* What threads that ended had left to their next expiry: threads that start take it over. Where
 * there are more, the rest is as good as a random phase. */
static int64_t leftovers_ns[LEFTOVERS_MAX];
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

static int give_locked(struct rth_cpu_slot *slot, int64_t first_ns)
{
    struct rth_cpu_timers *timers = &rth__cpu_timers;
    if (timers->signal_number == 0)
        return -EBUSY;
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
    arm_locked(slot, first_ns);
    return 0;
}

int rth__cpu_timers_give_locked(struct rth_cpu_slot *slot)
{
    return give_locked(slot, random_first_ns(rth__cpu_timers.period_ns));
}

static void delete_locked(struct rth_cpu_slot *slot)
{
    if (!rth__cpu_slot_has_timer(slot))
        return;
    rth__cpu_timer_delete(slot->timer_id);
    atomic_store_explicit(&slot->timer_id, RTH_CPU_NO_TIMER, memory_order_release);
    rth__cpu_timers.existing--;
}

void rth__cpu_timers_drop_locked(struct rth_cpu_slot *slot)
{
    delete_locked(slot);
    rth__cpu_slot_give_locked(slot);
}

/* Hands on what a timer of a live thread, now deleted or disarmed, had not counted: expiries that
 * the kernel had not noticed (it looks at ticks only) or whose signal is still under way go to the
 * stack of the thread's last sample, if the thread is the caller (it writes that stack), else to
 * the next sample of any. Returns what is left to the next expiry; 0 when that is not known. */
static int64_t hand_on_locked(struct rth_cpu_slot *slot, bool is_caller)
{
    int64_t period_ns = atomic_load_explicit(&slot->period_ns, memory_order_relaxed);
    int64_t used_ns = rth__clock_thread_cpu_ns_sigsafe(slot->tid) - slot->armed_cpu_ns;
    if (used_ns < 0 || period_ns == 0)
        return 0;
    int64_t expiries = used_ns < slot->first_ns ? 0 : 1 + (used_ns - slot->first_ns) / period_ns;
    int64_t missed = expiries - (int64_t)atomic_load_explicit(&slot->periods, memory_order_relaxed);
    if (missed > 0) {
        uint64_t missed_ns =
            (uint64_t)(missed * atomic_load_explicit(&slot->weight_ns, memory_order_relaxed));
        unsigned frame_count =
            is_caller ? atomic_load_explicit(&slot->frame_count, memory_order_relaxed) : 0;
        if (frame_count > 0)
            rth__cpu_sampler_add(slot, slot->frames, frame_count, missed_ns);
        else
            rth__cpu_sampler_owe(missed_ns);
    }
    return slot->first_ns + expiries * period_ns - used_ns;
}

static void settle_locked(struct rth_cpu_slot *slot, bool is_caller)
{
    if (!rth__cpu_slot_has_timer(slot))
        return;
    delete_locked(slot);
    int64_t left_ns = hand_on_locked(slot, is_caller);
    if (left_ns > 0 && leftover_count < LEFTOVERS_MAX)
        leftovers_ns[leftover_count++] = left_ns;
}

void rth__cpu_timers_settle_locked(struct rth_cpu_slot *slot)
{
    settle_locked(slot, false);
}

static int give_leftover_locked(struct rth_cpu_slot *slot)
{
    if (leftover_count == 0)
        return rth__cpu_timers_give_locked(slot);
    int error = give_locked(slot, leftovers_ns[leftover_count - 1]);
    if (error == 0)
        leftover_count--;
    return error;
}

/* ---- all timers ---------------------------------------------------------------------------- */

void rth__cpu_timers_each(void (*visit)(struct rth_cpu_slot *slot, void *userdata), void *userdata)
{
    uint32_t place = 0;
    for (bool more = true; more;) {
        RTH__LOCK_SCOPE(&rth__cpu_sampled_lock);
        more = rth__cpu_slots_some_locked(&place, visit, userdata);
    }
}

static void arm_again_locked(struct rth_cpu_slot *slot, void *unused)
{
    (void)unused;
    int64_t period_ns = rth__cpu_timers.period_ns;
    if (!rth__cpu_slot_has_timer(slot) ||
        atomic_load_explicit(&slot->period_ns, memory_order_relaxed) == period_ns)
        return;
    (void)rth__cpu_timer_set(slot->timer_id, 0, 0);
    (void)hand_on_locked(slot, false);
    arm_locked(slot, random_first_ns(period_ns));
}

static void drop_any_locked(struct rth_cpu_slot *slot, void *unused)
{
    (void)unused;
    rth__cpu_timers_drop_locked(slot);
}

/* True when it is another one. */
static bool note_period(int64_t period_ns)
{
    RTH__LOCK_SCOPE(&rth__cpu_sampled_lock);
    if (period_ns == rth__cpu_timers.period_ns)
        return false;
    rth__cpu_timers.period_ns = period_ns;
    leftover_count = 0;
    last_turn_ns = 0;
    return true;
}

void rth__cpu_timers_set_period(int64_t period_ns)
{
    if (!note_period(period_ns))
        return;
    if (period_ns != 0) {
        rth__cpu_timers_each(arm_again_locked, NULL);
        return;
    }
    rth__cpu_timers_each(drop_any_locked, NULL);
    rth__cpu_sampler_forgive();
    rth__cpu_slots_trim(); /* without the lock: hooks that find no period take no slot */
    RTH__LOCK_SCOPE(&rth__cpu_sampled_lock);
    rth__cpu_timers = (struct rth_cpu_timers){0};
    leftover_count = 0;
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
    uint32_t allowed;
};

static void sort_locked(struct rth_cpu_slot *slot, void *userdata)
{
    struct turn *turn = userdata;
    if (rth__cpu_slot_is_barred(slot))
        return;
    int64_t cpu_ns = rth__clock_thread_cpu_ns_sigsafe(slot->tid);
    slot->is_active = cpu_ns - slot->turn_cpu_ns >= turn->active_ns;
    slot->turn_cpu_ns = cpu_ns;
    turn->group[slot->is_active].threads++;
}

/* Threads that started or ended since they were sorted shift their neighbours by a place. */
static bool is_chosen(struct group *group)
{
    if (group->threads == 0)
        return false;
    uint32_t place = (group->position++ + group->threads - group->start) % group->threads;
    return place < group->timers;
}

static void end_turn_locked(struct rth_cpu_slot *slot, void *userdata)
{
    struct turn *turn = userdata;
    if (!rth__cpu_slot_is_barred(slot) && !is_chosen(&turn->group[slot->is_active]))
        settle_locked(slot, false);
}

static void begin_turn_locked(struct rth_cpu_slot *slot, void *userdata)
{
    struct turn *turn = userdata;
    if (rth__cpu_slot_is_barred(slot))
        return;
    struct group *group = &turn->group[slot->is_active];
    if (!is_chosen(group)) {
        rth__cpu_timers.waiting++;
        return;
    }
    int error = rth__cpu_slot_has_timer(slot) ? 0 : give_leftover_locked(slot);
    rth__cpu_timers.waiting += error != 0 && error != -EINVAL;
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

/* Every thread that may have a timer has one. */
static void end_turns(void)
{
    rth__lock(&rth__cpu_sampled_lock);
    bool were_short = last_turn_ns != 0;
    rth__cpu_timers.reason = NULL;
    last_turn_ns = 0;
    rth__unlock(&rth__cpu_sampled_lock);
    if (were_short)
        rth__cpu_timers_each(weigh_alone_locked, NULL);
}

/* False when it is not time for another turn. */
static bool begin_turn(int64_t now_ns, struct turn *ret_turn)
{
    RTH__LOCK_SCOPE(&rth__cpu_sampled_lock);
    const struct rth_cpu_timers *timers = &rth__cpu_timers;
    int64_t turn_ns = timers->allowed * TURN_NS_PER_TIMER;
    turn_ns = turn_ns > TURN_NS_MIN ? turn_ns : TURN_NS_MIN;
    /* Half: the sweeps that call us come a little early or late. */
    if ((timers->allowed == 0 && timers->existing == 0) || now_ns - last_turn_ns < turn_ns / 2)
        return false;
    /* A hundredth of a CPU. */
    *ret_turn = (struct turn){
        .active_ns = (last_turn_ns != 0 ? now_ns - last_turn_ns : turn_ns) / 100,
        .allowed = timers->allowed,
    };
    last_turn_ns = now_ns;
    return true;
}

static void share_timers(struct turn *turn)
{
    struct group *active = &turn->group[1], *rest = &turn->group[0];
    uint32_t for_rest = active->threads == 0 ? turn->allowed : turn->allowed / 4;
    active->timers = least(active->threads, turn->allowed - least(for_rest, rest->threads));
    rest->timers = least(rest->threads, turn->allowed - active->timers);
    for (int i = 0; i < 2; i++)
        if (turn->group[i].threads > 0)
            turn->group[i].start = (uint32_t)(next_random() % turn->group[i].threads);
}

void rth__cpu_timers_take_turns(int64_t now_ns)
{
    rth__lock(&rth__cpu_sampled_lock);
    struct rth_cpu_timers *timers = &rth__cpu_timers;
    bool are_short = timers->waiting > 0 || timers->existing > timers->allowed;
    rth__unlock(&rth__cpu_sampled_lock);
    if (!are_short) {
        end_turns();
        return;
    }
    struct turn turn;
    if (!begin_turn(now_ns, &turn))
        return;
    rth__cpu_timers_each(sort_locked, &turn);
    share_timers(&turn);
    rth__cpu_timers_each(end_turn_locked, &turn);
    turn.group[0].position = turn.group[1].position = 0;
    rth__lock(&rth__cpu_sampled_lock);
    timers->waiting = 0;
    rth__unlock(&rth__cpu_sampled_lock);
    rth__cpu_timers_each(begin_turn_locked, &turn);
}

/* ---- threads that start and end -------------------------------------------------------------- */

/* Before any system call. Signals are blocked in what follows: a handler of the host's must not
 * leave by longjmp or pthread_exit while we hold the lock. */
static bool hooks_are_safe(void)
{
    return atomic_load_explicit(&rth__cpu_timers.hooks_are_safe, memory_order_relaxed);
}

static void add_started(int tid, const sigset_t *mask)
{
    RTH__LOCK_SCOPE(&rth__cpu_sampled_lock);
    const struct rth_cpu_timers *timers = &rth__cpu_timers;
    if (timers->period_ns == 0)
        return;
    struct rth_cpu_slot *slot = rth__cpu_slot_find_locked(tid);
    if (slot != NULL && rth__cpu_slot_has_timer(slot) &&
        rth__cpu_timer_left_ns(slot->timer_id) != 0)
        return; /* a sweep was faster */
    if (slot != NULL)
        rth__cpu_timers_drop_locked(slot); /* of the number's previous bearer, limits and all */
    slot = rth__cpu_slot_take_locked(tid);
    if (slot == NULL)
        return; /* the next sweep tells */
    slot->masked = timers->signal_number != 0 && sigismember(mask, timers->signal_number) == 1;
    if (!slot->masked)
        (void)give_leftover_locked(slot);
}

void rth__cpu_timers_thread_started(int tid)
{
    if (!hooks_are_safe())
        return; /* the next sweep finds it */
    sigset_t mask;
    rth__sigmask_block_sigsafe(&mask);
    add_started(tid, &mask);
    rth__sigmask_restore_sigsafe(&mask);
}

static void remove_ending(int tid)
{
    RTH__LOCK_SCOPE(&rth__cpu_sampled_lock);
    struct rth_cpu_slot *slot = rth__cpu_slot_find_locked(tid);
    if (slot == NULL)
        return;
    settle_locked(slot, true);
    rth__cpu_slot_give_locked(slot);
}

void rth__cpu_timers_thread_ending(int tid)
{
    if (!hooks_are_safe())
        return; /* the next sweep finds it gone */
    sigset_t mask;
    rth__sigmask_block_sigsafe(&mask);
    remove_ending(tid);
    rth__sigmask_restore_sigsafe(&mask);
}

void rth__cpu_timers_child_reset(void)
{
    rth__lock_reset(&rth__cpu_sampled_lock);
    rth__cpu_timers = (struct rth_cpu_timers){0};
    leftover_count = 0;
    last_turn_ns = 0;
    rth__cpu_slots_child_reset();
}
