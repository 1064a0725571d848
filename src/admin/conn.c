/* SPDX-License-Identifier: MIT */
/*
 * A connection: read a request, have it answered, again. An idle connection is its slot alone; the
 * request buffer comes from the arena with the first byte and goes with the last.
 */
#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "admin/server.h"
#include "core/arena.h"
#include "os/fd.h"

#define IN_FIRST_BYTES  4096u
#define IN_MAX_BYTES    (RTH_HTTP_HEAD_MAX + RTH_HTTP_BODY_MAX + 4096u)
#define ACCEPT_PER_TURN 64
#define DRAIN_MAX_BYTES (256u << 10)

static unsigned slot_of(const struct rth_admin_server *server, const struct rth_conn *conn)
{
    return (unsigned)(conn - server->conns);
}

static void want(struct rth_admin_server *server, struct rth_conn *conn, uint32_t events)
{
    if (conn->events == events)
        return;
    if (rth__admin_watch(server, conn->fd, events,
                         rth__admin_event(RTH_EVENT_CONN, slot_of(server, conn),
                                          conn->generation)) == 0)
        conn->events = events;
}

static void free_in(struct rth_conn *conn)
{
    rth__arena_free_nomalloc(conn->in, conn->in_capacity);
    conn->in = NULL;
    conn->in_capacity = conn->in_used = 0;
}

void rth__conn_close(struct rth_admin_server *server, struct rth_conn *conn)
{
    struct rth_exchange *exchange = conn->exchange;
    conn->exchange = NULL;
    if (exchange != NULL)
        rth__exchange_abandon(exchange);
    free_in(conn);
    conn->fd = rth__close(conn->fd); /* epoll forgets it with the last reference */
    conn->state = RTH_CONN_FREE;
    conn->generation++;
    server->conn_count--;
    __atomic_sub_fetch(&rth__admin_counters.open_connections, 1, __ATOMIC_RELAXED);
}

/* The connection that has been without a request the longest; one that is being answered only when
 * there is no other. */
static struct rth_conn *longest_idle(struct rth_admin_server *server)
{
    struct rth_conn *found = NULL;
    for (unsigned slot = 0; slot < server->conn_high; slot++) {
        struct rth_conn *conn = &server->conns[slot];
        if (conn->state == RTH_CONN_FREE)
            continue;
        bool busy = conn->state == RTH_CONN_ANSWERING;
        bool found_busy = found != NULL && found->state == RTH_CONN_ANSWERING;
        if (found == NULL || busy < found_busy ||
            (busy == found_busy && conn->active_ns < found->active_ns))
            found = conn;
    }
    return found;
}

static struct rth_conn *free_slot(struct rth_admin_server *server)
{
    if (server->conn_count >= server->conn_limit) {
        struct rth_conn *idle = longest_idle(server);
        rth__admin_reject(RTH_REJECT_EVICTED);
        rth__conn_close(server, idle);
    }
    unsigned slot = 0;
    while (server->conns[slot].state != RTH_CONN_FREE)
        slot++;
    if (slot >= server->conn_high)
        server->conn_high = slot + 1;
    return &server->conns[slot];
}

static void open_conn(struct rth_admin_server *server, enum rth_admin_via via, int fd)
{
    struct rth_conn *conn = free_slot(server);
    uint32_t generation = conn->generation;
    *conn = (struct rth_conn){.fd = fd, .generation = generation, .via = (uint8_t)via};
    conn->state = RTH_CONN_READING;
    conn->active_ns = server->now_ns;
    conn->peer_refused = via == RTH_VIA_UNIX && !rth__peer_allowed(fd);
    server->conn_count++;
    __atomic_add_fetch(&rth__admin_counters.open_connections, 1, __ATOMIC_RELAXED);
    __atomic_add_fetch(&rth__admin_counters.accepted, 1, __ATOMIC_RELAXED);
    want(server, conn, EPOLLIN | EPOLLRDHUP);
    rth__admin_deadline(server, conn, server->now_ns + rth__admin_limits.idle_ns);
}

