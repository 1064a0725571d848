/* SPDX-License-Identifier: MIT */
#include "profile/threads/mailbox.h"

#include <errno.h>
#include <stdatomic.h>

#include "core/arena.h"
#include "os/procfs.h"
#include "thread/context.h"
#include "thread/cpu_timer.h"
#include "thread/sigmux.h"

#define INDEX_BITS 16u
_Static_assert(RTH_MAILBOXES <= 1u << INDEX_BITS, "an index fits into its cookie");

/* Low bits of a mailbox's word; above them is a number that every question gets anew. In one word,
 * so that an answer to an older question can never be taken for this one's. */
enum {
    CLOSED,
    ASKED,
    ANSWERING,
    ANSWERED,
    PHASE_BITS = 2,
    PHASE_MASK = 3,
};
#define NUMBER_MASK 0xffffu

struct rth_mailbox {
    _Atomic uint32_t word; /* question number << PHASE_BITS | phase */
    bool in_use;           /* by rth-work */
    int timer_id;
    uint32_t number; /* of the question in hand */
    /* Written by the thread before ANSWERED. */
    unsigned count;
    enum rth_unwind_end end;
    uint32_t label_set;
    rth_frame frames[RTH_UNWIND_FRAMES_MAX];
};

/* Never given back: a late signal finds a mailbox with another question. */
static struct rth_mailbox *mailboxes;

static uint32_t word_of(uint32_t number, uint32_t phase)
{
    return number << PHASE_BITS | phase;
}

static void on_question(uint32_t cookie, const siginfo_t *info, void *ucontext)
{
    (void)info;
    uint32_t index = cookie & ((1u << INDEX_BITS) - 1), number = cookie >> INDEX_BITS;
    if (mailboxes == NULL || index >= RTH_MAILBOXES)
        return;
    struct rth_mailbox *mailbox = &mailboxes[index];
    uint32_t asked = word_of(number, ASKED);
    if (!atomic_compare_exchange_strong_explicit(&mailbox->word, &asked, word_of(number, ANSWERING),
                                                 memory_order_acq_rel, memory_order_relaxed))
        return;
    struct rth_registers registers;
    rth__registers_from_ucontext_sigsafe(ucontext, &registers);
    struct rth_unwind_stack stack = {.probe = true};
    mailbox->count = rth__unwind_sigsafe(&registers, &stack, NULL, mailbox->frames,
                                         RTH_UNWIND_FRAMES_MAX, &mailbox->end);
    mailbox->label_set = rth__context_label_set_sigsafe();
    atomic_store_explicit(&mailbox->word, word_of(number, ANSWERED), memory_order_release);
}

static int take(struct rth_mailbox **ret_mailbox, uint32_t *ret_index)
{
    if (mailboxes == NULL)
        mailboxes = rth__arena_map_wipeonfork_nomalloc(RTH_MAILBOXES * sizeof(*mailboxes));
    if (mailboxes == NULL)
        return -ENOMEM;
    for (uint32_t i = 0; i < RTH_MAILBOXES; i++) {
        struct rth_mailbox *mailbox = &mailboxes[i];
        uint32_t word = atomic_load_explicit(&mailbox->word, memory_order_acquire);
        /* One that was closed while its answer is being written is left until that is over. */
        if (mailbox->in_use || (word & PHASE_MASK) == ANSWERING)
            continue;
        mailbox->in_use = true;
        mailbox->timer_id = RTH_CPU_NO_TIMER;
        mailbox->number = (mailbox->number + 1) & NUMBER_MASK;
        atomic_store_explicit(&mailbox->word, word_of(mailbox->number, ASKED),
                              memory_order_release);
        *ret_mailbox = mailbox;
        *ret_index = i;
        return 0;
    }
    return -ENOBUFS;
}

/* A thread that blocks the signal would find it later, and perhaps in a wait that it would end. */
static int signal_may_reach(int root_fd, int tid, int signal_number)
{
    struct rth_proc_status status;
    if (rth__proc_status_read(root_fd, 0, tid, &status) != 0)
        return -ESRCH;
    return (status.sig_blocked >> (signal_number - 1) & 1) != 0 ? -EPERM : 0;
}

int rth__mailbox_ask(int root_fd, int tid, bool interrupt, struct rth_mailbox **ret_mailbox)
{
    rth__sigmux_handle(RTH_SIGMUX_THREAD, on_question);
    int signal_number = rth__sigmux_acquire();
    if (signal_number <= 0)
        return -EBUSY;
    int error = signal_may_reach(root_fd, tid, signal_number);
    if (error != 0)
        return error;
    struct rth_mailbox *mailbox;
    uint32_t index;
    error = take(&mailbox, &index);
    if (error != 0)
        return error;
    union sigval cookie =
        rth__sigmux_cookie(RTH_SIGMUX_THREAD, mailbox->number << INDEX_BITS | index);
    error = (interrupt ? rth__wall_timer_create : rth__cpu_timer_create)(tid, signal_number, cookie,
                                                                         &mailbox->timer_id);
    if (error == 0)
        error = rth__cpu_timer_set(mailbox->timer_id, 1, 0);
    if (error == 0) {
        *ret_mailbox = mailbox;
        return 0;
    }
    rth__mailbox_close(mailbox);
    return error == -EAGAIN || error == -ENOMEM ? error : -ESRCH;
}

struct rth_mailbox_answer rth__mailbox_answer(const struct rth_mailbox *mailbox)
{
    if (atomic_load_explicit(&mailbox->word, memory_order_acquire) !=
        word_of(mailbox->number, ANSWERED))
        return (struct rth_mailbox_answer){.count = 0};
    return (struct rth_mailbox_answer){mailbox->frames, mailbox->count, mailbox->end,
                                       mailbox->label_set};
}

void rth__mailbox_close(struct rth_mailbox *mailbox)
{
    if (mailbox == NULL)
        return;
    if (mailbox->timer_id != RTH_CPU_NO_TIMER)
        rth__cpu_timer_delete(mailbox->timer_id);
    mailbox->timer_id = RTH_CPU_NO_TIMER;
    /* Whoever is answering finishes; whoever has not begun finds nothing asked. */
    uint32_t asked = word_of(mailbox->number, ASKED);
    (void)atomic_compare_exchange_strong_explicit(&mailbox->word, &asked,
                                                  word_of(mailbox->number, CLOSED),
                                                  memory_order_acq_rel, memory_order_relaxed);
    mailbox->in_use = false;
}

void rth__mailboxes_child_reset(void)
{
    mailboxes = NULL;
}
