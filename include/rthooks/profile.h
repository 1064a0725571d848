/* SPDX-License-Identifier: MIT */
#ifndef RTHOOKS_PROFILE_H
#define RTHOOKS_PROFILE_H

/*
 * A program's own profiles, and profiles for the program itself.
 *
 * A profile of its own counts what the program holds, by the stack and the labels with which it
 * was taken: connections, sessions, locks, handles of a library.
 *
 *     static struct rth_profile *connections;
 *     (void)rth_profile_new("connections", &connections);       once
 *     …
 *     (void)rth_profile_add(connections, connection);           where one is opened
 *     …
 *     rth_profile_remove(connections, connection);              where it is closed
 *
 * /debug/pprof/connections then shows who holds them, in the format of every other profile.
 * docs/custom-profiles.md has more.
 */

#include <rthooks/base.h>
#include <rthooks/sink.h>

RTH_BEGIN_DECLS

/* Made once, for the life of the process and of its forked children. */
struct rth_profile;

/* How rth_profile_write writes; NULL or zero means the default. */
struct rth_profile_opts {
    size_t struct_size;  /* sizeof(struct rth_profile_opts), set by RTH_PROFILE_OPTS_INIT */
    int debug;           /* 0: gzip'd profile.proto; 1: text; 2: text, where there is more to say */
    int seconds;         /* of a "profile": 30; of others the difference over that time, 0: now */
    const char *symbols; /* "none": addresses alone, to be resolved elsewhere */
};

#ifdef __cplusplus
#define RTH_PROFILE_OPTS_INIT                                                                      \
    rth_profile_opts                                                                               \
    {                                                                                              \
        sizeof(struct rth_profile_opts)                                                            \
    }
#else
#define RTH_PROFILE_OPTS_INIT                                                                      \
    {                                                                                              \
        .struct_size = sizeof(struct rth_profile_opts)                                             \
    }
#endif

#ifndef RTHOOKS_DISABLE
/*
 * Makes a profile of the program's own, shown at /debug/pprof/NAME while rthooks runs.
 *
 * name: 1 to 64 of A-Z a-z 0-9 _ . -, but neither "." nor ".."; copied. ret_profile: receives the
 * profile, which is never given back.
 * Returns 0; -EINVAL for a name that is none, or a NULL; -EEXIST when a profile has that name, one
 * of rthooks or one made before; -ENOSPC when there are 16.
 *
 * Thread: any. Signal: unsafe. Fork: safe in a child; a child has the profiles of its parent.
 * Cost: under a microsecond. Since: 0.1. Source: runtime/pprof.NewProfile of Go.
 */
RTH_API int rth_profile_new(const char *name, struct rth_profile **ret_profile);

/*
 * Adds a value, with the caller's stack and the calling thread's labels. It counts until
 * rth_profile_remove takes it out.
 *
 * value: what tells it from others, mostly its address; never followed. Not NULL.
 * Returns 0; -EEXIST when the value is in the profile already (its first stack stays); -ENOSPC when
 * 131,072 values are held by all profiles together; -ENOMEM when memory is short; -EAGAIN while
 * rthooks does not run in this process; -EINVAL for a NULL. Whatever is returned, a remove is fine.
 *
 * Thread: any. Signal: unsafe. Fork: in a child from its adoption on, else -EAGAIN. What was added
 * before the fork is the parent's: a child's profiles begin empty. Cost: about a microsecond and 5
 * ns per frame; no allocation but for growth. Since: 0.1. Source: runtime/pprof.(*Profile).Add of
 * Go, which panics where this returns -EEXIST.
 */
RTH_API int rth_profile_add(struct rth_profile *profile, const void *value);

/*
 * Takes a value out. It is fine when it is not there.
 *
 * Thread: any, not only the one that added it. Signal: unsafe. Fork: safe in a child. Cost: 50 ns.
 * Since: 0.1. Source: runtime/pprof.(*Profile).Remove of Go.
 */
RTH_API void rth_profile_remove(struct rth_profile *profile, const void *value);

