/* SPDX-License-Identifier: MIT */
/*
 * One request and its answer, from the parsed request to the last byte handed to the sender.
 *
 * Two threads touch an exchange, never at the same time but for the shared fields: between submit
 * and completion it is the worker's, otherwise rth-admin's. Completion is one atomic OR that sets
 * COMPLETED and QUEUED together; rth-admin learns of it only from the ready list, so when it does,
 * the worker's last access is in the past and the exchange may be freed.
 */
#include <errno.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "admin/server.h"
#include "core/arena.h"
#include "os/clock.h"
#include "rthooks/error.h"

/* How often a call that runs on rth-admin itself looks at the socket. */
#define INLINE_POLL_NS (10 * RTH_NS_PER_MS)

struct rth_exchange *rth__exchange_new(struct rth_admin_server *server, struct rth_conn *conn)
{
    struct rth_exchange *exchange = rth__arena_alloc_nomalloc(sizeof(*exchange));
    if (exchange == NULL)
        return NULL;
    exchange->server = server;
    exchange->conn = conn;
    exchange->phase = RTH_PHASE_BEGIN;
    exchange->next = server->exchanges;
    if (server->exchanges != NULL)
        server->exchanges->previous = exchange;
    server->exchanges = exchange;
    atomic_fetch_add_explicit(&rth__admin_counters.open_exchanges, 1, memory_order_relaxed);
    return exchange;
}

void rth__exchange_free(struct rth_exchange *exchange)
{
    rth__relay_close(exchange);
    rth__body_free(&exchange->body);
    if (exchange->previous != NULL)
        exchange->previous->next = exchange->next;
    else
        exchange->server->exchanges = exchange->next;
    if (exchange->next != NULL)
        exchange->next->previous = exchange->previous;
    rth__arena_free_nomalloc(exchange->buffer, exchange->buffer_bytes);
    rth__arena_free_nomalloc(exchange, sizeof(*exchange));
    atomic_fetch_sub_explicit(&rth__admin_counters.open_exchanges, 1, memory_order_relaxed);
}

/* Puts the exchange on the ready list unless it is there. With COMPLETED it is the last access. */
static void notify(struct rth_exchange *exchange, uint32_t bits)
{
    uint32_t before = atomic_fetch_or_explicit(&exchange->state, bits | RTH_EXCHANGE_QUEUED,
                                               memory_order_acq_rel);
    if ((before & RTH_EXCHANGE_QUEUED) == 0)
        rth__admin_push_ready(exchange);
}

/* The head as the call has it now; nothing the call does later changes the answer. */
static void fix_answer(void *userdata)
{
    struct rth_exchange *exchange = userdata;
    const struct rth_call *call = &exchange->call;
    struct rth_answer *answer = &exchange->answer;
    if (exchange->phase != RTH_PHASE_RELAY && !exchange->answer_fixed) {
        answer->status = call->status;
        (void)snprintf(answer->content_type, sizeof(answer->content_type), "%s",
                       call->content_type != NULL ? call->content_type : RTH_RESPONSE_ERROR_TYPE);
        (void)snprintf(answer->clamped, sizeof(answer->clamped), "%s", call->clamped);
        bool attachment = call->artefact != NULL && call->status < 400 &&
                          (call->artefact->flags & RTH_ARTEFACT_ATTACHMENT) != 0;
        if (attachment && call->filename != NULL)
            (void)snprintf(answer->filename, sizeof(answer->filename), "%s", call->filename);
    }
    atomic_store_explicit(&exchange->answer_fixed, true, memory_order_release);
}

int rth__exchange_write(struct rth_exchange *exchange, const void *data, size_t size_bytes)
{
    if (atomic_load_explicit(&exchange->gone, memory_order_relaxed))
        return -ECANCELED;
    bool handed_over;
    int error =
        rth__body_write(&exchange->body, data, size_bytes, fix_answer, exchange, &handed_over);
    if (handed_over)
        notify(exchange, 0);
    return error;
}

static struct rth_exchange *of_sink(struct rth_sink *sink)
{
    return (struct rth_exchange *)(void *)((char *)sink - offsetof(struct rth_exchange, sink));
}

static int sink_write(struct rth_sink *sink, const void *data, size_t size_bytes)
{
    return rth__exchange_write(of_sink(sink), data, size_bytes);
}

