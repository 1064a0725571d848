/* SPDX-License-Identifier: MIT */
/*
 * ?pid=N: the answer of another process of the family, passed on. The request goes out as HTTP/1.0,
 * so the answer ends with its connection; its status, type and body become ours.
 * Threads: rth-admin alone; the socket is non-blocking and watched like any other. Failure: 404 for
 * a process that is none of ours, 502 with the reason where it cannot be asked.
 */
#include <errno.h>
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

#define HEAD_MAX_BYTES 4096
#define READ_BYTES     16384

struct rth_relay {
    int fd;
    bool head_done;
    uint32_t request_bytes, sent_bytes, head_bytes;
    char request[2048];
    char head[HEAD_MAX_BYTES];
};

static void fail(struct rth_exchange *exchange, const char *reason)
{
    if (exchange->relay != NULL && exchange->relay->head_done) {
        rth__exchange_finish(exchange, -EIO); /* part of it is on its way: cut */
    } else {
        exchange->phase = RTH_PHASE_DONE;
        rth__exchange_fail(exchange, 502, reason);
    }
    rth__relay_close(exchange);
    exchange->conn->runnable = true;
    exchange->server->any_runnable = true;
}

static bool find_member(pid_t pid, struct rth_family_member *ret_member)
{
    size_t cursor = 0;
    while (rth__family_next(&cursor, ret_member))
        if (ret_member->pid == pid)
            return true;
    return false;
}

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
        RTH__AUTO_CLOSE int folder = rth__rundir_open(rth__root_fd(), path, member->euid, false);
        int fd = folder < 0 ? folder : rth__rundir_connect(folder, name, true);
        if (fd >= 0)
            return fd;
        if (error == -ENOENT)
            error = fd;
    }
    return error;
}

/* The query without pid=, so that the member answers for itself. */
static size_t strip_pid(struct rth_http_text query, char *ret_query, size_t size)
{
    size_t length = 0;
    for (size_t at = 0; at < query.size_bytes;) {
        const char *end = memchr(query.data + at, '&', query.size_bytes - at);
        size_t part = end != NULL ? (size_t)(end - query.data) - at : query.size_bytes - at;
        bool is_pid = part >= 4 && memcmp(query.data + at, "pid=", 4) == 0;
        if (!is_pid && part > 0 && length + part + 2 < size) {
            ret_query[length] = length == 0 ? '?' : '&';
            length++;
            memcpy(ret_query + length, query.data + at, part);
            length += part;
        }
        at += part + 1;
    }
    ret_query[length] = '\0';
    return length;
}

static bool start(struct rth_exchange *exchange, int fd)
{
    const struct rth_http_request *request = &exchange->request;
    struct rth_relay *relay = rth__arena_alloc_nomalloc(sizeof(*relay));
    char query[1024];
    if (relay == NULL)
        return false;
    (void)strip_pid(request->query, query, sizeof(query));
    int length = snprintf(relay->request, sizeof(relay->request),
                          "GET %.*s%s HTTP/1.0\r\nHost: localhost\r\nAccept: %s\r\n"
                          "X-Rthooks-Forwarded: 1\r\n\r\n",
                          (int)request->raw_path.size_bytes, request->raw_path.data, query,
                          exchange->accept[0] != '\0' ? exchange->accept : "*/*");
    relay->fd = fd;
    exchange->relay = relay;
    exchange->phase = RTH_PHASE_RELAY;
    if (length < 0 || (size_t)length >= sizeof(relay->request))
        return false;
    relay->request_bytes = (uint32_t)length;
    const struct rth_admin_server *server = exchange->server;
    unsigned slot = (unsigned)(exchange->conn - server->conns);
    return rth__admin_watch(exchange->server, fd, EPOLLIN | EPOLLOUT,
                            rth__admin_event(RTH_EVENT_RELAY, slot, exchange->conn->generation)) ==
           0;
}

bool rth__relay_wanted(struct rth_exchange *exchange)
{
    const struct rth_artefact *artefact = exchange->call.artefact;
    int64_t pid;
    struct rth_family_member member;
    if (artefact == NULL || (artefact->flags & RTH_ARTEFACT_BY_PID) == 0 ||
        exchange->conn->via == RTH_VIA_PUBLIC || !rth__params_has(&exchange->call.params, "pid"))
        return false;
    if (rth__params_int64(&exchange->call.params, "pid", &pid) != 0 || pid <= 0 ||
        pid > INT32_MAX) {
        rth__exchange_fail(exchange, 400, "pid must be a positive number");
        return true;
    }
    if (pid == exchange->server->pid)
        return false;
    if (!find_member((pid_t)pid, &member)) {
        rth__exchange_fail(exchange, 404, "no such process in this family: see /debug/processes");
        return true;
    }
    int fd = connect_member(exchange->server, &member);
    if (fd < 0) {
        char reason[RTH_CALL_MESSAGE_BYTES];
        (void)snprintf(reason, sizeof(reason), "cannot reach process %d of user %u: %s",
                       member.pid, member.euid, rth_strerror(fd));
        rth__exchange_fail(exchange, 502, reason);
    } else if (!start(exchange, fd)) {
        (void)(exchange->relay == NULL ? rth__close(fd) : 0);
        fail(exchange, "no memory for the request");
    } else {
        rth__admin_deadline(exchange->server, exchange->conn,
                            exchange->server->now_ns + rth__admin_limits.relay_head_ns);
    }
    return true;
}

