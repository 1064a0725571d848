/* SPDX-License-Identifier: MIT */
#ifndef RTH_INTERPOSE_BLOCKED_H
#define RTH_INTERPOSE_BLOCKED_H

/*
 * While a thread sits in a wrapped call that waits, it shows where: the frame of the wrapper's
 * caller. A thread dump reads it and unwinds the stack in place, so that no sleeper is ever
 * interrupted. Frames of nested waits (a signal handler that waits too) form a list.
 */

#include "interpose/abi.h"

#include <stddef.h>
#include <stdint.h>

/* The calling thread's, in memory of the runtime; NULL when it does not know the thread. */
extern __thread struct rth_thread_shared *rth__self __attribute__((tls_model("initial-exec")));

static inline void rth__blocked_enter(struct rth_blocked_frame *frame)
{
    struct rth_thread_shared *self = rth__self;
    frame->owner = self;
    if (self == NULL)
        return;
    /* A frame below this one was left by longjmp or an exception: it is dead. */
    const struct rth_blocked_frame *outer = self->blocked;
    frame->previous = (uintptr_t)outer > (uintptr_t)frame ? outer : NULL;
    self->changes++;
    __atomic_store_n(&self->blocked, frame, __ATOMIC_RELEASE);
}

/* A child that was forked meanwhile (in a signal handler) has no block. */
static inline void rth__blocked_leave(struct rth_blocked_frame *frame)
{
    struct rth_thread_shared *self = frame->owner;
    if (self == NULL || self != rth__self)
        return;
    __atomic_store_n(&self->blocked, frame->previous, __ATOMIC_RELEASE);
    self->changes++;
}

/* First statement before a call of the original `function`; to the end of the scope. */
#define RTH__BLOCKED_IN(function)                                                                  \
    struct rth_blocked_frame rth_blocked_ __attribute__((cleanup(rth__blocked_leave))) = {         \
        .leaf = (uintptr_t)(function),                                                             \
        .pc = (uintptr_t)__builtin_return_address(0),                                              \
        .sp = (uintptr_t)__builtin_dwarf_cfa(),                                                    \
        .fp = *(const uintptr_t *)__builtin_frame_address(0),                                      \
    };                                                                                             \
    rth__blocked_enter(&rth_blocked_)

/* For struct rth_interpose_info. */
void rth__thread_shared_set(struct rth_thread_shared *shared);

#endif /* RTH_INTERPOSE_BLOCKED_H */
