/* SPDX-License-Identifier: MIT */
#ifndef RTH_THREAD_BLOCKED_H
#define RTH_THREAD_BLOCKED_H

/* Where a thread waits, as its wrapped call shows it to other threads. rth-work. */

#include <stdbool.h>
#include <stdint.h>

#include "record/image.h"

struct rth_blocked_call {
    uint64_t leaf;       /* address of the function that waits */
    uint64_t pc, sp, fp; /* its caller, at the place where it will return */
    uint64_t object;     /* it waits for; 0: none is told */
    int64_t since_ns;    /* CLOCK_MONOTONIC; 0: not told */
    uint32_t kind;       /* RTH_WAIT_* of interpose/abi.h */
    /* For rth__blocked_call_holds. */
    const void *shared, *frame;
    uint64_t changes;
};

/* False when the thread is in no wrapped call, or not known. */
bool rth__blocked_call_read(int tid, struct rth_image_reader *memory,
                            struct rth_blocked_call *ret_call);
/* True when the thread has not left the call since it was read: what was copied meanwhile belongs
 * together. */
bool rth__blocked_call_holds(const struct rth_blocked_call *call);

#endif /* RTH_THREAD_BLOCKED_H */
