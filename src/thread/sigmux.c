/* SPDX-License-Identifier: MIT */
/*
 * Our signal among the host's.
 *
 * Shape: `owned` is the signal number; host_actions holds what the host believes to be in force,
 * in two copies of which one is valid, so that a handler can read it while it is replaced.
 * Threads: the handler on any host thread; host_action on any host thread, serialized by a spin
 * lock that is only held with all signals blocked; acquire on rth-work.
 * Fork: a child inherits our handler and its memory a copy of the host's action, so a signal that
 * arrives there is still passed on. A child that borrows memory (vfork) has a signal table of its
 * own: its calls go to the kernel, and only our handler is translated back.
 * Failure: no free signal means no sampling, said by whoever needed it.
 */
#include "thread/sigmux.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stddef.h>
#include <string.h>
#include <time.h>
#include <ucontext.h>

#include "core/enable.h"
#include "os/clock.h"
#include "os/rawsys.h"

/* What the kernel knows of a mask; glibc's type is larger. */
#define KERNEL_MASK_BYTES 8u

typedef int (*sigaction_fn)(int, const struct sigaction *, struct sigaction *);

static sigaction_fn real_sigaction = sigaction;
static _Atomic int owned;
static struct sigaction host_actions[2];
static _Atomic unsigned host_action_index;
static atomic_flag action_lock = ATOMIC_FLAG_INIT;
static _Atomic uint32_t magic; /* of our cookies: 16 bits, never 0 once chosen */
static rth_sigmux_handler handlers[RTH_SIGMUX_KINDS];
static _Atomic uint64_t forwarded;

static struct sigaction host_action_sigsafe(void)
{
    unsigned index;
    struct sigaction action;
    do {
        index = atomic_load_explicit(&host_action_index, memory_order_acquire);
        action = host_actions[index & 1];
        atomic_thread_fence(memory_order_acquire);
    } while (atomic_load_explicit(&host_action_index, memory_order_relaxed) != index);
    return action;
}

/* action_lock held, or nobody else there yet. */
static void set_host_action(const struct sigaction *action)
{
    unsigned next = atomic_load_explicit(&host_action_index, memory_order_relaxed) + 1;
    host_actions[next & 1] = *action;
    atomic_store_explicit(&host_action_index, next, memory_order_release);
}

static void block_all(sigset_t *ret_before)
{
    sigset_t all;
    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, ret_before);
}

static void lock_actions(void)
{
    while (atomic_flag_test_and_set_explicit(&action_lock, memory_order_acquire))
        (void)sched_yield();
}

static void unlock_actions(void)
{
    atomic_flag_clear_explicit(&action_lock, memory_order_release);
}

/* ---- the handler --------------------------------------------------------------------------- */

/* The mask under which the kernel would have run the host's handler. */
static void enter_host_mask(int signal_number, const struct sigaction *action, const void *ucontext)
{
    const ucontext_t *context = ucontext;
    sigset_t mask;
    (void)sigemptyset(&mask);
    memcpy(&mask, &context->uc_sigmask, KERNEL_MASK_BYTES);
    for (int number = 1; number < NSIG; number++)
        if (sigismember(&action->sa_mask, number) == 1)
            (void)sigaddset(&mask, number);
    if ((action->sa_flags & SA_NODEFER) == 0)
        (void)sigaddset(&mask, signal_number);
    (void)pthread_sigmask(SIG_SETMASK, &mask, NULL);
}

/* The default action of our candidates is to end the process: as the kernel would have done. */
static void die_by_default(int signal_number, siginfo_t *info)
{
    struct sigaction action = {.sa_handler = SIG_DFL};
    (void)real_sigaction(signal_number, &action, NULL);
    (void)RTH__RAW(SYS_rt_tgsigqueueinfo, rth__raw_getpid_sigsafe(), rth__raw_gettid_sigsafe(),
                   signal_number, info);
}

