/* SPDX-License-Identifier: MIT */
#ifndef RTH_LIMITS_PURGE_H
#define RTH_LIMITS_PURGE_H

/*
 * Giving the allocator's free memory back: which allocator's function does it, and when it is worth
 * its price. What it costs hangs on how many holes the heap has and not on how many bytes they
 * are, so the price is learned, call by call.
 */

#include <stdbool.h>
#include <stdint.h>

/* ---- which ---------------------------------------------------------------------------------- */

/* At start, on a thread of the host: asks the loader. serving_malloc: the malloc that answers the
 * program; NULL: whatever the loader finds under that name. */
void rth__purge_find(const void *serving_malloc);
/* "malloc_trim", "jemalloc", "gperftools", "tcmalloc", "mimalloc"; NULL: none is known. */
const char *rth__purge_method(void);
/* Gives back what is free: at least wanted_bytes where the allocator can do it by pieces. Blocks
 * allocation of other threads for as long as the allocator wants. rth-reclaim. */
void rth__purge_call(uint64_t wanted_bytes);
/* What is free in the calling thread's own heap or cache, where nobody else can reach it: mimalloc
 * gives it back, jemalloc to the arenas, from where a purge does. Others: nothing. Not within an
 * allocation function. */
void rth__purge_own_heap(void);

/* What an allocator keeps per thread or arena does not know of the limit. At start, on the host's
 * thread, unless the program's environment says how much it may be: no more arenas than workers
 * (glibc), no more thread caches than a part of the limit (gperftools). */
struct rth_purge_caps {
    unsigned arenas_max;              /* 0: left as it was */
    uint64_t thread_caches_max_bytes; /* likewise */
};
void rth__purge_cap_caches(unsigned workers, int64_t limit_bytes, struct rth_purge_caps *ret_caps);

/* ---- when ----------------------------------------------------------------------------------- */

#define RTH_PURGE_YIELD_MIN (UINT64_C(64) * 1024) /* less is nothing */
/* Of its cost, between two: 5 % of the time, 11 from SHED on, 25 while requests are refused, 33 at
 * CRITICAL. */
#define RTH_PURGE_SPACING          20
#define RTH_PURGE_SPACING_SHED     8
#define RTH_PURGE_SPACING_PRESSING 3
#define RTH_PURGE_SPACING_CRITICAL 2
#define RTH_PURGE_BACKOFF_NS       (INT64_C(1000) * 1000 * 1000)
#define RTH_PURGE_BACKOFF_MAX_NS   (INT64_C(300) * 1000 * 1000 * 1000)

/* What is known of the allocator's price. */
struct rth_purge_model {
    int64_t ended_ns;     /* of the last call; 0: there was none */
    int64_t cost_ns;      /* CPU time of the last call */
    uint64_t yield_bytes; /* of the last call */
    unsigned fruitless;   /* calls in a row that gave nothing, or less than they cost */
};

/* Whether a call may be made in that state of memory; pressing: as at CRITICAL. */
bool rth__purge_model_allows(const struct rth_purge_model *model, int64_t now_ns, int state,
                             bool is_pressing);
/* A call is over. is_telling: so much was free that it should have been worth it; of one that was
 * made for little only the price is learned. */
void rth__purge_model_learn(struct rth_purge_model *model, int64_t now_ns, int64_t cost_ns,
                            uint64_t yield_bytes, bool is_telling);

#endif /* RTH_LIMITS_PURGE_H */
