/* SPDX-License-Identifier: MIT */
#ifndef RTH_CORE_LOCK_H
#define RTH_CORE_LOCK_H

/*
 * Our only lock: a futex, never a pthread mutex (the host's interposers and ours must not see
 * it). Every lock has a rank; a thread takes ranks in rising order only; debug builds abort when
 * it does not. Not recursive, not for signal handlers (except trylock).
 */

#include <stdbool.h>
#include <stdint.h>

/* Rising order = order of taking. One line each: what the lock protects. */
enum rth_lock_rank {
    RTH_RANK_RUNTIME = 10,   /* start and stop, src/rthooks.c */
    RTH_RANK_FORK = 20,      /* adoption of a child */
    RTH_RANK_LOG_SINK = 30,  /* which sink receives log records */
    RTH_RANK_CALL = 35,      /* threads of rth-call, made and ended */
    RTH_RANK_ADMIN = 40,     /* where the admin sockets are */
    RTH_RANK_WORK_USE = 45,  /* rth-work where there is no endpoint: begun and ended */
    RTH_RANK_RECLAIM = 46,   /* rth-reclaim: begun and ended */
    RTH_RANK_EPISODE = 47,   /* who may collect evidence now, and the counts of it */
    RTH_RANK_WORK = 50,      /* queue of rth-work */
    RTH_RANK_CALL_LIST = 52, /* who is called on rth-call */
    RTH_RANK_LIMITS = 55,    /* the budget in force, and what led to the memory state */
    RTH_RANK_THREADS = 60,   /* thread registry free list */
    RTH_RANK_SAMPLED = 65,   /* sampled threads and their timers */
    RTH_RANK_LABELS = 66,    /* first use of the label tables */
    RTH_RANK_FACTS = 67,     /* what the facts region holds */
    RTH_RANK_SITES = 68,     /* rows and live sets; taken inside allocation functions */
    RTH_RANK_ARENA = 70,     /* arena chunk list */
    RTH_RANK_LOG = 80,       /* log ring; innermost, so that anything may log */
};

struct rth_lock {
    _Atomic uint32_t word; /* 0 free, 1 held, 2 held with waiters */
    uint8_t rank;          /* enum rth_lock_rank */
};

#define RTH_LOCK_INIT(lock_rank)                                                                   \
    {                                                                                              \
        .word = 0, .rank = (lock_rank)                                                             \
    }

void rth__lock(struct rth_lock *lock);
bool rth__lock_try_sigsafe(struct rth_lock *lock);
void rth__unlock(struct rth_lock *lock);
/* In a child, before any other thread exists: whoever held it is gone. */
void rth__lock_reset(struct rth_lock *lock);

/* Whether the calling thread holds a lock of the rank of the sites or above, or is about to: a
 * handler has interrupted it there. Who records at any instant, on threads of the host, then must
 * not. */
bool rth__lock_inner_held_sigsafe(void);

static inline void rth__unlock_scoped(struct rth_lock **lock)
{
    rth__unlock(*lock);
}
/* Holds the lock to the end of the scope. */
#define RTH__LOCK_SCOPE(lock)                                                                      \
    __attribute__((cleanup(rth__unlock_scoped), unused)) struct rth_lock *rth_scope_lock_ =        \
        (lock);                                                                                    \
    rth__lock(rth_scope_lock_)

#endif /* RTH_CORE_LOCK_H */
