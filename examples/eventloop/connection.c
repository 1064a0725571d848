/* SPDX-License-Identifier: MIT */
/*
 * A connection and its request. On an event loop the work of one request is spread over callbacks,
 * and between two of them the same thread works for others. So the request is a task of rthooks,
 * made with its labels when its line has arrived: started at the begin of every callback that works
 * for it, on whichever thread, and paused at the callback's end. for_request does both.
 *
 *     on_read ─ WORK ──> burn a slice ─> on_timer ─> … ─┐
 *             ─ ALLOC ─> allocate ─────> on_timer ──────┼─> reply ─> on_written ─> next line
 *             ─ QUEUE ─> on_pool ──────> on_pool_done ──┘
 *
 * A connection does one request at a time, and reads nothing meanwhile: answers come in order, and
 * what it needs is all in struct connection. All of it belongs to the loop's thread, except that
 * on_pool reads the command.
 */
#include "command.h"
#include "server.h"
#include "work.h"

#include <inttypes.h>
#include <rthooks/label.h>
#include <rthooks/task.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define INPUT_BYTES    512
#define REPLY_BYTES    256
#define SLICE_MS       UINT64_C(10)
#define KEEP_MEMORY_MS 1

struct connection {
    struct connection *before, *next; /* in server->connections */
    struct server *server;
    uv_tcp_t stream;
    uv_timer_t timer;
    uv_work_t work;
    uv_write_t write;
    unsigned open_handles;
    bool busy;     /* has a request that is not answered yet */
    bool ending;   /* to be closed as soon as it is not busy */
    bool too_long; /* the line's beginning did not fit and is gone */
    size_t input_bytes;
    char input[INPUT_BYTES];
    char reply[REPLY_BYTES];
    /* The request. */
    struct command command;
    struct rth_task *task;
    uint64_t left_ms;
    void *memory;
};

static void take_line(struct connection *connection);

/* Does a step of a request under the request's labels. The step may end the request: then there is
 * nothing left to pause. */
static void for_request(struct connection *connection, void (*step)(struct connection *))
{
    struct rth_task *task = connection->task;
    (void)rth_task_start(task);
    step(connection);
    (void)rth_task_pause(task);
}

/* ---- the end of a connection --------------------------------------------------------------- */

struct connection *connection_next(const struct connection *connection)
{
    return connection->next;
}

static void on_closed(uv_handle_t *handle)
{
    struct connection *connection = handle->data;
    if (--connection->open_handles == 0)
        free(connection);
}

static void close_now(struct connection *connection)
{
    if (connection->before)
        connection->before->next = connection->next;
    else
        connection->server->connections = connection->next;
    if (connection->next)
        connection->next->before = connection->before;
    uv_close((uv_handle_t *)&connection->stream, on_closed);
    uv_close((uv_handle_t *)&connection->timer, on_closed);
}

void connection_end(struct connection *connection)
{
    connection->ending = true;
    if (!connection->busy)
        close_now(connection);
}

/* ---- replies ------------------------------------------------------------------------------- */

static void request_end(struct connection *connection)
{
    rth_task_end(connection->task);
    connection->task = NULL;
    connection->busy = false;
}

static void on_written(uv_write_t *write, int status)
{
    struct connection *connection = write->data;
    request_end(connection);
    if (status != 0 || connection->ending)
        close_now(connection);
    else
        take_line(connection);
}

static void send_reply(struct connection *connection)
{
    uv_buf_t bytes = uv_buf_init(connection->reply, (unsigned)strlen(connection->reply));
    connection->write.data = connection;
    if (uv_write(&connection->write, (uv_stream_t *)&connection->stream, &bytes, 1, on_written) ==
        0)
        return;
    request_end(connection);
    close_now(connection);
}

static void reply_done(struct connection *connection)
{
    const struct command *command = &connection->command;
    (void)snprintf(connection->reply, sizeof(connection->reply), "OK %s %s %" PRIu64 "\n",
                   verb_name(command->verb), command->handler, command->amount);
    send_reply(connection);
}

static void reply_error(struct connection *connection, const char *why)
{
    (void)snprintf(connection->reply, sizeof(connection->reply), "ERROR %s\n", why);
    send_reply(connection);
}

/* ---- WORK: on the loop's thread, which others want too ------------------------------------- */

static void on_timer(uv_timer_t *timer);

static void work_slice(struct connection *connection)
{
    uint64_t slice_ms = connection->left_ms < SLICE_MS ? connection->left_ms : SLICE_MS;
    burn_cpu(slice_ms);
    connection->left_ms -= slice_ms;
    if (connection->left_ms == 0)
        reply_done(connection);
    else
        (void)uv_timer_start(&connection->timer, on_timer, 0, 0);
}

