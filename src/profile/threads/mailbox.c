/* SPDX-License-Identifier: MIT */
#include "profile/threads/mailbox.h"

#include <stdatomic.h>
#include <string.h>

#include "core/arena.h"
#include "os/clock.h"
#include "os/rawsys.h"
#include "thread/cpu_timer.h"
#include "thread/sigmux.h"

#define MAILBOXES  512u
#define INDEX_BITS 16u

enum {
    ASKED,
    ANSWERING,
    ANSWERED,
};

struct rth_mailbox {
    _Atomic uint32_t generation; /* odd: in use */
    _Atomic int state;
    int timer_id;
    uint32_t index;
    /* Written by the thread before ANSWERED. */
    unsigned count;
    enum rth_unwind_end end;
    rth_frame frames[RTH_UNWIND_FRAMES_MAX];
};

/* Never given back: a late signal finds a mailbox of another generation. */
static struct rth_mailbox *mailboxes;

static void on_question(uint32_t cookie, const siginfo_t *info, void *ucontext)
{
    (void)info;
    struct rth_mailbox *mailbox = &mailboxes[cookie & (MAILBOXES - 1)];
    uint32_t generation = atomic_load_explicit(&mailbox->generation, memory_order_acquire);
    if ((generation & 1) == 0 || (generation << INDEX_BITS | mailbox->index) != cookie)
        return;
    int asked = ASKED;
    if (!atomic_compare_exchange_strong_explicit(&mailbox->state, &asked, ANSWERING,
                                                 memory_order_acq_rel, memory_order_relaxed))
        return;
    struct rth_registers registers;
    rth__registers_from_ucontext_sigsafe(ucontext, &registers);
    struct rth_unwind_stack stack = {.probe = true};
    mailbox->count = rth__unwind_sigsafe(&registers, &stack, NULL, mailbox->frames,
                                         RTH_UNWIND_FRAMES_MAX, &mailbox->end);
    atomic_store_explicit(&mailbox->state, ANSWERED, memory_order_release);
}

static struct rth_mailbox *take(void)
{
    if (mailboxes == NULL)
        mailboxes = rth__arena_map_wipeonfork_nomalloc(MAILBOXES * sizeof(*mailboxes));
    if (mailboxes == NULL)
        return NULL;
    for (uint32_t i = 0; i < MAILBOXES; i++) {
        struct rth_mailbox *mailbox = &mailboxes[i];
        /* One that is being answered after it was closed is left until that is over. */
        if ((mailbox->generation & 1) != 0 || mailbox->state == ANSWERING)
            continue;
        mailbox->index = i;
        mailbox->timer_id = RTH_CPU_NO_TIMER;
        mailbox->state = ASKED;
        atomic_fetch_add_explicit(&mailbox->generation, 1, memory_order_release);
        return mailbox;
    }
    return NULL;
}

static int send_question(int tid, int signal_number, union sigval cookie)
{
    siginfo_t info;
    memset(&info, 0, sizeof(info));
    info.si_signo = signal_number;
    info.si_code = SI_QUEUE;
    info.si_pid = rth__raw_getpid_sigsafe();
    info.si_value = cookie;
    return (int)RTH__RAW(SYS_rt_tgsigqueueinfo, info.si_pid, tid, signal_number, &info);
}

struct rth_mailbox *rth__mailbox_ask(int tid, bool interrupt)
{
    rth__sigmux_handle(RTH_SIGMUX_THREAD, on_question);
    int signal_number = rth__sigmux_acquire();
    struct rth_mailbox *mailbox = signal_number > 0 ? take() : NULL;
    if (mailbox == NULL)
        return NULL;
    uint32_t argument = mailbox->generation << INDEX_BITS | mailbox->index;
    union sigval cookie = rth__sigmux_cookie(RTH_SIGMUX_THREAD, argument);
    int error;
    if (interrupt) {
        error = send_question(tid, signal_number, cookie);
    } else {
        error = rth__cpu_timer_create(tid, signal_number, cookie, &mailbox->timer_id);
        if (error == 0)
            error = rth__cpu_timer_set(mailbox->timer_id, 1, 0);
    }
    if (error == 0)
        return mailbox;
    rth__mailbox_close(mailbox);
    return NULL;
}

unsigned rth__mailbox_answer(const struct rth_mailbox *mailbox, const rth_frame **ret_frames,
                             enum rth_unwind_end *ret_end)
{
    if (atomic_load_explicit(&mailbox->state, memory_order_acquire) != ANSWERED)
        return 0;
    *ret_frames = mailbox->frames;
    *ret_end = mailbox->end;
    return mailbox->count;
}

void rth__mailbox_close(struct rth_mailbox *mailbox)
{
    if (mailbox == NULL)
        return;
    if (mailbox->timer_id != RTH_CPU_NO_TIMER)
        rth__cpu_timer_delete(mailbox->timer_id);
    mailbox->timer_id = RTH_CPU_NO_TIMER;
    atomic_fetch_add_explicit(&mailbox->generation, 1, memory_order_release);
}

void rth__mailboxes_child_reset(void)
{
    mailboxes = NULL;
}
