/* SPDX-License-Identifier: MIT */
#ifndef RTHOOKS_ADAPTERS_LIBUV_H
#define RTHOOKS_ADAPTERS_LIBUV_H

/*
 * For programs on libuv: how long a loop kept events waiting, and labels for its work. Header only;
 * the program links libuv itself, 1.34 or later.
 *
 *     static struct rth_uv_loop watched;
 *     (void)rth_uv_loop_begin(&watched, loop, "main");
 *     (void)uv_run(loop, UV_RUN_DEFAULT);
 *
 *     (void)rth_uv_queue_work(loop, &job->work, "resize", resize, resized);
 *
 * The loop is watched by a prepare and a check handle: it wakes no more often, makes no system call
 * more (the clock is the vDSO's), and ends when it would have ended.
 *
 * A callback that goes on with a task of its own says so by rth_task_start and rth_task_pause
 * (rthooks/task.h).
 */

#include <rthooks/loop.h>
#include <rthooks/task.h>
#include <uv.h>

RTH_BEGIN_DECLS

/* What libuv calls for input and output runs before the check handle: when the loop woke is known
 * by its cached time alone, which may be as much too early. So much is taken off, and such
 * callbacks are told too short rather than too long; all others exactly. */
#define RTH_UV_CLOCK_NS UINT64_C(2000000)
#define RTH_UV_MS_NS    UINT64_C(1000000)

/* The caller's memory. After rth_uv_loop_end it has to stay until the loop was run again, as for
 * every handle that is closed. */
struct rth_uv_loop {
    uv_prepare_t prepare;
    uv_check_t check;
    struct rth_loop *loop;
    uint64_t woken_ns;     /* 0: not yet */
    uint64_t timer_due_ns; /* 0: none, or at once */
    int64_t timer_late_ns;
};

/* What is called comes to its end: the loop is about to wait. */
static inline void rth_uv_on_prepare(uv_prepare_t *handle)
{
    struct rth_uv_loop *watched = (struct rth_uv_loop *)handle->data;
    uint64_t now_ns = uv_hrtime();
    int timeout_ms = uv_backend_timeout(handle->loop);
    if (watched->woken_ns != 0)
        rth_loop_tick(watched->loop,
                      now_ns > watched->woken_ns ? (int64_t)(now_ns - watched->woken_ns) : 0,
                      watched->timer_late_ns);
    watched->timer_late_ns = -1;
    watched->timer_due_ns =
        timeout_ms > 0 ? (uv_now(handle->loop) + (uint64_t)timeout_ms) * RTH_UV_MS_NS : 0;
}

/* The loop has waited, and has called back for input and output; timers come next. */
static inline void rth_uv_on_check(uv_check_t *handle)
{
    struct rth_uv_loop *watched = (struct rth_uv_loop *)handle->data;
    uint64_t now_ns = uv_hrtime();
    uint64_t woken_ns = uv_now(handle->loop) * RTH_UV_MS_NS + RTH_UV_CLOCK_NS;
    watched->woken_ns = woken_ns < now_ns ? woken_ns : now_ns;
    if (watched->timer_due_ns != 0 && now_ns >= watched->timer_due_ns)
        watched->timer_late_ns = (int64_t)(now_ns - watched->timer_due_ns);
}

/*
 * Begins to watch a loop. Returns 0, or an error of libuv; rthooks' own refusals (rth_loop_new)
 * only mean that nothing is shown.
 *
 * Thread: the loop's. Signal: unsafe. Fork: as the loop. Cost: per iteration 70 ns. Since: 0.1.
 */
static inline int rth_uv_loop_begin(struct rth_uv_loop *watched, uv_loop_t *loop, const char *name)
{
    int error = uv_prepare_init(loop, &watched->prepare);
    if (error == 0)
        error = uv_check_init(loop, &watched->check);
    if (error != 0)
        return error;
    (void)rth_loop_new(name, &watched->loop);
    watched->prepare.data = watched->check.data = watched;
    watched->woken_ns = watched->timer_due_ns = 0;
    watched->timer_late_ns = -1;
    (void)uv_prepare_start(&watched->prepare, rth_uv_on_prepare);
    (void)uv_check_start(&watched->check, rth_uv_on_check);
    uv_unref((uv_handle_t *)&watched->prepare);
    uv_unref((uv_handle_t *)&watched->check);
    return 0;
}

/* Ends it; before uv_loop_close, which wants every handle closed. Thread: the loop's. */
static inline void rth_uv_loop_end(struct rth_uv_loop *watched)
{
    uv_close((uv_handle_t *)&watched->prepare, NULL);
    uv_close((uv_handle_t *)&watched->check, NULL);
    rth_loop_free(watched->loop);
    watched->loop = NULL;
}

/* A uv_work_t that is a task. data: the program's. */
struct rth_uv_work {
    uv_work_t request;
    void *data;
    void (*work)(struct rth_uv_work *work);
    void (*after)(struct rth_uv_work *work, int status);
    struct rth_task *task;
};

static inline void rth_uv_on_work(uv_work_t *request)
{
    struct rth_uv_work *work = (struct rth_uv_work *)request->data;
    (void)rth_task_start(work->task);
    work->work(work);
    (void)rth_task_pause(work->task);
}

static inline void rth_uv_on_after_work(uv_work_t *request, int status)
{
    struct rth_uv_work *work = (struct rth_uv_work *)request->data;
    struct rth_task *task = work->task; /* what is called may free the work */
    (void)rth_task_start(task);
    if (work->after != NULL)
        work->after(work, status);
    rth_task_end(task);
}

/*
 * uv_queue_work with the labels of the calling thread: both callbacks run with them, and the work
 * is a live task (/debug/pprof/tasks) until the second has returned. after may be NULL. Cancelled
 * work, uv_cancel((uv_req_t *)&work->request), calls after alone. Returns as uv_queue_work.
 *
 * Thread: the loop's. Signal: unsafe. Fork: as libuv. Cost: of a task. Since: 0.1.
 */
static inline int rth_uv_queue_work(uv_loop_t *loop, struct rth_uv_work *work, const char *name,
                                    void (*on_work)(struct rth_uv_work *work),
                                    void (*on_after)(struct rth_uv_work *work, int status))
{
    work->work = on_work;
    work->after = on_after;
    work->request.data = work;
    (void)rth_task_new(name, &work->task);
    int error = uv_queue_work(loop, &work->request, rth_uv_on_work, rth_uv_on_after_work);
    if (error != 0)
        rth_task_end(work->task);
    return error;
}

RTH_END_DECLS

#endif /* RTHOOKS_ADAPTERS_LIBUV_H */
