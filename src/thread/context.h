/* SPDX-License-Identifier: MIT */
#ifndef RTH_THREAD_CONTEXT_H
#define RTH_THREAD_CONTEXT_H

/*
 * What a thread works on, for those who record and those who look: the label set of the calling
 * thread, of another thread, and of a thread about to be created. The public side is
 * rthooks/context.h and rthooks/label.h.
 */

#include <stdint.h>

struct rth_image_reader; /* record/image.h */
struct rth_capability;

extern const struct rth_capability rth__labels_capability;

/* The calling thread's label set at this instant. Signal-safe, one load. */
uint32_t rth__context_label_set_sigsafe(void);

/* What a thread works on, all of it. */
struct rth_context_state {
    uint32_t label_set;
    uint64_t task; /* as rth_task_new gives it to the program, as a number; 0: none */
};
/* The calling thread works on `next` from here on. Returns what it worked on before. */
struct rth_context_state rth__context_exchange(struct rth_context_state next);
/* The calling thread's task. Signal-safe, one load. */
uint64_t rth__context_task_sigsafe(void);

/* Another thread's at about this moment; RTH_LABEL_SET_NONE when it never had labels, has ended, or
 * found no room to be seen. rth-work. Cost: a system call for a thread that is known. */
uint32_t rth__context_label_set_of(struct rth_image_reader *reader, int tid);

/* The calling thread, tid, was created by one that had these labels. */
void rth__context_inherit(uint32_t label_set, int tid);
/* The calling thread ends: nobody looks at it any more. */
void rth__context_thread_ending(int tid);
/* In a child, on the thread that forked: it has another number now. Keeps its labels. */
void rth__context_child_forked_sigsafe(void);

/* Threads that found no room to be seen by others. */
uint64_t rth__context_unseen_count(void);

#endif /* RTH_THREAD_CONTEXT_H */
