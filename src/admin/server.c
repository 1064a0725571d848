/* SPDX-License-Identifier: MIT */
/* The loop: events, deadlines, ticks. Everything on rth-admin, nothing that blocks. */
#include <errno.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "admin/server.h"
#include "core/arena.h"
#include "core/family.h"
#include "core/identity.h"
#include "os/clock.h"
#include "os/fd.h"

#define EVENTS_PER_TURN 64

struct rth_admin_counters rth__admin_counters;

int rth__admin_watch(struct rth_admin_server *server, int fd, uint32_t events, uint64_t data)
{
    struct epoll_event event = {.events = events, .data.u64 = data};
    if (epoll_ctl(server->epoll_fd, EPOLL_CTL_MOD, fd, &event) == 0)
        return 0;
    if (errno == ENOENT && epoll_ctl(server->epoll_fd, EPOLL_CTL_ADD, fd, &event) == 0)
        return 0;
    return -errno;
}

void rth__admin_deadline(struct rth_admin_server *server, struct rth_conn *conn,
                         int64_t deadline_ns)
{
    conn->deadline_ns = deadline_ns;
    if (deadline_ns < server->next_deadline_ns)
        server->next_deadline_ns = deadline_ns;
}

void rth__admin_push_ready(struct rth_exchange *exchange)
{
    struct rth_admin_server *server = exchange->server;
    struct rth_exchange *head = server->ready;
    int work_fd = server->work_fd;
    do
        exchange->next_ready = head;
    while (!atomic_compare_exchange_strong_explicit(&server->ready, &head, exchange, memory_order_release,
                                        memory_order_relaxed));
    /* From here on the exchange may be freed. */
    uint64_t one = 1;
    (void)!write(work_fd, &one, sizeof(one));
}

int rth__admin_server_init(struct rth_admin_server *server)
{
    for (int via = 0; via < RTH_VIA_COUNT; via++)
        server->listeners[via] = -1;
    server->rundir_fd = server->first_fd = server->work_fd = -1;
    server->conn_limit =
        rth__admin_limits.slots < RTH_ADMIN_SLOTS ? rth__admin_limits.slots : RTH_ADMIN_SLOTS;
    server->next_deadline_ns = RTH_NEVER_NS;
    server->pid = rth__identity()->pid;
    server->now_ns = rth__clock_monotonic_ns_sigsafe();
    server->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (server->epoll_fd < 0)
        return -errno;
    server->work_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (server->work_fd < 0)
        return -errno;
    server->conns = rth__arena_alloc_nomalloc(RTH_ADMIN_SLOTS * sizeof(*server->conns));
    if (server->conns == NULL)
        return -ENOMEM;
    return rth__admin_watch(server, server->work_fd, EPOLLIN,
                            rth__admin_event(RTH_EVENT_WORK, 0, 0));
}

static void take_ready(struct rth_admin_server *server)
{
    uint64_t count;
    (void)!read(server->work_fd, &count, sizeof(count));
    struct rth_exchange *list = atomic_exchange_explicit(&server->ready, NULL, memory_order_acquire);
    while (list != NULL) {
        struct rth_exchange *exchange = list;
        list = exchange->next_ready;
        if (rth__exchange_ready(exchange))
            rth__conn_advance(server, exchange->conn);
    }
}

static void dispatch(struct rth_admin_server *server, const struct epoll_event *event)
{
    unsigned slot = (unsigned)(event->data.u64 >> 32 & 0xffffff);
    uint32_t generation = (uint32_t)event->data.u64;
    struct rth_conn *conn = slot < RTH_ADMIN_SLOTS ? &server->conns[slot] : NULL;
    switch ((enum rth_admin_event)(event->data.u64 >> 56)) {
    case RTH_EVENT_LISTENER:
        rth__conn_accept(server, (enum rth_admin_via)slot);
        break;
    case RTH_EVENT_WORK:
        take_ready(server);
        break;
    case RTH_EVENT_FIRST:
        rth__watch_first_ended(server);
        break;
    case RTH_EVENT_CONN:
        if (conn != NULL && conn->state != RTH_CONN_FREE && conn->generation == generation)
            rth__conn_event(server, conn, event->events);
        break;
    case RTH_EVENT_RELAY:
        if (conn != NULL && conn->state != RTH_CONN_FREE && conn->generation == generation &&
            conn->exchange != NULL && conn->exchange->relay != NULL)
            rth__relay_event(conn->exchange, event->events);
        break;
    }
}

