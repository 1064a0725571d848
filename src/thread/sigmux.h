/* SPDX-License-Identifier: MIT */
#ifndef RTH_THREAD_SIGMUX_H
#define RTH_THREAD_SIGMUX_H

/*
 * The one owner of our signal. It is chosen and its handler installed at the first use, and stays
 * while the runtime does: a timer may still fire, and SIGPROF's default action is death. The host
 * keeps its own view: what it asks for through sigaction and relatives is kept here, answered from
 * here, and runs when the signal is not one of ours. Another signal is chosen only when the host
 * comes to ignore this one, or replaces our handler by a raw system call.
 */

#include <signal.h>
#include <stdbool.h>
#include <stdint.h>

/* What our signals ask for; part of the cookie. */
enum rth_sigmux_kind {
    RTH_SIGMUX_CPU,    /* a timer of the CPU profiler */
    RTH_SIGMUX_THREAD, /* a thread dump asks this thread for its stack */
    RTH_SIGMUX_KINDS,
};

/* Runs in the handler, every signal blocked but the fault signals, errno kept by the caller. */
typedef void (*rth_sigmux_handler)(uint32_t argument, const siginfo_t *info, void *ucontext);

/* The real sigaction (the interposer's wrapper would answer for the host); NULL: libc's own. */
void rth__sigmux_init(int (*real_sigaction)(int signal_number, const struct sigaction *action,
                                            struct sigaction *ret_before));
/* Installs our handler when it is not there, or no longer. Returns the signal's number, which may
 * be another one than before, or a negative errno (-EBUSY when the host uses every candidate).
 * rth-work. */
int rth__sigmux_acquire(void);
/* Gives the host's own actions back to the kernel. No timer of ours exists any more; signals under
 * way are waited for, and where one stays pending (the thread blocks it, or is traced) our handler
 * stays. The next acquire begins anew. root_fd: see os/procfs.h. */
void rth__sigmux_release(int root_fd);
/* The signal's number, 0 before the first acquire. */
int rth__sigmux_signal(void);
/* Before the first signal of that kind can arrive. */
void rth__sigmux_handle(enum rth_sigmux_kind kind, rth_sigmux_handler handler);
/* What a timer must carry in its value for its signals to be ours. */
union sigval rth__sigmux_cookie(enum rth_sigmux_kind kind, uint32_t argument);
/* True when the kernel has our handler: not when the host ignores the signal, or replaced the
 * handler by a raw system call. */
bool rth__sigmux_installed(void);
/* Whether a signal that a thread took from its queue (sigwait and relatives) is a timer of ours. */
bool rth__sigmux_is_ours_sigsafe(const siginfo_t *info);
/* Signals that were not ours and were passed on to the host's action. */
uint64_t rth__sigmux_forwarded(void);

/* For struct rth_interpose_ops: 1 when signal_number is not ours, else the call's result. */
int rth__sigmux_host_action_sigsafe(int signal_number, const struct sigaction *action,
                                    struct sigaction *ret_before);
void rth__sigmux_child_reset(void);

#endif /* RTH_THREAD_SIGMUX_H */