void rth__conn_accept(struct rth_admin_server *server, enum rth_admin_via via)
{
    for (int i = 0; i < ACCEPT_PER_TURN && server->listeners[via] >= 0; i++) {
        int fd = accept4(server->listeners[via], NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
        if (fd < 0)
            return; /* none left, or the process is short of descriptors: the next turn tries */
        open_conn(server, via, fd);
    }
}

static bool grow_in(struct rth_conn *conn)
{
    uint32_t capacity = conn->in_capacity == 0 ? IN_FIRST_BYTES : conn->in_capacity * 4;
    if (capacity > IN_MAX_BYTES)
        capacity = IN_MAX_BYTES;
    if (capacity == conn->in_capacity)
        return false;
    char *fresh = rth__arena_alloc_nomalloc(capacity);
    if (fresh == NULL)
        return false;
    if (conn->in_used > 0)
        memcpy(fresh, conn->in, conn->in_used);
    rth__arena_free_nomalloc(conn->in, conn->in_capacity);
    conn->in = fresh;
    conn->in_capacity = capacity;
    return true;
}

/* One read. False when the connection is gone. */
static bool fill(struct rth_admin_server *server, struct rth_conn *conn)
{
    if (conn->in_used == conn->in_capacity && !grow_in(conn)) {
        rth__admin_reject(RTH_REJECT_MEMORY);
        rth__conn_close(server, conn);
        return false;
    }
    ssize_t got = recv(conn->fd, conn->in + conn->in_used, conn->in_capacity - conn->in_used,
                       MSG_DONTWAIT);
    if (got > 0) {
        if (conn->in_used == 0) /* a request begins */
            rth__admin_deadline(server, conn, server->now_ns + rth__admin_limits.head_ns);
        conn->in_used += (uint32_t)got;
        conn->active_ns = server->now_ns;
        return true;
    }
    if (got < 0 && (errno == EAGAIN || errno == EINTR)) {
        if (conn->in_used == 0)
            free_in(conn);
        return true;
    }
    rth__conn_close(server, conn); /* end of file between requests, or an error */
    return false;
}

/* Our side is done; the client still has to read it. */
static void drain(struct rth_admin_server *server, struct rth_conn *conn)
{
    free_in(conn);
    (void)shutdown(conn->fd, SHUT_WR);
    conn->state = RTH_CONN_DRAINING;
    want(server, conn, EPOLLIN | EPOLLRDHUP);
    rth__admin_deadline(server, conn, server->now_ns + rth__admin_limits.drain_ns);
}

static void read_drain(struct rth_admin_server *server, struct rth_conn *conn)
{
    char waste[4096];
    ssize_t got = recv(conn->fd, waste, sizeof(waste), MSG_DONTWAIT);
    if (got > 0)
        conn->drained_bytes += (uint32_t)got;
    if (got == 0 || (got < 0 && errno != EAGAIN && errno != EINTR) ||
        conn->drained_bytes > DRAIN_MAX_BYTES)
        rth__conn_close(server, conn);
}

/* Moves the request's bytes to the exchange; what follows them (pipelining) stays. */
static bool hand_over(struct rth_conn *conn, struct rth_exchange *exchange, size_t request_bytes)
{
    size_t rest = conn->in_used - request_bytes;
    char *buffer = conn->in;
    uint32_t buffer_bytes = conn->in_capacity;
    conn->in = NULL;
    conn->in_capacity = conn->in_used = 0;
    exchange->buffer = buffer;
    exchange->buffer_bytes = buffer_bytes;
    while (conn->in_capacity < rest)
        if (!grow_in(conn))
            return false;
    if (rest > 0)
        memcpy(conn->in, buffer + request_bytes, rest);
    conn->in_used = (uint32_t)rest;
    return true;
}

static void start_exchange(struct rth_admin_server *server, struct rth_conn *conn,
                           const struct rth_http_request *request, enum rth_http_result result)
{
    struct rth_exchange *exchange = rth__exchange_new(server, conn);
    if (exchange == NULL) {
        rth__admin_reject(RTH_REJECT_MEMORY);
        rth__conn_close(server, conn);
        return;
    }
    exchange->request = *request; /* its texts point into the buffer that moves along */
    conn->exchange = exchange;
    conn->state = RTH_CONN_ANSWERING;
    conn->sent_continue = false;
    __atomic_add_fetch(&rth__admin_counters.requests, 1, __ATOMIC_RELAXED);
    bool whole = result == RTH_HTTP_DONE &&
                 hand_over(conn, exchange, request->total_bytes);
    exchange->keep_alive = whole && request->keep_alive && !conn->peer_refused;
    exchange->body.discard = request->method == RTH_HTTP_HEAD;
    rth__admin_deadline(server, conn, RTH_NEVER_NS);
    want(server, conn, EPOLLRDHUP);
    if (result == RTH_HTTP_BAD) {
        rth__admin_reject(RTH_REJECT_MALFORMED);
        exchange->answer.allow = request->error_status == 405 ? "GET, HEAD, POST" : NULL;
        rth__exchange_fail(exchange, request->error_status, request->error_text);
    } else if (!whole) {
        rth__exchange_fail(exchange, 503, "no memory for the request");
    } else if (conn->peer_refused) {
        rth__admin_reject(RTH_REJECT_PEER);
        rth__exchange_fail(exchange, 403, "this socket answers its own user and root");
    } else {
        rth__serve(exchange);
    }
}

/* Sends what the exchange has; true when the answer is complete and the next request may come. */
static bool answer(struct rth_admin_server *server, struct rth_conn *conn)
{
    struct rth_exchange *exchange = conn->exchange;
    switch (rth__exchange_send(exchange, conn->fd)) {
    case RTH_SEND_ERROR:
        rth__conn_close(server, conn);
        return false;
    case RTH_SEND_MORE:
        conn->runnable = true;
        server->any_runnable = true;
        return false;
    case RTH_SEND_BLOCKED:
        want(server, conn, EPOLLOUT | EPOLLRDHUP);
        rth__admin_deadline(server, conn, conn->active_ns + rth__admin_limits.write_ns);
        return false;
    case RTH_SEND_EMPTY:
        want(server, conn, EPOLLRDHUP);
        if (!exchange->submitted && exchange->phase == RTH_PHASE_WAIT) {
            if (exchange->polled_ns == 0) { /* the wait starts now */
                exchange->polled_ns = server->now_ns;
                rth__admin_deadline(server, conn, server->now_ns + exchange->wait_ns);
            }
        } else if (exchange->phase != RTH_PHASE_RELAY) {
            rth__admin_deadline(server, conn, RTH_NEVER_NS);
        }
        return false;
    case RTH_SEND_DONE:
        break;
    }
    bool keep_alive = exchange->keep_alive && exchange->result == 0 && !conn->half_closed;
    conn->exchange = NULL;
    exchange->conn = NULL;
    rth__exchange_abandon(exchange);
    if (!keep_alive) {
        drain(server, conn);
        return false;
    }
    conn->state = RTH_CONN_READING;
    rth__admin_deadline(server, conn,
                        server->now_ns + (conn->in_used > 0 ? rth__admin_limits.head_ns
                                                            : rth__admin_limits.idle_ns));
    return true;
}

static void send_continue(struct rth_conn *conn)
{
    static const char text[] = "HTTP/1.1 100 Continue\r\n\r\n";
    /* A full socket at this point means a client that never reads: its deadline ends it. */
    (void)send(conn->fd, text, sizeof(text) - 1, MSG_NOSIGNAL | MSG_DONTWAIT);
    conn->sent_continue = true;
}

/* As far as it goes without waiting. */
void rth__conn_advance(struct rth_admin_server *server, struct rth_conn *conn)
{
    if (conn->state == RTH_CONN_ANSWERING && !answer(server, conn))
        return;
    if (conn->state != RTH_CONN_READING)
        return;
    if (conn->in_used == 0) {
        want(server, conn, EPOLLIN | EPOLLRDHUP);
        return;
    }
    struct rth_http_request request;
    enum rth_http_result result = rth__http_request_parse(conn->in, conn->in_used, &request);
    if (result == RTH_HTTP_MORE) {
        if (request.head_complete && request.expects_continue && !conn->sent_continue)
            send_continue(conn);
        want(server, conn, EPOLLIN | EPOLLRDHUP);
        return;
    }
    start_exchange(server, conn, &request, result);
    if (conn->state == RTH_CONN_ANSWERING) {
        /* The answer may be there already; the next turn sends it and reads on. */
        conn->runnable = true;
        server->any_runnable = true;
    }
}

static void hang_up(struct rth_admin_server *server, struct rth_conn *conn, uint32_t events)
{
    struct rth_exchange *exchange = conn->exchange;
    if ((events & (EPOLLERR | EPOLLHUP)) != 0 || exchange->submitted ||
        exchange->phase == RTH_PHASE_WAIT || exchange->phase == RTH_PHASE_RELAY) {
        __atomic_store_n(&exchange->hung_up, true, __ATOMIC_RELAXED);
        __atomic_add_fetch(&rth__admin_counters.hang_ups, 1, __ATOMIC_RELAXED);
        rth__conn_close(server, conn);
        return;
    }
    conn->half_closed = true; /* the answer is ready: a client that only shut its side gets it */
    conn->events &= ~(uint32_t)EPOLLRDHUP;
    want(server, conn, EPOLLOUT);
}

void rth__conn_event(struct rth_admin_server *server, struct rth_conn *conn, uint32_t events)
{
    if (conn->state == RTH_CONN_DRAINING) {
        read_drain(server, conn);
        return;
    }
    if (conn->state == RTH_CONN_ANSWERING) {
        if ((events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0 && !conn->half_closed)
            hang_up(server, conn, events);
        else
            rth__conn_advance(server, conn);
        return;
    }
    if ((events & EPOLLERR) != 0) {
        rth__conn_close(server, conn);
        return;
    }
    if (fill(server, conn))
        rth__conn_advance(server, conn);
}

void rth__conn_expire(struct rth_admin_server *server, struct rth_conn *conn)
{
    struct rth_exchange *exchange = conn->exchange;
    if (conn->state == RTH_CONN_ANSWERING && exchange->phase == RTH_PHASE_WAIT &&
        !exchange->submitted) {
        rth__admin_deadline(server, conn, RTH_NEVER_NS);
        rth__exchange_resume(exchange);
        return;
    }
    if (conn->state == RTH_CONN_ANSWERING && exchange->relay != NULL) {
        rth__relay_expire(exchange);
        return;
    }
    if (conn->state == RTH_CONN_ANSWERING)
        rth__admin_reject(RTH_REJECT_WRITE_TIMEOUT);
    else if (conn->state == RTH_CONN_READING && conn->in_used > 0)
        rth__admin_reject(RTH_REJECT_HEAD_TIMEOUT);
    rth__conn_close(server, conn);
}
