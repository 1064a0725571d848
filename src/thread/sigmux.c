/* SPDX-License-Identifier: MIT */
/*
 * Our signal among the host's.
 *
 * Shape: `owned` is the number our timers use now. Every signal that ever was ours has an entry:
 * the action the host believes to be in force, in two copies of which one is valid, so that a
 * handler can read it while it is replaced. The kernel's table decides: where it has our handler,
 * the entry is the host's view; where it has another (the host went around us, or ignores the
 * signal, which is then really ignored so that its children inherit it), the signal is the host's
 * again, and the next acquire takes another one. Threads: the handler on any host thread;
 * host_action on any host thread, serialized by a spin lock that is only held with signals
 * blocked; acquire on rth-work, release on the thread that stops the runtime. Fork: a child
 * inherits our handler and its memory a copy of the host's action, so a signal that arrives there
 * is still passed on. A child that borrows memory (vfork) has a signal table of its own: its calls
 * go to the kernel, and only our handler is translated back. Failure: no free signal means no
 * sampling, said by whoever needed it.
 */
#include "thread/sigmux.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stddef.h>
#include <string.h>
#include <sys/auxv.h>
#include <time.h>
#include <ucontext.h>

#ifdef __x86_64__
#include <asm/prctl.h>
#endif

#include "core/enable.h"
#include "os/clock.h"
#include "os/dir.h"
#include "os/procfs.h"
#include "os/rawsys.h"
#include "os/sigmask.h"

/* What the kernel knows of a mask; glibc's type is larger. */
#define KERNEL_MASK_BYTES 8u
/* Flags that mean something to sigaction; what becomes of others is the kernel's affair. */
#define KNOWN_FLAGS                                                                                \
    ((unsigned)(SA_NOCLDSTOP | SA_NOCLDWAIT | SA_SIGINFO | SA_ONSTACK | SA_RESTART | SA_NODEFER) | \
     (unsigned)SA_RESETHAND)
#define CANDIDATES          6u
#define HWCAP2_FSGSBASE_BIT 2u
/* How long giving back waits for signals that are under way. */
#define DRAIN_NS       (20 * RTH_NS_PER_MS)
#define DRAIN_PAUSE_NS RTH_NS_PER_MS

typedef int (*sigaction_fn)(int, const struct sigaction *, struct sigaction *);

/* A signal that is ours, or was. */
struct entry {
    _Atomic int number; /* 0: never was */
    struct sigaction host[2];
    _Atomic unsigned host_index;
};

static sigaction_fn real_sigaction = sigaction;
static _Atomic int owned;
static struct entry entries[CANDIDATES];
static atomic_flag action_lock = ATOMIC_FLAG_INIT;
static _Atomic uint32_t magic; /* of our cookies: 16 bits, never 0 once chosen */
static _Atomic(rth_sigmux_handler) handlers[RTH_SIGMUX_KINDS];
static _Atomic uint64_t forwarded;
static bool reads_thread_pointer; /* by an instruction */

static struct entry *entry_of(int signal_number)
{
    for (unsigned i = 0; i < CANDIDATES; i++)
        if (signal_number != 0 &&
            atomic_load_explicit(&entries[i].number, memory_order_acquire) == signal_number)
            return &entries[i];
    return NULL;
}

static uint64_t bit_of(int signal_number)
{
    return UINT64_C(1) << (signal_number - 1);
}

static uint64_t our_signals(void)
{
    uint64_t signals = 0;
    for (unsigned i = 0; i < CANDIDATES; i++) {
        int number = atomic_load_explicit(&entries[i].number, memory_order_acquire);
        signals |= number != 0 ? bit_of(number) : 0;
    }
    return signals;
}

static struct sigaction host_action_sigsafe(const struct entry *entry)
{
    unsigned index;
    struct sigaction action;
    do {
        index = atomic_load_explicit(&entry->host_index, memory_order_acquire);
        action = entry->host[index & 1];
        atomic_thread_fence(memory_order_acquire);
    } while (atomic_load_explicit(&entry->host_index, memory_order_relaxed) != index);
    return action;
}

