/* SPDX-License-Identifier: MIT */
#ifndef RTHOOKS_LOOP_H
#define RTHOOKS_LOOP_H

/*
 * An event loop tells, once per iteration, how long its callbacks kept it from looking for new
 * events: no event can have waited in it for longer. rthooks/adapters/libuv.h and libevent.h do it
 * for those loops; another one says it itself:
 *
 *     (void)rth_loop_new("main", &loop);
 *     for (;;) {
 *         … wait for events …
 *         int64_t woken_ns = now_ns();
 *         … call back …
 *         rth_loop_tick(loop, now_ns() - woken_ns, -1);
 *     }
 *
 * The status of rthooks shows it.
 */

#include <rthooks/base.h>

RTH_BEGIN_DECLS

struct rth_loop;

#ifndef RTHOOKS_DISABLE
/*
 * Makes a loop known.
 *
 * name: copied; at most 31 bytes are kept. ret_loop: receives the loop, NULL when it is refused;
 * given back by rth_loop_free.
 * Returns 0; -ENOSPC when there are 64; -EINVAL for a name that is NULL or "", or a NULL.
 *
 * Thread: any. Signal: unsafe. Fork: a child has the loops of its parent. Cost: under a
 * microsecond. Since: 0.1.
 */
RTH_API int rth_loop_new(const char *name, struct rth_loop **ret_loop);

/*
 * An iteration is over.
 *
 * busy_ns: how long callbacks ran in it; less than 0 when that is not known. timer_late_ns: how
 * much later than it was due a timer could run; less than 0 when none was due, or it is not known.
 *
 * Thread: the one that runs the loop. NULL is fine. Signal: unsafe. Fork: safe in a child.
 * Cost: 15 ns. Since: 0.1.
 */
RTH_API void rth_loop_tick(struct rth_loop *loop, int64_t busy_ns, int64_t timer_late_ns);

/*
 * The loop is no more. NULL is fine.
 *
 * Thread: any, once no other one is in a tick. Signal: unsafe. Fork: safe in a child.
 * Cost: under a microsecond. Since: 0.1.
 */
RTH_API void rth_loop_free(struct rth_loop *loop);
#else
static inline int rth_loop_new(const char *name, struct rth_loop **ret_loop)
{
    (void)name;
    *ret_loop = NULL;
    return 0;
}
static inline void rth_loop_tick(struct rth_loop *loop, int64_t busy_ns, int64_t timer_late_ns)
{
    (void)loop, (void)busy_ns, (void)timer_late_ns;
}
static inline void rth_loop_free(struct rth_loop *loop)
{
    (void)loop;
}
#endif

RTH_END_DECLS

#endif /* RTHOOKS_LOOP_H */
