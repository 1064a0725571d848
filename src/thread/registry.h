/* SPDX-License-Identifier: MIT */
#ifndef RTH_THREAD_REGISTRY_H
#define RTH_THREAD_REGISTRY_H

/*
 * What we know of the host's threads beyond /proc: one block per thread created through
 * pthread_create while the interposer was attached. Threads older than that, raw clones and
 * threads of ours have none; readers start from /proc/self/task and ask for the block of a tid.
 */

#include <stdbool.h>
#include <stdint.h>

enum rth_thread_state {
    RTH_THREAD_FREE,    /* on the free list */
    RTH_THREAD_CREATED, /* handed to pthread_create, not running yet */
    RTH_THREAD_LIVE,
    RTH_THREAD_EXITING, /* left its start routine; still in /proc for a moment */
};

/* Where a thread was created: what the observer of births keeps in its block. */
struct rth_thread_birth {
    uint32_t site, early;
};

/* What a reader gets: a copy. */
struct rth_thread_info {
    uint32_t generation; /* of the block: tells a reused one */
    int tid;
    int creator_tid;
    int64_t created_ns; /* CLOCK_MONOTONIC */
    /* Never given back, but may pass to another thread; the observer's to read. */
    const struct rth_thread_birth *birth;
};

struct rth_thread_shared; /* interpose/abi.h */

/* How the calling thread's wrappers are told where to show where they wait; NULL without an
 * interposer. Also gives the calling thread, the host's first one, a block. */
void rth__thread_registry_start(void (*shared_set)(struct rth_thread_shared *shared));
/* Whether an interposer was there: without one no thread is seen to be created. */
bool rth__thread_registry_has_interposer(void);
/* In a child, right after fork, however often: its block is the parent's, and wiped. Signal-safe.
 */
void rth__thread_forget_self_sigsafe(void);
/* The part of a thread's block that its wrappers write; NULL when tid has no block. The memory is
 * never given back, but may pass to another thread: see rth_thread_shared. */
const struct rth_thread_shared *rth__thread_shared_of(int tid);

/* What the wrappers of all threads with a block have counted, ended ones included; `due` is 0. */
struct rth_thread_heap; /* interpose/abi.h */
void rth__thread_heaps_sum(struct rth_thread_heap *ret_sum);
/* Each thread calls the runtime at its next allocation. */
void rth__thread_heaps_make_due(void);

/* For struct rth_interpose_ops. */
void *rth__thread_prepare(void *(*start)(void *), void *argument);
void rth__thread_abandon(void *handle);
void *rth__thread_run(void *handle);

/* Whoever follows threads while they come and go, called on the thread itself: before its start
 * routine, and after it. Static storage. */
struct rth_thread_observer {
    void (*started)(int tid);
    void (*ending)(int tid);
};
/* NULL: nobody. A thread that is in a call finishes it. */
void rth__thread_observe(const struct rth_thread_observer *observer);

/* Whoever keeps where threads are created. Static storage. Neither may be NULL. */
struct rth_thread_birth_observer {
    /* On the creator, with no lock held. ret_birth is zero. return_address: into the wrapper of
     * pthread_create, whose caller creates the thread. */
    void (*creating)(struct rth_thread_birth *ret_birth, uintptr_t return_address);
    /* The thread ends, on itself; or never began, on its creator. Zero when nobody observed its
     * creation; may be written. */
    void (*gone)(struct rth_thread_birth *birth, bool has_run);
};
/* NULL: nobody. What was observed once is to be told of for ever. */
void rth__thread_observe_births(const struct rth_thread_birth_observer *observer);

/* True when tid is a live thread with a block. */
bool rth__thread_find(int tid, struct rth_thread_info *ret_info);
/* Threads created so far; threads that got no block because memory was short. */
uint64_t rth__thread_created_count(void);
uint64_t rth__thread_unseen_count(void);
uint64_t rth__thread_live_count(void);
void rth__thread_registry_child_reset(void);

#endif /* RTH_THREAD_REGISTRY_H */
