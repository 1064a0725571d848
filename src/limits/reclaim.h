/* SPDX-License-Identifier: MIT */
#ifndef RTH_LIMITS_RECLAIM_H
#define RTH_LIMITS_RECLAIM_H

/*
 * What is done when memory runs short: shrinkers are called, the allocator gives back, admission
 * refuses. The state machine (rth-collect) says how much is wanted; rth-reclaim does it, under a
 * CPU cap, and tells what came of it.
 */

#include <stdbool.h>
#include <stdint.h>

struct rth_json;

/* Before rth__reclaim_start: the malloc that answers the program, as the interposer knows it; NULL
 * (or never called): whatever the loader finds under that name. */
void rth__reclaim_attach(const void *serving_malloc);
/* At start, on the host's thread: finds the allocators' functions (the loader is asked here and
 * nowhere else); where there is a limit, caps the caches of glibc and gperftools and starts
 * rth-reclaim parked (else it starts with the first shrinker). limit_bytes: INT64_MAX: none. lazy:
 * freed memory may stay until it is wanted (RTHOOKS_RETURN=lazy). cpu_limit: processors of the
 * quota, the affinity where there is none. 0 or a negative errno: then there is no thread, and all
 * else works. */
int rth__reclaim_start(bool lazy, int64_t limit_bytes, double cpu_limit);
void rth__reclaim_stop(void);
void rth__reclaim_child_reset(void);
void rth__reclaim_cpu_limit_set(double cpu_limit);

/* rth-reclaim alone, on a thread of the host: where the host needs to be without threads of ours
 * for a moment, and when a limit is set later. start does nothing in an adopted child, before
 * rth__reclaim_start, or when it runs. */
int rth__reclaim_thread_start(void);
void rth__reclaim_thread_stop(void);
/* A shrinker registered, on this thread of the host. */
void rth__reclaim_shrinker_added(void);

/* From rth-collect after each look: what it saw. Rebases the room of admission, and wakes
 * rth-reclaim when there is something to do. Never waits. */
struct rth_memory_now;
void rth__reclaim_report(const struct rth_memory_now *now);

/* What came of the passes so far. is_futile: the last three passes at CRITICAL freed next to
 * nothing, or the CPU cap is used up there: the state machine goes to EXHAUSTED. */
struct rth_reclaim_counts {
    uint64_t passes, shrinker_calls, shrunk_bytes, purges, purged_bytes;
    uint64_t purge_cpu_ns, shrink_cpu_ns; /* of rth-reclaim and of direct reclaim */
    uint64_t direct_reclaims, admitted, refused, capped_passes;
    bool is_futile;
    const char *purge_method; /* "malloc_trim", "jemalloc", …; NULL: none for this allocator */
};
void rth__reclaim_counts_read(struct rth_reclaim_counts *ret_counts);
/* The member `key`: counts, shrinkers with what each held and yielded, pauses. rth-work. */
void rth__reclaim_json(const char *key, struct rth_json *json);

#endif /* RTH_LIMITS_RECLAIM_H */
