/* SPDX-License-Identifier: MIT */
#ifndef RTH_EPISODE_ROUTES_H
#define RTH_EPISODE_ROUTES_H

/* /debug/episodes: the list, a file of one of them, and taking one. */

#include "core/artefact.h"

struct rth_json;

int rth__episodes_write(struct rth_call *call, struct rth_sink *sink);
int rth__episode_file_route_begin(struct rth_call *call, int64_t *ret_wait_ns);
int rth__episode_file_route_write(struct rth_call *call, struct rth_sink *sink);
int rth__episode_take_route(struct rth_call *call, struct rth_sink *sink);
/* Members that the list and the status have both. */
void rth__episode_members(struct rth_json *json);

#endif /* RTH_EPISODE_ROUTES_H */
