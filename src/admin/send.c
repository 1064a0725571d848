/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include "admin/server.h"
#include "os/clock.h"

/* One call's share: about 100 us of copying, then others have their turn. */
#define SEND_MAX_BYTES ((size_t)256 << 10)
#define SEND_PIECES    8

/* Chooses the framing and writes the head, once enough is known. False: not yet. */
static bool build_head(struct rth_exchange *exchange)
{
    const struct rth_http_request *request = &exchange->request;
    bool done = !exchange->submitted && exchange->phase == RTH_PHASE_DONE;
    if (done && exchange->result != 0 && exchange->phase != RTH_PHASE_RELAY) {
        /* It failed after it had begun, but nothing of it has left yet. */
        rth__body_free(&exchange->body);
        int error = exchange->result;
        const char *text = exchange->call.message;
        rth__exchange_error_answer(exchange,
                                   exchange->call.status >= 400 ? exchange->call.status
                                                                : rth__exchange_status_of(error),
                                   text[0] != '\0' ? text : "the answer could not be completed");
        rth__exchange_finish(exchange, 0);
    }
    if (done)
        exchange->framing = RTH_RESPONSE_LENGTH;
    else if (atomic_load_explicit(&exchange->answer_fixed, memory_order_acquire) &&
             request->method != RTH_HTTP_HEAD && exchange->body.first != NULL &&
             exchange->body.first->used_bytes == exchange->body.first->capacity_bytes)
        exchange->framing = request->http10 ? RTH_RESPONSE_UNTIL_CLOSE : RTH_RESPONSE_CHUNKED;
    else
        return false;
    exchange->keep_alive = exchange->keep_alive && exchange->framing != RTH_RESPONSE_UNTIL_CLOSE;
    const struct rth_answer *answer = &exchange->answer;
    const struct rth_response_head head = {
        .status = answer->status,
        .http10 = request->http10,
        .closes = !exchange->keep_alive,
        .is_pprof = answer->is_pprof,
        .framing = (enum rth_response_framing)exchange->framing,
        /* Otherwise the worker may still be counting. */
        .body_bytes = exchange->framing == RTH_RESPONSE_LENGTH ? exchange->body.total_bytes : 0,
        .unix_seconds = rth__clock_realtime_ns_sigsafe() / RTH_NS_PER_S,
        .content_type = answer->content_type,
        .attachment = answer->filename,
        .clamped = answer->clamped,
        .allow = answer->allow,
        .location = answer->location,
    };
    int length = rth__response_head(&head, exchange->head, sizeof(exchange->head));
    if (length < 0) /* the sizes in struct rth_answer rule it out */
        return false;
    exchange->head_bytes = (uint16_t)length;
    exchange->head_built = true;
    return true;
}

/* The pieces to send next, up to the limit. Returns how many. */
static size_t gather(struct rth_exchange *exchange, struct iovec pieces[SEND_PIECES])
{
    size_t count = 0, total_bytes = 0;
    if (exchange->head_offset < exchange->head_bytes) {
        pieces[count].iov_base = exchange->head + exchange->head_offset;
        pieces[count].iov_len = (size_t)(exchange->head_bytes - exchange->head_offset);
        if (exchange->tail_built)
            return 1;
        count++;
    }
    for (struct rth_body_segment *segment = exchange->body.first;
         segment != NULL && count < SEND_PIECES && total_bytes < SEND_MAX_BYTES;
         segment = segment->next) {
        if (segment->end == 0)
            rth__body_frame(segment, exchange->framing == RTH_RESPONSE_CHUNKED);
        pieces[count].iov_base = segment->text + segment->start;
        pieces[count].iov_len = segment->end - segment->start;
        total_bytes += pieces[count++].iov_len;
    }
    return count;
}

/* Takes sent bytes off the front. */
static void consume(struct rth_exchange *exchange, size_t sent_bytes)
{
    size_t head_left = (size_t)(exchange->head_bytes - exchange->head_offset);
    size_t of_head = sent_bytes < head_left ? sent_bytes : head_left;
    exchange->head_offset = (uint16_t)(exchange->head_offset + of_head);
    sent_bytes -= of_head;
    while (exchange->body.first != NULL && !exchange->tail_built) {
        struct rth_body_segment *segment = exchange->body.first;
        if (segment->end == 0)
            return; /* not framed, so not sent */
        size_t left = segment->end - segment->start;
        if (sent_bytes < left) {
            segment->start += (uint32_t)sent_bytes;
            return;
        }
        sent_bytes -= left;
        rth__body_pop(&exchange->body);
    }
}

/* Everything handed over was sent: is that all? */
static enum rth_send_result at_end(struct rth_exchange *exchange)
{
    if (exchange->submitted || exchange->phase != RTH_PHASE_DONE)
        return RTH_SEND_EMPTY;
    if (exchange->result != 0)
        return RTH_SEND_ERROR;
    if (exchange->framing == RTH_RESPONSE_CHUNKED && !exchange->tail_built) {
        memcpy(exchange->head, "0\r\n\r\n", 5);
        exchange->head_bytes = 5;
        exchange->head_offset = 0;
        exchange->tail_built = true;
        return RTH_SEND_MORE;
    }
    return RTH_SEND_DONE;
}

enum rth_send_result rth__exchange_send(struct rth_exchange *exchange, int fd)
{
    rth__body_collect(&exchange->body);
    if (!exchange->head_built && !build_head(exchange))
        return RTH_SEND_EMPTY;
    /* What the rewritten answer of a late failure handed over. */
    rth__body_collect(&exchange->body);
    for (size_t round = 0; round < 4; round++) {
        struct iovec pieces[SEND_PIECES];
        struct msghdr message = {.msg_iov = pieces, .msg_iovlen = gather(exchange, pieces)};
        if (message.msg_iovlen == 0) {
            enum rth_send_result result = at_end(exchange);
            if (result != RTH_SEND_MORE)
                return result;
            continue;
        }
        ssize_t sent = sendmsg(fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (sent < 0 && errno == EINTR)
            continue;
        if (sent < 0)
            return errno == EAGAIN || errno == ENOBUFS ? RTH_SEND_BLOCKED : RTH_SEND_ERROR;
        consume(exchange, (size_t)sent);
        if (exchange->conn != NULL)
            exchange->conn->active_ns = exchange->server->now_ns;
        if (sent >= (ssize_t)SEND_MAX_BYTES)
            break;
    }
    return RTH_SEND_MORE;
}
