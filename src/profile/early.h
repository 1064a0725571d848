/* SPDX-License-Identifier: MIT */
#ifndef RTH_PROFILE_EARLY_H
#define RTH_PROFILE_EARLY_H

/*
 * Stacks of code that has no unwind rows yet: in a process's first moments, and after a dlopen. A
 * copy of the stack's top waits here until rth-work has them.
 */

#include <stdbool.h>
#include <stdint.h>

#include "core/lock.h"
#include "record/module.h"

#define RTH_EARLY_MAX 256u /* of one profile or row */

struct rth_early_place; /* internal */

/* Static storage, zero; protected by one lock of the owner's but for the count. */
struct rth_early {
    struct rth_early_place *places;
    _Atomic uint32_t taken_count; /* written under the lock */
};

/* What the stack is kept for: the owner's words. */
struct rth_early_value {
    void *owner;
    uintptr_t key;
    uint32_t label_set;
    uintptr_t return_address; /* into the function whose stack is meant */
};

/* Keeps the calling thread's stack. A number from 1 on; 0 when there is no room for it. */
uint32_t rth__early_put_locked(struct rth_early *early, const struct rth_early_value *value);
/* The value is gone: nothing will be told of it. */
void rth__early_drop_locked(struct rth_early *early, uint32_t number);

/* Values that wait. Any thread. */
uint32_t rth__early_count(const struct rth_early *early);
/* Walks all that wait, and tells, with the lock held, of each that was not dropped; count 0: its
 * stack is not known. rth-work, without the lock. */
void rth__early_resolve(struct rth_early *early, struct rth_lock *lock,
                        void (*found_locked)(const struct rth_early_value *value,
                                             const rth_frame *frames, unsigned count));
void rth__early_child_reset(struct rth_early *early);

#endif /* RTH_PROFILE_EARLY_H */