/* Connections whose deadline passed, and those with more to do; finds the next deadline. */
static void sweep_connections(struct rth_admin_server *server)
{
    if (!server->any_runnable && server->now_ns < server->next_deadline_ns)
        return;
    server->any_runnable = false;
    server->next_deadline_ns = RTH_NEVER_NS;
    for (unsigned slot = 0; slot < server->conn_high; slot++) {
        struct rth_conn *conn = &server->conns[slot];
        if (conn->state != RTH_CONN_FREE && conn->runnable) {
            conn->runnable = false;
            rth__conn_advance(server, conn);
        }
        if (conn->state != RTH_CONN_FREE && conn->deadline_ns <= server->now_ns)
            rth__conn_expire(server, conn);
        if (conn->state != RTH_CONN_FREE && conn->deadline_ns < server->next_deadline_ns)
            server->next_deadline_ns = conn->deadline_ns;
    }
}

static int wait_ms(const struct rth_admin_server *server, int64_t next_tick_ns)
{
    if (server->any_runnable || server->ready != NULL)
        return 0;
    int64_t until_ns =
        server->next_deadline_ns < next_tick_ns ? server->next_deadline_ns : next_tick_ns;
    int64_t left_ns = until_ns - rth__clock_monotonic_ns_sigsafe();
    return left_ns <= 0 ? 0 : (int)((left_ns + RTH_NS_PER_MS - 1) / RTH_NS_PER_MS);
}

void rth__admin_loop(struct rth_admin_server *server)
{
    int64_t next_tick_ns = server->now_ns;
    while (!atomic_load_explicit(server->stop, memory_order_acquire)) {
        server->now_ns = rth__clock_monotonic_ns_sigsafe();
        if (server->now_ns >= next_tick_ns) {
            rth__listeners_tick(server);
            rth__watch_tick(server);
            next_tick_ns = server->now_ns + (server->sockets_open && !server->retry_tcp
                                                 ? rth__admin_limits.tick_ns
                                                 : rth__admin_limits.tick_opening_ns);
        }
        struct epoll_event events[EVENTS_PER_TURN];
        int count = epoll_wait(server->epoll_fd, events, EVENTS_PER_TURN,
                               wait_ms(server, next_tick_ns));
        server->now_ns = rth__clock_monotonic_ns_sigsafe();
        for (int i = 0; i < count; i++)
            dispatch(server, &events[i]);
        if (server->ready != NULL)
            take_ready(server);
        sweep_connections(server);
    }
}

void rth__admin_server_end(struct rth_admin_server *server)
{
    for (unsigned slot = 0; server->conns != NULL && slot < server->conn_high; slot++)
        if (server->conns[slot].state != RTH_CONN_FREE)
            rth__conn_close(server, &server->conns[slot]);
    rth__listeners_close(server);
    rth__watch_close(server);
    rth__work_stop(rth__exchange_drop);
    if (server->work_fd >= 0)
        take_ready(server);
    while (server->exchanges != NULL && server->ready == NULL && !server->exchanges->submitted)
        rth__exchange_free(server->exchanges);
    rth__arena_free_nomalloc(server->conns, RTH_ADMIN_SLOTS * sizeof(*server->conns));
    server->conns = NULL;
    server->work_fd = rth__close(server->work_fd);
    server->epoll_fd = rth__close(server->epoll_fd);
}