static void forward(int signal_number, siginfo_t *info, void *ucontext)
{
    struct sigaction action = host_action_sigsafe();
    atomic_fetch_add_explicit(&forwarded, 1, memory_order_relaxed);
    if ((action.sa_flags & SA_SIGINFO) == 0 && action.sa_handler == SIG_IGN)
        return;
    if ((action.sa_flags & SA_SIGINFO) == 0 && action.sa_handler == SIG_DFL) {
        die_by_default(signal_number, info);
        return;
    }
    if ((action.sa_flags & (int)SA_RESETHAND) != 0) {
        struct sigaction reset = {.sa_handler = SIG_DFL};
        lock_actions(); /* every signal is blocked here */
        set_host_action(&reset);
        unlock_actions();
    }
    enter_host_mask(signal_number, &action, ucontext);
    if ((action.sa_flags & SA_SIGINFO) != 0)
        action.sa_sigaction(signal_number, info, ucontext);
    else
        action.sa_handler(signal_number);
}

static bool is_ours(const siginfo_t *info, unsigned *ret_kind, uint32_t *ret_argument)
{
    if (info->si_code != SI_TIMER && info->si_code != SI_QUEUE)
        return false;
    uint64_t cookie = (uint64_t)(uintptr_t)info->si_value.sival_ptr;
    uint32_t chosen = atomic_load_explicit(&magic, memory_order_relaxed);
    if (cookie >> 48 != chosen || chosen == 0)
        return false;
    *ret_kind = (unsigned)(cookie >> 32 & 0xffff);
    *ret_argument = (uint32_t)cookie;
    return *ret_kind < RTH_SIGMUX_KINDS;
}

static void on_signal(int signal_number, siginfo_t *info, void *ucontext)
{
    int saved_errno = errno;
    unsigned kind;
    uint32_t argument;
    if (!is_ours(info, &kind, &argument))
        forward(signal_number, info, ucontext);
    else if (rth__enabled() && handlers[kind] != NULL)
        handlers[kind](argument, info, ucontext);
    errno = saved_errno;
}

static bool is_our_action(const struct sigaction *action)
{
    return (action->sa_flags & SA_SIGINFO) != 0 && action->sa_sigaction == on_signal;
}

/* Our handler with those properties of the host's action that the host could notice: whether its
 * system calls restart, and which stack its handler runs on. */
static int install(int signal_number, const struct sigaction *host)
{
    static const int faults[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGSYS, SIGABRT};
    bool host_handles = (host->sa_flags & SA_SIGINFO) != 0 ||
                        (host->sa_handler != SIG_DFL && host->sa_handler != SIG_IGN);
    struct sigaction action = {.sa_sigaction = on_signal, .sa_flags = SA_SIGINFO | SA_RESTART};
    if (host_handles)
        action.sa_flags = SA_SIGINFO | (host->sa_flags & (SA_RESTART | SA_ONSTACK));
    (void)sigfillset(&action.sa_mask);
    for (size_t i = 0; i < sizeof(faults) / sizeof(faults[0]); i++)
        (void)sigdelset(&action.sa_mask, faults[i]);
    return real_sigaction(signal_number, &action, NULL) == 0 ? 0 : -errno;
}

/* ---- ours ---------------------------------------------------------------------------------- */

void rth__sigmux_init(sigaction_fn given_sigaction)
{
    real_sigaction = given_sigaction != NULL ? given_sigaction : sigaction;
}

/* A signal the host leaves at its default. SIGPROF is what profilers are expected to use. */
static int choose(struct sigaction *ret_host)
{
    int candidates[] = {SIGPROF, SIGSTKFLT, SIGRTMAX - 2, SIGRTMAX - 3, SIGRTMAX - 4, SIGRTMAX - 5};
    for (size_t i = 0; i < sizeof(candidates) / sizeof(candidates[0]); i++) {
        if (real_sigaction(candidates[i], NULL, ret_host) != 0)
            continue;
        /* Inherited from the parent by an adopted child: the host's action is the one kept. */
        if (is_our_action(ret_host)) {
            *ret_host = host_action_sigsafe();
            return candidates[i];
        }
        if ((ret_host->sa_flags & SA_SIGINFO) == 0 && ret_host->sa_handler == SIG_DFL)
            return candidates[i];
    }
    return 0;
}

