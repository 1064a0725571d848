/* SPDX-License-Identifier: MIT */
#ifndef RTH_PROFILE_THREADS_FRAME_POINTER_H
#define RTH_PROFILE_THREADS_FRAME_POINTER_H

/*
 * The frame pointer of a sleeper whose program counter and stack pointer are all that is known.
 *
 * A walk that needs rbp ends in a function f. Its rbp is the address of a pair on the stack, saved
 * frame pointer and return address, and the stack is full of such pairs that earlier calls have
 * left. A pair is believed when the instruction before the return address calls f: directly,
 * through the PLT or GOT, or by a function that ends with a jump to f; and the walk from there
 * reaches the root of the thread. A call through a register may be to anybody: it is believed where
 * the code of f says that its pair is, and else only if the walk does not come through f a second
 * time, as those of left-over pairs do.
 */

#include "record/image.h"
#include "unwind/unwind.h"

/* Memory for one candidate's walk; the caller's, as rth-work's stack is small. */
struct rth_frame_pointer_search {
    struct rth_image_reader *memory;
    const struct rth_registers *registers; /* pc, sp; not rbp */
    const struct rth_unwind_stack *stack;  /* a copy, from sp on */
    struct rth_unwind_cache *cache;
    rth_frame trial[RTH_UNWIND_FRAMES_MAX];
};

/*
 * frames: of the walk without rbp, which found none behind *count. True when a frame pointer was
 * found: frames and *count are then those of a walk to the root. False else; *ret_more tells
 * whether a larger copy of the stack could help. Cost: 5 us by the size of the frame; else
 * 10 us for each of at most 128 return addresses.
 */
bool rth__frame_pointer_find(struct rth_frame_pointer_search *search, rth_frame *frames,
                             unsigned capacity, unsigned *count, bool *ret_more);

#endif /* RTH_PROFILE_THREADS_FRAME_POINTER_H */
