/* SPDX-License-Identifier: MIT */
#include "server.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>

#define BACKLOG 128

static void on_connection(uv_stream_t *listener, int status)
{
    struct server *server = listener->data;
    if (status == 0)
        connection_accept(server);
    else
        (void)fprintf(stderr, "eventloop: accept: %s\n", uv_strerror(status));
}

static void server_end(struct server *server)
{
    uv_close((uv_handle_t *)&server->listener, NULL);
    uv_close((uv_handle_t *)&server->on_term, NULL);
    uv_close((uv_handle_t *)&server->on_int, NULL);
    rth_uv_loop_end(&server->watched);
    for (struct connection *each = server->connections, *next; each; each = next) {
        next = connection_next(each);
        connection_end(each);
    }
}

static void on_signal(uv_signal_t *handle, int number)
{
    (void)number;
    server_end(handle->data);
}

static void on_first_work(uv_work_t *work)
{
    (void)work;
}

static void on_first_work_done(uv_work_t *work, int status)
{
    (void)work, (void)status;
}

static int listen_at(struct server *server, uint16_t port)
{
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int length = sizeof(address);
    int error = uv_tcp_bind(&server->listener, (const struct sockaddr *)&address, 0);
    if (error == 0)
        error = uv_listen((uv_stream_t *)&server->listener, BACKLOG, on_connection);
    if (error == 0)
        error = uv_tcp_getsockname(&server->listener, (struct sockaddr *)&address, &length);
    if (error == 0)
        server->port = ntohs(address.sin_port);
    return error;
}

int server_start(struct server *server, uv_loop_t *loop, uint16_t port)
{
    *server = (struct server){.loop = loop};
    (void)uv_tcp_init(loop, &server->listener);
    (void)uv_signal_init(loop, &server->on_term);
    (void)uv_signal_init(loop, &server->on_int);
    (void)rth_uv_loop_begin(&server->watched, loop, "main");
    server->listener.data = server->on_term.data = server->on_int.data = server;
    int error = listen_at(server, port);
    if (error == 0)
        error = uv_signal_start(&server->on_term, on_signal, SIGTERM);
    if (error == 0)
        error = uv_signal_start(&server->on_int, on_signal, SIGINT);
    /* libuv creates its pool for the first work that is queued. Here nothing has labels yet; in a
     * request the threads would begin with the labels of that request (docs/labels.md). */
    if (error == 0)
        error = uv_queue_work(loop, &server->first_work, on_first_work, on_first_work_done);
    if (error != 0)
        server_end(server);
    return error;
}
