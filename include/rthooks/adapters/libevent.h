/* SPDX-License-Identifier: MIT */
#ifndef RTHOOKS_ADAPTERS_LIBEVENT_H
#define RTHOOKS_ADAPTERS_LIBEVENT_H

/*
 * For programs on libevent: how long a loop kept events waiting, and labels for its work. Header
 * only; the program links libevent itself, 2.1.2 or later.
 *
 *     static struct rth_event_loop watched;
 *     (void)rth_event_loop_begin(&watched, base, "main");
 *     (void)event_base_dispatch(base);
 *
 *     static void on_readable(evutil_socket_t fd, short what, void *argument)
 *     {
 *         rth_event_enter(&watched);
 *         …
 *     }
 *
 * Before 2.2, libevent tells nobody when its loop begins or ends to wait; only its callbacks can
 * tell. The first callback of an iteration that calls rth_event_enter puts an event of ours behind
 * those that are due: when that one is called, the iteration is over. So nothing has to be
 * dispatched in another way, the loop wakes no more often and makes no system call more (the clock
 * is the vDSO's). What is not seen: callbacks of an iteration before the first that enters, and how
 * late timers are, as libevent shows nobody when one is due.
 *
 * A callback that goes on with a task of its own says so by rth_task_start and rth_task_pause
 * (rthooks/task.h).
 */

#include <event2/event.h>
#include <event2/event_struct.h>
#include <event2/util.h>
#include <rthooks/loop.h>
#include <rthooks/task.h>
#include <stdlib.h>

RTH_BEGIN_DECLS

struct rth_event_loop {
    struct event_base *base;
    struct evutil_monotonic_timer *clock;
    struct event *last; /* called behind all that is due */
    struct rth_loop *loop;
    struct timeval entered;
    int has_entered; /* in this iteration */
};

static inline void rth_event_on_last(evutil_socket_t fd, short what, void *argument)
{
    struct rth_event_loop *watched = (struct rth_event_loop *)argument;
    struct timeval now;
    (void)fd, (void)what;
    watched->has_entered = 0;
    if (evutil_gettime_monotonic(watched->clock, &now) == 0)
        rth_loop_tick(watched->loop,
                      (int64_t)(now.tv_sec - watched->entered.tv_sec) * INT64_C(1000000000) +
                          (int64_t)(now.tv_usec - watched->entered.tv_usec) * 1000,
                      -1);
}

/* Ends it; before event_base_free. Thread: the loop's. */
static inline void rth_event_loop_end(struct rth_event_loop *watched)
{
    if (watched->last != NULL)
        event_free(watched->last);
    if (watched->clock != NULL)
        evutil_monotonic_timer_free(watched->clock);
    rth_loop_free(watched->loop);
    watched->last = NULL;
    watched->clock = NULL;
    watched->loop = NULL;
}

/*
 * Begins to watch a loop. Returns 0, or -1 when libevent has no memory; rthooks' own refusals
 * (rth_loop_new) only mean that nothing is shown.
 *
 * Thread: the loop's, or before it runs. Signal: unsafe. Fork: as the base. Cost: 100 ns for each
 * iteration that is entered. Since: 0.1.
 */
static inline int rth_event_loop_begin(struct rth_event_loop *watched, struct event_base *base,
                                       const char *name)
{
    watched->base = base;
    watched->loop = NULL;
    watched->has_entered = 0;
    watched->clock = evutil_monotonic_timer_new();
    watched->last = event_new(base, -1, 0, rth_event_on_last, watched);
    if (watched->clock == NULL || watched->last == NULL ||
        evutil_configure_monotonic_time(watched->clock, EV_MONOT_PRECISE) != 0) {
        rth_event_loop_end(watched);
        return -1;
    }
    (void)rth_loop_new(name, &watched->loop);
    return 0;
}

/*
 * A callback of the loop begins. Any number may say so, but nobody outside a callback: libevent
 * crashes when it is asked there what runs.
 *
 * Thread: the loop's. Signal: unsafe. Fork: as the base. Cost: 5 ns, 100 ns for the first of an
 * iteration. Since: 0.1.
 */
static inline void rth_event_enter(struct rth_event_loop *watched)
{
    if (watched->has_entered || watched->last == NULL ||
        evutil_gettime_monotonic(watched->clock, &watched->entered) != 0)
        return;
    watched->has_entered = 1;
    /* With another priority it would be called in another iteration, one that does not wait. The
     * number is read in place: what runs may be a callback of libevent's own, which is no event for
     * event_get_priority in its debug mode. */
    const struct event *running = event_base_get_running_event(watched->base);
    if (running != NULL)
        (void)event_priority_set(watched->last, running->ev_evcallback.evcb_pri);
    event_active(watched->last, EV_TIMEOUT, 0);
}

/* What rth_event_base_once keeps until the event comes. */
struct rth_event_once {
    struct rth_event_loop *watched;
    event_callback_fn callback;
    void *argument;
    struct rth_task *task;
};

static inline void rth_event_on_once(evutil_socket_t fd, short what, void *argument)
{
    struct rth_event_once once = *(struct rth_event_once *)argument;
    free(argument);
    rth_event_enter(once.watched);
    (void)rth_task_start(once.task);
    once.callback(fd, what, once.argument);
    rth_task_end(once.task);
}

/*
 * event_base_once with the labels of the calling thread: the callback runs with them, and the event
 * is a live task (/debug/pprof/tasks) until it has returned. Some bytes of the heap are lost when
 * the base is freed before the event comes. Returns as event_base_once.
 *
 * Thread: as event_base_once. Signal: unsafe. Fork: as the base. Cost: of a task. Since: 0.1.
 */
static inline int rth_event_base_once(struct rth_event_loop *watched, evutil_socket_t fd,
                                      short what, event_callback_fn callback, void *argument,
                                      const struct timeval *timeout, const char *name)
{
    struct rth_event_once *once = (struct rth_event_once *)malloc(sizeof(*once));
    if (once == NULL)
        return -1;
    once->watched = watched;
    once->callback = callback;
    once->argument = argument;
    (void)rth_task_new(name, &once->task);
    int error = event_base_once(watched->base, fd, what, rth_event_on_once, once, timeout);
    if (error != 0) {
        rth_task_end(once->task);
        free(once);
    }
    return error;
}

RTH_END_DECLS

#endif /* RTHOOKS_ADAPTERS_LIBEVENT_H */
