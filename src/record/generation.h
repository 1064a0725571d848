/* SPDX-License-Identifier: MIT */
#ifndef RTH_RECORD_GENERATION_H
#define RTH_RECORD_GENERATION_H

/*
 * Two generations of recorded stacks and rows. Writers (signal handlers, hooks) add to the current
 * one. When it is nearly full the other one is emptied and becomes current, provided that no
 * capture still reads it; otherwise the current one goes on into its overflow row.
 *
 * A capture pins the generation that was current when it began. Since only two exist, what a
 * capture may refer to is the one it pinned and the one after it.
 */

#include <stdbool.h>
#include <stdint.h>

#define RTH_GENERATIONS 2

/* Which generation to write to. Every enter is followed by a leave on the same thread. Signal-safe,
 * nests, never waits. Returns its slot, 0 or 1. */
unsigned rth__generation_enter_sigsafe(void);
void rth__generation_leave_sigsafe(unsigned slot);

/* Number of the generation in a slot, from 1; 0 for a slot not used yet. */
uint32_t rth__generation_epoch(unsigned slot);
unsigned rth__generation_current(void);

/* Keeps the current generation for a reader; returns its slot. rth-work only. */
unsigned rth__generation_pin(void);
void rth__generation_unpin(unsigned slot);

/* Empties the other slot (through clear) and makes it current. False when a reader or a writer is
 * still in it. rth-work only. */
bool rth__generation_rotate(void (*clear)(unsigned slot));

void rth__generation_child_reset(void);

#endif /* RTH_RECORD_GENERATION_H */
