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
    /* Frees about wanted_bytes, and returns what it freed, counted as it was when it was admitted;
     * 0: nothing now (its lock is taken, say). Ends by deadline_ns (CLOCK_MONOTONIC). Frees what
     * lies together, or what is oldest: memory goes back by whole pages only. */
    uint64_t (*shrink)(uint64_t wanted_bytes, int64_t deadline_ns, void *userdata);
    void *userdata;
};
struct rth_shrinker;

#ifdef __cplusplus
#define RTH_SHRINKER_OPTS_INIT                                                                     \
    rth_shrinker_opts                                                                              \
    {                                                                                              \
        sizeof(struct rth_shrinker_opts)                                                           \
    }
#else
#define RTH_SHRINKER_OPTS_INIT                                                                     \
    {                                                                                              \
        .struct_size = sizeof(struct rth_shrinker_opts)                                            \
    }
#endif

/* ---- what limits the process ------------------------------------------------------------------
 */

#ifndef RTHOOKS_DISABLE
/*
 * Sets the soft memory limit of the process, in place of RTHOOKS_MEMORY_LIMIT and of what the
 * platform says. A limit above the hard limit of the platform counts as that. It stays over
 * rth_stop and rth_start.
 *
 * limit_bytes: the limit; RTH_MEMORY_LIMIT_NONE: none; less than 0: the limit stays as it is.
 * Returns the limit before, RTH_MEMORY_LIMIT_NONE when there was none.
 *
 * Thread: any. Signal: unsafe. Fork: a child has the limit of its parent, for itself. Cost: a
 * microsecond; where there was no limit it may create a thread. Since: 0.1.
 * Source: runtime/debug.SetMemoryLimit of Go.
 */
RTH_API int64_t rth_memory_limit_set(int64_t limit_bytes);

/*
 * Reads what limits the process, and how short memory is.
 *
 * ret_limits: struct_size set by the caller (RTH_LIMITS_INIT); the rest is written.
 * Returns 0; -EINVAL (NULL, or struct_size too small); -EAGAIN while rthooks does not run in this
 * process, or not this part of it.
 *
 * Thread: any. Signal: unsafe. Fork: in an adopted child; else -EAGAIN. Cost: under a microsecond;
 * no system call. Since: 0.1.
 */
RTH_API int rth_limits_read(struct rth_limits *ret_limits);

/*
 * Has a function called whenever a limit, the number of workers or the memory state changed.
 * Changes that come close together may be told by one call.
 *
 * changed: called on rth-call, one at a time for each watch, with what is in force then; it may
 * take its time and call any function but rth_stop. userdata: as it is. ret_watch: receives the
 * watch, given back by rth_limits_on_change_remove. Returns 0; -EINVAL for a NULL; -ENOMEM; -EAGAIN
 * when the thread could not be created.
 *
 * Thread: any. Signal: unsafe. Fork: a child that rthooks has adopted is told of its own changes.
 * Cost: the first one creates two threads. Since: 0.1.
 */
RTH_API int rth_limits_on_change_add(rth_limits_changed changed, void *userdata,
                                     struct rth_limits_watch **ret_watch);

/*
 * The function is not called any more. Waits for a call that runs, up to 5 s; called from that call
 * itself it does not wait. NULL is fine.
 *
 * Thread: any, but not with a lock that the function waits for. Signal: unsafe. Fork: safe in a
 * child. Cost: as long as a call that runs. Since: 0.1.
 */
RTH_API void rth_limits_on_change_remove(struct rth_limits_watch *watch);

/*
 * How many threads can run at once: what the CPU quota of the platform (or RTHOOKS_CPU_LIMIT) and
 * the affinity allow, in whole processors by RTHOOKS_CPU_ROUND. What to size thread pools by.
 *
 * Returns at least 1, also while rthooks does not run: the affinity then.
 *
 * Thread: any. Signal: safe once rthooks runs. Fork: safe in a child. Cost: 1 ns; while rthooks
 * does not run, a system call. Since: 0.1. Source: runtime.GOMAXPROCS(0) of Go 1.25.
 */
RTH_API unsigned rth_cpu_workers(void);

/*
 * Writes the budget of the process as one line of logfmt, "rthooks budget memory_limit=…", without
 * a newline: what a service logs when it starts.
 *
 * ret_line: receives the line; 4096 bytes hold any. line_size: its size.
 * Returns the length; -EINVAL (NULL, or 0); -ENOSPC when it does not fit; -EAGAIN while rthooks
 * does not run in this process, or not this part of it.
 *
 * Thread: any. Signal: unsafe. Fork: in an adopted child; else -EAGAIN. Cost: 5 us. Since: 0.1.
 */
