/* SPDX-License-Identifier: MIT */
#ifndef RTH_PROFILE_THREADS_STACKS_H
#define RTH_PROFILE_THREADS_STACKS_H

/*
 * The stacks of all threads of the host at about one moment: taken by a begin, steps while running
 * threads answer, and a free. rth-work.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "os/procfs.h"
#include "unwind/unwind.h"

struct rth_mailbox;

#define RTH_WCHAN_BYTES 48

struct rth_thread_stack {
    int tid;
    char name[RTH_COMM_BYTES];
    char state; /* as /proc has it */
    bool answered;
    bool waiting;     /* for its answer, or to be asked */
    bool interrupted; /* asked by a signal that reaches sleepers too */
    bool fp_searched; /* its frame pointer was searched on the stack */
    enum rth_unwind_end end;
    char wchan[RTH_WCHAN_BYTES]; /* kernel function it sleeps in; read when asked for or missing */
    const char *missing;         /* why there is no stack (yet); static text, NULL with one */
    rth_frame *frames;
    unsigned frame_count;
    struct rth_mailbox *mailbox; /* while it is asked */
};

struct rth_thread_stacks {
    size_t count, capacity, answered;
    struct rth_thread_stack *threads; /* arena */
    int64_t taken_unix_ns;
    bool interrupt; /* threads whose place nobody shows are interrupted */
    /* Timers taken now, and at most: half of what the host's user had left. */
    uint64_t asked_count, asked_max;
};

/* Every thread: sleepers at once, running ones are asked. 0 or a negative errno; on success the
 * caller frees. pending: how many have still to answer. */
int rth__thread_stacks_begin(struct rth_thread_stacks *stacks, int root_fd, bool interrupt,
                             size_t *ret_pending);
/* Collects answers; a thread that went to sleep meanwhile is read in place. Returns how many are
 * still pending. */
size_t rth__thread_stacks_collect(struct rth_thread_stacks *stacks, int root_fd);
/* Who has not answered is missing from now on. with_wchan: for every sleeper, not only for the
 * missing. */
void rth__thread_stacks_finish(struct rth_thread_stacks *stacks, int root_fd, bool with_wchan);
void rth__thread_stacks_free(struct rth_thread_stacks *stacks);

#endif /* RTH_PROFILE_THREADS_STACKS_H */