/*
 * The number of values in the profile now; 0 while rthooks does not run, and for NULL.
 *
 * Thread: any. Signal: unsafe. Fork: safe in a child. Cost: 20 ns. Since: 0.1.
 * Source: runtime/pprof.(*Profile).Count of Go.
 */
RTH_API size_t rth_profile_count(struct rth_profile *profile);

/*
 * Writes a profile, as /debug/pprof/NAME answers it: one of rthooks ("profile" for CPU time,
 * "threads", "heap", …) or one of the program's own.
 *
 * name: as in the route. opts: NULL for defaults. sink: where the bytes go, once all are there.
 * Returns 0; -ENOENT when there is no such profile; -EINVAL for options that the profile does not
 * take; -E2BIG when opts asks for something this build does not know; -ENOTSUP when what makes it
 * does not run here; -EBUSY when it cannot be made now; -EFBIG above 32 MiB; -ENOMEM; -EAGAIN while
 * rthooks does not run in this process; -ECANCELED when it stopped meanwhile; -EDEADLK on a thread
 * of rthooks, a log sink for one; or what sink returned. What was wrong is logged as well, as
 * "profile.write".
 *
 * Thread: any but ours. It blocks for the time asked for and while others ask; the profile is made
 * on rth-work, which serves the endpoint (in an adopted child rth-admin), sink is called here.
 * Where there is no endpoint (RTHOOKS_ADMIN=off) a thread is made for the time of the call.
 * Signal: unsafe. Fork: in an adopted child; else -EAGAIN. Cost: of the route; and the memory of
 * the whole answer for a moment. Since: 0.1. Source: runtime/pprof.(*Profile).WriteTo and
 * StartCPUProfile of Go.
 */
RTH_API int rth_profile_write(const char *name, const struct rth_profile_opts *opts,
                              const struct rth_sink_callback *sink);

/*
 * Sets the rate of CPU profiles that do not ask for one, in place of RTHOOKS_CPU_HZ.
 *
 * hz: samples per second of CPU time, 1 to 1000. Captures that run keep theirs.
 * Returns 0, or -EINVAL for another number.
 *
 * Thread: any. Signal: safe. Fork: a child keeps it. Cost: a store. Since: 0.1.
 * Source: runtime.SetCPUProfileRate of Go.
 */
RTH_API int rth_cpu_hz_set(int hz);

/*
 * Sets how often allocations are sampled, in place of RTHOOKS_HEAP_INTERVAL.
 *
 * interval_bytes: mean of the bytes between two samples, up to 1 TiB; 1: every allocation; 0: none
 * from now on. Blocks that were sampled before stay in the profile until they are freed.
 * Returns 0; -EINVAL for another number; -ENOTSUP while the heap profile does not run.
 *
 * Thread: any. Signal: unsafe. Fork: in an adopted child; else -ENOTSUP. Cost: microseconds per
 * thread. Since: 0.1. Source: runtime.MemProfileRate of Go, which may not be changed.
 */
RTH_API int rth_heap_interval_set(int64_t interval_bytes);
#else
static inline int rth_profile_new(const char *name, struct rth_profile **ret_profile)
{
    (void)name;
    *ret_profile = NULL;
    return 0;
}
static inline int rth_profile_add(struct rth_profile *profile, const void *value)
{
    (void)profile, (void)value;
    return 0;
}
static inline void rth_profile_remove(struct rth_profile *profile, const void *value)
{
    (void)profile, (void)value;
}
static inline size_t rth_profile_count(struct rth_profile *profile)
{
    (void)profile;
    return 0;
}
static inline int rth_profile_write(const char *name, const struct rth_profile_opts *opts,
                                    const struct rth_sink_callback *sink)
{
    (void)name, (void)opts, (void)sink;
    return 0;
}
static inline int rth_cpu_hz_set(int hz)
{
    (void)hz;
    return 0;
}
static inline int rth_heap_interval_set(int64_t interval_bytes)
{
    (void)interval_bytes;
    return 0;
}
#endif

RTH_END_DECLS

#endif /* RTHOOKS_PROFILE_H */