static bool sink_cancelled(struct rth_sink *sink)
{
    struct rth_exchange *exchange = of_sink(sink);
    struct rth_admin_server *server = exchange->server;
    if (atomic_load_explicit(&exchange->gone, memory_order_relaxed) ||
        atomic_load_explicit(&exchange->hung_up, memory_order_relaxed) ||
        atomic_load_explicit(server->stop, memory_order_relaxed))
        return true;
    if (!server->works_inline || exchange->conn == NULL)
        return false;
    /* The loop does not run meanwhile, so the call looks for the hang-up itself. */
    int64_t now_ns = rth__clock_monotonic_ns_sigsafe();
    if (now_ns - exchange->polled_ns < INLINE_POLL_NS)
        return false;
    exchange->polled_ns = now_ns;
    struct pollfd poll_fd = {.fd = exchange->conn->fd, .events = POLLRDHUP};
    if (poll(&poll_fd, 1, 0) > 0)
        exchange->hung_up = true;
    return exchange->hung_up;
}

/* Nothing was handed over: the answer becomes one line of text. Also for rth-admin's own. */
void rth__exchange_error_answer(struct rth_exchange *exchange, int status, const char *text)
{
    struct rth_answer *answer = &exchange->answer;
    rth__body_rewind(&exchange->body);
    answer->status = status;
    answer->filename[0] = '\0';
    (void)snprintf(answer->content_type, sizeof(answer->content_type), "%s",
                   RTH_RESPONSE_ERROR_TYPE);
    answer->is_pprof = rth__route_is_pprof(exchange->request.path);
    exchange->answer_fixed = true; /* keeps fix_answer off it */
    bool handed_over;
    /* Fails only for want of memory: then the status goes out without its text. */
    if (rth__body_write(&exchange->body, text, strlen(text), NULL, NULL, &handed_over) == 0)
        (void)rth__body_write(&exchange->body, "\n", 1, NULL, NULL, &handed_over);
}

/* What the caller may fix is 4xx, what can't be done here 501, what may work later 503. */
int rth__exchange_status_of(int error)
{
    switch (error) {
    case -EINVAL:
        return 400;
    case -ENOENT:
        return 404;
    case -ENOTSUP:
    case -ENOSYS:
        return 501;
    case -EBUSY:
    case -ENOMEM:
    case -ENOBUFS:
    case -EFBIG:
    case -ECANCELED:
        return 503;
    default:
        return 500;
    }
}

static void fail_call(struct rth_exchange *exchange, int error)
{
    struct rth_call *call = &exchange->call;
    int status = call->status >= 400 ? call->status : rth__exchange_status_of(error);
    const char *text = call->message;
    if (text[0] == '\0')
        text = error == -EFBIG     ? "the answer is larger than 32 MiB"
               : error == -ENOBUFS ? "no memory for the answer: too much is waiting to be sent"
                                   : rth_strerror(error);
    rth__exchange_error_answer(exchange, status, text);
}

/* After begin failed or write returned. */
static void conclude(struct rth_exchange *exchange, int error)
{
    struct rth_call *call = &exchange->call;
    if (error == 0)
        error = exchange->sink.error;
    exchange->result = 0;
    if (error != 0 && exchange->body.streaming)
        exchange->result = error; /* the first bytes are on their way: only a cut says it */
    else if (error != 0)
        fail_call(exchange, error);
    else if (call->status >= 400 && exchange->body.total_bytes == 0)
        rth__exchange_error_answer(exchange, call->status,
                                   call->message[0] != '\0' ? call->message
                                                            : rth__response_reason(call->status));
    else
        fix_answer(exchange);
    rth__body_finish(&exchange->body);
    exchange->phase = RTH_PHASE_DONE;
}

static bool nobody_waits(const struct rth_exchange *exchange)
{
    return atomic_load_explicit(&exchange->gone, memory_order_relaxed) ||
           atomic_load_explicit(exchange->server->stop, memory_order_relaxed);
}

static void cancel_call(struct rth_exchange *exchange)
{
    const struct rth_artefact *artefact = exchange->call.artefact;
    if (artefact != NULL && artefact->cancel != NULL)
        artefact->cancel(&exchange->call);
}

static void run_write(struct rth_exchange *exchange)
{
    struct rth_call *call = &exchange->call;
    if (nobody_waits(exchange)) {
        cancel_call(exchange);
        call->status = 503;
        conclude(exchange, -ECANCELED);
        return;
    }
    conclude(exchange, exchange->action != NULL ? exchange->action->run(call, &exchange->sink)
                                                : call->artefact->write(call, &exchange->sink));
}