static uint32_t make_magic(void)
{
    uint64_t noise = (uint64_t)rth__clock_monotonic_ns_sigsafe() * UINT64_C(0x9e3779b97f4a7c15);
    return (uint32_t)(noise >> 48) | 1u;
}

int rth__sigmux_acquire(void)
{
    int signal_number = atomic_load_explicit(&owned, memory_order_acquire);
    if (signal_number != 0)
        return signal_number;
    sigset_t before;
    block_all(&before);
    lock_actions();
    struct sigaction host;
    signal_number = choose(&host);
    int error = signal_number == 0 ? -EBUSY : 0;
    if (error == 0) {
        set_host_action(&host);
        atomic_store_explicit(&magic, make_magic(), memory_order_relaxed);
        atomic_store_explicit(&owned, signal_number, memory_order_release);
        error = install(signal_number, &host);
        if (error != 0)
            atomic_store_explicit(&owned, 0, memory_order_release);
    }
    unlock_actions();
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    return error != 0 ? error : signal_number;
}

int rth__sigmux_signal(void)
{
    return atomic_load_explicit(&owned, memory_order_acquire);
}

void rth__sigmux_handle(enum rth_sigmux_kind kind, rth_sigmux_handler handler)
{
    handlers[kind] = handler;
}

union sigval rth__sigmux_cookie(enum rth_sigmux_kind kind, uint32_t argument)
{
    uint64_t chosen = atomic_load_explicit(&magic, memory_order_relaxed);
    uint64_t cookie = chosen << 48 | (uint64_t)kind << 32 | argument;
    return (union sigval){.sival_ptr = (void *)(uintptr_t)cookie};
}

bool rth__sigmux_installed(void)
{
    struct sigaction action;
    int signal_number = rth__sigmux_signal();
    return signal_number != 0 && real_sigaction(signal_number, NULL, &action) == 0 &&
           is_our_action(&action);
}

uint64_t rth__sigmux_forwarded(void)
{
    return atomic_load_explicit(&forwarded, memory_order_relaxed);
}

/* ---- the host's calls ---------------------------------------------------------------------- */

/* In a child of any kind, before adoption: its signal table is its own. */
static int pass_translated(int signal_number, const struct sigaction *action,
                           struct sigaction *ret_before)
{
    struct sigaction before;
    int result = real_sigaction(signal_number, action, &before);
    if (result == 0 && ret_before != NULL)
        *ret_before = is_our_action(&before) ? host_action_sigsafe() : before;
    return result;
}

int rth__sigmux_host_action_sigsafe(int signal_number, const struct sigaction *action,
                                    struct sigaction *ret_before)
{
    if (signal_number == 0 || signal_number != atomic_load_explicit(&owned, memory_order_acquire))
        return 1;
    if (!rth__enabled() || rth__raw_getpid_sigsafe() != rth__enable_page()->owner_pid)
        return pass_translated(signal_number, action, ret_before);
    sigset_t mask_before;
    block_all(&mask_before);
    lock_actions();
    struct sigaction before = host_action_sigsafe();
    int result = 0;
    if (action != NULL) {
        struct sigaction wanted = *action;
        set_host_action(&wanted);
        result = install(signal_number, &wanted) == 0 ? 0 : -1;
    }
    unlock_actions();
    (void)pthread_sigmask(SIG_SETMASK, &mask_before, NULL);
    if (result == 0 && ret_before != NULL)
        *ret_before = before;
    return result;
}

void rth__sigmux_child_reset(void)
{
    atomic_flag_clear_explicit(&action_lock, memory_order_relaxed);
    owned = 0;
    forwarded = 0;
}