/* action_lock held. */
static void set_host_action(struct entry *entry, const struct sigaction *action)
{
    unsigned next = atomic_load_explicit(&entry->host_index, memory_order_relaxed) + 1;
    entry->host[next & 1] = *action;
    atomic_store_explicit(&entry->host_index, next, memory_order_release);
}

/* Signals are blocked. The holder needs microseconds; sleeping lets it have the CPU also when
 * the waiter has a real-time priority. */
static void lock_actions(void)
{
    static const struct timespec pause = {.tv_nsec = 20000};
    for (unsigned spins = 0; atomic_flag_test_and_set_explicit(&action_lock, memory_order_acquire);
         spins++)
        if (spins >= 100)
            (void)RTH__RAW(SYS_nanosleep, &pause, NULL);
}

static void unlock_actions(void)
{
    atomic_flag_clear_explicit(&action_lock, memory_order_release);
}

/* The signal table is not the one that action_lock protects: a forked or a vforked child's. */
static bool table_is_a_childs(void)
{
    return !rth__enabled() || rth__raw_getpid_sigsafe() != rth__enable_page()->owner_pid;
}

/* ---- the handler --------------------------------------------------------------------------- */

/* The mask under which the kernel would have run the host's handler. */
static void enter_host_mask(int signal_number, const struct sigaction *action, const void *ucontext)
{
    const ucontext_t *context = ucontext;
    uint64_t blocked, added;
    memcpy(&blocked, &context->uc_sigmask, KERNEL_MASK_BYTES);
    memcpy(&added, &action->sa_mask, KERNEL_MASK_BYTES);
    blocked |= added;
    if ((action->sa_flags & SA_NODEFER) == 0)
        blocked |= bit_of(signal_number);
    sigset_t mask;
    (void)sigemptyset(&mask);
    memcpy(&mask, &blocked, KERNEL_MASK_BYTES);
    (void)pthread_sigmask(SIG_SETMASK, &mask, NULL);
}

/* The default action of our candidates is to end the process: as the kernel would have done. */
static void die_by_default(int signal_number, siginfo_t *info)
{
    struct sigaction action = {.sa_handler = SIG_DFL};
    (void)real_sigaction(signal_number, &action, NULL);
    if (RTH__RAW(SYS_rt_tgsigqueueinfo, rth__raw_getpid_sigsafe(), rth__raw_gettid_sigsafe(),
                 signal_number, info) != 0)
        (void)RTH__RAW(SYS_tgkill, rth__raw_getpid_sigsafe(), rth__raw_gettid_sigsafe(),
                       signal_number);
}

/* A one-shot handler loses its place before it runs, and whoever comes second finds the default. */
static struct sigaction take_one_shot(struct entry *entry, int signal_number)
{
    struct sigaction action = host_action_sigsafe(entry), reset = action;
    reset.sa_handler = SIG_DFL;
    if (table_is_a_childs()) {
        /* The kernel's table is the child's own; the entry may be in memory that it borrows. */
        (void)real_sigaction(signal_number, &reset, NULL);
        return action;
    }
    lock_actions(); /* signals are blocked here */
    action = reset = host_action_sigsafe(entry);
    reset.sa_handler = SIG_DFL;
    if ((action.sa_flags & (int)SA_RESETHAND) != 0)
        set_host_action(entry, &reset);
    unlock_actions();
    return action;
}

static void forward(int signal_number, siginfo_t *info, void *ucontext)
{
    struct entry *entry = entry_of(signal_number);
    if (entry == NULL)
        return;
    struct sigaction action = host_action_sigsafe(entry);
    atomic_fetch_add_explicit(&forwarded, 1, memory_order_relaxed);
    if ((action.sa_flags & (int)SA_RESETHAND) != 0)
        action = take_one_shot(entry, signal_number);
    if (action.sa_handler == SIG_IGN)
        return;
    if (action.sa_handler == SIG_DFL) {
        die_by_default(signal_number, info);
        return;
    }
    enter_host_mask(signal_number, &action, ucontext);
    /* The kernel hands all three to a handler without SA_SIGINFO too. */
    action.sa_sigaction(signal_number, info, ucontext);
}

