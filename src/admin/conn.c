/* SPDX-License-Identifier: MIT */
/*
 * One connection: reading requests, handing each to an exchange, sending what comes back.
 *
 *   READING -> ANSWERING -> READING …            keep-alive
 *                        -> DRAINING -> closed   otherwise, and after every malformed request
 *
 * A connection without a request holds no buffer: a thousand idle ones cost their slots alone.
 */
#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "admin/server.h"
#include "core/arena.h"

#define FIRST_BUFFER_BYTES 4096u
#define BUFFER_MAX_BYTES   (RTH_HTTP_HEAD_MAX + RTH_HTTP_BODY_MAX)
#define LARGE_BUFFER_BYTES (RTH_HTTP_HEAD_MAX + RTH_HTTP_LARGE_BODY_MAX)
#define DRAIN_MAX_BYTES    ((uint32_t)1 << 20)
/* Requests answered in a row on one connection before the others have their turn. */
#define PIPELINE_TURN 4
#define ACCEPT_TURN   16

static unsigned slot_of(const struct rth_admin_server *server, const struct rth_conn *conn)
{
    return (unsigned)(conn - server->conns);
}

static void want(struct rth_admin_server *server, struct rth_conn *conn, uint32_t events)
{
    if (!conn->half_closed)
        events |= EPOLLRDHUP;
    if (conn->events == events)
        return;
    struct epoll_event event = {
        .events = events,
        .data.u64 = rth__admin_event(RTH_EVENT_CONN, slot_of(server, conn), conn->generation),
    };
    if (epoll_ctl(server->epoll_fd, EPOLL_CTL_MOD, conn->fd, &event) == 0)
        conn->events = events;
}

static void free_buffer(struct rth_conn *conn)
{
    rth__arena_free_nomalloc(conn->in, conn->in_capacity);
    conn->in = NULL;
    conn->in_capacity = conn->in_used = 0;
}

void rth__conn_close(struct rth_admin_server *server, struct rth_conn *conn)
{
    if (conn->state == RTH_CONN_FREE)
        return;
    struct rth_exchange *exchange = conn->exchange;
    conn->exchange = NULL;
    free_buffer(conn);
    (void)close(conn->fd); /* leaves the epoll set with it */
    conn->fd = -1;
    conn->state = RTH_CONN_FREE;
    conn->runnable = false;
    conn->deadline_ns = RTH_NEVER_NS;
    server->conn_count--;
    atomic_store_explicit(&rth__admin_counters.open_connections, server->conn_count,
                          memory_order_relaxed);
    if (exchange != NULL)
        rth__exchange_abandon(exchange);
}

