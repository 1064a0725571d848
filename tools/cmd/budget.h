/* SPDX-License-Identifier: MIT */
#ifndef RTH_TOOLS_CMD_BUDGET_H
#define RTH_TOOLS_CMD_BUDGET_H

/* `rthooks budget`, in parts. */

#include "budget/look.h"
#include "client/report.h"
#include "cmd/cmd.h"

#define BUDGET_ROUTE      "/debug/runtime/budget"
#define BUDGET_LINE_BYTES 4096

/* What is worth knowing about the limits that were found: one finding per thing. `rthooks doctor`
 * shows all of them, `rthooks budget` those that are not as they should be. */
void limits_findings(struct report *report, const struct look *look);

/* What the line and the JSON say beyond the budget, of a process that is only looked at. */
struct rth_budget_context look_context(const struct look *look);
/* The line of what was found. Returns false when it does not fit. */
bool look_line(const struct look *look, char *ret_line, size_t line_size);
/* The document of a process that answers, with what was read of the cgroups. */
json_t *look_json(const struct look *look);
/* The line, and below it who decided and what everybody else said. */
bool look_print(const struct look *look);

/* "level 1", or that it cannot be seen. */
#define LOOK_LEVEL_TEXT 64
const char *look_level_text(const struct rth_cgroup_place *place, unsigned level,
                            char ret_text[LOOK_LEVEL_TEXT]);
/* "0.9 of 1 GiB, memory.max of level 1": who decided. */
#define LOOK_SENTENCE_BYTES (3 * RTH_CGROUP_PATH_BYTES)
const char *look_memory_sentence(const struct look *look, char ret_text[LOOK_SENTENCE_BYTES]);
const char *look_cpu_sentence(const struct look *look, char ret_text[LOOK_SENTENCE_BYTES]);

/* The line of what a process, a socket, a URL or a file says. false: it is no budget. */
bool budget_document_line(const json_t *document, char *ret_line, size_t line_size);
/* Shows what a process, a socket, a URL or a file says. */
int budget_show_document(const json_t *document, const char *target);

/* Watches, and proposes. */
int budget_recommend(const struct look_place *place, const struct look *look, const char *name,
                     unsigned seconds, bool json);

#endif /* RTH_TOOLS_CMD_BUDGET_H */
