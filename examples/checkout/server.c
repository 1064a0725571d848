/* SPDX-License-Identifier: MIT */
/*
 * HTTP, on the thread pool of libmicrohttpd: a connection belongs to one of its threads, and
 * handlers run there. Each request is routed by its path and runs under the label handler=PATH, put
 * on in one place, dispatch. The label is the route and never the path as it came, because labels
 * are for things that have few values.
 *
 * Parameters come in the query, bodies are refused, and errors are a line of plain text.
 */
#include "server.h"

#include <arpa/inet.h>
#include <errno.h>
#include <microhttpd.h>
#include <netinet/in.h>
#include <rthooks/label.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define IDLE_CONNECTION_S 30u
#define INDEX_PATH        "/"

struct server {
    struct MHD_Daemon *daemon;
    struct server_options options;
};

struct request {
    struct MHD_Connection *connection;
    const struct route *route;
    unsigned status; /* 0 until there is a reply */
    const char *content_type;
    char *body; /* from malloc */
};

/* ---- what came ----------------------------------------------------------------------------- */

const char *request_text(const struct request *request, const char *name)
{
    return MHD_lookup_connection_value(request->connection, MHD_GET_ARGUMENT_KIND, name);
}

static bool parse_number(const char *text, uint64_t *ret_number)
{
    if (text[0] == '\0' || text[strspn(text, "0123456789")] != '\0')
        return false;
    errno = 0;
    unsigned long long number = strtoull(text, NULL, 10);
    if (errno != 0)
        return false;
    *ret_number = number;
    return true;
}

bool request_number(struct request *request, const char *name, uint64_t fallback, uint64_t min,
                    uint64_t max, uint64_t *ret_number)
{
    const char *text = request_text(request, name);
    if (!text) {
        *ret_number = fallback;
        return true;
    }
    uint64_t number;
    if (!parse_number(text, &number) || number < min || number > max) {
        reply_text(request, MHD_HTTP_BAD_REQUEST,
                   "%s takes a whole number from %llu to %llu, not '%.40s'\n", name,
                   (unsigned long long)min, (unsigned long long)max, text);
        return false;
    }
    *ret_number = number;
    return true;
}

/* ---- what goes back ------------------------------------------------------------------------ */

static void reply(struct request *request, unsigned status, const char *content_type, char *body)
{
    if (request->status != 0 || !body) {
        free(body);
        return;
    }
    request->status = status;
    request->content_type = content_type;
    request->body = body;
}

void reply_text(struct request *request, unsigned status, const char *format, ...)
{
    char *body = NULL;
    va_list arguments;
    va_start(arguments, format);
    int length = vasprintf(&body, format, arguments);
    va_end(arguments);
    reply(request, status, "text/plain; charset=utf-8", length < 0 ? NULL : body);
}

void reply_json(struct request *request, const char *format, ...)
{
    char *body = NULL;
    va_list arguments;
    va_start(arguments, format);
    int length = vasprintf(&body, format, arguments);
    va_end(arguments);
    reply_json_body(request, length < 0 ? NULL : body);
}

void reply_json_body(struct request *request, char *body)
{
    reply(request, MHD_HTTP_OK, "application/json", body);
}

void reply_error(struct request *request, int error)
{
    bool later = error == -EBUSY || error == -EAGAIN || error == -ENOMEM;
    reply_text(request, later ? MHD_HTTP_SERVICE_UNAVAILABLE : MHD_HTTP_INTERNAL_SERVER_ERROR,
               "%s\n", strerror(-error));
}

static enum MHD_Result send_reply(struct request *request)
{
    static char no_memory[] = "no memory for the answer\n";
    struct MHD_Response *response =
        request->body
            ? MHD_create_response_from_buffer(strlen(request->body), request->body,
                                              MHD_RESPMEM_MUST_FREE)
            : MHD_create_response_from_buffer(strlen(no_memory), no_memory, MHD_RESPMEM_PERSISTENT);
    if (!response) {
        free(request->body);
        return MHD_NO; /* closes the connection */
    }
    unsigned status = request->status != 0 ? request->status : MHD_HTTP_INTERNAL_SERVER_ERROR;
    enum MHD_Result result = MHD_YES;
    if (request->body)
        result =
            MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, request->content_type);
    if (result == MHD_YES && status == MHD_HTTP_METHOD_NOT_ALLOWED)
        result = MHD_add_response_header(response, MHD_HTTP_HEADER_ALLOW, "GET, HEAD, POST");
    if (result == MHD_YES)
        result = MHD_queue_response(request->connection, status, response);
    MHD_destroy_response(response);
    return result;
}

/* ---- routing ------------------------------------------------------------------------------- */