static bool is_ours(const siginfo_t *info, unsigned *ret_kind, uint32_t *ret_argument)
{
    if (info->si_code != SI_TIMER)
        return false;
    uint64_t cookie = (uint64_t)(uintptr_t)info->si_value.sival_ptr;
    uint32_t chosen = atomic_load_explicit(&magic, memory_order_relaxed);
    if (cookie >> 48 != chosen || chosen == 0)
        return false;
    *ret_kind = (unsigned)(cookie >> 32 & 0xffff);
    *ret_argument = (uint32_t)cookie;
    return *ret_kind < RTH_SIGMUX_KINDS;
}

/* False on a thread that was made without a thread pointer: errno has no place there. A register on
 * processors that let user mode read it, else a system call (that does not set errno). */
static bool has_thread_pointer(void)
{
#ifdef __x86_64__
    uint64_t pointer = 0;
    if (reads_thread_pointer) {
        __asm__ volatile("rdfsbase %0" : "=r"(pointer));
        return pointer != 0;
    }
    long result = SYS_arch_prctl;
    __asm__ volatile("syscall"
                     : "+a"(result)
                     : "D"((long)ARCH_GET_FS), "S"(&pointer)
                     : "rcx", "r11", "memory");
    return result != 0 || pointer != 0;
#else
    return true;
#endif
}

static void on_signal(int signal_number, siginfo_t *info, void *ucontext)
{
    unsigned kind;
    uint32_t argument;
    if (!is_ours(info, &kind, &argument)) {
        forward(signal_number, info, ucontext); /* errno is the host's, as it finds and leaves it */
        return;
    }
    if (!rth__enabled() || handlers[kind] == NULL || !has_thread_pointer())
        return;
    int saved_errno = errno;
    handlers[kind](argument, info, ucontext);
    /* Threads made by a raw clone may share it: what did not change is not written. */
    if (errno != saved_errno)
        errno = saved_errno;
}

static bool is_our_action(const struct sigaction *action)
{
    return (action->sa_flags & SA_SIGINFO) != 0 && action->sa_sigaction == on_signal;
}

static bool kernel_has_ours(int signal_number)
{
    struct sigaction action;
    return real_sigaction(signal_number, NULL, &action) == 0 && is_our_action(&action);
}

/* ---- installing ---------------------------------------------------------------------------- */

/* Our handler with those properties of the host's action that the host could notice: whether its
 * system calls restart, and which stack its handler runs on. A signal that the host ignores is
 * ignored: exec and spawn pass that on. Changes *host to what sigaction would tell of it: the
 * kernel adds and removes a little. action_lock held; 0 or -1 with errno. */
static int install(int signal_number, struct sigaction *host)
{
    unsigned host_flags = (unsigned)host->sa_flags;
    unsigned flags = SA_SIGINFO | SA_RESTART;
    if (host->sa_handler == SIG_IGN)
        return real_sigaction(signal_number, host, NULL) == 0
                   ? real_sigaction(signal_number, NULL, host)
                   : -1;
    if (host->sa_handler != SIG_DFL)
        flags = SA_SIGINFO | (host_flags & (SA_RESTART | SA_ONSTACK));
    struct sigaction action = {.sa_sigaction = on_signal};
    action.sa_flags = (int)(flags | (host_flags & ~KNOWN_FLAGS));
    rth__sigmask_all_but_faults_sigsafe(&action.sa_mask);
    if (real_sigaction(signal_number, &action, NULL) != 0 ||
        real_sigaction(signal_number, NULL, &action) != 0)
        return -1;
    (void)sigdelset(&host->sa_mask, SIGKILL);
    (void)sigdelset(&host->sa_mask, SIGSTOP);
    host->sa_flags = (int)((host_flags & KNOWN_FLAGS) | ((unsigned)action.sa_flags & ~KNOWN_FLAGS));
    host->sa_restorer = action.sa_restorer;
    return 0;
}

void rth__sigmux_init(sigaction_fn given_sigaction)
{
    reads_thread_pointer = (getauxval(AT_HWCAP2) & HWCAP2_FSGSBASE_BIT) != 0;
    real_sigaction = given_sigaction != NULL ? given_sigaction : sigaction;
}

