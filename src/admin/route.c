/* SPDX-License-Identifier: MIT */
#include "admin/route.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "core/capability.h"

#define PPROF_ROOT "/debug/pprof"

/* The best rows seen so far for one path. A row that runs beats one that does not; then an exact
 * path beats a prefix and a long prefix a short one, which is the length of the row's path. */
struct match {
    const struct rth_artefact *artefact;
    size_t artefact_length;
    bool artefact_runs;
    const struct rth_action *action;
    bool action_runs;
    size_t idle_row; /* index of a matching row that does not run */
};

bool rth__route_is_pprof(const char *path)
{
    size_t length = sizeof(PPROF_ROOT) - 1;
    return strncmp(path, PPROF_ROOT, length) == 0 && path[length] == '/';
}

/* How much of the path the artefact's path covers; 0 when it is another one. */
static size_t covered(const struct rth_artefact *artefact, const char *path, bool is_public)
{
    size_t length = strlen(artefact->path);
    if (is_public && (artefact->flags & RTH_ARTEFACT_PUBLIC) == 0)
        return 0;
    if (strcmp(artefact->path, path) == 0)
        return length;
    bool is_prefix = (artefact->flags & RTH_ARTEFACT_PREFIX) != 0 && !is_public;
    /* A prefix alone, with nothing after it, names nothing below it. */
    return is_prefix && strncmp(artefact->path, path, length) == 0 && path[length] != '\0' &&
                   rth__artefact_has_below(artefact, path + length)
               ? length
               : 0;
}

static void match_row(size_t index, const char *path, bool is_public, struct match *match)
{
    const struct rth_capability *row = rth__capability_at(index);
    bool runs = rth__capability_runtime_at(index)->state == RTH_CAPABILITY_RUNNING;
    for (size_t i = 0; i < row->artefact_count; i++) {
        size_t length = covered(&row->artefacts[i], path, is_public);
        bool is_better = match->artefact_runs == runs ? length > match->artefact_length : runs;
        if (length == 0 || !is_better)
            continue;
        match->artefact = &row->artefacts[i];
        match->artefact_length = length;
        match->artefact_runs = runs;
        if (!runs)
            match->idle_row = index;
    }
    for (size_t i = 0; i < row->action_count && !is_public; i++) {
        if (match->action_runs || strcmp(row->actions[i].path, path) != 0)
            continue;
        match->action = &row->actions[i];
        match->action_runs = runs;
        if (!runs)
            match->idle_row = index;
    }
}

static void answer(struct rth_route *route, int status, const char *format, ...) RTH_PRINTF(3, 4);
static void answer(struct rth_route *route, int status, const char *format, ...)
{
    route->status = status;
    route->artefact = NULL;
    route->action = NULL;
    route->subpath = "";
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(route->message, sizeof(route->message), format, arguments);
    va_end(arguments);
}

static void answer_unknown(struct rth_route *route, const char *path, bool is_public)
{
    if (!is_public && strcmp(path, PPROF_ROOT) == 0) {
        answer(route, 301, "<a href=\"" PPROF_ROOT "/\">Moved Permanently</a>.\n");
        route->content_type = "text/html; charset=utf-8";
        route->location = PPROF_ROOT "/";
    } else if (!is_public && route->is_pprof) {
        answer(route, 404, "Unknown profile");
    } else {
        answer(route, 404, "404 page not found");
    }
}

static void answer_idle(struct rth_route *route, size_t index)
{
    const struct rth_capability_runtime *runtime = rth__capability_runtime_at(index);
    const char *reason = runtime->reason;
    /* What the platform, or the way it was started, lacks will not come by waiting. */
    answer(route, runtime->state == RTH_CAPABILITY_ABSENT ? 501 : 503, "%s is %s%s%s",
           rth__capability_at(index)->name, rth__capability_state_name(runtime->state),
           reason[0] != '\0' ? ": " : "", reason);
}

static void answer_method(struct rth_route *route, const struct match *match, bool is_public)
{
    bool can_post = match->action != NULL ||
                    (match->artefact != NULL && (match->artefact->flags & RTH_ARTEFACT_POST) != 0);
    const char *allow = is_public                 ? "GET"
                        : match->artefact == NULL ? "POST"
                        : can_post                ? "GET, HEAD, POST"
                                                  : "GET, HEAD";
    answer(route, 405, "method not allowed, this path takes %s", allow);
    route->allow = allow;
}

static void choose(const struct rth_http_request *request, const struct match *match,
                   bool is_public, bool read_only, struct rth_route *route)
{
    bool is_post = request->method == RTH_HTTP_POST;
    bool artefact_fits =
        match->artefact != NULL &&
        (is_public ? request->method == RTH_HTTP_GET
                   : !is_post || (match->artefact->flags & RTH_ARTEFACT_POST) != 0);
    if (is_post && match->action != NULL) {
        if (!match->action_runs)
            answer_idle(route, match->idle_row);
        else if (read_only)
            answer(route, 403, "RTHOOKS_ADMIN_READONLY refuses changes");
        else
            route->action = match->action;
    } else if (!artefact_fits) {
        answer_method(route, match, is_public);
    } else if (!match->artefact_runs) {
        answer_idle(route, match->idle_row);
    } else {
        route->artefact = match->artefact;
        route->subpath = request->path + match->artefact_length;
    }
}

void rth__route_find(const struct rth_http_request *request, bool is_public, bool read_only,
                     struct rth_route *ret_route)
{
    memset(ret_route, 0, sizeof(*ret_route));
    ret_route->status = 200;
    ret_route->subpath = "";
    ret_route->is_pprof = rth__route_is_pprof(request->path);
    ret_route->content_type = "text/plain; charset=utf-8";
    struct match match = {0};
    for (size_t i = 0; i < rth__capability_count(); i++)
        match_row(i, request->path, is_public, &match);
    if (match.artefact == NULL && match.action == NULL)
        answer_unknown(ret_route, request->path, is_public);
    else
        choose(request, &match, is_public, read_only, ret_route);
}
