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

/* Protects what follows, the slots and their timers. Held for microseconds; on host threads only
 * while their signals are blocked. */
extern struct rth_lock rth__cpu_sampled_lock;

struct rth_cpu_timers {
    int64_t period_ns; /* 0: disarmed */
    int signal_number; /* of the timers; 0 while there is none */
    uint32_t existing, allowed;
    uint32_t waiting;    /* threads without a timer that may be sampled, as of the last sweep */
    uint32_t masked;     /* threads that block the signal, as of the last sweep */
    const char *reason;  /* why threads wait */
    bool hooks_are_safe; /* host threads may make timers themselves */
};
extern struct rth_cpu_timers rth__cpu_timers;

static inline bool rth__cpu_slot_has_timer(const struct rth_cpu_slot *slot)
{
    return atomic_load_explicit(&slot->timer_id, memory_order_relaxed) != RTH_CPU_NO_TIMER;
}

/* A timer for a thread that has none and does not block the signal. 0, or why not (the reason is
 * kept); -EINVAL: the thread has ended. */
int rth__cpu_timers_give_locked(struct rth_cpu_slot *slot);
/* Deletes the timer, if there is one; what it had counted stays. */
void rth__cpu_timers_delete_locked(struct rth_cpu_slot *slot);
/* Of a thread that is gone. */
void rth__cpu_timers_drop_locked(struct rth_cpu_slot *slot);
/* A new period for every timer; 0 drops all slots. */
void rth__cpu_timers_set_period(int64_t period_ns);
/* After a sweep: lets threads that wait have their turn. rth-work. */
void rth__cpu_timers_take_turns_locked(int64_t now_ns);

/* For rth_thread_observer. */
void rth__cpu_timers_thread_started(int tid);
void rth__cpu_timers_thread_ending(int tid);

void rth__cpu_timers_child_reset(void);

/* sampler.c: periods that found no handler, for a stack that is known. */
void rth__cpu_sampler_add(const struct rth_cpu_slot *slot, unsigned frame_count, uint64_t periods);
/* sweep.c */
void rth__cpu_sweep(int root_fd);

#endif /* RTH_PROFILE_CPU_TIMERS_H */