/* Value of a header of the answer, copied; names are ours, so their case is known. */
static void header_value(const char *head, const char *name, char *ret_value, size_t size)
{
    const char *line = strstr(head, name);
    size_t length = line != NULL ? strcspn(line + strlen(name), "\r") : 0;
    (void)snprintf(ret_value, size, "%.*s", (int)length, line != NULL ? line + strlen(name) : "");
}

static bool parse_head(struct rth_exchange *exchange)
{
    struct rth_relay *relay = exchange->relay;
    struct rth_answer *answer = &exchange->answer;
    const char *head = relay->head;
    if (strncmp(head, "HTTP/1.", 7) != 0 || strlen(head) < 12)
        return false;
    answer->status = (head[9] - '0') * 100 + (head[10] - '0') * 10 + (head[11] - '0');
    if (answer->status < 200 || answer->status > 599)
        return false;
    header_value(head, "\r\nContent-Type: ", answer->content_type, sizeof(answer->content_type));
    header_value(head, "\r\nX-Rthooks-Clamped: ", answer->clamped, sizeof(answer->clamped));
    char disposition[96];
    header_value(head, "filename=\"", disposition, sizeof(disposition));
    disposition[strcspn(disposition, "\"")] = '\0';
    (void)snprintf(answer->filename, sizeof(answer->filename), "%.63s", disposition);
    answer->is_pprof = rth__route_is_pprof(exchange->request.path);
    relay->head_done = true;
    return true;
}

/* Bytes of the answer: the head first. False when they make no sense. */
static bool take(struct rth_exchange *exchange, const char *data, size_t size_bytes)
{
    struct rth_relay *relay = exchange->relay;
    if (relay->head_done)
        return rth__exchange_write(exchange, data, size_bytes) == 0;
    size_t room = sizeof(relay->head) - 1 - relay->head_bytes;
    size_t part = size_bytes < room ? size_bytes : room;
    memcpy(relay->head + relay->head_bytes, data, part);
    size_t before = relay->head_bytes;
    relay->head_bytes += (uint32_t)part;
    const char *end = memmem(relay->head, relay->head_bytes, "\r\n\r\n", 4);
    if (end == NULL)
        return part == size_bytes; /* a head that does not fit is none of ours */
    size_t head_bytes = (size_t)(end - relay->head) + 4;
    relay->head[head_bytes - 1] = '\0';
    if (!parse_head(exchange))
        return false;
    size_t used = head_bytes - before;
    return size_bytes == used || rth__exchange_write(exchange, data + used, size_bytes - used) == 0;
}

static void receive(struct rth_exchange *exchange)
{
    char data[READ_BYTES];
    ssize_t got = recv(exchange->relay->fd, data, sizeof(data), MSG_DONTWAIT);
    if (got < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (got > 0) {
        if (!take(exchange, data, (size_t)got))
            fail(exchange, "the other process gave an answer that cannot be passed on");
        return;
    }
    if (got < 0 || !exchange->relay->head_done) {
        fail(exchange, "the other process closed the connection without an answer");
        return;
    }
    rth__relay_close(exchange);
    rth__exchange_finish(exchange, 0);
    exchange->conn->runnable = true;
    exchange->server->any_runnable = true;
}

void rth__relay_event(struct rth_exchange *exchange, uint32_t events)
{
    struct rth_relay *relay = exchange->relay;
    if ((events & EPOLLOUT) != 0 && relay->sent_bytes < relay->request_bytes) {
        ssize_t sent = send(relay->fd, relay->request + relay->sent_bytes,
                            relay->request_bytes - relay->sent_bytes, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (sent < 0 && errno != EAGAIN && errno != EINTR) {
            fail(exchange, "the other process does not take requests");
            return;
        }
        relay->sent_bytes += sent > 0 ? (uint32_t)sent : 0;
        if (relay->sent_bytes == relay->request_bytes)
            (void)rth__admin_watch(exchange->server, relay->fd, EPOLLIN,
                                   rth__admin_event(RTH_EVENT_RELAY,
                                                    (unsigned)(exchange->conn -
                                                               exchange->server->conns),
                                                    exchange->conn->generation));
    }
    if ((events & (EPOLLIN | EPOLLHUP | EPOLLERR)) != 0)
        receive(exchange);
}

void rth__relay_expire(struct rth_exchange *exchange)
{
    rth__admin_deadline(exchange->server, exchange->conn, RTH_NEVER_NS);
    fail(exchange, "the other process did not answer in time");
}

void rth__relay_close(struct rth_exchange *exchange)
{
    struct rth_relay *relay = exchange->relay;
    if (relay == NULL)
        return;
    relay->fd = rth__close(relay->fd);
    rth__arena_free_nomalloc(relay, sizeof(*relay));
    exchange->relay = NULL;
}

void rth__relay_drained(struct rth_exchange *exchange)
{
    /* Reading never stops: what the client has not taken is kept, within the caps of the body. */
    (void)exchange;
}
