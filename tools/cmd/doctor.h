/* SPDX-License-Identifier: MIT */
#ifndef RTH_TOOLS_CMD_DOCTOR_H
#define RTH_TOOLS_CMD_DOCTOR_H

/* The examinations of `rthooks doctor`, one file per kind of patient. Each adds findings. */

#include "client/report.h"
#include "client/target.h"
#include "cmd/cmd.h"

/* This system: what the kernel offers and forbids, what rthooks will find. */
void doctor_system(struct report *report);
/* A process, from /proc. target_process came before. */
void doctor_process(struct report *report, struct target *target);
/* A program file: would `rthooks run` hook it? */
void doctor_file(struct report *report, const char *path);
/* An endpoint that answers: TARGET_URL, or a target whose socket was found. Returns false when it
 * cannot be reached, with a line in ret_message. */
bool doctor_endpoint(struct report *report, const struct target *target, const char *token_file,
                     char *ret_message, size_t message_size);

#endif /* RTH_TOOLS_CMD_DOCTOR_H */
