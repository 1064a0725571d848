/* SPDX-License-Identifier: MIT */
/*
 * ?pid=N: another process of the family answers. The request goes to its Unix socket, without the
 * pid and marked as passed on; its answer comes back chunk by chunk, so that a cut over there is a
 * cut here. Everything happens on rth-admin, without waiting.
 *
 * The other process may have been taken over by somebody: its answer is read as strictly as a
 * request is, and only a few headers of it are used.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "admin/server.h"
#include "core/arena.h"
#include "core/family.h"
#include "core/service_thread.h"
#include "os/fd.h"
#include "os/rundir.h"
#include "rthooks/error.h"

/* Reading stops above this much that the client has not taken. */
#define QUEUED_MAX_BYTES ((uint64_t)512 << 10)

enum relay_state {
    RELAY_SENDING,
    RELAY_HEAD,
    RELAY_LENGTH,     /* left_bytes of body to come */
    RELAY_CHUNK_SIZE, /* a line with a hexadecimal number */
    RELAY_CHUNK_DATA, /* left_bytes of it to come */
    RELAY_CHUNK_END,  /* the CRLF after it */
    RELAY_LAST_LINE,  /* the empty line after the chunk of size 0 */
    RELAY_DONE,
};

struct rth_relay {
    int fd;
    pid_t pid; /* the process that is asked */
    enum relay_state state;
    uint32_t events;
    uint64_t left_bytes;
    size_t request_bytes, sent_bytes; /* of text, then of the client's body */
    size_t used_bytes;                /* of text, once reading */
    char text[RTH_HTTP_HEAD_MAX];     /* the request; then what was read and not yet used */
};

void rth__relay_close(struct rth_exchange *exchange)
{
    if (exchange->relay == NULL)
        return;
    (void)rth__close(exchange->relay->fd);
    rth__arena_free_nomalloc(exchange->relay, sizeof(*exchange->relay));
    exchange->relay = NULL;
}

/* Ends the relay with a status of its own, or by a cut when the answer has begun. */
static void fail(struct rth_exchange *exchange, int status, const char *format, ...)
    RTH_PRINTF(3, 4);
static void fail(struct rth_exchange *exchange, int status, const char *format, ...)
{
    struct rth_call *call = &exchange->call;
    call->status = status;
    int named = exchange->relay == NULL ? 0
                                        : snprintf(call->message, sizeof(call->message),
                                                   "process %d: ", exchange->relay->pid);
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(call->message + named, sizeof(call->message) - (size_t)named, format,
                    arguments);
    va_end(arguments);
    rth__relay_close(exchange);
    if (exchange->body.streaming)
        rth__exchange_finish(exchange, -EPIPE);
    else
        rth__exchange_fail(exchange, status, call->message);
}

static void want(struct rth_exchange *exchange, uint32_t events)
{
    struct rth_relay *relay = exchange->relay;
    const struct rth_conn *conn = exchange->conn;
    unsigned slot = (unsigned)(conn - exchange->server->conns);
    struct epoll_event event = {
        .events = events, .data.u64 = rth__admin_event(RTH_EVENT_RELAY, slot, conn->generation)};
    if (relay->events != events &&
        epoll_ctl(exchange->server->epoll_fd, EPOLL_CTL_MOD, relay->fd, &event) == 0)
        relay->events = events;
}

/* ---- the request --------------------------------------------------------------------------- */

/* The query without its pid=…; returns the length. */
static size_t strip_pid(struct rth_http_text query, char *ret_query)
{
    size_t length = 0;
    for (size_t start = 0; start < query.size_bytes;) {
        const char *piece = query.data + start;
        const char *amp = memchr(piece, '&', query.size_bytes - start);
        size_t size_bytes = amp != NULL ? (size_t)(amp - piece) : query.size_bytes - start;
        start += size_bytes + 1;
        bool is_pid =
            size_bytes >= 3 && memcmp(piece, "pid", 3) == 0 && (size_bytes == 3 || piece[3] == '=');
        if (is_pid || size_bytes == 0)
            continue;
        if (length > 0)
            ret_query[length++] = '&';
        memcpy(ret_query + length, piece, size_bytes);
        length += size_bytes;
    }
    return length;
}

