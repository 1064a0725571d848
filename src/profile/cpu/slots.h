/* SPDX-License-Identifier: MIT */
#ifndef RTH_PROFILE_CPU_SLOTS_H
#define RTH_PROFILE_CPU_SLOTS_H

/*
 * One slot per sampled thread: its timer, its stack limits, its cache. Slots live in chunks that
 * are never given back, so a signal that arrives late finds a slot, sees that the generation is
 * another one, and leaves.
 */

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "record/module.h"
#include "thread/cpu_timer.h"
#include "unwind/unwind.h"

struct rth_cpu_slot {
    /* What the signal carries: index and the low bits of the generation. */
    uint32_t index;
    _Atomic uint32_t generation; /* odd: in use */
    _Atomic int tid;
    int timer_id;
    uint32_t mark;                     /* the sweep that saw the thread last */
    struct rth_cpu_slot *_Atomic next; /* of the free list, or of the bucket of tids */
    _Atomic int64_t interval_ns;
    /* Since the timer was armed: when that was, by the thread's clock; its first expiry; periods
     * counted so far; and periods of ended threads that were not, for the first sample. */
    int64_t armed_cpu_ns, first_ns;
    _Atomic uint64_t periods;
    _Atomic uint32_t owed;
    /* Where the thread's own stack may be read; high is 0 while they change, or are not known. */
    _Atomic uint64_t stack_low, stack_high;
    /* Set by the handler when the limits do not fit, answered by the next sweep. */
    _Atomic uint64_t seen_sp, seen_thread_pointer;
    rth_frame *frames; /* RTH_UNWIND_FRAMES_MAX; of the last sample */
    _Atomic unsigned frame_count;
    struct rth_unwind_cache *cache;
};

/* All but at and cookie: with the lock of the sampled threads held (RTH_RANK_SAMPLED). */

/* A slot for a thread, in use and findable; NULL when memory or numbers are used up. */
struct rth_cpu_slot *rth__cpu_slot_take_locked(int tid);
void rth__cpu_slot_give_locked(struct rth_cpu_slot *slot);
struct rth_cpu_slot *rth__cpu_slot_find_locked(int tid);
/* Calls visit for every slot in use; visit may give it. */
void rth__cpu_slots_each_locked(void (*visit)(struct rth_cpu_slot *slot, void *userdata),
                                void *userdata);
/* Gives the memory of caches and frames back to the kernel; no slot is in use. */
void rth__cpu_slots_trim_locked(void);
uint32_t rth__cpu_slots_used(void);

/* What a timer's signal carries for the slot, and the slot it meant: NULL when it has changed hands
 * since. Signal-safe. */
uint32_t rth__cpu_slot_cookie(const struct rth_cpu_slot *slot);
struct rth_cpu_slot *rth__cpu_slot_of_cookie_sigsafe(uint32_t cookie);
/* Whether a thread has a slot. It may be missed while the list changes under the handler. */
bool rth__cpu_slot_exists_sigsafe(int tid);

void rth__cpu_slots_child_reset(void);

#endif /* RTH_PROFILE_CPU_SLOTS_H */
