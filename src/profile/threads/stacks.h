/* SPDX-License-Identifier: MIT */
#ifndef RTH_PROFILE_THREADS_STACKS_H
#define RTH_PROFILE_THREADS_STACKS_H

/*
 * The stacks of all threads of the host at about one moment: taken by a begin, steps until they are
 * complete, and a free. Threads that come after begin are not in it, nor those that end before they
 * are looked at. A step ends after RTH_STACKS_STEP_THREADS threads or RTH_STACKS_STEP_NS, so that
 * sweeps, hang-ups and stops get their turn on rth-work among tens of thousands of threads.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "os/clock.h"
#include "os/procfs.h"
#include "record/sites.h"
#include "thread/wait.h"
#include "unwind/unwind.h"

struct rth_mailbox;

#define RTH_WCHAN_BYTES         48
#define RTH_STACKS_STEP_THREADS 256u
#define RTH_STACKS_STEP_NS      (20 * RTH_NS_PER_MS)
/* Running threads answer at their next tick, unless they wait for a CPU. */
#define RTH_STACKS_ANSWER_NS (100 * RTH_NS_PER_MS)

struct rth_thread_stack {
    int tid;
    char name[RTH_COMM_BYTES];
    char state; /* as /proc has it */
    bool answered;
    bool waiting;     /* for its answer, or to be asked */
    bool interrupted; /* asked by a signal that reaches sleepers too */
    bool fp_searched; /* its frame pointer was searched on the stack */
    enum rth_unwind_end end;
    int64_t age_s;
    int64_t deadline_ns;         /* of its answer, counted from when it was asked; 0: not yet */
    char wchan[RTH_WCHAN_BYTES]; /* kernel function it sleeps in; read when asked for or missing */
    const char *missing;         /* why there is no stack (yet); static text, NULL with one */
    rth_frame *frames;
    unsigned frame_count;
    uint32_t label_set;                 /* at the same moment */
    struct rth_thread_wait wait;        /* the same; of one that sleeps */
    int creator_tid;                    /* 0: not known */
    const struct rth_site_row *created; /* where: of stacks->sites; NULL: not known */
    struct rth_mailbox *mailbox;        /* while it is asked */
};

#define RTH_STACKS_INTERRUPT 1u /* threads whose place nobody shows are interrupted */
#define RTH_STACKS_WCHAN     2u /* wait channels of all sleepers, not only of the missing */
#define RTH_STACKS_QUIET     4u /* nobody is asked: running threads have no stack */
#define RTH_STACKS_OWN       8u /* threads of rthooks are in it, without a stack */

enum rth_stacks_phase {
    RTH_STACKS_LOOKING,    /* at every thread once */
    RTH_STACKS_COLLECTING, /* answers, of all that still wait, again and again */
    RTH_STACKS_FINISHING,  /* wait channels, and whether holders of locks still hold them */
    RTH_STACKS_COMPLETE,
};

struct rth_thread_stacks {
    /* Looked at: threads[0 … count). While LOOKING, those still to come are [next … listed). */
    size_t count, answered;
    struct rth_thread_stack *threads; /* arena */
    size_t capacity, listed;
    size_t next; /* of the phase in hand */
    int64_t taken_unix_ns;
    uint8_t phase;               /* enum rth_stacks_phase */
    uint32_t flags;              /* RTH_STACKS_* */
    struct rth_sites_copy sites; /* where threads were created */
    /* Timers taken now, and at most: half of what the host's user had left. */
    uint64_t asked_count, asked_max;
};

/* Lists every thread. flags: RTH_STACKS_*. 0 or a negative errno; on success the caller goes on
 * with steps, and frees. */
int rth__thread_stacks_begin(struct rth_thread_stacks *stacks, int root_fd, uint32_t flags);
/* One part: sleepers are read at once, running threads asked; answers are collected, and a thread
 * that went to sleep meanwhile is read in place; who has not answered in time is missing. Returns
 * how long to wait before the next, 0 when the stacks are complete, or a negative errno. */
int64_t rth__thread_stacks_step(struct rth_thread_stacks *stacks, int root_fd);
void rth__thread_stacks_free(struct rth_thread_stacks *stacks);

#endif /* RTH_PROFILE_THREADS_STACKS_H */