/* The entry of a signal to take, with its number and the host's action; NULL when the host uses
 * them all. SIGPROF is what profilers are expected to use. action_lock held. */
static struct entry *choose(bool *ret_is_ours)
{
    int candidates[CANDIDATES] = {SIGPROF,      SIGSTKFLT,    SIGRTMAX - 2,
                                  SIGRTMAX - 3, SIGRTMAX - 4, SIGRTMAX - 5};
    struct sigaction host;
    struct entry *free_entry = NULL;
    for (unsigned i = 0; i < CANDIDATES; i++) {
        if (real_sigaction(candidates[i], NULL, &host) != 0)
            continue;
        /* Also one that an adopted child has from its parent. */
        *ret_is_ours = is_our_action(&host);
        if (*ret_is_ours)
            return &entries[i];
        if (host.sa_handler != SIG_DFL || free_entry != NULL)
            continue;
        free_entry = &entries[i];
        set_host_action(free_entry, &host);
        atomic_store_explicit(&free_entry->number, candidates[i], memory_order_release);
    }
    return free_entry;
}

static uint32_t make_magic(void)
{
    uint64_t noise = (uint64_t)rth__clock_monotonic_ns_sigsafe() * UINT64_C(0x9e3779b97f4a7c15);
    return (uint32_t)(noise >> 48) | 1u;
}

static int take_another_locked(void)
{
    bool is_ours_already = false;
    struct entry *entry = choose(&is_ours_already);
    if (entry == NULL) {
        atomic_store_explicit(&owned, 0, memory_order_release);
        return -EBUSY;
    }
    int number = atomic_load_explicit(&entry->number, memory_order_relaxed);
    if (atomic_load_explicit(&magic, memory_order_relaxed) == 0)
        atomic_store_explicit(&magic, make_magic(), memory_order_relaxed);
    /* Before the handler is there: what the host asks from now on is answered by the entry. */
    atomic_store_explicit(&owned, number, memory_order_release);
    struct sigaction host = host_action_sigsafe(entry), asked = host;
    if (!is_ours_already && install(number, &asked) != 0) {
        int error = errno;
        atomic_store_explicit(&owned, 0, memory_order_release);
        return -error;
    }
    return number;
}

int rth__sigmux_acquire(void)
{
    int number = atomic_load_explicit(&owned, memory_order_acquire);
    if (number != 0 && kernel_has_ours(number))
        return number;
    sigset_t before;
    rth__sigmask_block_sigsafe(&before);
    lock_actions();
    int result = take_another_locked();
    unlock_actions();
    rth__sigmask_restore_sigsafe(&before);
    return result;
}

/* ---- giving back ----------------------------------------------------------------------------- */

/* Bits of the signals that some thread has pending; all where that cannot be known: a tracer makes
 * signals wait outside the queues. */
static uint64_t pending_signals(int root_fd)
{
    struct rth_dir dir;
    if (rth__dir_open(&dir, root_fd, "proc/self/task") != 0)
        return UINT64_MAX;
    uint64_t pending = 0;
    int tid, error = 0;
    while ((tid = rth__dir_next_number(&dir, &error)) != 0) {
        struct rth_proc_status status;
        int failure = rth__proc_status_read(root_fd, 0, tid, &status);
        if (failure == 0)
            pending |= status.tracer_pid != 0 ? UINT64_MAX
                                              : status.sig_pending | status.sig_pending_shared;
        else if (failure != -ENOENT && failure != -ESRCH)
            pending = UINT64_MAX;
    }
    rth__dir_close(&dir);
    return error == 0 ? pending : UINT64_MAX;
}

/* A signal that is out of the queue has its handler already: the kernel takes both under one lock.
 * Two looks, since threads that end may hide one from a look. */
static uint64_t pending_after_drain(int root_fd)
{
    static const struct timespec pause = {.tv_nsec = DRAIN_PAUSE_NS};
    int64_t deadline_ns = rth__clock_monotonic_ns_sigsafe() + DRAIN_NS;
    uint64_t ours = our_signals(), before = pending_signals(root_fd), now;
    while (now = pending_signals(root_fd), ((before | now) & ours) != 0) {
        if (rth__clock_monotonic_ns_sigsafe() >= deadline_ns)
            break;
        if ((now & ours) != 0)
            (void)RTH__RAW(SYS_nanosleep, &pause, NULL);
        before = now;
    }
    return before | now;
}

