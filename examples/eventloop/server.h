/* SPDX-License-Identifier: MIT */
#ifndef EVENTLOOP_SERVER_H
#define EVENTLOOP_SERVER_H

#include <rthooks/adapters/libuv.h>
#include <stdint.h>
#include <uv.h>

/* Everything here belongs to the loop's thread. */

struct connection;

struct server {
    uv_loop_t *loop;
    uv_tcp_t listener;
    uv_signal_t on_term, on_int;
    uv_work_t first_work;
    struct rth_uv_loop watched;     /* how long the loop kept events waiting: in the status */
    struct connection *connections; /* all that are open */
    uint16_t port;
};

/* Listens at port of 127.0.0.1 (0: any that is free) and ends at SIGTERM or SIGINT, whereupon the
 * loop has nothing left to do. server must stay where it is until then. Returns 0 or an error of
 * libuv; the loop must be run in both cases. */
int server_start(struct server *server, uv_loop_t *loop, uint16_t port);

/* Takes a connection from the listener. */
void connection_accept(struct server *server);
/* Closes it, when its request is answered if there is one. */
void connection_end(struct connection *connection);
struct connection *connection_next(const struct connection *connection);

#endif
