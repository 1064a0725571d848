/* SPDX-License-Identifier: MIT */
/* The loop of rth-admin: events, what rth-work finished, deadlines, the tick. */
#include "admin/server.h"

#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <unistd.h>

#include "core/capability.h"
#include "core/arena.h"
#include "core/work.h"
#include "os/clock.h"
#include "os/fd.h"

#define EVENTS_PER_TURN 32
/* Descriptors of the private table that are not connections: ours, and what the readers of /proc
 * open for a moment. */
#define RESERVED_FDS 20
#define MIN_CONNS    8

struct rth_admin_limits rth__admin_limits = {
    .head_ns = 10 * RTH_NS_PER_S,
    .write_ns = 30 * RTH_NS_PER_S,
    .idle_ns = 120 * RTH_NS_PER_S,
    .drain_ns = 1 * RTH_NS_PER_S,
    .start_delay_ns = 100 * RTH_NS_PER_MS,
    .ids_stable_ns = 200 * RTH_NS_PER_MS,
    .tick_opening_ns = 100 * RTH_NS_PER_MS,
    .tick_ns = 1 * RTH_NS_PER_S,
    .relay_head_ns = 330 * RTH_NS_PER_S,
    .slots = RTH_ADMIN_SLOTS,
};

struct rth_admin_counters rth__admin_counters;

int rth__admin_watch(struct rth_admin_server *server, int fd, uint32_t events, uint64_t data)
{
    struct epoll_event event = {.events = events, .data.u64 = data};
    return epoll_ctl(server->epoll_fd, EPOLL_CTL_ADD, fd, &event) != 0 ? -errno : 0;
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
    struct rth_admin_server *server = exchange->server; /* after the push it may be freed */
    struct rth_exchange *head = atomic_load_explicit(&server->ready, memory_order_relaxed);
    do {
        exchange->next_ready = head;
    } while (!atomic_compare_exchange_weak_explicit(&server->ready, &head, exchange,
                                                    memory_order_release, memory_order_relaxed));
    uint64_t one = 1;
    (void)!write(server->work_fd, &one, sizeof(one));
}

/* In the order they were pushed. */
static void take_ready(struct rth_admin_server *server)
{
    struct rth_exchange *newest =
        atomic_exchange_explicit(&server->ready, NULL, memory_order_acquire);
    struct rth_exchange *oldest = NULL;
    while (newest != NULL) {
        struct rth_exchange *next = newest->next_ready;
        newest->next_ready = oldest;
        oldest = newest;
        newest = next;
    }
    while (oldest != NULL) {
        struct rth_exchange *exchange = oldest;
        oldest = oldest->next_ready;
        if (rth__exchange_ready(exchange))
            rth__conn_advance(server, exchange->conn);
    }
}

static struct rth_conn *conn_of(struct rth_admin_server *server, uint64_t data)
{
    unsigned slot = (unsigned)(data >> 32) & 0xffffffu;
    struct rth_conn *conn = &server->conns[slot];
    bool same = conn->state != RTH_CONN_FREE && conn->generation == (uint32_t)data;
    return same ? conn : NULL;
}

static void handle(struct rth_admin_server *server, uint32_t events, uint64_t data)
{
    struct rth_conn *conn;
    uint64_t count;
    switch ((enum rth_admin_event)(data >> 56)) {
    case RTH_EVENT_LISTENER:
        rth__conn_accept(server, (enum rth_admin_via)((data >> 32) & 0xffffffu));
        break;
    case RTH_EVENT_WORK:
        (void)!read(server->work_fd, &count, sizeof(count));
        break;
    case RTH_EVENT_FIRST:
        rth__watch_first_ended(server);
        break;
    case RTH_EVENT_CONN:
        conn = conn_of(server, data);
        if (conn != NULL)
            rth__conn_event(server, conn, events);
        break;
    case RTH_EVENT_RELAY:
        conn = conn_of(server, data);
        if (conn != NULL && conn->exchange != NULL) {
            rth__relay_event(conn->exchange, events);
            rth__conn_advance(server, conn);
        }
        break;
    }
}

static void run_runnable(struct rth_admin_server *server)
{
    if (!server->any_runnable)
        return;
    server->any_runnable = false;
    for (unsigned i = 0; i < server->conn_high; i++) {
        struct rth_conn *conn = &server->conns[i];
        if (!conn->runnable)
            continue;
        conn->runnable = false;
        rth__conn_advance(server, conn);
    }
}

