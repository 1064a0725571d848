/* SPDX-License-Identifier: MIT */
#ifndef RTH_RECORD_STACKS_H
#define RTH_RECORD_STACKS_H

/*
 * The stack table: every distinct stack once, as frames (module id, vaddr), so that a profile is
 * rows of (stack id, counters). Fixed memory per generation; inserting is lock-free and safe in
 * any context; what is in it never changes until its generation is cleared.
 */

#include <stdbool.h>
#include <stdint.h>

#include "record/module.h"

/* An id is valid within one generation slot. */
#define RTH_STACK_OVERFLOW 0u /* the table was full: the stack is not known */

/* Reserves the memory. 0 or -ENOMEM. rth-work, once per process. */
int rth__stacks_init(void);

/* slot: from rth__generation_enter_sigsafe. Returns the id, RTH_STACK_OVERFLOW when it is full. */
uint32_t rth__stack_intern_sigsafe(unsigned slot, const rth_frame *frames, unsigned count);

/* The frames of an id; count 0 for RTH_STACK_OVERFLOW and ids never given. They stay valid while
 * the generation is pinned. */
const rth_frame *rth__stack_frames(unsigned slot, uint32_t id, unsigned *ret_count);

/* True from three quarters full on: time to rotate. */
bool rth__stacks_nearly_full(unsigned slot);
/* Only while nobody is in the slot. */
void rth__stacks_clear(unsigned slot);
uint64_t rth__stacks_count(unsigned slot);
void rth__stacks_child_reset(void);

#endif /* RTH_RECORD_STACKS_H */
