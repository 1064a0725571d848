/* SPDX-License-Identifier: MIT */
#ifndef RTH_LIMITS_SHOW_H
#define RTH_LIMITS_SHOW_H

/* What is shown of the limits: routes, the budget line, the status. */

#include <stddef.h>

#include "core/artefact.h"
#include "formats/budget.h"

struct rth_json;

#define RTH_LIMITS_ARTEFACT_COUNT 4
extern const struct rth_artefact rth__limits_artefacts[RTH_LIMITS_ARTEFACT_COUNT];
#define RTH_LIMITS_ACTION_COUNT 1
extern const struct rth_action rth__limits_actions[RTH_LIMITS_ACTION_COUNT];

/* Measures the terms of expected_rss that are kept for the line. rth-work, or the starting thread.
 */
void rth__limits_measure(int root_fd);
void rth__limits_status(struct rth_json *json);

#endif /* RTH_LIMITS_SHOW_H */