static void expire(struct rth_admin_server *server)
{
    if (server->now_ns < server->next_deadline_ns)
        return;
    int64_t next_ns = RTH_NEVER_NS;
    server->next_deadline_ns = RTH_NEVER_NS;
    for (unsigned i = 0; i < server->conn_high; i++) {
        struct rth_conn *conn = &server->conns[i];
        if (conn->state != RTH_CONN_FREE && conn->deadline_ns <= server->now_ns)
            rth__conn_expire(server, conn);
        if (conn->state != RTH_CONN_FREE && conn->deadline_ns < next_ns)
            next_ns = conn->deadline_ns;
    }
    if (next_ns < server->next_deadline_ns)
        server->next_deadline_ns = next_ns;
    while (server->conn_high > 0 && server->conns[server->conn_high - 1].state == RTH_CONN_FREE)
        server->conn_high--;
}

static int timeout_ms(const struct rth_admin_server *server, int64_t next_tick_ns)
{
    int64_t until_ns =
        server->next_deadline_ns < next_tick_ns ? server->next_deadline_ns : next_tick_ns;
    if (server->any_runnable || until_ns <= server->now_ns)
        return 0;
    return (int)((until_ns - server->now_ns + RTH_NS_PER_MS - 1) / RTH_NS_PER_MS);
}

void rth__admin_loop(struct rth_admin_server *server)
{
    int64_t next_tick_ns = 0;
    while (atomic_load_explicit(server->stop, memory_order_acquire) == 0) {
        server->now_ns = rth__clock_monotonic_ns_sigsafe();
        if (server->now_ns >= next_tick_ns) {
            rth__listeners_tick(server);
            rth__watch_tick(server);
            rth__work_tick(rth__capabilities_tick);
            next_tick_ns =
                server->now_ns + (server->sockets_open ? rth__admin_limits.tick_ns
                                                       : rth__admin_limits.tick_opening_ns);
        }
        struct epoll_event events[EVENTS_PER_TURN];
        int count =
            epoll_wait(server->epoll_fd, events, EVENTS_PER_TURN, timeout_ms(server, next_tick_ns));
        for (int i = 0; i < count; i++) {
            server->now_ns = rth__clock_monotonic_ns_sigsafe();
            handle(server, events[i].events, events[i].data.u64);
        }
        server->now_ns = rth__clock_monotonic_ns_sigsafe();
        take_ready(server);
        if (server->works_inline)
            rth__work_run_queued();
        run_runnable(server);
        expire(server);
    }
}

static unsigned conn_limit(void)
{
    struct rlimit limit;
    unsigned wanted = rth__admin_limits.slots;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < wanted + RESERVED_FDS)
        wanted = limit.rlim_cur > RESERVED_FDS + MIN_CONNS ? (unsigned)limit.rlim_cur - RESERVED_FDS
                                                           : MIN_CONNS;
    return wanted < RTH_ADMIN_SLOTS ? wanted : RTH_ADMIN_SLOTS;
}

void rth__admin_server_prepare(struct rth_admin_server *server)
{
    memset(server, 0, sizeof(*server));
    server->epoll_fd = server->work_fd = server->first_fd = server->rundir_fd = -1;
    for (int via = 0; via < RTH_VIA_COUNT; via++) {
        server->listeners[via] = -1;
        server->bound[via].off = true;
    }
    server->next_deadline_ns = RTH_NEVER_NS;
    server->now_ns = rth__clock_monotonic_ns_sigsafe();
}

int rth__admin_server_init(struct rth_admin_server *server)
{
    server->conn_limit = conn_limit();
    /* Fresh pages: what no connection uses is never touched. */
    server->conns = rth__arena_alloc_nomalloc(RTH_ADMIN_SLOTS * sizeof(struct rth_conn));
    if (server->conns == NULL)
        return -ENOMEM;
    server->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (server->epoll_fd < 0)
        return -errno;
    server->work_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (server->work_fd < 0)
        return -errno;
    return rth__admin_watch(server, server->work_fd, EPOLLIN,
                            rth__admin_event(RTH_EVENT_WORK, 0, 0));
}

void rth__admin_server_end(struct rth_admin_server *server)
{
    for (unsigned i = 0; i < server->conn_high; i++)
        rth__conn_close(server, &server->conns[i]);
    rth__work_stop(rth__exchange_drop);
    /* Nothing runs elsewhere any more: what is cancelled now runs here, and ends here. */
    while (atomic_load_explicit(&server->ready, memory_order_acquire) != NULL)
        take_ready(server);
    rth__listeners_close(server);
    rth__watch_close(server);
    server->epoll_fd = rth__close(server->epoll_fd);
    if (server->exchanges != NULL)
        return; /* a call does not come back: it keeps what it may still touch */
    server->work_fd = rth__close(server->work_fd);
    rth__arena_free_nomalloc(server->conns, RTH_ADMIN_SLOTS * sizeof(struct rth_conn));
    server->conns = NULL;
}
