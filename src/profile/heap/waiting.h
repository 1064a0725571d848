/* SPDX-License-Identifier: MIT */
#ifndef RTH_PROFILE_HEAP_WAITING_H
#define RTH_PROFILE_HEAP_WAITING_H

/*
 * Samples whose stack cannot be walked yet: in a process's first moments, and after a dlopen, the
 * code on it has no rows. A copy of the stack's top waits until rth-work has them.
 */

#include <stdbool.h>
#include <stdint.h>

#include "profile/stack_here.h"
#include "record/sites.h"

#define RTH_WAITING_MAX 1024u

struct rth_waiting_sample {
    uint32_t slot, label_set;
    bool block_gone; /* freed meanwhile */
    uintptr_t block;
    uint64_t objects, bytes; /* what the sample stands for */
};
/* Told when the frames are known (count 0: they stay unknown), with the lock of the sites held and
 * the slot given back. */
typedef void (*rth_waiting_found)(const struct rth_waiting_sample *sample, const rth_frame *frames,
                                  unsigned count);

/* Keeps the calling thread's stack; returns a slot, or -1 when there is no room or nothing can be
 * read. The lock of the sites is held, as for gone. */
int rth__waiting_put_locked(uintptr_t block, uint32_t label_set, uint64_t objects, uint64_t bytes);
/* The block of a slot was freed. */
void rth__waiting_gone_locked(uint32_t slot);
/* It was not, after all. False when the slot is no longer that block's. */
bool rth__waiting_back_locked(uint32_t slot, uintptr_t block);
/* Nothing waits any more. Not while rth-work resolves. */
void rth__waiting_clear_locked(void);
uint64_t rth__waiting_count(void);
/* Walks all that wait, but for those on code that was loaded since rth-work last looked: they wait
 * for the next time. rth-work, without the lock: it is taken for each one's end. */
void rth__waiting_resolve(struct rth_lock *lock, rth_waiting_found found);
void rth__waiting_child_reset(void);

#endif /* RTH_PROFILE_HEAP_WAITING_H */
