/* SPDX-License-Identifier: MIT */
#ifndef RTHOOKS_LIMITS_H
#define RTHOOKS_LIMITS_H

/*
 * The budget of the process: how much memory and CPU the platform lets it have, and what it does
 * when memory runs short.
 *
 * The memory limit is soft. It is a share of the tightest hard limit among the process's cgroup and
 * all that are above it (RTHOOKS_MEMORY_RATIO), or what RTHOOKS_MEMORY_LIMIT or the program says.
 * Before it is reached the allocator gives back what is free; at it, shrinkers are called; between
 * it and the hard limit, rth_memory_admit refuses.
 *
 * A cache needs two things of this: a shrinker that gives up entries, and to ask before it grows:
 *
 *     (void)rth_shrinker_add(&(struct rth_shrinker_opts){.struct_size = …, .name = "cache",
 *                                                        .shrink = evict, …}, &shrinker);
 *     …
 *     if (rth_memory_admit(RTH_MEMORY_NORMAL, entry_bytes) == 0) {
 *         … allocate and insert …
 *         rth_memory_release(entry_bytes);
 *     }
 *
 * docs/memory-limit.md has more; examples/cache is a whole one.
 */

#include <stdint.h>

#include <rthooks/base.h>

RTH_BEGIN_DECLS

/* No limit, as in Go. */
#define RTH_MEMORY_LIMIT_NONE INT64_MAX

/* How short memory is, in order; there is room between the numbers for more. */
enum rth_memory_state {
    RTH_MEMORY_OK = 0,
    RTH_MEMORY_ELEVATED = 50,   /* 0.9 of the limit: the allocator gives back, caches shrink */
    RTH_MEMORY_SHED = 100,      /* the limit: low and large requests are refused */
    RTH_MEMORY_CRITICAL = 200,  /* halfway to the hard limit: all but health is refused */
    RTH_MEMORY_EXHAUSTED = 300, /* as before, and reclaiming yields nothing */
};

/* What a request is for: who is refused first. */
enum rth_memory_class {
    RTH_MEMORY_HEALTH = 0, /* health checks, control: never refused */
    RTH_MEMORY_NORMAL = 1,
    RTH_MEMORY_LOW = 2, /* background work, prefetching: refused from SHED on */
};

/* What limits the process now. */
struct rth_limits {
    size_t struct_size;         /* sizeof(struct rth_limits), set by RTH_LIMITS_INIT */
    int64_t memory_limit_bytes; /* the soft limit; RTH_MEMORY_LIMIT_NONE: none */
    int64_t memory_hard_bytes;  /* the tightest hard limit; RTH_MEMORY_LIMIT_NONE: none */
    int64_t memory_usage_bytes; /* not reclaimable, where the hard limit is; -1: not known */
    int memory_state;           /* enum rth_memory_state */
    int memory_is_stale;        /* 1: sampling fails; the state is one level up */
    double cpu_limit;           /* processors, fractions included; 0: no limit but the affinity */
    unsigned cpu_workers;       /* as rth_cpu_workers */
};

#ifdef __cplusplus
#define RTH_LIMITS_INIT                                                                            \
    rth_limits                                                                                     \
    {                                                                                              \
        sizeof(struct rth_limits)                                                                  \
    }
#else
#define RTH_LIMITS_INIT                                                                            \
    {                                                                                              \
        .struct_size = sizeof(struct rth_limits)                                                   \
    }
#endif

/* Called on rth-call, after a limit, the number of workers or the state changed. */
typedef void (*rth_limits_changed)(const struct rth_limits *limits, void *userdata);
struct rth_limits_watch;

/* It may be called by a thread inside rth_memory_admit too, not only by rth-reclaim. */
#define RTH_SHRINKER_DIRECT 1u

struct rth_shrinker_opts {
    size_t struct_size; /* sizeof(struct rth_shrinker_opts) */
    const char *name;   /* copied; shown in the status */
    int priority;       /* 0 is asked first; those of one priority share by what they hold */
    uint32_t flags;     /* RTH_SHRINKER_* */
    /* What could be freed, in bytes: cheap, and without locks that are held while allocating. NULL:
     * not known. */
    uint64_t (*count)(void *userdata);
    /* Frees about wanted_bytes, and returns what it freed; 0: nothing now (its lock is taken, say).
     * Ends by deadline_ns (CLOCK_MONOTONIC). Frees what lies together, or what is oldest: memory
     * goes back by whole pages only. */
    uint64_t (*shrink)(uint64_t wanted_bytes, int64_t deadline_ns, void *userdata);
    void *userdata;
};
struct rth_shrinker;

#ifndef RTHOOKS_DISABLE
RTH_API int64_t rth_memory_limit_set(int64_t limit_bytes);
RTH_API int rth_limits_read(struct rth_limits *ret_limits);
RTH_API int rth_limits_on_change_add(rth_limits_changed changed, void *userdata,
                                     struct rth_limits_watch **ret_watch);
RTH_API void rth_limits_on_change_remove(struct rth_limits_watch *watch);
RTH_API unsigned rth_cpu_workers(void);
RTH_API int rth_shrinker_add(const struct rth_shrinker_opts *opts,
                             struct rth_shrinker **ret_shrinker);
RTH_API void rth_shrinker_remove(struct rth_shrinker *shrinker);
RTH_API int rth_memory_admit(enum rth_memory_class memory_class, uint64_t size_bytes);
RTH_API void rth_memory_release(uint64_t size_bytes);
RTH_API int rth_budget_line(char *ret_line, size_t line_size);
#endif

RTH_END_DECLS

#endif /* RTHOOKS_LIMITS_H */
