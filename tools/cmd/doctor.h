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
/* What the platform lets a process have; pid 0: this one's container. */
void doctor_limits(struct report *report, pid_t pid);
/* What a process that answers says of its limits, and whether they are those of its manifest. */
void doctor_budget(struct report *report, const struct target *target, const char *token_file);
/* A copied /proc and /sys; pid 0: the only process in it. Returns EXIT_FINE, or the status to leave
 * with. */
int doctor_copy(struct report *report, const char *folder, pid_t pid);
/* Makes such a copy, of a process (target_process came before) or of this one's container (NULL).
 * Returns the exit status. */
int doctor_collect(const char *folder, struct target *target, const char *token_file, bool json);

#endif /* RTH_TOOLS_CMD_DOCTOR_H */
