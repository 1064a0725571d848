/* SPDX-License-Identifier: MIT */
#ifndef RTH_ADMIN_ROUTE_H
#define RTH_ADMIN_ROUTE_H

/*
 * Which artefact or action a request means: a search of the capability table, nothing else. Any
 * thread of ours; no lock; a few hundred string comparisons at most.
 */

#include <stdbool.h>

#include "admin/http_request.h"
#include "core/artefact.h"

struct rth_route {
    int status; /* 200: exactly one of artefact and action is set; else answer this */
    const struct rth_artefact *artefact;
    const struct rth_action *action;
    const char *subpath;      /* after the prefix, points into request->path; "" otherwise */
    bool is_pprof;            /* at or below /debug/pprof/: its errors carry X-Go-Pprof */
    const char *allow;        /* on 405, else NULL */
    const char *location;     /* on 301, else NULL */
    const char *content_type; /* of message */
    char message[RTH_CALL_MESSAGE_BYTES]; /* on anything but 200, without the newline */
};

/*
 * Fills *ret_route, always. is_public: the public listener, which knows exact paths of
 * RTH_ARTEFACT_PUBLIC artefacts and GET. read_only: actions answer 403.
 */
void rth__route_find(const struct rth_http_request *request, bool is_public, bool read_only,
                     struct rth_route *ret_route);

/* The same judgement for errors found before there is a route. */
bool rth__route_is_pprof(const char *path);

#endif /* RTH_ADMIN_ROUTE_H */