/* begin or step: each may fail, ask for a wait, or go on to write. */
static void run_until_wait(struct rth_exchange *exchange,
                           int (*part)(struct rth_call *call, int64_t *ret_wait_ns))
{
    exchange->wait_ns = 0;
    int error = part != NULL ? part(&exchange->call, &exchange->wait_ns) : 0;
    if (error != 0) {
        conclude(exchange, error);
    } else if (exchange->wait_ns > 0) {
        exchange->phase = RTH_PHASE_WAIT;
    } else {
        exchange->phase = RTH_PHASE_WRITE;
        run_write(exchange);
    }
}

static void run_begin(struct rth_exchange *exchange)
{
    const struct rth_artefact *artefact = exchange->call.artefact;
    if (nobody_waits(exchange))
        conclude(exchange, -ECANCELED);
    else
        run_until_wait(exchange, artefact != NULL ? artefact->begin : NULL);
}

static void run_step(struct rth_exchange *exchange)
{
    if (nobody_waits(exchange))
        run_write(exchange); /* which cancels */
    else
        run_until_wait(exchange, exchange->call.artefact->step);
}

/* On rth-work; on rth-admin in an adopted child and for what is dropped at stop. */
static void run(struct rth_work_item *item)
{
    struct rth_exchange *exchange = (struct rth_exchange *)(void *)item;
    switch (exchange->phase) {
    case RTH_PHASE_BEGIN:
        run_begin(exchange);
        break;
    case RTH_PHASE_STEP:
        run_step(exchange);
        break;
    case RTH_PHASE_WRITE:
        run_write(exchange);
        break;
    default:
        cancel_call(exchange);
        exchange->phase = RTH_PHASE_CANCELLED;
        break;
    }
    notify(exchange, RTH_EXCHANGE_COMPLETED);
}

void rth__exchange_drop(struct rth_work_item *item)
{
    if (item->run == run)
        run(item);
}

static void submit(struct rth_exchange *exchange)
{
    exchange->submitted = true;
    exchange->item.run = run;
    rth__work_submit(&exchange->item);
}

void rth__exchange_call(struct rth_exchange *exchange, const struct rth_artefact *artefact,
                        const struct rth_action *action, const char *subpath)
{
    struct rth_call *call = &exchange->call;
    exchange->action = action;
    call->artefact = action != NULL ? NULL : artefact;
    call->status = 200;
    call->content_type = action != NULL ? RTH_RESPONSE_ERROR_TYPE : artefact->content_type;
    call->filename = action != NULL ? action->name : artefact->name;
    call->subpath = subpath;
    exchange->answer.is_pprof = rth__route_is_pprof(exchange->request.path);
    exchange->sink.write = sink_write;
    exchange->sink.cancelled = sink_cancelled;
    submit(exchange);
}

void rth__exchange_resume(struct rth_exchange *exchange)
{
    exchange->phase = RTH_PHASE_STEP;
    submit(exchange);
}

void rth__exchange_fail(struct rth_exchange *exchange, int status, const char *text)
{
    rth__exchange_error_answer(exchange, status, text);
    rth__exchange_finish(exchange, 0);
}

void rth__exchange_finish(struct rth_exchange *exchange, int result)
{
    exchange->result = result;
    fix_answer(exchange);
    rth__body_finish(&exchange->body);
    exchange->phase = RTH_PHASE_DONE;
}

void rth__exchange_abandon(struct rth_exchange *exchange)
{
    exchange->conn = NULL;
    atomic_store_explicit(&exchange->gone, true, memory_order_relaxed);
    if (exchange->submitted)
        return; /* it ends through the ready list */
    if (exchange->phase == RTH_PHASE_WAIT) {
        exchange->phase = RTH_PHASE_CANCEL;
        submit(exchange);
    } else if ((atomic_load_explicit(&exchange->state, memory_order_relaxed) &
                RTH_EXCHANGE_QUEUED) == 0) {
        rth__exchange_free(exchange);
    } /* else the ready list still names it, and frees it */
}

bool rth__exchange_ready(struct rth_exchange *exchange)
{
    uint32_t before = atomic_fetch_and_explicit(
        &exchange->state, ~(uint32_t)(RTH_EXCHANGE_QUEUED | RTH_EXCHANGE_COMPLETED),
        memory_order_acq_rel);
    if ((before & RTH_EXCHANGE_COMPLETED) != 0)
        exchange->submitted = false;
    if (exchange->submitted)
        return exchange->conn != NULL; /* more of a body that is still being written */
    if (exchange->conn == NULL) {
        if (exchange->phase == RTH_PHASE_WAIT) /* begin was at it when the client left */
            rth__exchange_abandon(exchange);
        else
            rth__exchange_free(exchange);
        return false;
    }
    return true;
}