static int write_request(struct rth_exchange *exchange)
{
    static const char *const methods[] = {"GET", "HEAD", "POST"};
    const struct rth_http_request *request = &exchange->request;
    struct rth_relay *relay = exchange->relay;
    char query[RTH_HTTP_REQUEST_LINE_MAX];
    size_t query_bytes = strip_pid(request->query, query);
    int length =
        snprintf(relay->text, sizeof(relay->text),
                 "%s %.*s%s%.*s HTTP/1.1\r\nHost: localhost\r\nX-Rthooks-Forwarded: %s\r\n"
                 "Connection: close\r\n%s%s%s%s%.*s%sContent-Length: %zu\r\n\r\n",
                 methods[request->method], (int)request->raw_path.size_bytes,
                 request->raw_path.data, query_bytes > 0 ? "?" : "", (int)query_bytes, query,
                 exchange->conn->via == RTH_VIA_UNIX ? "unix" : "tcp",
                 exchange->accept[0] != '\0' ? "Accept: " : "", exchange->accept,
                 exchange->accept[0] != '\0' ? "\r\n" : "",
                 request->content_type.data != NULL ? "Content-Type: " : "",
                 (int)request->content_type.size_bytes,
                 request->content_type.data != NULL ? request->content_type.data : "",
                 request->content_type.data != NULL ? "\r\n" : "", request->body.size_bytes);
    if (length < 0 || (size_t)length >= sizeof(relay->text))
        return -ENOBUFS;
    relay->request_bytes = (size_t)length;
    return 0;
}

