/* SPDX-License-Identifier: MIT */
#ifndef RTH_UNWIND_FRAME_CODE_H
#define RTH_UNWIND_FRAME_CODE_H

/*
 * What machine code says of frames where unwind tables say nothing: who is called from where, and
 * how large a frame is. Another architecture is another frame_code_*.c. Code is read by system
 * calls; it may be anything. rth-work.
 */

#include <stdbool.h>
#include <stdint.h>

#include "record/image.h"

/* A function: its code, [start, limit) as addresses; start 0: not known. */
struct rth_code_range {
    uint64_t start, limit;
};

enum rth_call_kind {
    RTH_CALL_NONE,
    RTH_CALL_TARGET,
    RTH_CALL_REGISTER, /* or through memory that may have changed since */
};

/* What stands before a return address. *ret_target is set for RTH_CALL_TARGET. */
enum rth_call_kind rth__code_call_before(struct rth_image_reader *memory, uint64_t return_address,
                                         uint64_t *ret_target);
/* Where an entry of the PLT leads; anything else is its own target. */
uint64_t rth__code_behind_plt(struct rth_image_reader *memory, uint64_t target);
/* Whether there is a jump to `to` in the function, or in the first 4 KiB of it. */
bool rth__code_has_jump_to(struct rth_image_reader *memory, const struct rth_code_range *function,
                           uint64_t to);
/* The function around pc in code that no table describes: from the last set-up of a frame pointer
 * on. */
struct rth_code_range rth__code_function_by_set_up(struct rth_image_reader *memory, uint64_t pc);
/* How far above the stack pointer of its body a function that sets up a frame pointer first has it,
 * by what it pushes and reserves next; 0 when it starts otherwise. A frame of changing size
 * (alloca) is larger. */
uint64_t rth__code_frame_bytes(struct rth_image_reader *memory,
                               const struct rth_code_range *function);

#endif /* RTH_UNWIND_FRAME_CODE_H */