static void reply_index(const struct server *server, struct request *request)
{
    char *body = NULL;
    size_t size;
    FILE *text = open_memstream(&body, &size);
    if (!text)
        return;
    for (size_t i = 0; i < server->options.route_count; i++) {
        const struct route *route = &server->options.routes[i];
        (void)fprintf(text, "%s", route->path);
        for (size_t p = 0; p < ROUTE_PARAMETERS_MAX && route->parameters[p]; p++)
            (void)fprintf(text, "%s%s=", p == 0 ? "?" : "&", route->parameters[p]);
        (void)fprintf(text, "\n    %s\n", route->description);
    }
    bool complete = ferror(text) == 0;
    if (fclose(text) != 0)
        complete = false;
    if (complete)
        reply_text(request, MHD_HTTP_OK, "%s", body);
    free(body);
}

static const struct route *find_route(const struct server *server, const char *path)
{
    for (size_t i = 0; i < server->options.route_count; i++)
        if (strcmp(server->options.routes[i].path, path) == 0)
            return &server->options.routes[i];
    return NULL;
}

/* Called for each parameter of the query; the first unknown one ends it. */
static enum MHD_Result check_parameter(void *argument, enum MHD_ValueKind kind, const char *name,
                                       const char *value)
{
    struct request *request = argument;
    (void)kind, (void)value;
    for (size_t i = 0; i < ROUTE_PARAMETERS_MAX && request->route->parameters[i]; i++)
        if (strcmp(request->route->parameters[i], name) == 0)
            return MHD_YES;
    reply_text(request, MHD_HTTP_BAD_REQUEST, "%s has no parameter '%.40s'\n", request->route->path,
               name);
    return MHD_NO;
}

static void dispatch(const struct server *server, struct request *request, const char *path)
{
    if (strcmp(path, INDEX_PATH) == 0) {
        RTH_WITH_LABELS("handler", INDEX_PATH)
            reply_index(server, request);
        return;
    }
    request->route = find_route(server, path);
    if (!request->route) {
        reply_text(request, MHD_HTTP_NOT_FOUND, "no such path; " INDEX_PATH " lists them\n");
        return;
    }
    RTH_WITH_LABELS("handler", request->route->path) {
        (void)MHD_get_connection_values(request->connection, MHD_GET_ARGUMENT_KIND, check_parameter,
                                        request);
        if (request->status == 0)
            request->route->handle(server->options.service, request);
    }
}

static bool is_allowed(const char *method)
{
    return strcmp(method, MHD_HTTP_METHOD_GET) == 0 || strcmp(method, MHD_HTTP_METHOD_HEAD) == 0 ||
           strcmp(method, MHD_HTTP_METHOD_POST) == 0;
}

/* Called when the headers are there, for each piece of a body, and once more at the end: state
 * tells which. Its value is one of two addresses, so that a request needs no memory of its own. */
static enum MHD_Result on_request(void *argument, struct MHD_Connection *connection,
                                  const char *path, const char *method, const char *version,
                                  const char *body, size_t *body_bytes, void **state)
{
    static char has_begun, has_body;
    (void)version, (void)body;
    if (!*state) {
        *state = &has_begun;
        return MHD_YES;
    }
    if (*body_bytes != 0) {
        *state = &has_body;
        *body_bytes = 0;
        return MHD_YES;
    }
    struct request request = {.connection = connection};
    if (!is_allowed(method))
        reply_text(&request, MHD_HTTP_METHOD_NOT_ALLOWED, "GET, HEAD and POST are answered\n");
    else if (*state == &has_body)
        reply_text(&request, MHD_HTTP_BAD_REQUEST,
                   "parameters belong in the query, not in a body\n");
    else
        dispatch(argument, &request, path);
    return send_reply(&request);
}

/* ---- start and end ------------------------------------------------------------------------- */

int server_start(const struct server_options *options, struct server **ret_server)
{
    struct server *server = malloc(sizeof(*server));
    if (!server)
        return -ENOMEM;
    server->options = *options;
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons(options->port),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    errno = 0;
    server->daemon = MHD_start_daemon(
        MHD_USE_AUTO_INTERNAL_THREAD | MHD_USE_ERROR_LOG, options->port, NULL, NULL, on_request,
        server, MHD_OPTION_SOCK_ADDR, (struct sockaddr *)&address, MHD_OPTION_THREAD_POOL_SIZE,
        options->threads, MHD_OPTION_CONNECTION_TIMEOUT, IDLE_CONNECTION_S, MHD_OPTION_END);
    if (!server->daemon) {
        int error = errno != 0 ? -errno : -EIO;
        free(server);
        return error;
    }
    *ret_server = server;
    return 0;
}

uint16_t server_port(const struct server *server)
{
    const union MHD_DaemonInfo *info =
        MHD_get_daemon_info(server->daemon, MHD_DAEMON_INFO_BIND_PORT);
    return info ? info->port : 0;
}

void server_stop(struct server *server)
{
    if (!server)
        return;
    MHD_stop_daemon(server->daemon);
    free(server);
}
