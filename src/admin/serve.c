/* SPDX-License-Identifier: MIT */
/* From a whole request to what answers it: policy first, then the table, then a call. */
#include <stdio.h>
#include <string.h>

#include "admin/server.h"

static void reject_of_status(int status)
{
    rth__admin_reject(status == 401   ? RTH_REJECT_TOKEN
                      : status == 403 ? RTH_REJECT_NOT_ALLOWED
                      : status == 404 ? RTH_REJECT_NOT_FOUND
                      : status == 405 ? RTH_REJECT_METHOD
                                      : RTH_REJECT_MALFORMED);
}

/* The admin endpoint's rules. True when the request may go on; otherwise it is answered. */
static bool permitted(struct rth_exchange *exchange)
{
    struct rth_admin_server *server = exchange->server;
    struct rth_admin_config *config = server->config;
    bool has_token_file = config->token.path != NULL && config->token.path[0] != '\0';
    if (has_token_file)
        (void)rth__token_refresh(&config->token, server->now_ns);
    struct rth_auth_context context = {
        .is_unix = exchange->conn->via == RTH_VIA_UNIX,
        .bound = &server->bound[RTH_VIA_TCP],
        .token = has_token_file ? &config->token : NULL,
        .allow_list = config->allow_list,
    };
    char message[RTH_CALL_MESSAGE_BYTES];
    int status = rth__auth_check(&context, &exchange->request, message, sizeof(message));
    if (status == 0)
        return true;
    reject_of_status(status);
    rth__exchange_fail(exchange, status, message);
    return false;
}

static void copy_accept(struct rth_exchange *exchange)
{
    struct rth_http_text accept = exchange->request.accept;
    /* One that does not fit says nothing we would choose by. */
    size_t length = accept.size_bytes < sizeof(exchange->accept) ? accept.size_bytes : 0;
    if (length > 0)
        memcpy(exchange->accept, accept.data, length);
    exchange->accept[length] = '\0';
}

static void fill_call(struct rth_exchange *exchange)
{
    const struct rth_http_request *request = &exchange->request;
    struct rth_call *call = &exchange->call;
    call->params.query = request->query.data;
    call->params.query_bytes = request->query.size_bytes;
    call->body = request->body.size_bytes > 0 ? request->body.data : NULL;
    call->body_bytes = request->body.size_bytes;
    if (call->body != NULL &&
        rth__http_text_is(request->content_type, "application/x-www-form-urlencoded")) {
        call->params.form = request->body.data;
        call->params.form_bytes = request->body.size_bytes;
    }
    copy_accept(exchange);
    call->accept = exchange->accept;
    call->peer_is_local_uid = exchange->conn->via == RTH_VIA_UNIX;
    call->is_public = exchange->conn->via == RTH_VIA_PUBLIC;
}

void rth__serve(struct rth_exchange *exchange)
{
    bool is_public = exchange->conn->via == RTH_VIA_PUBLIC;
    if (!is_public && !permitted(exchange))
        return;
    struct rth_route route;
    rth__route_find(&exchange->request, is_public, exchange->server->config->read_only, &route);
    if (route.status != 200) {
        reject_of_status(route.status);
        exchange->answer.allow = route.allow;
        exchange->answer.location = route.location;
        rth__exchange_fail(exchange, route.status, route.message);
        return;
    }
    fill_call(exchange);
    exchange->call.artefact = route.artefact;
    if (rth__relay_wanted(exchange))
        return;
    rth__exchange_call(exchange, route.artefact, route.action, route.subpath);
}
