/* SPDX-License-Identifier: MIT */
#ifndef RTH_PROFILE_CPU_TIMERS_H
#define RTH_PROFILE_CPU_TIMERS_H

/*
 * Who has a timer. Every thread that may be sampled has one while the kernel allows it; where
 * timers are short (RLIMIT_SIGPENDING) threads take turns, and what a period stands for grows
 * accordingly. Between sampler.c, sweep.c and timers.c.
 */

#include <stdbool.h>
#include <stdint.h>

#include "core/lock.h"
#include "profile/cpu/slots.h"
#include "thread/cpu_timer.h"

/* Protects what follows, the slots and their timers. Held for one thread's timer, or for some tens
 * of them (0.3 ms) where rth-work goes through all; on host threads only while their signals are
 * blocked. */
extern struct rth_lock rth__cpu_sampled_lock;

struct rth_cpu_timers {
    int64_t period_ns; /* 0: disarmed */
    int signal_number; /* of the timers; 0 while there is none */
    uint32_t existing, allowed;
    /* Threads without a timer as of the last sweep: those that wait for their turn, those that get
     * none (no signal, no slot), those that block the signal, those under a filter of their own. */
    uint32_t waiting, unplaced, masked, filtered;
    const char *reason, *unplaced_reason; /* why threads wait, and why they get none */
    /* Host threads may make timers themselves. Read without the lock too. */
    _Atomic bool hooks_are_safe;
};
extern struct rth_cpu_timers rth__cpu_timers;

static inline bool rth__cpu_slot_has_timer(const struct rth_cpu_slot *slot)
{
    return atomic_load_explicit(&slot->timer_id, memory_order_relaxed) != RTH_CPU_NO_TIMER;
}

/* True when the thread must have no timer. */
static inline bool rth__cpu_slot_is_barred(const struct rth_cpu_slot *slot)
{
    return slot->masked || slot->filtered;
}

/* A timer for a thread that has none and is not barred. 0, or why not (the reason is kept);
 * -EINVAL: the thread has ended; -EBUSY: there is no signal. */
int rth__cpu_timers_give_locked(struct rth_cpu_slot *slot);
/* Deletes the timer of a live thread, if there is one; what it had not counted yet is handed on. */
void rth__cpu_timers_settle_locked(struct rth_cpu_slot *slot);
/* Of a thread that is gone. */
void rth__cpu_timers_drop_locked(struct rth_cpu_slot *slot);
/* Calls visit for every slot with the lock held, which is released now and then. rth-work. */
void rth__cpu_timers_each(void (*visit)(struct rth_cpu_slot *slot, void *userdata), void *userdata);
/* A new period for every timer; 0 drops all slots. rth-work, or once it has ended. */
void rth__cpu_timers_set_period(int64_t period_ns);
/* After a sweep: lets threads that wait have their turn. rth-work. */
void rth__cpu_timers_take_turns(int64_t now_ns);

/* For rth_thread_observer. */
void rth__cpu_timers_thread_started(int tid);
void rth__cpu_timers_thread_ending(int tid);

void rth__cpu_timers_child_reset(void);

/* sampler.c: time that found no handler, for the stack of the slot's last sample. Signal-safe. */
void rth__cpu_sampler_add(const struct rth_cpu_slot *slot, const rth_frame *frames,
                          unsigned frame_count, uint64_t ns);
/* The same where no stack is known: the next sample of any thread takes it over. Signal-safe. */
void rth__cpu_sampler_owe(uint64_t ns);
/* What was owed is lost. */
void rth__cpu_sampler_forgive(void);
/* sweep.c */
void rth__cpu_sweep(int root_fd);

#endif /* RTH_PROFILE_CPU_TIMERS_H */
