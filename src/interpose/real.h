/* SPDX-License-Identifier: MIT */
#ifndef RTH_INTERPOSE_REAL_H
#define RTH_INTERPOSE_REAL_H

/*
 * The originals: what each wrapped name would have been without us, the next definition in the
 * loader's search order (another preload's, or libc's). Resolved by the constructor; a wrapper
 * called before it (by the constructor of another preload) resolves them itself.
 */

/* Fortified headers define some of the wrapped names inline. Before any header of libc. */
#undef _FORTIFY_SOURCE

#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <stdbool.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <threads.h>
#include <time.h>
#include <unistd.h>
#include <dlfcn.h>

/* Every definition with this is in interpose.map; the rest of the object is hidden. */
#define RTH__EXPORT __attribute__((visibility("default")))

#include "interpose/hot.h"

/* Exported by libc, declared by no header, by fortified ones only, or by newer ones only. */
RTH__EXPORT int __poll_chk(struct pollfd *fds, nfds_t count, int timeout_ms, size_t fds_bytes);
RTH__EXPORT int __ppoll_chk(struct pollfd *fds, nfds_t count, const struct timespec *timeout,
                            const sigset_t *mask, size_t fds_bytes);
RTH__EXPORT sighandler_t bsd_signal(int signal_number, sighandler_t handler);
RTH__EXPORT sighandler_t __sysv_signal(int signal_number, sighandler_t handler);
#if !__GLIBC_PREREQ(2, 34)
RTH__EXPORT pid_t _Fork(void);
RTH__EXPORT int execveat(int folder_fd, const char *path, char *const argv[], char *const envp[],
                         int flags);
#endif
#if !__GLIBC_PREREQ(2, 35)
RTH__EXPORT int epoll_pwait2(int epoll_fd, struct epoll_event *events, int max_events,
                             const struct timespec *timeout, const sigset_t *mask);
#endif

/* The names with a declaration to take the type from. dlopen and dlmopen are apart: see dl.c. */
/* clang-format off */
#define RTH__REAL_NAMES(X)                                                                         \
    X(_Fork) X(__poll_chk) X(__ppoll_chk) X(__sysv_signal) X(accept) X(accept4) X(bsd_signal)      \
    X(clock_nanosleep) X(dlclose) X(epoll_pwait) X(epoll_pwait2) X(epoll_wait) X(execv) X(execve)  \
    X(execveat) X(execvp) X(execvpe) X(fexecve) X(fork) X(mmap) X(mmap64) X(mremap) X(munmap)      \
    X(nanosleep) X(pause) X(poll) X(posix_spawn) X(posix_spawnp) X(ppoll) X(pselect)               \
    X(pthread_create) X(sbrk) X(select) X(setegid) X(seteuid) X(setgid) X(setns) X(setregid)       \
    X(setresgid) X(setresuid) X(setreuid) X(setuid) X(sigaction) X(signal) X(sigsuspend)           \
    X(sigtimedwait) X(sigwait) X(sigwaitinfo) X(sleep) X(ssignal) X(sysv_signal) X(thrd_create)    \
    X(unshare) X(usleep)
/* clang-format on */

struct rth__real {
#define RTH__REAL_MEMBER(name) __typeof__(name) *name;
    RTH__REAL_NAMES(RTH__REAL_MEMBER)
#undef RTH__REAL_MEMBER
    /* Marked deprecated where they are declared. */
    sighandler_t (*sigset)(int signal_number, sighandler_t handler);
    int (*sigignore)(int signal_number);
    int (*siginterrupt)(int signal_number, int interrupts);
};

/* Written by rth__real_resolve alone, always with the same values. A name that this libc lacks
 * stays NULL (_Fork, execveat, epoll_pwait2 on older ones). */
extern struct rth__real rth__real_table;
extern bool rth__real_resolved;

/* Any thread, before or after the constructor; may take the loader lock. */
void rth__real_resolve(void);

static inline const struct rth__real *rth__real(void)
{
    if (__builtin_expect(!__atomic_load_n(&rth__real_resolved, __ATOMIC_ACQUIRE), 0))
        rth__real_resolve();
    return &rth__real_table;
}

#endif /* RTH_INTERPOSE_REAL_H */
