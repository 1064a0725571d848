/* SPDX-License-Identifier: MIT */
#ifndef RTH_PROFILE_CUSTOM_EARLY_H
#define RTH_PROFILE_CUSTOM_EARLY_H

/*
 * Values that were added by code which has no unwind rows yet: in a process's first moments, and
 * after a dlopen. A copy of the stack's top waits here until rth-work has them.
 */

#include <stdbool.h>
#include <stdint.h>

#include "core/lock.h"
#include "record/module.h"

#define RTH_EARLY_MAX 256u

struct rth_profile;

struct rth_early_value {
    struct rth_profile *profile;
    uintptr_t key;
    uint32_t label_set;
    uintptr_t return_address; /* into the function that added it */
};

/* Keeps the calling thread's stack. A number from 1 on; 0 when there is no room for it. All with
 * one lock of the caller's, the same in each call. */
uint32_t rth__early_put_locked(const struct rth_early_value *value);
/* The value is gone: nothing will be told of it. */
void rth__early_drop_locked(uint32_t number);

/* Values that wait. Any thread. */
uint32_t rth__early_count(void);
/* Walks all that wait, and tells, with the lock held, of each that was not dropped; count 0: its
 * stack is not known. rth-work, without the lock. */
void rth__early_resolve(struct rth_lock *lock,
                        void (*found_locked)(const struct rth_early_value *value,
                                             const rth_frame *frames, unsigned count));
void rth__early_child_reset(void);

#endif /* RTH_PROFILE_CUSTOM_EARLY_H */
