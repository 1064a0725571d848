/* SPDX-License-Identifier: MIT */
#ifndef RTHOOKS_TASK_H
#define RTHOOKS_TASK_H

/*
 * A task is a unit of work that a program queues and runs later: a request of an event loop, a job
 * of a thread pool.
 *
 *     (void)rth_task_new("resize", &job->task);       where it is queued
 *     …
 *     (void)rth_task_start(job->task);                on the thread that runs it
 *     job->run(job);
 *     rth_task_end(job->task);
 *
 * /debug/pprof/tasks shows the tasks that are alive, by where they were made; while a task runs its
 * thread has the labels that its maker had, so that profiles say on whose account it works. How
 * long tasks wait between new and start is measured.
 *
 * A task that gives its thread back without being done, as it does in an event loop, is paused and
 * started again, on any thread, also on one that begins before the pause:
 *
 *     (void)rth_task_start(request->task);            at the begin of each callback
 *     …
 *     (void)rth_task_pause(request->task);            at its end; fine when it has ended in between
 *
 * A task that will never run is ended without a start. docs/tasks.md has more.
 */

#include <rthooks/base.h>

RTH_BEGIN_DECLS

/* Never to be looked into. NULL, what a refused task is, is fine for every function below, which
 * then does nothing; so is one that has ended: no number of a task is given twice. */
struct rth_task;

#ifndef RTHOOKS_DISABLE
/*
 * Makes a task, queued from now on, with the caller's stack and the calling thread's labels.
 *
 * name: the kind of work, copied: a route or a job's type and no number of it, since the names are
 * few that fit (rthooks/label.h). At most 39 bytes are kept. ret_task: receives the task, NULL when
 * it is refused.
 * Returns 0; -EAGAIN while rthooks does not run in this process; -ENOSPC when 131,072 tasks are
 * alive; -ENOMEM when memory is short; -EINVAL for a name that is NULL or "", or a NULL.
 *
 * Thread: any. Signal: unsafe. Fork: a child begins without tasks: those of its parent have ended
 * there. Cost: about a microsecond and 5 ns per frame; no allocation but for growth. Since: 0.1.
 */
RTH_API int rth_task_new(const char *name, struct rth_task **ret_task);

/*
 * The calling thread runs the task from here on, with its labels in place of those that are there.
 *
 * Returns 0, also for NULL; -ESRCH when it has ended; -EAGAIN while rthooks does not run in this
 * process; -ENOMEM for a start inside another one when memory is short.
 *
 * Thread: any, and more than one. Starts of a thread nest, also with blocks of RTH_WITH_LABELS and
 * contexts: each puts back what it found. Signal: unsafe. Fork: see rth_task_new. Cost: 50 ns; a
 * microsecond for a thread's first. Since: 0.1.
 */
RTH_API int rth_task_start(struct rth_task *task);

/*
 * The calling thread has done a part of the task, which goes on later. What the thread worked on
 * before is back. The time until the next start does not count as waiting in a queue.
 *
 * Returns 0, also for NULL; -ESRCH when it has ended; -EPERM when it is not the one that the
 * calling thread started last; -EAGAIN while rthooks does not run in this process.
 *
 * Thread: the one that started it. Signal: unsafe. Fork: see rth_task_new. Cost: 20 ns.
 * Since: 0.1.
 */
RTH_API int rth_task_pause(struct rth_task *task);

/*
 * The task is done, or will never be: it is gone from the profile. On the thread that runs it, what
 * that thread worked on before is back. Ending it again is fine, from wherever.
 *
 * Thread: any. When another one runs it, that one keeps the task's labels until it makes, starts,
 * pauses or ends a task; so does one that ends it inside a block of labels, until behind the block.
 * Signal: unsafe. Fork: see rth_task_new. Cost: 70 ns. Since: 0.1.
 */
RTH_API void rth_task_end(struct rth_task *task);
#else
static inline int rth_task_new(const char *name, struct rth_task **ret_task)
{
    (void)name;
    *ret_task = NULL;
    return 0;
}
static inline int rth_task_start(struct rth_task *task)
{
    (void)task;
    return 0;
}
static inline int rth_task_pause(struct rth_task *task)
{
    (void)task;
    return 0;
}
static inline void rth_task_end(struct rth_task *task)
{
    (void)task;
}
#endif

RTH_END_DECLS

#endif /* RTHOOKS_TASK_H */