/* The client is not to believe that it got everything. */
static void cut(struct rth_admin_server *server, struct rth_conn *conn)
{
    struct linger reset = {.l_onoff = 1, .l_linger = 0};
    (void)setsockopt(conn->fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
    rth__conn_close(server, conn);
}

/* The client left before its answer was complete. */
static void hang_up(struct rth_admin_server *server, struct rth_conn *conn)
{
    if (conn->state == RTH_CONN_ANSWERING)
        atomic_fetch_add_explicit(&rth__admin_counters.hang_ups, 1, memory_order_relaxed);
    rth__conn_close(server, conn);
}

/* ---- new connections ----------------------------------------------------------------------- */

/* How readily a connection gives way to a new one; 0: never, it is being answered. */
static int evictable(const struct rth_conn *conn)
{
    switch (conn->state) {
    case RTH_CONN_DRAINING:
        return 3;
    case RTH_CONN_READING:
        return conn->in_used == 0 ? 2 : 1;
    default:
        return 0;
    }
}

/* Ends the one that was idle longest. False when every connection is being answered. */
static bool evict(struct rth_admin_server *server)
{
    struct rth_conn *victim = NULL;
    int victim_rank = 1;
    for (unsigned i = 0; i < server->conn_high; i++) {
        struct rth_conn *conn = &server->conns[i];
        int rank = evictable(conn);
        if (rank >= victim_rank && rank > 0 &&
            (victim == NULL || rank > victim_rank || conn->active_ns < victim->active_ns)) {
            victim = conn;
            victim_rank = rank;
        }
    }
    if (victim == NULL)
        return false;
    rth__admin_reject(RTH_REJECT_EVICTED);
    rth__conn_close(server, victim);
    return true;
}

static struct rth_conn *free_slot(struct rth_admin_server *server)
{
    if (server->conn_count >= server->conn_limit && !evict(server))
        return NULL;
    unsigned i = 0; /* the lowest: the pages of the others stay untouched */
    while (i < server->conn_high && server->conns[i].state != RTH_CONN_FREE)
        i++;
    if (i >= RTH_ADMIN_SLOTS)
        return NULL;
    if (i >= server->conn_high)
        server->conn_high = i + 1;
    return &server->conns[i];
}

static bool open_conn(struct rth_admin_server *server, int fd, enum rth_admin_via via)
{
    struct rth_conn *conn = free_slot(server);
    if (conn == NULL)
        return false;
    uint32_t generation = conn->generation + 1;
    *conn = (struct rth_conn){
        .fd = fd,
        .generation = generation,
        .state = RTH_CONN_READING,
        .via = (uint8_t)via,
        .active_ns = server->now_ns,
        .events = EPOLLIN | EPOLLRDHUP,
    };
    conn->peer_refused = via == RTH_VIA_UNIX && !rth__peer_allowed(fd);
    if (rth__admin_watch(server, fd, conn->events,
                         rth__admin_event(RTH_EVENT_CONN, slot_of(server, conn), generation)) !=
        0) {
        conn->state = RTH_CONN_FREE;
        conn->fd = -1;
        return false;
    }
    server->conn_count++;
    atomic_store_explicit(&rth__admin_counters.open_connections, server->conn_count,
                          memory_order_relaxed);
    rth__admin_deadline(server, conn, server->now_ns + rth__admin_limits.idle_ns);
    return true;
}

void rth__conn_accept(struct rth_admin_server *server, enum rth_admin_via via)
{
    for (int i = 0; i < ACCEPT_TURN; i++) {
        int fd = accept4(server->listeners[via], NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
        if (fd < 0 && (errno == EMFILE || errno == ENFILE) && evict(server))
            continue;
        if (fd < 0)
            return;
        atomic_fetch_add_explicit(&rth__admin_counters.accepted, 1, memory_order_relaxed);
        if (!open_conn(server, fd, via)) {
            rth__admin_reject(RTH_REJECT_EVICTED);
            (void)close(fd);
        }
    }
}

/* ---- reading ------------------------------------------------------------------------------- */

static bool grow_buffer(struct rth_conn *conn, uint32_t capacity)
{
    char *larger = rth__arena_alloc_nomalloc(capacity);
    if (larger == NULL)
        return false;
    if (conn->in_used > 0)
        memcpy(larger, conn->in, conn->in_used);
    rth__arena_free_nomalloc(conn->in, conn->in_capacity);
    conn->in = larger;
    conn->in_capacity = capacity;
    return true;
}

/* Large bodies take half of our memory at most, however many connections send them. */
static bool may_be_large(void)
{
    struct rth_arena_stats arena;
    rth__arena_stats(&arena);
    return arena.used_bytes < arena.cap_bytes / 2;
}

static bool make_room(struct rth_conn *conn)
{
    if (conn->in_used < conn->in_capacity)
        return true;
    uint32_t capacity = conn->in_capacity == 0 ? FIRST_BUFFER_BYTES : conn->in_capacity * 2;
    if (conn->in_capacity < BUFFER_MAX_BYTES && capacity > BUFFER_MAX_BYTES)
        capacity = BUFFER_MAX_BYTES;
    else if (capacity > BUFFER_MAX_BYTES)
        capacity = may_be_large() ? LARGE_BUFFER_BYTES : conn->in_capacity;
    return capacity > conn->in_capacity && grow_buffer(conn, capacity);
}

/* Reads once. False when the connection ended. */
static bool read_some(struct rth_admin_server *server, struct rth_conn *conn)
{
    if (!make_room(conn)) {
        rth__admin_reject(RTH_REJECT_MEMORY);
        rth__conn_close(server, conn);
        return false;
    }
    ssize_t got = recv(conn->fd, conn->in + conn->in_used, conn->in_capacity - conn->in_used, 0);
    if (got < 0 && (errno == EAGAIN || errno == EINTR)) {
        if (conn->in_used == 0)
            free_buffer(conn);
        return true;
    }
    if (got <= 0) { /* the end; half a request is nobody's */
        rth__conn_close(server, conn);
        return false;
    }
    if (conn->in_used == 0) /* the clock of a request starts with its first byte */
        rth__admin_deadline(server, conn, server->now_ns + rth__admin_limits.head_ns);
    conn->in_used += (uint32_t)got;
    conn->active_ns = server->now_ns;
    return true;
}

static void send_continue(struct rth_conn *conn)
{
    static const char text[] = "HTTP/1.1 100 Continue\r\n\r\n";
    conn->sent_continue = true;
    /* The socket is empty: it fits, or the client is gone. */
    (void)send(conn->fd, text, sizeof(text) - 1, MSG_NOSIGNAL | MSG_DONTWAIT);
}

/* Gives the buffer, which the request points into, to the exchange; what follows it in there moves
 * to a buffer of its own. */
static bool give_buffer(struct rth_conn *conn, struct rth_exchange *exchange, size_t taken_bytes)
{
    uint32_t rest_bytes = conn->in_used - (uint32_t)taken_bytes;
    char *rest = NULL;
    uint32_t rest_capacity =
        rest_bytes > FIRST_BUFFER_BYTES ? conn->in_capacity : FIRST_BUFFER_BYTES;
    if (rest_bytes > 0) {
        rest = rth__arena_alloc_nomalloc(rest_capacity);
        if (rest == NULL)
            return false;
        memcpy(rest, conn->in + taken_bytes, rest_bytes);
    }
    exchange->buffer = conn->in;
    exchange->buffer_bytes = conn->in_capacity;
    conn->in = rest;
    conn->in_capacity = rest != NULL ? rest_capacity : 0;
    conn->in_used = rest_bytes;
    return true;
}

static void answer_malformed(struct rth_exchange *exchange)
{
    const struct rth_http_request *request = &exchange->request;
    rth__admin_reject(request->error_status == 405 ? RTH_REJECT_METHOD : RTH_REJECT_MALFORMED);
    exchange->keep_alive = false;
    if (request->error_status == 405)
        exchange->answer.allow = "GET, HEAD, POST";
    rth__exchange_fail(exchange, request->error_status, request->error_text);
}

/* A request, or what can never become one, is at the start of the buffer: answers it. */
static void start_exchange(struct rth_admin_server *server, struct rth_conn *conn,
                           enum rth_http_result parsed, struct rth_exchange *exchange)
{
    bool is_bad = parsed == RTH_HTTP_BAD;
    size_t taken_bytes = is_bad ? conn->in_used : exchange->request.total_bytes;
    atomic_fetch_add_explicit(&rth__admin_counters.requests, 1, memory_order_relaxed);
    conn->state = RTH_CONN_ANSWERING;
    conn->exchange = exchange;
    conn->sent_continue = false;
    rth__admin_deadline(server, conn, RTH_NEVER_NS);
    exchange->keep_alive = exchange->request.keep_alive;
    exchange->body.discard = exchange->request.method == RTH_HTTP_HEAD;
    if (is_bad) {
        answer_malformed(exchange);
    } else if (!give_buffer(conn, exchange, taken_bytes)) {
        rth__admin_reject(RTH_REJECT_MEMORY);
        exchange->keep_alive = false;
        rth__exchange_fail(exchange, 503, "no memory for the request");
    } else {
        rth__serve(exchange);
    }
}

/* False: more bytes are needed, or the connection ended. */
static bool take_request(struct rth_admin_server *server, struct rth_conn *conn)
{
    if (conn->in_used == 0)
        return false;
    struct rth_http_request request;
    enum rth_http_result parsed = rth__http_request_parse(conn->in, conn->in_used, &request);
    if (parsed == RTH_HTTP_MORE) {
        if (request.expects_continue && request.head_complete && !conn->sent_continue)
            send_continue(conn);
        return false;
    }
    struct rth_exchange *exchange = rth__exchange_new(server, conn);
    if (exchange == NULL) {
        rth__admin_reject(RTH_REJECT_MEMORY);
        cut(server, conn);
        return false;
    }
    exchange->request = request;
    start_exchange(server, conn, parsed, exchange);
    return true;
}

/* ---- answering ----------------------------------------------------------------------------- */

static void start_drain(struct rth_admin_server *server, struct rth_conn *conn)
{
    free_buffer(conn);
    if (conn->half_closed || shutdown(conn->fd, SHUT_WR) != 0) {
        rth__conn_close(server, conn);
        return;
    }
    conn->state = RTH_CONN_DRAINING;
    conn->drained_bytes = 0;
    rth__admin_deadline(server, conn, server->now_ns + rth__admin_limits.drain_ns);
    want(server, conn, EPOLLIN);
}

static void drain(struct rth_admin_server *server, struct rth_conn *conn)
{
    char waste[4096];
    for (int i = 0; i < 16; i++) {
        ssize_t got = recv(conn->fd, waste, sizeof(waste), 0);
        if (got < 0 && (errno == EAGAIN || errno == EINTR))
            return;
        conn->drained_bytes += got > 0 ? (uint32_t)got : 0;
        if (got <= 0 || conn->drained_bytes > DRAIN_MAX_BYTES) {
            rth__conn_close(server, conn);
            return;
        }
    }
}

static void answer_sent(struct rth_admin_server *server, struct rth_conn *conn)
{
    struct rth_exchange *exchange = conn->exchange;
    bool keep_alive = exchange->keep_alive && !conn->half_closed;
    conn->exchange = NULL;
    rth__exchange_abandon(exchange);
    if (!keep_alive) {
        start_drain(server, conn);
        return;
    }
    conn->state = RTH_CONN_READING;
    conn->active_ns = server->now_ns;
    rth__admin_deadline(server, conn,
                        server->now_ns + (conn->in_used > 0 ? rth__admin_limits.head_ns
                                                            : rth__admin_limits.idle_ns));
}

/* begin asked to wait: the deadline is the end of the wait. True when the wait goes on. */
static bool waits(struct rth_admin_server *server, struct rth_conn *conn)
{
    struct rth_exchange *exchange = conn->exchange;
    if (exchange->submitted || exchange->phase != RTH_PHASE_WAIT)
        return false;
    if (conn->half_closed) { /* nobody stays half an hour on a socket he has shut */
        hang_up(server, conn);
        return true;
    }
    if (conn->deadline_ns == RTH_NEVER_NS)
        rth__admin_deadline(server, conn, server->now_ns + exchange->wait_ns);
    want(server, conn, 0);
    return true;
}

/* False when there is nothing more to do for now. */
static bool send_answer(struct rth_admin_server *server, struct rth_conn *conn)
{
    struct rth_exchange *exchange = conn->exchange;
    switch (rth__exchange_send(exchange, conn->fd)) {
    case RTH_SEND_ERROR:
        if (!exchange->submitted && exchange->phase == RTH_PHASE_DONE && exchange->result != 0)
            cut(server, conn);
        else
            hang_up(server, conn);
        return false;
    case RTH_SEND_DONE:
        answer_sent(server, conn);
        return true;
    case RTH_SEND_BLOCKED:
        /* Without progress the deadline stays where it is. */
        if (conn->active_ns == server->now_ns || conn->deadline_ns == RTH_NEVER_NS)
            rth__admin_deadline(server, conn, server->now_ns + rth__admin_limits.write_ns);
        want(server, conn, EPOLLOUT);
        return false;
    case RTH_SEND_MORE: /* the socket takes more: epoll says so at once, after the others */
        rth__admin_deadline(server, conn, server->now_ns + rth__admin_limits.write_ns);
        want(server, conn, EPOLLOUT);
        rth__relay_drained(exchange);
        return false;
    case RTH_SEND_EMPTY:
    default:
        rth__relay_drained(exchange);
        rth__admin_deadline(server, conn,
                            exchange->relay != NULL ? conn->deadline_ns : RTH_NEVER_NS);
        want(server, conn, 0);
        return false;
    }
}

void rth__conn_advance(struct rth_admin_server *server, struct rth_conn *conn)
{
    for (int turn = 0; turn < PIPELINE_TURN;) {
        if (conn->state == RTH_CONN_READING) {
            if (!take_request(server, conn)) {
                if (conn->state == RTH_CONN_READING)
                    want(server, conn, EPOLLIN);
                return;
            }
            turn++;
        }
        if (conn->state != RTH_CONN_ANSWERING || waits(server, conn) || !send_answer(server, conn))
            return;
    }
    if (conn->state == RTH_CONN_READING) {
        conn->runnable = true;
        server->any_runnable = true;
    }
}

/* ---- events -------------------------------------------------------------------------------- */

/* The client shut its side, or closed: the two look alike until something is sent. A call that
 * waits is given up; one that computes is told, and its answer still sent should it come. */
static void half_close(struct rth_admin_server *server, struct rth_conn *conn)
{
    struct rth_exchange *exchange = conn->exchange;
    conn->half_closed = true;
    conn->events |= 1u << 31; /* matches no set: the next want() goes to the kernel */
    if (exchange->relay != NULL || (!exchange->submitted && exchange->phase == RTH_PHASE_WAIT)) {
        hang_up(server, conn);
        return;
    }
    atomic_store_explicit(&exchange->hung_up, true, memory_order_relaxed);
    rth__conn_advance(server, conn);
}

void rth__conn_event(struct rth_admin_server *server, struct rth_conn *conn, uint32_t events)
{
    if ((events & EPOLLERR) != 0 || ((events & EPOLLHUP) != 0 && (events & EPOLLIN) == 0)) {
        hang_up(server, conn);
        return;
    }
    switch (conn->state) {
    case RTH_CONN_READING:
        if (read_some(server, conn))
            rth__conn_advance(server, conn);
        break;
    case RTH_CONN_DRAINING:
        drain(server, conn);
        break;
    case RTH_CONN_ANSWERING:
        if ((events & EPOLLHUP) != 0)
            hang_up(server, conn);
        else if ((events & EPOLLRDHUP) != 0 && !conn->half_closed)
            half_close(server, conn);
        else
            rth__conn_advance(server, conn);
        break;
    default:
        break;
    }
}

void rth__conn_expire(struct rth_admin_server *server, struct rth_conn *conn)
{
    struct rth_exchange *exchange = conn->exchange;
    conn->deadline_ns = RTH_NEVER_NS;
    if (conn->state == RTH_CONN_ANSWERING && !exchange->submitted &&
        exchange->phase == RTH_PHASE_WAIT) {
        rth__exchange_resume(exchange);
        rth__conn_advance(server, conn);
        return;
    }
    if (conn->state == RTH_CONN_ANSWERING && exchange->relay != NULL && !exchange->head_built) {
        rth__relay_expire(exchange);
        rth__conn_advance(server, conn);
        return;
    }
    if (conn->state == RTH_CONN_READING && conn->in_used > 0)
        rth__admin_reject(RTH_REJECT_HEAD_TIMEOUT);
    else if (conn->state == RTH_CONN_ANSWERING)
        rth__admin_reject(RTH_REJECT_WRITE_TIMEOUT);
    rth__conn_close(server, conn);
}
