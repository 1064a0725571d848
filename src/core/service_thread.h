/* SPDX-License-Identifier: MIT */
#ifndef RTH_CORE_SERVICE_THREAD_H
#define RTH_CORE_SERVICE_THREAD_H

/*
 * The threads we add to the host: named, small stack, every signal blocked but the fault signals
 * (through pthread_sigmask: a raw mask would block glibc's SIGSETXID and hang the host's setuid).
 * They never change credentials. Creation needs the host's malloc, so it happens at start, never
 * for a request.
 */

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#define RTH_SERVICE_THREAD_MAX 12

struct rth_service_thread {
    const char *name; /* <= 15 bytes: "rth-admin" */
    void (*main)(void *userdata);
    void *userdata;
    pthread_t handle;
    size_t stack_bytes;
    void *stack;             /* our mapping, NULL while not started */
    _Atomic int tid;         /* 0 until it runs, again 0 once it has returned from main */
    _Atomic uint32_t exited; /* futex word: 1 after main returned */
    bool started;            /* between start and join; owner: the starting thread */
};

/* name, main and userdata set by the caller, the rest zero. 0 or a negative errno. */
int rth__service_thread_start(struct rth_service_thread *thread);
/* Waits for main to return, then joins. -ETIMEDOUT leaves it started. */
int rth__service_thread_join(struct rth_service_thread *thread, int64_t deadline_ns);
/* In a child: the thread does not exist here. */
void rth__service_thread_child_reset(struct rth_service_thread *thread);
/* True on a thread of ours. */
bool rth__service_thread_is_self(void);
/* True while this thread is inside pthread_create for a thread of ours. */
bool rth__service_thread_is_creating(void);
/* tids of ours alive now; returns how many were written. */
int rth__service_thread_tids(int *ret_tids, int capacity);
/* Whether a tid is a thread of ours now. */
bool rth__service_thread_has(int tid);
/* CPU time used by all threads of ours so far, ended ones included; resident stack bytes. */
uint64_t rth__service_thread_cpu_ns(void);
uint64_t rth__service_thread_stack_bytes(void);
void rth__service_threads_child_reset(void);

/*
 * Gives the calling thread (and those it creates from now on) a descriptor table of its own:
 * everything from 3 on is closed there, 0 to 2 become /dev/null. Host fds, and what the host does
 * to all fds, no longer concern us; its children inherit none of ours. 0 or a negative errno.
 */
int rth__service_thread_private_fds(void);
/* "/" as this thread's table has it, opened by the call above: root_fd for the os readers. */
int rth__root_fd(void);

#endif /* RTH_CORE_SERVICE_THREAD_H */
