/* SPDX-License-Identifier: MIT */
#ifndef RTH_PROFILE_THREADS_MAILBOX_H
#define RTH_PROFILE_THREADS_MAILBOX_H

/*
 * How a running thread is asked for its stack: a timer on its own CPU clock, which expires at once
 * if it runs and never if it sleeps, so that the question cannot interrupt a wait. The answer is
 * left in a mailbox. All but the signal handler itself: rth-work, one at a time.
 */

#include "unwind/unwind.h"

#define RTH_MAILBOXES 512u

struct rth_mailbox;

/*
 * Asks. interrupt: by a timer that reaches a sleeper too, and may end its system call.
 * 0; -EBUSY: no signal is left to the host that we could use; -EPERM: the thread blocks it;
 * -ENOBUFS: all mailboxes are in use; -EAGAIN: no timer is left; -ENOMEM; -ESRCH: the thread has
 * ended.
 */
int rth__mailbox_ask(int root_fd, int tid, bool interrupt, struct rth_mailbox **ret_mailbox);
struct rth_mailbox_answer {
    const rth_frame *frames;
    unsigned count; /* 0: there is no answer yet */
    enum rth_unwind_end end;
    uint32_t label_set;
};
struct rth_mailbox_answer rth__mailbox_answer(const struct rth_mailbox *mailbox);
/* Answered or not; NULL is fine. */
void rth__mailbox_close(struct rth_mailbox *mailbox);
void rth__mailboxes_child_reset(void);

#endif /* RTH_PROFILE_THREADS_MAILBOX_H */
