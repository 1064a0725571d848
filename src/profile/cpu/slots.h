/* SPDX-License-Identifier: MIT */
#ifndef RTH_PROFILE_CPU_SLOTS_H
#define RTH_PROFILE_CPU_SLOTS_H

/*
 * One slot per thread of the host while captures run: its timer, its stack limits, its cache. Slots
 * live in chunks that are never given back, so a signal that arrives late finds a slot, sees that
 * the generation is another one, and leaves. A slot is not used again while a handler is in it.
 * Memory: 34 KiB for each of 1,024 threads, about 200 bytes for each of the rest.
 */

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "record/module.h"
#include "unwind/unwind.h"

struct rth_cpu_slot {
    /* What the signal carries: index and the low bits of the generation. */
    uint32_t index;
    _Atomic uint32_t generation; /* odd: in use */
    _Atomic uint32_t handlers;   /* inside, between enter and leave */
    _Atomic int timer_id;        /* RTH_CPU_NO_TIMER: not its turn, or masked */
    int tid;
    bool masked;               /* the thread blocks our signal */
    bool filtered;             /* under a seccomp filter that rth-work is not under */
    bool looked;               /* a sweep has read both of them */
    bool is_active;            /* used CPU between the last two turns */
    uint32_t mark;             /* the sweep that saw the thread last */
    struct rth_cpu_slot *next; /* of the free list, or of the bucket of tids */
    /* What a period is, and how many nanoseconds it stands for. */
    _Atomic int64_t period_ns, weight_ns;
    /* Since the timer was armed: when that was, by the thread's clock; its first expiry; periods
     * counted so far. */
    int64_t armed_cpu_ns, first_ns;
    _Atomic uint64_t periods;
    /* As of the last look of a sweep. */
    uint64_t looked_periods;
    int64_t looked_cpu_ns, turn_cpu_ns;
    /* Where the thread's own stack may be read; high is 0 while they change, or are not known. */
    _Atomic uint64_t stack_low, stack_high;
    /* Set by the handler when the limits do not fit, answered by the next sweep. */
    _Atomic uint64_t seen_sp, seen_thread_pointer;
    _Atomic uint32_t unanswered; /* times in a row that there was no answer */
    /* Frames of the last sample (RTH_UNWIND_FRAMES_MAX) and a cache; NULL where there are so many
     * threads that they do without: the handler borrows frames, and keeps none. */
    rth_frame *frames;
    _Atomic unsigned frame_count;
    _Atomic uint32_t label_set; /* of the last sample */
    struct rth_unwind_cache *cache;
};

/* All but enter, leave, cookie and trim: with the lock of the sampled threads held
 * (RTH_RANK_SAMPLED). */

/* A slot for a thread, in use and findable; NULL when memory or numbers are used up. */
struct rth_cpu_slot *rth__cpu_slot_take_locked(int tid);
/* Its timer is deleted. */
void rth__cpu_slot_give_locked(struct rth_cpu_slot *slot);
struct rth_cpu_slot *rth__cpu_slot_find_locked(int tid);
/* Calls visit for slots in use, some tens at a time, always in the same order; visit may give them.
 * *place begins at 0; false when all were visited. The lock may be released between two calls:
 * slots that are taken or given meanwhile are visited or not. */
bool rth__cpu_slots_some_locked(uint32_t *place,
                                void (*visit)(struct rth_cpu_slot *slot, void *userdata),
                                void *userdata);
/* Gives the memory of caches and frames back to the kernel. No slot is in use, and none is taken
 * meanwhile; no lock. */
void rth__cpu_slots_trim(void);

/* What a timer's signal carries for the slot. */
uint32_t rth__cpu_slot_cookie(const struct rth_cpu_slot *slot);
/* The slot that a timer's signal means, kept from being used again until leave: NULL when it has
 * changed hands since. Signal-safe. */
struct rth_cpu_slot *rth__cpu_slot_enter_sigsafe(uint32_t cookie, int timer_id);
void rth__cpu_slot_leave_sigsafe(struct rth_cpu_slot *slot);

/* RTH_UNWIND_FRAMES_MAX frames for the time of a handler; NULL when all are lent. Signal-safe. */
rth_frame *rth__cpu_frames_borrow_sigsafe(void);
void rth__cpu_frames_return_sigsafe(const rth_frame *frames);

void rth__cpu_slots_child_reset(void);

#endif /* RTH_PROFILE_CPU_SLOTS_H */