/* ---- ALLOC: allocated in one callback, freed in another ------------------------------------ */

static void alloc_begin(struct connection *connection)
{
    connection->memory = take_memory(connection->command.amount);
    if (connection->memory)
        (void)uv_timer_start(&connection->timer, on_timer, KEEP_MEMORY_MS, 0);
    else
        reply_error(connection, "no memory");
}

static void alloc_end(struct connection *connection)
{
    free(connection->memory);
    connection->memory = NULL;
    reply_done(connection);
}

static void on_timer(uv_timer_t *timer)
{
    struct connection *connection = timer->data;
    for_request(connection, connection->command.verb == VERB_WORK ? work_slice : alloc_end);
}

/* ---- QUEUE: on a thread of libuv's pool ---------------------------------------------------- */

static void pool_step(struct connection *connection)
{
    burn_cpu(connection->command.amount);
}

static void on_pool(uv_work_t *work)
{
    for_request(work->data, pool_step);
}

static void on_pool_done(uv_work_t *work, int status)
{
    (void)status; /* nobody cancels it */
    for_request(work->data, reply_done);
}

static void queue_work(struct connection *connection)
{
    connection->work.data = connection;
    int error = uv_queue_work(connection->server->loop, &connection->work, on_pool, on_pool_done);
    if (error != 0)
        reply_error(connection, uv_strerror(error));
}

/* ---- requests arrive ----------------------------------------------------------------------- */

static void first_step(struct connection *connection)
{
    switch (connection->command.verb) {
    case VERB_WORK:
        work_slice(connection);
        break;
    case VERB_ALLOC:
        alloc_begin(connection);
        break;
    case VERB_QUEUE:
        queue_work(connection);
        break;
    }
}

static void request_begin(struct connection *connection)
{
    connection->left_ms = connection->command.amount;
    /* Here clients choose the label, to show what it does. A service takes the name of its own
     * handler, since different labels are limited in number. */
    RTH_WITH_LABELS("handler", connection->command.handler)
        (void)rth_task_new(verb_name(connection->command.verb), &connection->task);
    for_request(connection, first_step);
}

static void allocate_input(uv_handle_t *handle, size_t suggested_bytes, uv_buf_t *ret_buffer)
{
    struct connection *connection = handle->data;
    (void)suggested_bytes;
    *ret_buffer = uv_buf_init(connection->input + connection->input_bytes,
                              (unsigned)(sizeof(connection->input) - connection->input_bytes));
}

static void on_read(uv_stream_t *stream, ssize_t bytes, const uv_buf_t *buffer)
{
    struct connection *connection = stream->data;
    (void)buffer;
    if (bytes < 0) {
        connection_end(connection);
        return;
    }
    connection->input_bytes += (size_t)bytes;
    take_line(connection);
}

/* Begins with the next line when it is there, else reads on. */
static void take_line(struct connection *connection)
{
    uv_stream_t *stream = (uv_stream_t *)&connection->stream;
    char *end = memchr(connection->input, '\n', connection->input_bytes);
    if (!end) {
        if (connection->input_bytes == sizeof(connection->input)) {
            connection->too_long = true;
            connection->input_bytes = 0;
        }
        int error = uv_read_start(stream, allocate_input, on_read);
        if (error != 0 && error != UV_EALREADY)
            connection_end(connection);
        return;
    }
    (void)uv_read_stop(stream);
    connection->busy = true;
    size_t line_bytes = (size_t)(end - connection->input);
    *end = '\0';
    if (line_bytes > 0 && end[-1] == '\r')
        end[-1] = '\0';
    const char *why = connection->too_long ? "the line is too long"
                                           : command_parse(connection->input, &connection->command);
    connection->too_long = false;
    connection->input_bytes -= line_bytes + 1;
    memmove(connection->input, end + 1, connection->input_bytes);
    if (why)
        reply_error(connection, why);
    else
        request_begin(connection);
}

void connection_accept(struct server *server)
{
    struct connection *connection = calloc(1, sizeof(*connection));
    if (!connection) {
        (void)fprintf(stderr, "eventloop: no memory for a connection\n");
        return;
    }
    connection->server = server;
    (void)uv_tcp_init(server->loop, &connection->stream);
    (void)uv_timer_init(server->loop, &connection->timer);
    connection->stream.data = connection->timer.data = connection;
    connection->open_handles = 2;
    connection->next = server->connections;
    if (connection->next)
        connection->next->before = connection;
    server->connections = connection;
    if (uv_accept((uv_stream_t *)&server->listener, (uv_stream_t *)&connection->stream) == 0)
        take_line(connection);
    else
        connection_end(connection);
}