void rth__sigmux_release(int root_fd)
{
    uint64_t pending = our_signals() != 0 ? pending_after_drain(root_fd) : 0;
    sigset_t before;
    rth__sigmask_block_sigsafe(&before);
    lock_actions();
    for (unsigned i = 0; i < CANDIDATES; i++) {
        int number = atomic_load_explicit(&entries[i].number, memory_order_relaxed);
        if (number == 0 || (pending & bit_of(number)) != 0 || !kernel_has_ours(number))
            continue;
        struct sigaction host = host_action_sigsafe(&entries[i]);
        (void)real_sigaction(number, &host, NULL);
    }
    atomic_store_explicit(&owned, 0, memory_order_release);
    unlock_actions();
    rth__sigmask_restore_sigsafe(&before);
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
    int number = rth__sigmux_signal();
    return number != 0 && kernel_has_ours(number);
}

bool rth__sigmux_is_ours_sigsafe(const siginfo_t *info)
{
    unsigned kind;
    uint32_t argument;
    return is_ours(info, &kind, &argument);
}

uint64_t rth__sigmux_forwarded(void)
{
    return atomic_load_explicit(&forwarded, memory_order_relaxed);
}

/* ---- the host's calls ---------------------------------------------------------------------- */

/* In a child of any kind, before adoption. */
static int pass_translated(const struct entry *entry, int signal_number,
                           const struct sigaction *action, struct sigaction *ret_before)
{
    struct sigaction before;
    int result = real_sigaction(signal_number, action, &before);
    if (result == 0 && ret_before != NULL)
        *ret_before = is_our_action(&before) ? host_action_sigsafe(entry) : before;
    return result;
}

/* Whether the entry is the host's view: our handler is there, or our timers still use a signal that
 * the host came to ignore. Otherwise the kernel's table is. action_lock held. */
static bool entry_counts_locked(const struct entry *entry, int signal_number)
{
    return kernel_has_ours(signal_number) ||
           (atomic_load_explicit(&owned, memory_order_relaxed) == signal_number &&
            host_action_sigsafe(entry).sa_handler == SIG_IGN);
}

static int host_action_locked(struct entry *entry, int signal_number,
                              const struct sigaction *action, struct sigaction *ret_before)
{
    if (!entry_counts_locked(entry, signal_number))
        return real_sigaction(signal_number, action, ret_before);
    struct sigaction before = host_action_sigsafe(entry);
    /* Our own handler comes back from a host that read it by a raw system call: it means what was
     * in force then. */
    if (action != NULL && !is_our_action(action)) {
        struct sigaction wanted = *action;
        if (install(signal_number, &wanted) != 0)
            return -1;
        set_host_action(entry, &wanted);
    }
    *ret_before = before;
    return 0;
}

int rth__sigmux_host_action_sigsafe(int signal_number, const struct sigaction *action,
                                    struct sigaction *ret_before)
{
    struct entry *entry = entry_of(signal_number);
    if (entry == NULL)
        return 1;
    if (table_is_a_childs())
        return pass_translated(entry, signal_number, action, ret_before);
    /* The host's pointers are not followed while the lock is held: they may fault. */
    struct sigaction wanted, before;
    if (action != NULL)
        wanted = *action;
    sigset_t mask_before;
    rth__sigmask_block_sigsafe(&mask_before);
    lock_actions();
    int result = host_action_locked(entry, signal_number, action != NULL ? &wanted : NULL, &before);
    unlock_actions();
    rth__sigmask_restore_sigsafe(&mask_before);
    if (result == 0 && ret_before != NULL)
        *ret_before = before;
    return result;
}

void rth__sigmux_child_reset(void)
{
    atomic_flag_clear_explicit(&action_lock, memory_order_relaxed);
    /* The entries stay: where the parent's handler is still in force, they are the host's view. */
    if (!rth__sigmux_installed())
        owned = 0;
    forwarded = 0;
}