RTH_API int rth_budget_line(char *ret_line, size_t line_size);
#else
static inline int64_t rth_memory_limit_set(int64_t limit_bytes)
{
    (void)limit_bytes;
    return RTH_MEMORY_LIMIT_NONE;
}
static inline int rth_limits_read(struct rth_limits *ret_limits)
{
    ret_limits->memory_limit_bytes = RTH_MEMORY_LIMIT_NONE;
    ret_limits->memory_hard_bytes = RTH_MEMORY_LIMIT_NONE;
    ret_limits->memory_usage_bytes = -1;
    ret_limits->memory_state = RTH_MEMORY_OK;
    ret_limits->memory_is_stale = 0;
    ret_limits->cpu_limit = 0;
    ret_limits->cpu_workers = 1;
    return 0;
}
static inline int rth_limits_on_change_add(rth_limits_changed changed, void *userdata,
                                           struct rth_limits_watch **ret_watch)
{
    (void)changed, (void)userdata;
    *ret_watch = NULL;
    return 0;
}
static inline void rth_limits_on_change_remove(struct rth_limits_watch *watch)
{
    (void)watch;
}
static inline unsigned rth_cpu_workers(void)
{
    return 1;
}
static inline int rth_budget_line(char *ret_line, size_t line_size)
{
    if (line_size > 0)
        ret_line[0] = '\0';
    return 0;
}
#endif

/* ---- shrinkers and admission ----------------------------------------------------------------- */

#ifndef RTHOOKS_DISABLE
/*
 * Makes a shrinker known. It is called when memory is short, on a thread of rthooks (rth-reclaim,
 * which may use malloc), and with RTH_SHRINKER_DIRECT also inside rth_memory_admit on the thread
 * that asks. Two threads may be in it at a time: let it take its lock only if that is free, and
 * return 0 otherwise. It may allocate and free; it is never called inside an allocation function,
 * and with no lock of rthooks held.
 *
 * opts: struct_size, name and shrink set; name is copied, at most 31 bytes of it. ret_shrinker:
 * receives it, NULL when it is refused; given back by rth_shrinker_remove.
 * Returns 0; -EINVAL for a missing name or function, an unknown flag, or a NULL; -E2BIG when opts
 * asks for something this build does not know; -ENOSPC when there are 32.
 *
 * One that frees nothing three times in a row, or says so and the memory is not seen to come back,
 * is left alone for 100 ms, then 200 ms, up to a minute.
 *
 * Thread: any. Signal: unsafe. Fork: a child has the shrinkers of its parent; there they are called
 * by rth_memory_admit alone. Cost: under a microsecond; the first one in a process without a limit
 * creates a thread. Since: 0.1. Source: register_shrinker of Linux.
 */
RTH_API int rth_shrinker_add(const struct rth_shrinker_opts *opts,
                             struct rth_shrinker **ret_shrinker);

/*
 * The shrinker is no more. Waits until no thread is in its functions, but for the calling one: from
 * within itself it returns at once, and other threads may be in it until they return. NULL is fine.
 *
 * Thread: any; not one that holds a lock which its functions wait for, nor from within another
 * shrinker. Signal: unsafe. Fork: safe in a child. Cost: as long as a call of it that runs.
 * Since: 0.1.
 */
RTH_API void rth_shrinker_remove(struct rth_shrinker *shrinker);

/*
 * Asks before memory is taken. When there is no room below the limit the calling thread first calls
 * the shrinkers that are flagged RTH_SHRINKER_DIRECT, for what is missing and a little more.
 *
 * memory_class: who is refused first. size_bytes: about what will be allocated.
 * Returns 0: go on, and call rth_memory_release with the same size once the memory is there, or if
 * it is not taken after all; -EAGAIN: not now. RTH_MEMORY_NORMAL is refused at CRITICAL, and before
 * it while usage is halfway there; when shrinking leaves the limit passed by a quarter of what is
 * between it and the hard limit; and when growth could reach CRITICAL before memory is looked at
 * again. RTH_MEMORY_LOW is refused from SHED on too, and without room; RTH_MEMORY_HEALTH never.
 * Without a limit, and while rthooks does not run in this process, everything is admitted.
 *
 * Thread: any; not one that holds a lock which a shrinker waits for. Signal: unsafe. Fork: safe in
 * a child; until it is adopted everything is admitted there. Cost: without a limit 2 ns; with room
 * 25 ns; without it what shrinkers take, 10 ms at most; growth that is very fast waits up to 5 ms.
 * Since: 0.1.
 */
RTH_API int rth_memory_admit(enum rth_memory_class memory_class, uint64_t size_bytes);

/*
 * What was admitted is there now: from here on it is seen as used. Not a free: what happens to the
 * memory afterwards is not asked for.
 *
 * size_bytes: as admitted. Thread: any, not only the one that asked. Signal: unsafe. Fork: safe in
 * a child. Cost: 10 ns. Since: 0.1.
 */
RTH_API void rth_memory_release(uint64_t size_bytes);
#else
static inline int rth_shrinker_add(const struct rth_shrinker_opts *opts,
                                   struct rth_shrinker **ret_shrinker)
{
    (void)opts;
    *ret_shrinker = NULL;
    return 0;
}
static inline void rth_shrinker_remove(struct rth_shrinker *shrinker)
{
    (void)shrinker;
}
static inline int rth_memory_admit(enum rth_memory_class memory_class, uint64_t size_bytes)
{
    (void)memory_class, (void)size_bytes;
    return 0;
}
static inline void rth_memory_release(uint64_t size_bytes)
{
    (void)size_bytes;
}
#endif

RTH_END_DECLS

#endif /* RTHOOKS_LIMITS_H */