/* Sends until all is sent. False when the socket takes no more or the relay ended. */
static bool send_request(struct rth_exchange *exchange)
{
    struct rth_relay *relay = exchange->relay;
    struct rth_http_text body = exchange->request.body;
    while (relay->sent_bytes < relay->request_bytes + body.size_bytes) {
        bool in_head = relay->sent_bytes < relay->request_bytes;
        const char *data = in_head ? relay->text + relay->sent_bytes
                                   : body.data + (relay->sent_bytes - relay->request_bytes);
        size_t size_bytes =
            (in_head ? relay->request_bytes : relay->request_bytes + body.size_bytes) -
            relay->sent_bytes;
        ssize_t sent = send(relay->fd, data, size_bytes, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (sent < 0 && errno == EAGAIN) {
            want(exchange, EPOLLOUT);
            return false;
        }
        if (sent < 0 && errno != EINTR) {
            fail(exchange, 502, "it closed its socket: %s", rth_strerror(-errno));
            return false;
        }
        relay->sent_bytes += sent > 0 ? (size_t)sent : 0;
    }
    relay->state = RELAY_HEAD;
    want(exchange, EPOLLIN);
    return true;
}

/* ---- the answer's head --------------------------------------------------------------------- */

static bool value_of(struct rth_http_text line, const char *name, struct rth_http_text *ret_value)
{
    struct rth_http_text key = {line.data, strlen(name)};
    if (line.size_bytes <= key.size_bytes || line.data[key.size_bytes] != ':' ||
        !rth__http_text_is(key, name))
        return false;
    ret_value->data = line.data + key.size_bytes + 1;
    ret_value->size_bytes = line.size_bytes - key.size_bytes - 1;
    while (ret_value->size_bytes > 0 && *ret_value->data == ' ')
        ret_value->data++, ret_value->size_bytes--;
    return true;
}

static void copy_text(char *ret_text, size_t text_size, struct rth_http_text text)
{
    (void)snprintf(ret_text, text_size, "%.*s", (int)text.size_bytes, text.data);
}

static bool parse_length(struct rth_http_text text, uint64_t *ret_length)
{
    uint64_t length = 0;
    if (text.size_bytes == 0 || text.size_bytes > 15)
        return false;
    for (size_t i = 0; i < text.size_bytes; i++) {
        if (text.data[i] < '0' || text.data[i] > '9')
            return false;
        length = length * 10 + (uint64_t)(text.data[i] - '0');
    }
    *ret_length = length;
    return true;
}

static bool take_header(struct rth_exchange *exchange, struct rth_http_text line)
{
    static const char disposition[] = "attachment; filename=\"";
    struct rth_relay *relay = exchange->relay;
    struct rth_answer *answer = &exchange->answer;
    struct rth_http_text value;
    if (value_of(line, "content-type", &value)) {
        copy_text(answer->content_type, sizeof(answer->content_type), value);
    } else if (value_of(line, "x-rthooks-clamped", &value)) {
        copy_text(answer->clamped, sizeof(answer->clamped), value);
    } else if (value_of(line, "content-disposition", &value)) {
        size_t prefix_bytes = sizeof(disposition) - 1;
        if (value.size_bytes > prefix_bytes && value.data[value.size_bytes - 1] == '"' &&
            memcmp(value.data, disposition, prefix_bytes) == 0) {
            value.data += prefix_bytes;
            value.size_bytes -= prefix_bytes + 1;
            copy_text(answer->filename, sizeof(answer->filename), value);
        }
    } else if (value_of(line, "content-length", &value)) {
        relay->state = RELAY_LENGTH;
        return parse_length(value, &relay->left_bytes);
    } else if (value_of(line, "transfer-encoding", &value)) {
        relay->state = RELAY_CHUNK_SIZE;
        return rth__http_text_is(value, "chunked");
    }
    return true;
}

/* Takes a line off the text at *offset. False: not there yet. */
static bool next_line(const struct rth_relay *relay, size_t *offset, struct rth_http_text *ret_line)
{
    const char *start = relay->text + *offset;
    const char *lf = memchr(start, '\n', relay->used_bytes - *offset);
    if (lf == NULL)
        return false;
    ret_line->data = start;
    ret_line->size_bytes = (size_t)(lf - start);
    *offset += ret_line->size_bytes + 1;
    if (ret_line->size_bytes > 0 && lf[-1] == '\r')
        ret_line->size_bytes--;
    return true;
}

static bool parse_status_line(struct rth_http_text line, int *ret_status)
{
    const char *text = line.data;
    if (line.size_bytes < 12 || memcmp(text, "HTTP/1.1 ", 9) != 0)
        return false;
    int status = 0;
    for (size_t i = 9; i < 12; i++) {
        if (text[i] < '0' || text[i] > '9')
            return false;
        status = status * 10 + (text[i] - '0');
    }
    *ret_status = status;
    return status >= 200 && status < 600;
}

/* 1 once the head was read, 0 for more, -1 when it is no answer. */
static int read_head(struct rth_exchange *exchange, size_t *ret_used_bytes)
{
    struct rth_relay *relay = exchange->relay;
    if (memmem(relay->text, relay->used_bytes, "\r\n\r\n", 4) == NULL)
        return relay->used_bytes == sizeof(relay->text) ? -1 : 0;
    size_t offset = 0;
    struct rth_http_text line;
    if (!next_line(relay, &offset, &line) || !parse_status_line(line, &exchange->answer.status))
        return -1;
    while (next_line(relay, &offset, &line) && line.size_bytes > 0) {
        if (!take_header(exchange, line))
            return -1;
    }
    if (relay->state == RELAY_HEAD) /* no framing: ours always say how long */
        return -1;
    exchange->answer.is_pprof = rth__route_is_pprof(exchange->request.path);
    if (exchange->request.method == RTH_HTTP_HEAD) {
        exchange->body.total_bytes = relay->state == RELAY_LENGTH ? relay->left_bytes : 0;
        relay->state = RELAY_DONE;
    }
    *ret_used_bytes = offset;
    return 1;
}

/* ---- its body ------------------------------------------------------------------------------ */

static int hex_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static bool parse_chunk_size(struct rth_http_text line, uint64_t *ret_size)
{
    uint64_t size = 0;
    if (line.size_bytes == 0 || line.size_bytes > 8)
        return false;
    for (size_t i = 0; i < line.size_bytes; i++) {
        int digit = hex_value(line.data[i]);
        if (digit < 0)
            return false;
        size = size << 4 | (uint64_t)digit;
    }
    *ret_size = size;
    return true;
}

/* A framing line of a chunked body. 1 taken, 0 not there yet, -EPROTO. */
static int take_frame_line(struct rth_relay *relay, size_t *offset)
{
    struct rth_http_text line;
    if (!next_line(relay, offset, &line))
        return 0;
    if (relay->state == RELAY_CHUNK_SIZE) {
        if (!parse_chunk_size(line, &relay->left_bytes))
            return -EPROTO;
        relay->state = relay->left_bytes > 0 ? RELAY_CHUNK_DATA : RELAY_LAST_LINE;
        return 1;
    }
    if (line.size_bytes != 0)
        return -EPROTO;
    relay->state = relay->state == RELAY_CHUNK_END ? RELAY_CHUNK_SIZE : RELAY_DONE;
    return 1;
}

/* Uses what was read from offset on. 0, or a negative errno. */
static int take_body(struct rth_exchange *exchange, size_t *offset)
{
    struct rth_relay *relay = exchange->relay;
    while (relay->state != RELAY_DONE) {
        if (relay->state == RELAY_LENGTH && relay->left_bytes == 0) {
            relay->state = RELAY_DONE;
        } else if (relay->state == RELAY_LENGTH || relay->state == RELAY_CHUNK_DATA) {
            size_t there = relay->used_bytes - *offset;
            size_t size_bytes = there < relay->left_bytes ? there : (size_t)relay->left_bytes;
            if (size_bytes == 0)
                return 0;
            int error = rth__exchange_write(exchange, relay->text + *offset, size_bytes);
            if (error != 0)
                return error;
            *offset += size_bytes;
            relay->left_bytes -= size_bytes;
            if (relay->left_bytes == 0 && relay->state == RELAY_CHUNK_DATA)
                relay->state = RELAY_CHUNK_END;
        } else {
            int taken = take_frame_line(relay, offset);
            if (taken <= 0)
                return taken;
        }
    }
    return 0;
}

/* Uses what is in the text. False when the relay ended. */
static bool take_text(struct rth_exchange *exchange)
{
    struct rth_relay *relay = exchange->relay;
    size_t offset = 0;
    if (relay->state == RELAY_HEAD) {
        int got = read_head(exchange, &offset);
        if (got < 0)
            fail(exchange, 502, "it sent no proper answer");
        if (got <= 0)
            return got == 0;
    }
    int error = take_body(exchange, &offset);
    if (error != 0) {
        fail(exchange, 502, "the answer could not be passed on: %s", rth_strerror(error));
        return false;
    }
    if (relay->state == RELAY_DONE) {
        rth__relay_close(exchange);
        rth__exchange_finish(exchange, 0);
        return false;
    }
    memmove(relay->text, relay->text + offset, relay->used_bytes - offset);
    relay->used_bytes -= offset;
    return true;
}

void rth__relay_event(struct rth_exchange *exchange, uint32_t events)
{
    struct rth_relay *relay = exchange->relay;
    (void)events; /* an error shows in what send and recv say */
    if (relay == NULL || (relay->state == RELAY_SENDING && !send_request(exchange)))
        return;
    for (int turn = 0; turn < 4; turn++) {
        if (exchange->body.queued_bytes > QUEUED_MAX_BYTES) {
            want(exchange, 0);
            return;
        }
        ssize_t got = recv(relay->fd, relay->text + relay->used_bytes,
                           sizeof(relay->text) - relay->used_bytes, MSG_DONTWAIT);
        if (got < 0 && (errno == EAGAIN || errno == EINTR))
            return;
        if (got <= 0) {
            fail(exchange, 502, "it ended its answer early%s%s", got < 0 ? ": " : "",
                 got < 0 ? rth_strerror(-errno) : "");
            return;
        }
        relay->used_bytes += (size_t)got;
        if (!take_text(exchange))
            return;
        if (relay->state != RELAY_HEAD)
            rth__admin_deadline(exchange->server, exchange->conn,
                                exchange->server->now_ns + rth__admin_limits.write_ns);
    }
}

void rth__relay_drained(struct rth_exchange *exchange)
{
    if (exchange->relay != NULL && exchange->relay->events == 0 &&
        exchange->body.queued_bytes < QUEUED_MAX_BYTES / 2)
        want(exchange, EPOLLIN);
}

void rth__relay_expire(struct rth_exchange *exchange)
{
    fail(exchange, 504, "it did not answer in time");
}

/* ---- which process ------------------------------------------------------------------------- */

static bool find_member(int64_t pid, struct rth_family_member *ret_member)
{
    for (size_t cursor = 0; rth__family_next(&cursor, ret_member);) {
        if (ret_member->pid == pid)
            return true;
    }
    return false;
}

/* A connection to the member's socket, in any of its folders. fd or a negative errno. */
static int connect_member(const struct rth_admin_server *server,
                          const struct rth_family_member *member)
{
    int error = -ENOENT;
    char name[32];
    rth__rundir_socket_name(member->pid, name, sizeof(name));
    for (unsigned i = 0; i < RTH_RUNDIR_CANDIDATES; i++) {
        char path[RTH_RUNDIR_PATH_BYTES];
        if (rth__rundir_candidate(i, member->euid, server->config->xdg_runtime_dir, path,
                                  sizeof(path)) != 0)
            continue;
        RTH__AUTO_CLOSE int folder_fd = rth__rundir_open(rth__root_fd(), path, member->euid, false);
        int fd = folder_fd < 0 ? folder_fd : rth__rundir_connect(folder_fd, name, true);
        if (fd >= 0)
            return fd;
        if (error == -ENOENT)
            error = fd;
    }
    return error;
}

static void start(struct rth_exchange *exchange, const struct rth_family_member *member)
{
    struct rth_admin_server *server = exchange->server;
    int fd = connect_member(server, member);
    if (fd < 0) {
        const char *why = fd == -EACCES || fd == -EPERM ? "its credentials forbid it"
                          : fd == -ENOENT               ? "it has no socket (yet)"
                          : fd == -ECONNREFUSED         ? "it does not listen"
                                                        : rth_strerror(fd);
        fail(exchange, 502, "process %d can't be asked: %s", member->pid, why);
        return;
    }
    exchange->relay = rth__arena_alloc_nomalloc(sizeof(*exchange->relay));
    if (exchange->relay == NULL) {
        (void)rth__close(fd);
        fail(exchange, 503, "no memory to ask process %d", member->pid);
        return;
    }
    struct rth_relay *relay = exchange->relay;
    relay->pid = member->pid;
    relay->fd = fd;
    relay->events = EPOLLIN;
    exchange->phase = RTH_PHASE_RELAY;
    unsigned slot = (unsigned)(exchange->conn - server->conns);
    int error = write_request(exchange);
    if (error == 0)
        error =
            rth__admin_watch(server, fd, relay->events,
                             rth__admin_event(RTH_EVENT_RELAY, slot, exchange->conn->generation));
    if (error != 0) {
        fail(exchange, 502, "process %d can't be asked: %s", member->pid, rth_strerror(error));
        return;
    }
    rth__admin_deadline(server, exchange->conn, server->now_ns + rth__admin_limits.relay_head_ns);
    (void)send_request(exchange);
}

bool rth__relay_wanted(struct rth_exchange *exchange)
{
    int64_t pid = 0;
    int error = rth__params_int64(&exchange->call.params, "pid", &pid);
    if (error == -ENOENT || (error == 0 && pid == exchange->server->pid))
        return false;
    struct rth_family_member member;
    if (error != 0)
        fail(exchange, 400, "invalid value for \"pid\" - must be a process id");
    else if (!find_member(pid, &member))
        fail(exchange, 404, "no process %lld in this family", (long long)pid);
    else
        start(exchange, &member);
    return true;
}
