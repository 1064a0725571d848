/* SPDX-License-Identifier: MIT */
#ifndef RTH_PROFILE_STACK_HERE_H
#define RTH_PROFILE_STACK_HERE_H

/*
 * The calling thread's own stack, for hooks and API functions that run on a thread of the host: at
 * any depth, on any stack, without a signal and without knowing the thread.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "record/module.h"
#include "unwind/arch.h"

/* Deeper stacks lose their outermost frames. */
#define RTH_STACK_HERE_FRAMES_MAX 128u

/* The address range of the interposer's allocation wrappers; start == limit without one. Set at
 * start, before any capture. */
void rth__stack_here_wrappers_set(uintptr_t start, uintptr_t limit);

/*
 * Fills ret_frames innermost first, beginning with the function that return_address leads back to:
 * what an API function has as __builtin_return_address(0) gives its caller. Where that is not
 * found, and with 0, it begins behind the outermost of the wrappers set above that is near the top.
 * Returns the number of frames, at most capacity; 0 when the walk did not get to them.
 * Signal: no (it is not reentrant on a thread; a handler's call on top of another is refused with
 * 0). Locks: none. Cost: 5 ns per frame; some microseconds at a thread's first.
 */
unsigned rth__stack_capture_nomalloc(uintptr_t return_address, rth_frame *ret_frames,
                                     unsigned capacity);

/* Whether frames of a capture are of code that may get unwind rows: it has been mapped, and
 * rth-work has not looked at it yet. */
bool rth__stack_is_early_nomalloc(const rth_frame *frames, unsigned count);

/* The top of the calling thread's stack as bytes, to be walked later. */
#define RTH_RAW_STACK_BYTES 12288u
struct rth_raw_stack {
    struct rth_registers registers;
    uint32_t size_bytes; /* from the stack pointer on */
    _Alignas(16) unsigned char bytes[RTH_RAW_STACK_BYTES];
};
/* False on top of another capture of the thread. Cost: a copy. */
bool rth__stack_capture_raw_nomalloc(struct rth_raw_stack *ret_raw);
/* Walks it, and drops rthooks' own frames as a capture does. Any thread. */
unsigned rth__stack_walk_raw(const struct rth_raw_stack *raw, rth_frame *ret_frames,
                             unsigned capacity);

/* The same from the function that return_address leads back to, as in a capture. */
unsigned rth__stack_walk_raw_from(uintptr_t return_address, const struct rth_raw_stack *raw,
                                  rth_frame *ret_frames, unsigned capacity);

void rth__stack_here_child_reset(void);

#endif /* RTH_PROFILE_STACK_HERE_H */
