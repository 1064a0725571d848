/* SPDX-License-Identifier: MIT */
/* From a whole request to a call: who may, what is meant, where it runs. */
#include <stdio.h>
#include <string.h>

#include "admin/server.h"
#include "rthooks/log.h"

static void refuse(struct rth_exchange *exchange, enum rth_admin_reject cause, int status,
                   const char *text)
{
    rth__admin_reject(cause);
    rth__exchange_fail(exchange, status, text);
}

static enum rth_admin_reject cause_of(const struct rth_admin_server *server,
                                      const struct rth_exchange *exchange, int status)
{
    const struct rth_http_request *request = &exchange->request;
    const struct rth_conn *conn = exchange->conn;
    if (status == 401 || status == 503)
        return RTH_REJECT_TOKEN;
    if (conn->via == RTH_VIA_TCP && !rth__host_allowed(request->host, &server->bound[conn->via]))
        return RTH_REJECT_HOST;
    if (conn->via == RTH_VIA_TCP && !rth__origin_allowed(request->origin, request->host))
        return RTH_REJECT_ORIGIN;
    return RTH_REJECT_NOT_ALLOWED;
}

/* True when the request may go on. */
static bool authorize(struct rth_exchange *exchange)
{
    struct rth_admin_server *server = exchange->server;
    const struct rth_conn *conn = exchange->conn;
    if (conn->via == RTH_VIA_PUBLIC)
        return true;
    if (conn->peer_refused) {
        exchange->keep_alive = false;
        refuse(exchange, RTH_REJECT_PEER, 403, "only the same user and root may ask here");
        return false;
    }
    struct rth_token_file *token = &server->config->token;
    if (rth__token_refresh(token, server->now_ns))
        rth_log(token->reason[0] != '\0' ? RTH_LOG_WARN : RTH_LOG_INFO, "admin.token_file",
                "path=%.160s state=\"%s\"", token->path,
                token->reason[0] != '\0' ? token->reason : "read");
    struct rth_auth_context context = {
        .is_unix = conn->via == RTH_VIA_UNIX,
        .bound = &server->bound[RTH_VIA_TCP],
        .token = token,
        .allow_list = server->config->allow_list,
    };
    char message[RTH_CALL_MESSAGE_BYTES];
    int status = rth__auth_check(&context, &exchange->request, message, sizeof(message));
    if (status == 0)
        return true;
    refuse(exchange, cause_of(server, exchange, status), status, message);
    return false;
}

static void answer_without_call(struct rth_exchange *exchange, const struct rth_route *route)
{
    if (route->status == 404)
        rth__admin_reject(RTH_REJECT_NOT_FOUND);
    else if (route->status == 405)
        rth__admin_reject(RTH_REJECT_METHOD);
    else if (route->status == 403)
        rth__admin_reject(RTH_REJECT_READ_ONLY);
    exchange->answer.allow = route->allow;
    exchange->answer.location = route->location;
    rth__exchange_error_answer(exchange, route->status, route->message);
    (void)snprintf(exchange->answer.content_type, sizeof(exchange->answer.content_type), "%s",
                   route->content_type);
    rth__exchange_finish(exchange, 0);
}

static bool is_form(struct rth_http_text content_type)
{
    static const char form[] = "application/x-www-form-urlencoded";
    struct rth_http_text type = content_type;
    if (type.size_bytes > sizeof(form) - 1)
        type.size_bytes = sizeof(form) - 1;
    return type.data != NULL && rth__http_text_is(type, form);
}

static void fill_call(struct rth_exchange *exchange)
{
    const struct rth_http_request *request = &exchange->request;
    const struct rth_conn *conn = exchange->conn;
    struct rth_call *call = &exchange->call;
    call->params.query = request->query.data;
    call->params.query_bytes = request->query.size_bytes;
    call->body = request->body.data;
    call->body_bytes = request->body.size_bytes;
    if (request->method == RTH_HTTP_POST && is_form(request->content_type)) {
        call->params.form = request->body.data;
        call->params.form_bytes = request->body.size_bytes;
    }
    if (request->accept.data != NULL && request->accept.size_bytes < sizeof(exchange->accept))
        memcpy(exchange->accept, request->accept.data, request->accept.size_bytes);
    call->accept = exchange->accept;
    /* A relayed request was asked for by somebody else than the process that connects. */
    call->peer_is_local_uid = conn->via == RTH_VIA_UNIX && request->forwarded.data == NULL;
    call->is_public = conn->via == RTH_VIA_PUBLIC;
}

void rth__serve(struct rth_exchange *exchange)
{
    if (!authorize(exchange))
        return;
    struct rth_admin_server *server = exchange->server;
    bool is_public = exchange->conn->via == RTH_VIA_PUBLIC;
    struct rth_route route;
    rth__route_find(&exchange->request, is_public, server->config->read_only, &route);
    if (route.status != 200) {
        answer_without_call(exchange, &route);
        return;
    }
    fill_call(exchange);
    bool by_pid = route.artefact != NULL && (route.artefact->flags & RTH_ARTEFACT_BY_PID) != 0 &&
                  !is_public && exchange->request.forwarded.data == NULL;
    if (by_pid && rth__relay_wanted(exchange))
        return;
    rth__exchange_call(exchange, route.artefact, route.action, route.subpath);
}
